"""A copy of a RelBench-3 folder whose keys are row numbers, as the format asks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from relbench.manifest import KIND_AUTOCOMPLETE, TaskManifest

from rfm.errors import RfmError
from rfm.store.format import SPLITS
from rfm.store.source import Source, open_source, read_parquet


def reindex_database(source: str | Path, path: str | Path) -> Path:
    """Writes the folder `path`: `source` with primary keys 0..n-1 and foreign keys and labels that follow; returns it.

    Keys may be of any type that can be compared. A foreign key that names no row becomes null. Link tasks are left
    out, since stores have none. The source is only read.

    Raises:
        RfmError: `path` exists, a primary key is missing, occurs twice or is a list or struct, a foreign key of another
            type than the key that it names, or a label of an entity that does not exist.
    """
    source, path = open_source(source), Path(path)
    if path.exists():
        raise RfmError(f"{path} exists; name a new folder for the copy")
    partial = path.parent / f".{path.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "db").mkdir(parents=True)
        shutil.copyfile(source.path / "manifest.yaml", partial / "manifest.yaml")
        keys = {table: _read_keys(source, table) for table, spec in source.manifest.tables.items() if spec.pkey}
        for table in source.manifest.tables:
            pq.write_table(_with_row_numbers(source, table, keys), partial / "db" / f"{table}.parquet")
        for task, manifest in source.tasks.items():
            _copy_task(source, task, manifest, keys, partial / "tasks" / task)
        os.replace(partial, path)
    except OSError as error:
        raise RfmError(f"cannot write the database {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def _read_keys(source: Source, table: str) -> pa.Array:
    """The primary key of every row, all different."""
    column = source.manifest.tables[table].pkey
    keys = _plain(read_parquet(source.table_path(table), f"table {table!r}")[column])
    if keys.null_count:
        row = int(np.argmax(pc.is_null(keys).to_numpy(zero_copy_only=False)))
        raise RfmError(f"table {table!r}: primary key {column!r} is missing in row {row}")
    try:
        codes = keys.dictionary_encode().indices.to_numpy()
    except pa.ArrowNotImplementedError:
        raise RfmError(
            f"table {table!r}: primary key {column!r} is {keys.type}; keys must be numbers, texts or times"
        ) from None
    first = np.unique(codes, return_index=True)[1]
    if len(first) < len(keys):
        row = int(np.setdiff1d(np.arange(len(keys)), first)[0])
        raise RfmError(f"table {table!r}: primary key {column!r} has {keys[row].as_py()!r} again in row {row}")
    return keys


def _with_row_numbers(source: Source, table: str, keys: dict[str, pa.Array]) -> pa.Table:
    rows, spec = read_parquet(source.table_path(table), f"table {table!r}"), source.manifest.tables[table]
    if spec.pkey is not None:
        rows = _set(rows, spec.pkey, pa.array(np.arange(rows.num_rows)))
    for column, parent in spec.fkeys.items():
        rows = _set(rows, column, _row_numbers(rows[column], keys[parent], f"table {table!r}: key {column!r}"))
    return rows


def _copy_task(source: Source, task: str, manifest: TaskManifest, keys: dict[str, pa.Array], folder: Path) -> None:
    if manifest.entity_table is None:
        return
    folder.mkdir(parents=True)
    shutil.copyfile(source.path / "tasks" / task / "manifest.yaml", folder / "manifest.yaml")
    autocomplete = manifest.kind == KIND_AUTOCOMPLETE
    column = source.manifest.tables[manifest.entity_table].pkey if autocomplete else manifest.entity_col
    for split in SPLITS:
        if not source.label_path(task, split).exists():
            continue
        what = f"task {task!r}: {split} labels"
        labels = read_parquet(source.label_path(task, split), what)
        if column in labels.column_names and manifest.entity_table in keys:
            numbers = _row_numbers(labels[column], keys[manifest.entity_table], f"{what}: {column!r}")
            if numbers.null_count:
                row = int(np.argmax(pc.is_null(numbers).to_numpy(zero_copy_only=False)))
                named = labels[column][row].as_py()
                raise RfmError(f"{what}: row {row} names {named!r}, which {manifest.entity_table!r} does not have")
            labels = _set(labels, column, numbers)
        pq.write_table(labels, folder / f"{split}.parquet")


def _row_numbers(column: pa.ChunkedArray, keys: pa.Array, what: str) -> pa.Array:
    """int64 rows that have these keys, null where none has."""
    try:
        wanted = _plain(column).cast(keys.type)
    except pa.ArrowException as error:
        raise RfmError(f"{what} is {column.type}, but the primary key that it names {keys.type} ({error})") from None
    return pc.index_in(wanted, value_set=keys).cast(pa.int64())


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array, without a dictionary."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _set(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)
