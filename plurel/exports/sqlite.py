"""A database as one SQLite file with typed columns, primary keys and foreign keys that are checked as it is written.

Times and dates are ISO 8601 text, which SQLite's date functions read; booleans are 0 and 1. SQLite checks foreign
keys only where a connection asks for it: PRAGMA foreign_keys = ON.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
from relbench.base import Database

from plurel.column_kinds import column_kind
from plurel.exports.declared import declared_frames
from plurel.exports.sql_tables import SqlKind, check_database, create_statement, sql_frame
from plurel.files import replacing
from plurel.keys import open_database
from plurel.sql import ddl
from plurel.sql.ddl import quoted
from plurel.sql.schema import SqlSchema

_TYPES: dict[SqlKind, str] = {
    "boolean": "BOOLEAN",
    "integer": "INTEGER",
    "number": "REAL",
    "time": "TIMESTAMP",
    "date": "DATE",
    "text": "TEXT",
    "binary": "BLOB",
}


def to_sqlite(db: Database | str | Path, path: str | Path, schema: SqlSchema | None = None) -> Path:
    """Writes a SQLite file and returns its path; it appears only when it is complete, and replaces what was there.

    With the `schema` that the database was made for, the file has its columns, types and constraints instead.

    Raises:
        PlurelError: if keys do not hold, whole numbers take more than 64 bits, names differ in case only, or `path` is
            a folder.
    """
    db, path = open_database(db), Path(path)
    check_database(db)
    with replacing(path) as temporary, closing(sqlite3.connect(temporary)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        if schema is None:
            frames = {name: sql_frame(table) for name, table in db.table_dict.items()}
            for name, table in db.table_dict.items():
                deferral = " DEFERRABLE INITIALLY DEFERRED"
                connection.execute(create_statement(name, table, frames[name], db, _TYPES, deferral))
        else:
            frames = {name: _as_text(frame) for name, frame in declared_frames(db, schema).items()}
            for table in schema.tables:
                connection.execute(ddl.create_statement(table))
        with connection:  # one transaction: keys are checked at its end, so that rows and tables may come in any order
            connection.execute("PRAGMA defer_foreign_keys = ON")
            for name, frame in frames.items():
                marks = ", ".join("?" * len(frame.columns))
                cells = [_cells(frame[c]) if schema is None else frame[c].tolist() for c in frame.columns]
                connection.executemany(f"INSERT INTO {quoted(name)} VALUES ({marks})", zip(*cells, strict=True))
    return path


def _cells(column: pd.Series) -> list[Any]:
    """Values as sqlite3 takes them, None for a missing one."""
    kind = column_kind(column)
    if kind == "time":
        column = column.map(lambda time: time.isoformat(sep=" "), na_action="ignore")
    elif kind == "date":
        column = column.map(lambda date: date.isoformat(), na_action="ignore")
    elif kind == "boolean":
        column = column.astype("Int64")
    values = column.astype(object)
    return values.where(values.notna(), None).tolist()


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Dates, times and intervals as ISO 8601 text and the like, arrays as JSON."""
    kinds = (datetime.date, datetime.time, datetime.timedelta)  # a datetime is a date
    texts = {
        c: [str(v) if isinstance(v, kinds) else json.dumps(v) if isinstance(v, list) else v for v in frame[c]]
        for c in frame.columns
    }
    return pd.DataFrame(texts, dtype=object)
