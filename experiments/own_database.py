"""Your tables as a RelBench-3 folder, which stores, training, prediction and `plurel.describe` read.

    folder = write_database("shop", {"customers": customers, "orders": orders}, {
        "customers": TableSpec(pkey="customer_id"),
        "orders": TableSpec(time_col="ordered_at", fkeys={"customer_id": "customers"}),
    }, val_timestamp="2024-09-01", test_timestamp="2024-11-01", tasks=[TaskManifest(...)])

A row is visible from its time on, the whole of it: the time column must be when all of the row was known. Tables
without one are visible always.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from relbench.base import Database, Table
from relbench.manifest import DatasetManifest, TableSpec, TaskManifest

from experiments.errors import ExperimentError
from plurel.keys import foreign_keys, parent_rows, primary_key


def write_database(
    path: str | Path,
    tables: Mapping[str, pd.DataFrame],
    specs: Mapping[str, TableSpec],
    *,
    val_timestamp: str,
    test_timestamp: str,
    tasks: Iterable[TaskManifest] = (),
    description: str | None = None,
) -> Path:
    """Writes the folder, named as the database; returns its path. A database that was there is replaced when all is
    written.

    Keys may be of any type: they become row numbers, as the format asks. Rows come in the order of their time.

    Args:
        tables: name -> rows, one by one as they are in the database.
        specs: name -> primary key, time column, and foreign keys (column -> table it points to).
        val_timestamp, test_timestamp: where training and validation end.
        tasks: what to predict. Labels of forecast tasks are made from their SQL when a store is built.

    Raises:
        ExperimentError: tables and specs differ, a time cannot be read or is missing, the timestamps are not in order,
            or the folder holds something else than a database.
        PlurelError: a primary key that is not unique, or a foreign key that points nowhere.
    """
    path = Path(path)
    if path.exists() and not (path / "manifest.yaml").is_file() and (path.is_file() or any(path.iterdir())):
        raise ExperimentError(f"{path} is there and holds no database (manifest.yaml); choose another path")
    database = _numbered(_database(tables, specs))
    if not pd.Timestamp(val_timestamp) < pd.Timestamp(test_timestamp):
        raise ExperimentError(f"val_timestamp {val_timestamp} must lie before test_timestamp {test_timestamp}")
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
    try:
        (temporary / "db").mkdir(parents=True)
        for name, table in database.table_dict.items():
            table.df.to_parquet(temporary / "db" / f"{name}.parquet", index=False)
        for task in tasks:
            task.save(temporary / "tasks" / task.name / "manifest.yaml")
        DatasetManifest(
            name=path.name,
            val_timestamp=val_timestamp,
            test_timestamp=test_timestamp,
            description=description,
            tables={
                name: TableSpec(table.pkey_col, table.time_col, dict(table.fkey_col_to_pkey_table))
                for name, table in database.table_dict.items()
            },
        ).save(temporary / "manifest.yaml")
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def read_sqlite(
    path: str | Path, time_cols: Mapping[str, str] | None = None
) -> tuple[dict[str, pd.DataFrame], dict[str, TableSpec]]:
    """All tables of a SQLite file and their keys as declared, for `write_database`.

    Args:
        time_cols: table -> its time column, which SQL does not declare.

    Raises:
        ExperimentError: no such file, a foreign key of several columns or to another column than a primary key, or a
            time column of a table that is not there.
    """
    path, time_cols = Path(path), dict(time_cols or {})
    if not path.is_file():
        raise ExperimentError(f"no SQLite file at {path}")
    with closing(sqlite3.connect(path)) as connection:
        listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        names = [name for (name,) in connection.execute(listed)]
        tables = {name: pd.read_sql_query(f"SELECT * FROM {_quoted(name)}", connection) for name in names}
        specs = {name: _declared_keys(connection, name) for name in names}
        _check_references(connection, specs)
    for name, column in time_cols.items():
        if name not in specs:
            raise ExperimentError(f"time_cols names table {name!r}; {path} has {', '.join(names)}")
        specs[name].time_col = column
    return tables, specs


def _database(tables: Mapping[str, pd.DataFrame], specs: Mapping[str, TableSpec]) -> Database:
    for name in sorted(tables.keys() ^ specs.keys()):
        raise ExperimentError(f"table {name!r} has {'no rows given' if name in specs else 'no TableSpec'}; give both")
    return Database(
        {
            name: Table(
                _by_time(name, frame, specs[name]), dict(specs[name].fkeys), specs[name].pkey, specs[name].time_col
            )
            for name, frame in tables.items()
        }
    )


def _by_time(name: str, frame: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """The rows in order of their time, which becomes a timestamp in UTC without a zone."""
    if spec.time_col is None:
        return frame.reset_index(drop=True)
    if spec.time_col not in frame:
        raise ExperimentError(f"table {name!r} has no time column {spec.time_col!r}; it has {', '.join(frame)}")
    try:
        times = pd.to_datetime(frame[spec.time_col], utc=True).dt.tz_localize(None)
    except (ValueError, TypeError) as error:
        raise ExperimentError(f"table {name!r}: {spec.time_col} is not a time ({error})") from error
    if times.isna().any():
        raise ExperimentError(
            f"table {name!r}: {spec.time_col} is missing in {int(times.isna().sum())} rows; a row without a time would "
            "never be visible, so fill it in or leave the row out"
        )
    return frame.assign(**{spec.time_col: times}).sort_values(spec.time_col, kind="stable", ignore_index=True)


def _numbered(database: Database) -> Database:
    """Every key as the number of the row that it names."""
    parents = {(key.child, key.column): parent_rows(database, key) for key in foreign_keys(database)}
    for name in database.table_dict:
        primary_key(database, name)  # is it unique
    for name, table in database.table_dict.items():
        columns = {
            column: pd.Series(rows, dtype="Int64").mask(rows < 0)
            for (child, column), rows in parents.items()
            if child == name
        }
        if table.pkey_col is not None:
            columns[table.pkey_col] = np.arange(len(table.df))
        table.df = table.df.assign(**columns)
    return database


def _declared_keys(connection: sqlite3.Connection, table: str) -> TableSpec:
    primary = [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})") if row[5]]
    foreign = connection.execute(f"PRAGMA foreign_key_list({_quoted(table)})").fetchall()
    if any(place > 0 for _, place, *_ in foreign):
        raise ExperimentError(f"table {table!r}: a foreign key has several columns; keys must be of one column")
    # A primary key of several columns is left out: no key of one column can point to its rows.
    return TableSpec(primary[0] if len(primary) == 1 else None, None, {row[3]: row[2] for row in foreign})


def _check_references(connection: sqlite3.Connection, specs: Mapping[str, TableSpec]) -> None:
    for table in specs:
        for _, _, parent, column, referenced, *_ in connection.execute(f"PRAGMA foreign_key_list({_quoted(table)})"):
            pkey = specs[parent].pkey if parent in specs else None
            if referenced is not None and referenced != pkey:  # without a name SQL means the primary key
                raise ExperimentError(
                    f"table {table!r}: {column} points to {parent}.{referenced}, which is not the primary key of that "
                    f"table ({pkey}); keys must name primary keys"
                )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
