"""Predictions of a task as parquet files, so that a score can be recomputed or looked into row by row.

<folder>/<task>.parquet     one row per label row of the val and test splits, each split in the task's own order
    split                   val or test
    position                0, 1, ... within the split
    entity                  row of the entity table
    time                    of the seed, UTC; null where it has none
    target                  label, null where it is hidden; the class's text for a multiclass task
    <model>                 prediction: probability of true, or the value in the column's unit
    <model>:<class>         of a multiclass task: probability of the class
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rfm.store import NEVER, NO_TIME, Store


def prediction_rows(store: Store, task: str, predictions: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """The table of one task; `predictions` is model -> split -> float64 in the task's row order."""
    splits = next(iter(predictions.values()))
    return pd.concat([_of_split(store, task, predictions, split) for split in splits], ignore_index=True)


def save_predictions(
    folder: Path, store: Store, task: str, predictions: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Writes `folder`/<task>.parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    prediction_rows(store, task, predictions).to_parquet(folder / f"{task}.parquet", index=False)


def _of_split(store: Store, task: str, predictions: Mapping[str, Mapping[str, np.ndarray]], split: str) -> pd.DataFrame:
    info, rows = store.tasks[task], store.task_rows(task, split)
    is_label_table = info.name in store.labels
    row = store.parent_row[store.parent_offset[rows]].astype(np.int64) if is_label_table else rows
    seconds = pd.Series(np.asarray(store.row_time[rows]))
    target = store.task_targets(task, split)
    if info.classes:
        names = np.array([c.value for c in info.classes] + [None], dtype=object)
        target = names[np.where(np.isnan(target), -1, target).astype(int)]
    columns: dict[str, object] = {
        "split": split,
        "position": np.arange(len(rows)),
        "entity": row - store.tables[info.entity_table].first_row,
        "time": pd.to_datetime(seconds.where(~seconds.isin((NO_TIME, NEVER))), unit="s"),
        "target": target,
    }
    for model, by_split in predictions.items():
        if info.classes:
            columns |= {f"{model}:{c.value}": by_split[split][:, k] for k, c in enumerate(info.classes)}
        else:
            columns[model] = by_split[split]
    return pd.DataFrame(columns, index=np.arange(len(rows)))
