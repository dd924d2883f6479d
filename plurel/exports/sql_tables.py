"""What SQLite and DuckDB files share: types and CREATE TABLE statements."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from relbench.base import Database, Table

from plurel.column_kinds import Kind, column_kind, naive_utc
from plurel.errors import PlurelError
from plurel.keys import foreign_keys, parent_rows, primary_key
from plurel.sql.ddl import quoted


def check_database(db: Database) -> None:
    """Refuses what no SQL database could hold.

    Raises:
        PlurelError: for keys that do not hold, or names that differ in case only, which SQL takes for one.
    """
    _check_names(list(db.table_dict), "tables")
    for name, table in db.table_dict.items():
        if not len(table.df.columns):
            raise PlurelError(f"table {name} has no columns; SQL needs at least one")
        _check_names(list(table.df.columns), f"columns of table {name}")
        primary_key(db, name)
    for key in foreign_keys(db):
        parent_rows(db, key)


def _check_names(names: list[str], what: str) -> None:
    known: dict[str, str] = {}
    for name in map(str, names):
        if name.casefold() in known:
            raise PlurelError(f"{what}: {known[name.casefold()]!r} and {name!r} are one name in SQL; rename one")
        known[name.casefold()] = name


def create_statement(
    name: str, table: Table, df: pd.DataFrame, db: Database, types: Mapping[Kind, str], deferral: str = ""
) -> str:
    """CREATE TABLE with typed columns, primary key and foreign keys; `deferral` follows each REFERENCES clause."""
    lines = []
    for column in df.columns:
        constraint = " NOT NULL PRIMARY KEY" if column == table.pkey_col else ""
        lines.append(f"{quoted(column)} {types[column_kind(df[column])]}{constraint}")
    for column, parent in table.fkey_col_to_pkey_table.items():
        target = f"{quoted(parent)} ({quoted(db.table_dict[parent].pkey_col)})"
        lines.append(f"FOREIGN KEY ({quoted(column)}) REFERENCES {target}{deferral}")
    return f"CREATE TABLE {quoted(name)} (\n  " + ",\n  ".join(lines) + "\n)"


def sql_frame(table: Table) -> pd.DataFrame:
    """The rows in types that SQL knows: nullable keys as whole numbers, times without a zone, other objects as text."""
    columns = {}
    for name in table.df.columns:
        column = table.df[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        kind = column_kind(column)
        if kind == "number" and name in table.fkey_col_to_pkey_table:  # whole numbers beside NaN
            column = column.astype("Int64")
        elif kind == "time":
            column = naive_utc(column)
        elif kind == "date":
            column = column.where(column.notna(), None)
        elif kind == "text":
            column = column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
        columns[name] = column.reset_index(drop=True)
    return pd.DataFrame(columns)
