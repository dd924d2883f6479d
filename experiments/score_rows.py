"""Predictions of a split turned into rows of a transfer table (`analysis/transfer.py`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.intervals import bootstrap_intervals, lift_signs
from rfm.metrics import score
from rfm.store import Store


def score_rows(
    store: Store,
    task: str,
    split: str,
    predictions: Mapping[str, np.ndarray],
    *,
    chosen: np.ndarray | None = None,
    **facts: object,
) -> list[dict]:
    """One row per model and metric, with intervals of the score and of its lift over label history.

    Args:
        predictions: model -> float64 (rows,) or, of a multiclass task, (rows, classes); label history among them.
        chosen: int64 (rows,), positions in the split that are predicted; default: all, in the split's order.
        facts: columns of every row, such as the protocol.
    """
    info, target = store.tasks[task], store.task_targets(task, split)
    target = target if chosen is None else target[chosen]
    train_std = store.target_std(task)
    intervals = bootstrap_intervals(info.task_type, target, predictions, "label_history", train_std)
    sign = lift_signs(info.task_type)
    common = {"dataset": store.name, "task": task, "task_type": info.task_type, "split": split}
    return [
        common
        | {"model": model, **facts, "metric": metric, "value": value, **intervals[model, metric]}
        | {"higher_is_better": sign[metric] > 0, "num_rows": len(target)}
        for model, prediction in predictions.items()
        for metric, value in score(info.task_type, target, prediction, train_std).items()
    ]
