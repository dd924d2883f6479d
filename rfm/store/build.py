"""Stores from RelBench-3 folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from relbench.manifest import KIND_AUTOCOMPLETE, TaskManifest
from tqdm import tqdm

from rfm.errors import RfmError
from rfm.store.columns import ColumnValues, mean_std, read_column, to_seconds
from rfm.store.format import (
    LABEL_PREFIX,
    META_NAME,
    NEVER,
    NO_TIME,
    Column,
    SemType,
    StoreMeta,
    TableInfo,
    TaskInfo,
)
from rfm.store.keys import check_pkey, children, group_by_time, parents, read_fkey
from rfm.store.labels import (
    BINARY,
    Labels,
    Unsupported,
    autocomplete_labels,
    check_supported,
    read_labels,
    timedelta_seconds,
)
from rfm.store.source import Source, fingerprint, open_source, read_parquet, time_column
from rfm.store.store import Store
from rfm.store.text import TextTable


@dataclass
class _TablePart:
    """A table's rows on their way into the store."""

    info: TableInfo
    label_of: str | None  # the task, for a label table
    names: list[str]
    columns: list[ColumnValues]
    row_time: np.ndarray  # int64 (n,)
    row_split: np.ndarray  # int8 (n,)
    parent_count: np.ndarray  # int64 (n,)
    parent_row: np.ndarray  # int64 (k,)
    in_train: np.ndarray  # bool (n,), the rows of the "train" statistics


@dataclass
class _Build:
    """What has been read so far."""

    source: Source
    val_time: int
    num_rows: dict[str, int] = field(default_factory=dict)
    first_row: dict[str, int] = field(default_factory=dict)
    parts: list[_TablePart] = field(default_factory=list)
    tasks: list[TaskInfo] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    total_rows: int = 0
    total_columns: int = 0


def build_stores(
    sources: Iterable[str | Path], root: str | Path, text_model: str = "minilm", progress: bool = True
) -> tuple[list[Store], TextTable]:
    """The stores of all sources under one root, in order, and their embedded texts; what is valid already is kept.

    Raises:
        RfmError: a source or an existing text table is unfit, or two sources have one name.
    """
    sources = list(sources)
    texts = TextTable.open_or_create(root, text_model)
    stores: dict[str, Store] = {}
    for source in tqdm(sources, desc="stores", unit="database", disable=not progress or len(sources) < 2, leave=False):
        store = build_store(source, root, texts)
        if store.name in stores:
            raise RfmError(f"{source}: another source of {root} is named {store.name!r} too; names must differ")
        stores[store.name] = store
    texts.embed(progress)
    return list(stores.values()), texts


def build_store(source: str | Path, root: str | Path, texts: TextTable) -> Store:
    """The store of one RelBench-3 folder or Hub dataset, at root/<database name>.

    An existing store with the same fingerprint and text table is opened; any other is built anew. Its strings join
    `texts` (and are embedded by `texts.embed`).

    Raises:
        RfmError: the source cannot be read or breaks the format's rules; the disk cannot be written.
    """
    opened = open_source(source)
    path = Path(root) / opened.name
    key = fingerprint(opened, texts.model)
    existing = _open_valid(path, key, texts)
    if existing is not None:
        return existing
    build = _Build(opened, int(opened.timestamp("val").timestamp() // 1))
    _read_database(build)
    columns = _columns(build, texts)
    _finish_arrays(build, columns, texts)
    meta = StoreMeta(
        name=opened.name,
        fingerprint=key,
        text_table=texts.identity,
        val_time=build.val_time,
        test_time=int(opened.timestamp("test").timestamp() // 1),
        tables=tuple(part.info for part in build.parts),
        columns=columns,
        tasks=tuple(build.tasks),
        skipped_tasks=build.skipped,
        arrays={name: (array.dtype.str, array.shape) for name, array in build.arrays.items()},
    )
    _write(path, meta, build.arrays)
    return Store.open(path)


def _open_valid(path: Path, key: str, texts: TextTable) -> Store | None:
    if not (path / META_NAME).exists():
        return None
    try:
        store = Store.open(path)
    except RfmError:
        return None  # another format version or damaged: built anew
    return store if store.fingerprint == key and store.text_table == texts.identity else None


def _read_database(build: _Build) -> None:
    """All tables, then the tasks, whose label tables come last."""
    source = build.source
    tables = {name: read_parquet(source.table_path(name), f"table {name!r}") for name in source.manifest.tables}
    first = 0
    for name, table in tables.items():
        build.num_rows[name], build.first_row[name] = table.num_rows, first
        first += table.num_rows
    binary = {
        (task.entity_table, task.target_col)
        for task in source.tasks.values()
        if task.kind == KIND_AUTOCOMPLETE and task.task_type == BINARY
    }
    for name, table in tables.items():
        _add_table(build, name, table, {column for owner, column in binary if owner == name})
    for task, manifest in source.tasks.items():
        try:
            check_supported(source, task, manifest)
            if manifest.kind == KIND_AUTOCOMPLETE:
                labels = autocomplete_labels(source, task, manifest, tables[manifest.entity_table])
            else:
                labels = read_labels(source, task, manifest, build.num_rows[manifest.entity_table])
        except Unsupported as reason:
            build.skipped[task] = str(reason)
            continue
        _add_task(build, task, manifest, labels)


def _add_table(build: _Build, name: str, table: pa.Table, binary_targets: set[str]) -> None:
    spec, num_rows, what = build.source.manifest.tables[name], table.num_rows, f"table {name!r}"
    if spec.pkey is not None:
        check_pkey(table[spec.pkey], name, spec.pkey)
    fkeys = []
    for column, parent in spec.fkeys.items():
        position = read_fkey(table[column], build.num_rows[parent], name, column)
        fkeys.append(np.where(position >= 0, position + build.first_row[parent], -1))
    row_time = np.full(num_rows, NO_TIME, dtype=np.int64)
    if spec.time_col is not None:
        seconds, _, valid = to_seconds(time_column(table[spec.time_col], what, spec.time_col))
        row_time = np.where(valid, seconds, NEVER)
    names = [c for c in table.column_names if c != spec.pkey and c not in spec.fkeys]
    columns = [_as_boolean(read_column(table[c])) if c in binary_targets else read_column(table[c]) for c in names]
    info = TableInfo(name, build.total_rows, num_rows, spec.pkey, spec.time_col, dict(spec.fkeys), (), False)
    database_row = np.full(num_rows, -1, dtype=np.int8)
    in_train = row_time <= build.val_time
    _append(build, info, None, names, columns, row_time, database_row, fkeys, in_train)


def _as_boolean(values: ColumnValues) -> ColumnValues:
    """A column of zeros and ones that a classification task predicts; others stay what they are."""
    if values.sem_type is SemType.NUMBER and np.isin(values.value[values.valid], (0.0, 1.0)).all():
        return ColumnValues(SemType.BOOLEAN, values.valid, values.value, None, [])
    return values


def _add_task(build: _Build, task: str, manifest: TaskManifest, labels: Labels) -> None:
    autocomplete = manifest.kind == KIND_AUTOCOMPLETE
    index, spec = len(build.tasks), build.source.manifest.tables[manifest.entity_table]
    first_entity = build.first_row[manifest.entity_table]
    table = manifest.entity_table if autocomplete else LABEL_PREFIX + task
    if autocomplete:
        part = next(p for p in build.parts if p.info.name == table)
        target_column = part.info.column_ids[part.names.index(manifest.target_col)]
        rows = first_entity + labels.entity
    else:
        rows = build.total_rows + np.arange(len(labels.entity))
        target_column = _add_label_table(build, task, manifest, labels)
        times = np.full(len(rows), NO_TIME, dtype=np.int64) if labels.time is None else labels.time
        offset, order = group_by_time(labels.entity, np.arange(len(rows)), times, build.num_rows[manifest.entity_table])
        build.arrays[f"task{index}_offset"] = offset
        build.arrays[f"task{index}_label"] = rows[order].astype(np.int32)
    build.arrays[f"task{index}_row"] = rows.astype(np.int32)
    build.arrays[f"task{index}_target"] = labels.target
    build.tasks.append(
        TaskInfo(
            name=task,
            kind=manifest.kind,
            task_type=manifest.task_type,
            entity_table=manifest.entity_table,
            entity_col=spec.pkey if autocomplete else manifest.entity_col,
            target_col=manifest.target_col,
            time_col=spec.time_col if autocomplete else manifest.time_col,
            timedelta_s=timedelta_seconds(manifest),
            remove_columns=tuple((t, c) for t, c in manifest.remove_columns),
            table=table,
            target_column=target_column,
            split_sizes=labels.split_sizes,
        )
    )


def _add_label_table(build: _Build, task: str, manifest: TaskManifest, labels: Labels) -> int:
    """Adds the label rows, with a cell for time and one for a known target; returns the target's column id."""
    num_rows = len(labels.entity)
    names, columns = [], []
    row_time = np.full(num_rows, NO_TIME, dtype=np.int64)
    if labels.time is not None:
        row_time = labels.time
        names.append(manifest.time_col)
        always = np.ones(num_rows, dtype=bool)
        columns.append(ColumnValues(SemType.DATETIME, always, row_time.astype(np.float64), None, []))
    known = np.abs(labels.target) <= np.finfo(np.float32).max
    kind = SemType.BOOLEAN if manifest.task_type == BINARY else SemType.NUMBER
    names.append(manifest.target_col)
    columns.append(ColumnValues(kind, known, np.where(known, labels.target, 0.0), None, []))
    split = np.repeat(np.arange(3, dtype=np.int8), labels.split_sizes)
    fkeys = {manifest.entity_col: manifest.entity_table}
    info = TableInfo(LABEL_PREFIX + task, build.total_rows, num_rows, None, manifest.time_col, fkeys, (), True)
    entity = labels.entity + build.first_row[manifest.entity_table]
    _append(build, info, task, names, columns, row_time, split, [entity], split == 0)
    return build.total_columns - 1


def _append(
    build: _Build,
    info: TableInfo,
    label_of: str | None,
    names: list[str],
    columns: list[ColumnValues],
    row_time: np.ndarray,
    row_split: np.ndarray,
    fkeys: list[np.ndarray],
    in_train: np.ndarray,
) -> None:
    ids = tuple(range(build.total_columns, build.total_columns + len(names)))
    info = TableInfo(**{**vars(info), "column_ids": ids})
    count, parent_row = parents(fkeys, info.num_rows)
    build.parts.append(_TablePart(info, label_of, names, columns, row_time, row_split, count, parent_row, in_train))
    build.total_rows += info.num_rows
    build.total_columns += len(names)


def _columns(build: _Build, texts: TextTable) -> tuple[Column, ...]:
    """Columns with their statistics; all datetime cells of the database share one."""
    whole = [v.value[v.valid] for p in build.parts for v in p.columns if v.sem_type is SemType.DATETIME]
    train = [v.value[v.valid & p.in_train] for p in build.parts for v in p.columns if v.sem_type is SemType.DATETIME]
    datetime = {"whole": mean_std(_join(whole)), "train": mean_std(_join(train))}
    phrases = [f"{name} of {p.label_of or p.info.name}" for p in build.parts for name in p.names]
    name_text = iter(texts.ids(phrases))
    columns = []
    for part in build.parts:
        for name, values in zip(part.names, part.columns, strict=True):
            if values.sem_type is SemType.DATETIME:
                stats = datetime
            elif values.sem_type is SemType.TEXT:
                stats = {"whole": (0.0, 1.0), "train": (0.0, 1.0)}
            else:
                stats = {
                    "whole": mean_std(values.value[values.valid]),
                    "train": mean_std(values.value[values.valid & part.in_train]),
                }
            columns.append(
                Column(len(columns), name, part.info.name, values.sem_type, int(next(name_text)), dict(stats))
            )
    return tuple(columns)


def _finish_arrays(build: _Build, columns: tuple[Column, ...], texts: TextTable) -> None:
    """Joins the tables' parts into the store's arrays."""
    arrays, parts = build.arrays, build.parts
    cells = [_cells(part, columns, texts) for part in parts]
    arrays["row_table"] = np.repeat(np.arange(len(parts), dtype=np.int32), [p.info.num_rows for p in parts])
    arrays["row_time"] = _join([p.row_time for p in parts], np.int64)
    arrays["row_split"] = _join([p.row_split for p in parts], np.int8)
    arrays["cell_offset"] = _offsets([c[0] for c in cells])
    arrays["cell_column"] = _join([c[1] for c in cells], np.int32)
    arrays["cell_value"] = _join([c[2] for c in cells], np.float32)
    arrays["cell_text"] = _join([c[3] for c in cells], np.int32)
    arrays["parent_offset"] = _offsets([p.parent_count for p in parts])
    arrays["parent_row"] = _join([p.parent_row for p in parts], np.int32)
    arrays["child_offset"], arrays["child_row"] = children(
        arrays["parent_offset"], arrays["parent_row"], arrays["row_time"], sum(build.num_rows.values())
    )


def _cells(part: _TablePart, columns: tuple[Column, ...], texts: TextTable) -> tuple:
    """(cells of each row, column ids, standardised values, text ids) of one table, row by row."""
    shape = (part.info.num_rows, len(part.columns))
    valid, value = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.float32)
    text = np.full(shape, -1, dtype=np.int32)
    for i, (values, column) in enumerate(zip(part.columns, part.info.column_ids, strict=True)):
        valid[:, i] = values.valid
        if values.text is None:
            mean, std = columns[column].stats["whole"]
            value[:, i] = (values.value - mean) / std
        elif values.strings:
            text[:, i] = np.append(texts.ids(values.strings), -1)[values.text]
    column = np.broadcast_to(np.array(part.info.column_ids, dtype=np.int32), shape)
    return valid.sum(axis=1), column[valid], value[valid], text[valid]


def _offsets(counts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(_join(counts, np.int64))]).astype(np.int64)


def _join(arrays: list[np.ndarray], dtype: type = np.float64) -> np.ndarray:
    return np.concatenate([*arrays, np.zeros(0, dtype=dtype)]).astype(dtype, copy=False)


def _write(path: Path, meta: StoreMeta, arrays: dict[str, np.ndarray]) -> None:
    """Writes a complete sibling, then takes the place of any older store."""
    partial, old = path.parent / f".{path.name}.partial", path.parent / f".{path.name}.old"
    try:
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        meta.save(partial / META_NAME)
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RfmError(f"cannot write the store {path}: {error.strerror or error}") from error
