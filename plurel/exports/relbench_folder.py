"""A database as a RelBench-3 folder:

<folder>/
  manifest.yaml                  tables, keys, time columns, timestamps
  db/<table>.parquet
  tasks/<task>/manifest.yaml     completion ("autocomplete") tasks, which need no label files; forecast tasks with SQL
  tasks/<task>/<split>.parquet   labels of forecast tasks
  files.json                     {version, prior_hash, seed, files: {name: SHA-256}}: whose folder it is, and whether it
                                 is whole; an altered or incomplete folder is noticed
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from relbench.base import Database
from relbench.manifest import DatasetManifest, TableSpec, TaskManifest

from plurel.config import Config
from plurel.database import SyntheticDataset
from plurel.files import is_file_name, temporary_of
from plurel.forecast import draw_forecast_tasks, write_forecast_tasks

VERSION = 5  # of the folders' content: another implementation of a prior or another layout gets another number
CHECKSUMS = "files.json"
TASK_TYPES = {"b": "binary_classification", "f": "regression"}


def identity(config: Config, seed: int) -> dict[str, Any]:
    """What shapes a folder's content: prior, seed and version."""
    return {"version": VERSION, "prior_hash": config.hash(), "seed": seed}


def write_folder(dataset: SyntheticDataset, path: Path) -> Database:
    """Writes the dataset's folder and returns its database; `path` appears only when it is complete, and replaces what
    was there."""
    db = dataset.make_db()
    temporary = temporary_of(path)
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
    try:
        (temporary / "db").mkdir(parents=True)
        for name, table in db.table_dict.items():
            # without pandas' metadata the bytes do not depend on its version
            arrow = pa.Table.from_pandas(table.df, preserve_index=False).replace_schema_metadata()
            pq.write_table(arrow, temporary / "db" / f"{name}.parquet", compression="zstd")
        _manifest(dataset, db, path.name).save(temporary / "manifest.yaml")
        for task in _tasks(db, dataset):
            task.save(temporary / "tasks" / task.name / "manifest.yaml")
        forecasts = draw_forecast_tasks(dataset.seed, dataset.config, dataset.schema, db)
        if forecasts:
            write_forecast_tasks(temporary, forecasts)
        record = identity(dataset.config, dataset.seed) | {"files": _checksums(temporary)}
        (temporary / CHECKSUMS).write_text(json.dumps(record, indent=1))
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return db


def damage(path: Path, expected: dict[str, Any] | None = None) -> str | None:
    """Why a folder cannot be used (missing, incomplete or altered, with the file), or None if it is whole.

    Args:
        path: the folder.
        expected: its `identity`, where it must be one certain database.
    """
    checksums = path / CHECKSUMS
    if not checksums.is_file():
        return f"{path} has no {CHECKSUMS}: it is missing or half-written"
    try:
        record = json.loads(checksums.read_text())
        recorded = dict(record["files"])
    except (ValueError, KeyError, TypeError):  # a ValueError also where it is no text
        return f"{checksums} is damaged"
    found = _checksums(path)
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            state = "missing" if name not in found else "not part of it" if name not in recorded else "altered"
            return f"{path / name} is {state}"
    for key, value in (expected or {}).items():
        if record.get(key) != value:
            return f"{path} has {key} {record.get(key)}, not {value}"
    return None


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != CHECKSUMS)
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _manifest(dataset: SyntheticDataset, db: Database, name: str) -> DatasetManifest:
    return DatasetManifest(
        name=name,
        description=f"Synthetic database: prior {dataset.config.name} ({dataset.config.hash()}), seed {dataset.seed}.",
        val_timestamp=str(dataset.val_timestamp.date()),
        test_timestamp=str(dataset.test_timestamp.date()),
        tables={
            table: TableSpec(pkey=t.pkey_col, time_col=t.time_col, fkeys=t.fkey_col_to_pkey_table)
            for table, t in db.table_dict.items()
        },
    )


def _tasks(db: Database, dataset: SyntheticDataset) -> list[TaskManifest]:
    """Of each table with rows in all splits the first number and the first boolean column, as completion tasks.

    Columns whose names hold a / or the like are passed over: a task is a folder.
    """
    tasks = []
    for name, table in db.table_dict.items():
        if table.time_col is None or not _has_all_splits(table.df[table.time_col], dataset):
            continue
        keys = {table.pkey_col, table.time_col, *table.fkey_col_to_pkey_table}
        for kind, task_type in TASK_TYPES.items():
            columns = [c for c in table.df if c not in keys and table.df[c].dtype.kind == kind]
            columns = [c for c in columns if is_file_name(f"{name}-{c}")]
            if columns and _has_both_values(table.df[columns[0]]):
                tasks.append(_completion_task(name, columns[0], task_type, table.pkey_col, table.time_col))
    return tasks


def _has_all_splits(times: pd.Series, dataset: SyntheticDataset) -> bool:
    val, test = dataset.val_timestamp, dataset.test_timestamp
    return bool((times <= val).any() and times.between(val, test, inclusive="right").any() and (times > test).any())


def _has_both_values(column: pd.Series) -> bool:
    return column.nunique() > 1


def _completion_task(table: str, column: str, task_type: str, pkey_col: str, time_col: str) -> TaskManifest:
    return TaskManifest(
        name=f"{table}-{column}",
        kind="autocomplete",
        task_type=task_type,
        description=f"The value of {column} in a row of {table}.",
        entity_table=table,
        entity_col=pkey_col,
        target_col=column,
        time_col=time_col,
    )
