"""A table on its way into a store: its rows, typed columns, times and parents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from relbench.manifest import TableSpec, TaskManifest

from rfm.store.columns import ColumnValues, check_time_column, read_column, to_seconds
from rfm.store.format import LABEL_PREFIX, NEVER, NO_TIME, SemType
from rfm.store.keys import check_pkey, read_fkey
from rfm.store.labels import BINARY, MULTICLASS, Labels


@dataclass(frozen=True)
class TablePart:
    """n rows that get consecutive ids in a store."""

    name: str
    title: str
    """What texts call the table: its name, or the task's for a label table."""
    pkey_col: str | None
    time_col: str | None
    fkeys: dict[str, str]
    columns: dict[str, ColumnValues]
    row_time: np.ndarray  # int64 (n,), seconds, NO_TIME or NEVER
    row_split: np.ndarray  # int8 (n,), -1 for database rows
    parents: list[np.ndarray]  # per foreign key: int64 (n,), store row ids, -1 where there is none
    in_train: np.ndarray  # bool (n,), the rows of the "train" statistics
    is_label: bool

    @property
    def num_rows(self) -> int:
        return len(self.row_time)


def database_part(
    name: str,
    table: pa.Table,
    spec: TableSpec,
    tables: dict[str, tuple[int, int]],
    val_time: int,
    sem_types: dict[str, SemType],
    targets: dict[str, str],
) -> TablePart:
    """A table of the database; `tables` gives every table's (first row, number of rows).

    `sem_types` are types that the manifest asks for. `targets` are the columns that an autocomplete task predicts, and
    its type: zeros and ones of a binary classification are BOOLEAN even if one of them never occurs, and what a
    multiclass task predicts is TEXT.
    """
    if spec.pkey is not None:
        check_pkey(table[spec.pkey], name, spec.pkey)
    parents = []
    for column, parent in spec.fkeys.items():
        first_row, num_rows = tables[parent]
        position = read_fkey(table[column], num_rows, name, column)
        parents.append(np.where(position >= 0, position + first_row, -1))
    row_time = np.full(table.num_rows, NO_TIME, dtype=np.int64)
    if spec.time_col is not None:
        seconds, _, valid = to_seconds(check_time_column(table[spec.time_col], f"table {name!r}", spec.time_col))
        row_time = np.where(valid, seconds, NEVER)
    features = [column for column in table.column_names if column != spec.pkey and column not in spec.fkeys]
    wanted = sem_types | {column: SemType.TEXT for column, kind in targets.items() if kind == MULTICLASS}
    columns = {c: read_column(table[c], wanted.get(c), f"table {name!r}: column {c!r}") for c in features}
    for column, kind in targets.items():
        if kind == BINARY and column in columns and column not in sem_types:
            columns[column] = _as_boolean(columns[column])
    return TablePart(
        name=name,
        title=name,
        pkey_col=spec.pkey,
        time_col=spec.time_col,
        fkeys=dict(spec.fkeys),
        columns=columns,
        row_time=row_time,
        row_split=np.full(table.num_rows, -1, dtype=np.int8),
        parents=parents,
        in_train=row_time <= val_time,
        is_label=False,
    )


def label_part(task: str, manifest: TaskManifest, labels: Labels, first_entity: int) -> TablePart:
    """The label table of a task: a cell for the time, one for the target where it is known, the entity as parent."""
    num_rows = len(labels.entity)
    row_time = np.full(num_rows, NO_TIME, dtype=np.int64) if labels.time is None else labels.time
    columns = {}
    if labels.time is not None:
        always = np.ones(num_rows, dtype=bool)
        columns[manifest.time_col] = ColumnValues(SemType.DATETIME, always, row_time.astype(np.float64), None, [])
    known = np.abs(labels.target) <= np.finfo(np.float32).max
    value = np.where(known, labels.target, 0.0)
    if manifest.task_type == MULTICLASS:
        position = np.where(known, value, -1).astype(np.int32)
        target = ColumnValues(SemType.TEXT, known, np.zeros(num_rows), position, list(labels.classes))
    else:
        kind = SemType.BOOLEAN if manifest.task_type == BINARY else SemType.NUMBER
        target = ColumnValues(kind, known, value, None, [])
    columns[manifest.target_col] = target
    split = np.repeat(np.arange(3, dtype=np.int8), labels.split_sizes)
    return TablePart(
        name=LABEL_PREFIX + task,
        title=task,
        pkey_col=None,
        time_col=manifest.time_col,
        fkeys={manifest.entity_col: manifest.entity_table},
        columns=columns,
        row_time=row_time,
        row_split=split,
        parents=[labels.entity + first_entity],
        in_train=split == 0,
        is_label=True,
    )


def _as_boolean(values: ColumnValues) -> ColumnValues:
    if values.sem_type is SemType.NUMBER and np.isin(values.value[values.valid], (0.0, 1.0)).all():
        return ColumnValues(SemType.BOOLEAN, values.valid, values.value, None, [])
    return values
