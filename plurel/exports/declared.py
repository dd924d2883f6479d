"""A generated database as its SQL schema declares it: declared columns and types in place of row numbers."""

from __future__ import annotations

import datetime
import json

import pandas as pd
from relbench.base import Database

from plurel.config import Config
from plurel.keys import ForeignKey as RowKey
from plurel.keys import parent_rows
from plurel.sql.keys import key_frame
from plurel.sql.plan import plan_tables
from plurel.sql.schema import Column, SqlSchema


def declared_frames(db: Database, sql: SqlSchema) -> dict[str, pd.DataFrame]:
    """Rows of every table, parents first, with the declared columns as objects that SQL drivers take; None for NULL."""
    plans = plan_tables(sql, Config(), 0)  # rows do not matter here
    links = {
        plan.table.name: {
            key: parent_rows(db, RowKey(plan.table.name, column, key.parent))
            for key, column in zip(plan.table.foreign_keys, plan.fkey_cols, strict=True)
        }
        for plan in plans
    }
    keys: dict[str, pd.DataFrame] = {}
    for plan in plans:  # what others refer to
        name, count = plan.table.name, len(db.table_dict[plan.table.name].df)
        early = {key: rows for key, rows in links[name].items() if key not in plan.late}
        keys[name] = key_frame(plan.table, early, keys, plan.own_keys, count)
    frames = {}
    for plan in plans:
        name, df = plan.table.name, db.table_dict[plan.table.name].df
        own = key_frame(plan.table, links[name], keys, plan.own_keys, len(df))
        columns = {c.name: own[c.name] if c.name in own else _objects(c, df[c.name]) for c in plan.table.columns}
        frames[name] = pd.DataFrame({n: list(cells) for n, cells in columns.items()}, dtype=object)
    return frames


def _objects(column: Column, cells: pd.Series) -> list[object]:
    kind = column.type.kind
    make = {
        "integer": int,
        "boolean": bool,
        "decimal": float,
        "real": float,
        "date": lambda time: time.date(),
        "timestamp": lambda time: time.to_pydatetime(),
        "time": datetime.time.fromisoformat,
        "interval": lambda seconds: datetime.timedelta(seconds=seconds),
        "array": json.loads,
    }.get(kind, lambda value: value)
    return [None if pd.isna(cell) else make(cell) for cell in cells]
