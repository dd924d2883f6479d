"""A generated database as its SQL schema declares it: declared columns and types in place of row numbers."""

from __future__ import annotations

import datetime

import pandas as pd
from relbench.base import Database

from plurel.config import Config
from plurel.exports.sql_tables import quoted
from plurel.keys import ForeignKey as RowKey
from plurel.keys import parent_rows
from plurel.sql.database import own_keys
from plurel.sql.keys import key_frame
from plurel.sql.plan import plan_tables
from plurel.sql.schema import Column, SqlSchema, SqlTable


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
        keys[name] = key_frame(plan.table, early, keys, own_keys(plan, sql), count)
    frames = {}
    for plan in plans:
        name, df = plan.table.name, db.table_dict[plan.table.name].df
        own = key_frame(plan.table, links[name], keys, own_keys(plan, sql), len(df))
        columns = {c.name: own[c.name] if c.name in own else _objects(c, df[c.name]) for c in plan.table.columns}
        frames[name] = pd.DataFrame({n: list(cells) for n, cells in columns.items()}, dtype=object)
    return frames


def declared_statement(table: SqlTable) -> str:
    """CREATE TABLE with every constraint, as SQLite and DuckDB read it."""
    lines = []
    for column in table.columns:
        lines.append(f"{quoted(column.name)} {column.type.sql}{'' if column.nullable else ' NOT NULL'}")
        lines += [f"CHECK ({condition})" for condition in _conditions(column)]
    if table.primary_key:
        lines.append(f"PRIMARY KEY ({_list(table.primary_key)})")
    lines += [f"UNIQUE ({_list(unique)})" for unique in table.unique]
    lines += [
        f"FOREIGN KEY ({_list(key.columns)}) REFERENCES {quoted(key.parent)} ({_list(key.parent_columns)})"
        for key in table.foreign_keys
    ]
    # SQLite wants columns before constraints
    lines.sort(key=lambda line: line.startswith(("CHECK", "PRIMARY", "UNIQUE", "FOREIGN")))
    return f"CREATE TABLE {quoted(table.name)} (\n  " + ",\n  ".join(lines) + "\n)"


def _conditions(column: Column) -> list[str]:
    name = quoted(column.name)
    what = f"length({name})" if column.type.kind == "text" else name
    found = [f"{what} >= {column.low!r}"] if column.low is not None else []
    found += [f"{what} <= {column.high!r}"] if column.high is not None else []
    if column.values is not None:
        options = ("'" + v.replace("'", "''") + "'" if isinstance(v, str) else repr(v) for v in column.values)
        found.append(f"{name} IN ({', '.join(options)})")
    return found


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
    }.get(kind, lambda value: value)
    return [None if pd.isna(cell) else make(cell) for cell in cells]


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, names))
