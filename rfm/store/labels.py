"""Task labels: the rows, times and targets of each split, in the order in which relbench has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import relbench
from relbench.manifest import KIND_AUTOCOMPLETE, KIND_EXTERNAL, KIND_FORECAST, TaskManifest

from rfm.errors import RfmError
from rfm.store.columns import check_time_column, is_number_type, read_column, to_float, to_seconds
from rfm.store.format import SPLITS, SemType, unknown
from rfm.store.source import Source, read_parquet

BINARY, REGRESSION, MULTICLASS = "binary_classification", "regression", "multiclass_classification"


class Unsupported(Exception):
    """A sound task of a kind that stores leave out; the message is the reason."""


@dataclass(frozen=True)
class Labels:
    """The label rows of a task, train, val and test one after the other."""

    entity: np.ndarray  # int64 (n,), position in the entity table
    time: np.ndarray | None  # int64 (n,), seconds; None where the task has no time or (autocomplete) no rows of its own
    target: np.ndarray  # float64 (n,), NaN where hidden or missing
    split_sizes: tuple[int, int, int]
    classes: tuple[str, ...] = ()  # of a multiclass task, whose targets are positions in here


def timedelta_seconds(manifest: TaskManifest) -> int:
    """Length of the label window: as in relbench, a second for autocomplete, a day by default for external ones."""
    if manifest.kind == KIND_AUTOCOMPLETE:
        return 1
    if manifest.timedelta is None and manifest.kind == KIND_EXTERNAL:
        return 24 * 60 * 60
    try:
        return int(np.ceil(pd.Timedelta(manifest.timedelta).total_seconds()))
    except ValueError:
        raise RfmError(f"task {manifest.name!r}: timedelta {manifest.timedelta!r} is not a duration") from None


def check_supported(source: Source, task: str, manifest: TaskManifest) -> None:
    """Raises Unsupported unless it is a classification or regression of entities; RfmError: unknown table."""
    if manifest.task_type not in (BINARY, REGRESSION, MULTICLASS):
        raise Unsupported(f"{manifest.task_type} is not supported; {BINARY}, {MULTICLASS} and {REGRESSION} are")
    if manifest.kind != KIND_AUTOCOMPLETE and manifest.entity_col is None:
        raise Unsupported("it names no entity column")
    if manifest.target_col is None:
        raise Unsupported("it names no target column")
    if manifest.entity_table not in source.manifest.tables:
        raise unknown("table", str(manifest.entity_table), list(source.manifest.tables), f"task {task!r}: the database")


def read_labels(source: Source, task: str, manifest: TaskManifest, num_entities: int) -> Labels:
    """Labels of a forecast or external task; those of a forecast task without label files are made by relbench's SQL.

    Raises:
        RfmError: missing file or column, unknown entity, missing time.
        Unsupported: targets that are no numbers, or not 0 and 1 for a classification.
    """
    parts = []
    for split in SPLITS:
        what = f"task {task!r}: {split} labels"
        path = source.label_path(task, split)
        if path.exists() or manifest.kind != KIND_FORECAST:
            table = read_parquet(path, what)
        else:
            table = _regenerate(source, task, split, what)
        wanted = [manifest.entity_col, manifest.time_col] + ([manifest.target_col] if split == "train" else [])
        for column in wanted:
            if column is not None and column not in table.column_names:
                raise unknown("column", column, table.column_names, what)
        parts.append(_label_part(table, manifest, num_entities, what))
    entities, times, targets = zip(*parts, strict=True)
    sizes = tuple(len(entity) for entity in entities)
    target, classes = _numbers(manifest, targets)
    time = None if manifest.time_col is None else np.concatenate(times)
    return Labels(np.concatenate(entities), time, target, sizes, classes)


def autocomplete_labels(source: Source, task: str, manifest: TaskManifest) -> Labels:
    """The rows of the entity table that have the target, split by time, in relbench's order (time, then row).

    train: time <= val timestamp; val: (val, test timestamp]; test: later. Label files, where there are some, name
    rows and order instead, as in relbench.
    """
    what = f"task {task!r}: table {manifest.entity_table!r}"
    path = source.table_path(manifest.entity_table)
    names = pq.read_schema(path).names
    if manifest.target_col not in names:
        raise unknown("column", manifest.target_col, names, what)
    spec = source.manifest.tables[manifest.entity_table]
    if manifest.target_col in (spec.pkey, *spec.fkeys):
        raise RfmError(f"{what}: target {manifest.target_col!r} is a key; only feature columns can be targets")
    wanted = [manifest.target_col] + ([spec.time_col] if spec.time_col not in (None, manifest.target_col) else [])
    table = read_parquet(path, what, wanted)
    target, classes = _numbers(manifest, [table[manifest.target_col]])
    rows = _autocomplete_files(source, task, spec.pkey or "primary_key", len(target))
    if rows is None:
        if spec.time_col is None:
            raise Unsupported(
                f"table {manifest.entity_table!r} has no time column to split by, and there are no labels"
            )
        rows = _split_by_time(source, table[spec.time_col], target)
    sizes = tuple(len(part) for part in rows)
    chosen = np.concatenate(rows)
    return Labels(chosen, None, target[chosen], sizes, classes)


def _numbers(manifest: TaskManifest, columns: Sequence[pa.ChunkedArray]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Targets of all columns, one after the other, as float64, and the classes that they are positions in, if any."""
    if manifest.task_type == MULTICLASS:
        return _class_positions(columns)
    target = np.concatenate([_targets(column) for column in columns])
    if manifest.task_type == BINARY and not np.isin(target[~np.isnan(target)], (0.0, 1.0)).all():
        raise Unsupported(f"target {manifest.target_col!r} has values other than 0 and 1")
    return target, ()


def _class_positions(columns: Sequence[pa.ChunkedArray]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Classes are strings, as `columns.to_strings` writes them; numbers in their order, other strings in theirs."""
    for column in columns:
        if pa.types.is_nested(column.type):
            raise Unsupported(f"the target is {column.type}, not one class a row")
    found = [read_column(column, SemType.TEXT, "target") for column in columns]
    names = {
        string
        for values in found
        for string in np.array(values.strings, dtype=object)[np.unique(values.text[values.valid])]
    }
    try:
        classes = tuple(sorted(sorted(names), key=float))
    except ValueError:
        classes = tuple(sorted(names))
    position = {name: float(i) for i, name in enumerate(classes)}
    targets = [np.array([*(position.get(s, np.nan) for s in v.strings), np.nan])[v.text] for v in found]
    return np.concatenate(targets), classes


def _label_part(table: pa.Table, manifest: TaskManifest, num_entities: int, what: str) -> tuple:
    entity = _positions(table[manifest.entity_col], num_entities, f"{what}: entity column {manifest.entity_col!r}")
    seconds = None
    if manifest.time_col is not None:
        seconds, _, valid = to_seconds(check_time_column(table[manifest.time_col], what, manifest.time_col))
        if not valid.all():
            raise RfmError(f"{what}: row {int(np.argmin(valid))} has no time in {manifest.time_col!r}")
    hidden = pa.chunked_array([pa.nulls(len(entity))])
    target = table[manifest.target_col] if manifest.target_col in table.column_names else hidden
    return entity, seconds, target


def _positions(column: pa.ChunkedArray, num_rows: int, what: str) -> np.ndarray:
    """int64 row numbers, all of them within 0 .. `num_rows` - 1."""
    if not is_number_type(column.type):
        raise RfmError(f"{what} must hold row numbers, got {column.type}")
    position = to_float(column)
    wrong = ~((position >= 0) & (position < num_rows) & (position == np.floor(position)))
    if wrong.any():
        row = int(np.argmax(wrong))
        named = "nothing" if np.isnan(position[row]) else f"{position[row]:.17g}"
        raise RfmError(f"{what} names {named} in row {row}, but the table has rows 0..{num_rows - 1}")
    return position.astype(np.int64)


def _targets(column: pa.ChunkedArray) -> np.ndarray:
    """float64 raw targets, NaN where missing or infinite."""
    if not (is_number_type(column.type) or pa.types.is_boolean(column.type) or pa.types.is_null(column.type)):
        raise Unsupported(f"the target is {column.type}, not a number")
    target = to_float(column)
    return np.where(np.isfinite(target), target, np.nan)


def _regenerate(source: Source, task: str, split: str, what: str) -> pa.Table:
    try:
        labels = relbench.load_dataset(source.path).load_task(task, regenerate=True)
        return pa.Table.from_pandas(labels.get_table(split, mask_input_cols=False).df, preserve_index=False)
    except Exception as error:  # a user's SQL: duckdb, pandas and relbench each raise their own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RfmError(f"{what}: no file {source.label_path(task, split)}, and its SQL fails: {lines[0]}") from error


def _autocomplete_files(source: Source, task: str, key: str, num_rows: int) -> list[np.ndarray] | None:
    """Row numbers by split from label files, or None where there is no file."""
    paths = {split: source.label_path(task, split) for split in SPLITS}
    if not any(path.exists() for path in paths.values()):
        return None
    parts = []
    for split, path in paths.items():
        what = f"task {task!r}: {split} labels"
        labels = read_parquet(path, what)
        if key not in labels.column_names:
            raise unknown("column", key, labels.column_names, what)
        parts.append(_positions(labels[key], num_rows, f"{what}: {key}"))
    return parts


def _split_by_time(source: Source, column: pa.ChunkedArray, target: np.ndarray) -> list[np.ndarray]:
    seconds, nanoseconds, valid = to_seconds(column)
    by_val, by_test = (_until(seconds, nanoseconds, source.timestamp(which)) for which in ("val", "test"))
    known = valid & ~np.isnan(target)
    order = np.lexsort((np.arange(len(target)), nanoseconds, seconds))
    return [order[(known & part)[order]] for part in (by_val, ~by_val & by_test, ~by_test)]


def _until(seconds: np.ndarray, nanoseconds: np.ndarray, timestamp: pd.Timestamp) -> np.ndarray:
    """Whether times are at or before the timestamp, exactly."""
    at_seconds, rest = divmod(timestamp.as_unit("ns").value, 10**9)
    return (seconds < at_seconds) | ((seconds == at_seconds) & (nanoseconds <= rest))
