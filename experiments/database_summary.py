"""What a store holds, as data frames and one-line warnings: tables, columns, tasks, and what looks wrong in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.leaks import Leak, column_values, find_leaks
from rfm.store import NEVER, NO_TIME, Column, SemType, Store, TableInfo, TextTable
from rfm.store.source import Source

SPLITS = ("train", "val", "test")
MAX_CODES = 10
"""A column of so few different whole numbers, each some 50 times or more, may hold codes of categories."""

MAX_DEVIATIONS = 30.0
"""A number further from the mean than so many standard deviations may be a typing error or a code for "unknown"."""

_EXAMPLES, _EXAMPLE_LENGTH = 3, 18


@dataclass(frozen=True)
class DatabaseSummary:
    """`keys`: a row per foreign key; the other frames a row per table, column or task. `warnings`: what to look at."""

    tables: pd.DataFrame
    keys: pd.DataFrame
    columns: pd.DataFrame
    tasks: pd.DataFrame
    warnings: list[str]


def summarise(store: Store, source: Source, texts: TextTable) -> DatabaseSummary:
    """Reads the store once, and the key columns of the source."""
    tables = [table for table in store.tables.values() if not table.is_label]
    keys = pd.DataFrame([row for table in tables for row in _keys(source, store, table)], columns=KEY_COLUMNS)
    columns, warnings = [], []
    for table in tables:
        warnings += _table_warnings(store, table)
        for column_id in table.column_ids:
            row, found = _column(store, store.columns[column_id], table, texts)
            columns.append(row)
            warnings += found
    for key in keys[keys.dangling > 0].itertuples():
        warnings.append(f"{key.table}.{key.column}: {key.dangling} keys name no row of {key.names}; they link nothing")
    tasks = []
    for task in store.tasks:
        tasks.append(_task(store, task))
        warnings += _task_warnings(store, task)
        warnings += [_describe(leak) for leak in find_leaks(store, task)]
    warnings += [f"task {task} is left out: {reason}" for task, reason in store.skipped_tasks.items()]
    frames = (pd.DataFrame([_table(store, table) for table in tables]), keys, pd.DataFrame(columns))
    return DatabaseSummary(*frames, pd.DataFrame(tasks), warnings)


KEY_COLUMNS = ["table", "column", "names", "missing", "dangling"]


def _table(store: Store, table: TableInfo) -> dict:
    time = _times(store, table)
    known = time[(time != NO_TIME) & (time != NEVER)]
    return {
        "table": table.name,
        "rows": table.num_rows,
        "key": table.pkey_col or "-",
        "time": table.time_col or "-",
        "from": _date(known.min()) if len(known) else "-",
        "to": _date(known.max()) if len(known) else "-",
        "columns": len(table.column_ids),
        "foreign keys": len(table.fkeys),
    }


def _keys(source: Source, store: Store, table: TableInfo) -> list[dict]:
    if not table.fkeys:
        return []
    values = pq.read_table(source.table_path(table.name), columns=list(table.fkeys), partitioning=None)
    rows = []
    for column, parent in table.fkeys.items():
        key = values[column].cast(pa.float64(), safe=False)
        inside = pc.and_(pc.greater_equal(key, 0.0), pc.less(key, float(store.tables[parent].num_rows)))
        missing = table.num_rows - pc.sum(pc.is_valid(key)).as_py() if table.num_rows else 0
        missing += pc.sum(pc.is_nan(key)).as_py() or 0
        linked = pc.sum(inside).as_py() or 0
        dangling = table.num_rows - missing - linked
        rows.append(dict(zip(KEY_COLUMNS, (table.name, column, parent, missing, dangling), strict=True)))
    return rows


def _column(store: Store, column: Column, table: TableInfo, texts: TextTable) -> tuple[dict, list[str]]:
    """The row of one column, and its warnings."""
    rows = table.first_row + np.arange(table.num_rows)
    values = column_values(store, column, rows)
    known = values[~np.isnan(values)]
    distinct, counts = np.unique(known, return_counts=True)
    row = {
        "table": table.name,
        "column": column.name,
        "type": column.sem_type.name.lower(),
        "missing": 1.0 - len(known) / max(1, table.num_rows),
        "distinct": len(distinct),
        "values": _show_values(column, distinct, counts, texts),
    }
    return row, _column_warnings(store, column, table, distinct, counts)


def _show_values(column: Column, distinct: np.ndarray, counts: np.ndarray, texts: TextTable) -> str:
    if not len(distinct):
        return "-"
    mean, std = column.stats["whole"]
    if column.sem_type is SemType.TEXT:
        most = distinct[np.argsort(-counts, kind="stable")][:_EXAMPLES]
        return ", ".join(_shorten(texts.strings[int(i)]) for i in most) + (", ..." if len(distinct) > len(most) else "")
    raw = distinct * std + mean
    if column.sem_type is SemType.DATETIME:
        first, last = (round(time / 3600) * 3600 for time in (raw.min(), raw.max()))  # stored to some minutes
        return f"{_date(first)} to {_date(last)}"
    if column.sem_type is SemType.BOOLEAN:
        return f"{mean:.1%} true"
    return f"mean {mean:.4g} +- {std:.3g}, {_number(raw.min(), std)} to {_number(raw.max(), std)}"


def _column_warnings(
    store: Store, column: Column, table: TableInfo, distinct: np.ndarray, counts: np.ndarray
) -> list[str]:
    name = f"{table.name}.{column.name}"
    if table.num_rows and not len(distinct):
        return [f"{name}: no value at all"]
    if len(distinct) == 1 and table.num_rows > 1 and counts[0] == table.num_rows:
        return [f"{name}: the same value in every row"]
    if column.sem_type is SemType.NUMBER and np.abs(distinct).max(initial=0.0) > MAX_DEVIATIONS:
        mean, std = column.stats["whole"]
        far = distinct[np.abs(distinct).argmax()]
        return [
            f"{name}: {_number(far * std + mean, std)} is {abs(far):.0f} standard deviations from the mean {mean:.4g}"
        ]
    if column.sem_type is SemType.NUMBER and 2 < len(distinct) <= MAX_CODES and counts.sum() >= 50 * len(distinct):
        mean, std = column.stats["whole"]
        raw = distinct * std + mean
        if np.abs(raw - raw.round()).max() < 1e-3 * max(1.0, std) and not _is_target(store, column):
            return [
                f"{name}: {len(distinct)} different whole numbers; if they are codes and not counts, give it the type "
                "text (sem_types in manifest.yaml)"
            ]
    return []


def _table_warnings(store: Store, table: TableInfo) -> list[str]:
    if table.num_rows == 0:
        return [f"{table.name}: no rows"]
    unknown = int((_times(store, table) == NEVER).sum())
    return [f"{table.name}: {unknown} rows have no {table.time_col}; they are never visible"] if unknown else []


def _task(store: Store, task: str) -> dict:
    info = store.tasks[task]
    window = "-" if info.kind == "autocomplete" else _duration(info.timedelta_s)
    row = {"task": task, "kind": info.kind, "type": info.task_type.removesuffix("_classification")}
    row |= {"entity": info.entity_table, "target": info.target_col, "window": window}
    for split in SPLITS:
        target = store.task_targets(task, split)
        known = target[~np.isnan(target)]
        row |= {split: f"{len(target):,}", f"{split} labels": _show_labels(store, task, known)}
    return row


def _show_labels(store: Store, task: str, known: np.ndarray) -> str:
    info = store.tasks[task]
    if not len(known):
        return "hidden"
    if info.classes:
        most = np.bincount(known.astype(int), minlength=len(info.classes))
        majority = _shorten(info.classes[most.argmax()].value)
        return f"{len(info.classes)} classes, {most.max() / len(known):.1%} {majority}"
    if info.task_type == "binary_classification":
        return f"{known.mean():.1%} true"
    return f"{known.mean():.4g} +- {known.std():.3g}"


def _task_warnings(store: Store, task: str) -> list[str]:
    found = []
    for split in SPLITS:
        target = store.task_targets(task, split)
        known = target[~np.isnan(target)]
        if not len(target):
            found.append(f"task {task}: no {split} rows")
        elif len(known) and np.unique(known).size < 2:
            found.append(f"task {task}: every {split} label is {known[0]:g}; nothing can be learnt or scored there")
    return found


def _describe(leak: Leak) -> str:
    metric = {"auroc": "AUROC", "macro_auroc": "macro AUROC", "r2": "R²"}[leak.metric]
    return (
        f"task {leak.task}: {leak.table}.{leak.column} alone predicts the target ({metric} {leak.value:.1f} % on rows "
        "held out), a likely leak; name it in remove_columns unless it is known before the label"
    )


def _is_target(store: Store, column: Column) -> bool:
    return any(info.target_column == column.id for info in store.tasks.values())


def _times(store: Store, table: TableInfo) -> np.ndarray:
    return np.asarray(store.row_time[table.first_row : table.first_row + table.num_rows])


def _date(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def _duration(seconds: int) -> str:
    return f"{seconds / 86_400:g} days" if seconds % 3600 == 0 else f"{seconds} s"


def _number(value: float, std: float) -> str:
    """Without the rounding of a float32 of standard deviations."""
    return f"{round(value, math.ceil(5 - math.log10(std))) + 0.0:.4g}"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _EXAMPLE_LENGTH else text[: _EXAMPLE_LENGTH - 1] + "…"
