"""What SQLite and DuckDB files share: types and CREATE TABLE statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from pandas.api import types as dtypes
from relbench.base import Database, Table

from plurel.column_kinds import Kind, as_numbers, column_kind, naive_utc
from plurel.errors import PlurelError
from plurel.keys import foreign_keys, parent_rows, primary_key
from plurel.sql.ddl import quoted

SqlKind = Kind | Literal["binary"]
_BOUND = 2**63  # of whole numbers, which take 64 bits


def sql_kind(column: pd.Series) -> SqlKind:
    """What a column holds as SQL sees it: bytes are no text."""
    kind = column_kind(column)
    is_bytes = kind == "text" and dtypes.infer_dtype(column.astype(object), skipna=True) == "bytes"
    return "binary" if is_bytes else kind


def check_database(db: Database) -> None:
    """Refuses what no SQL database could hold.

    Raises:
        PlurelError: for keys that do not hold, whole numbers of more than 64 bits, or names that differ in case only,
            which SQL takes for one.
    """
    _check_names(list(db.table_dict), "tables")
    for name, table in db.table_dict.items():
        if not len(table.df.columns):
            raise PlurelError(f"table {name} has no columns; SQL needs at least one")
        _check_names(list(table.df.columns), f"columns of table {name}")
        for column in table.df:
            _check_integers(table.df[column], f"table {name}, column {column}")
        primary_key(db, name)
    for key in foreign_keys(db):
        parent_rows(db, key)


def _check_names(names: list[str], what: str) -> None:
    known: dict[str, str] = {}
    for name in map(str, names):
        if name.casefold() in known:
            raise PlurelError(f"{what}: {known[name.casefold()]!r} and {name!r} are one name in SQL; rename one")
        known[name.casefold()] = name


def _check_integers(column: pd.Series, where: str) -> None:
    if dtypes.is_signed_integer_dtype(column.dtype) or column_kind(column) != "integer":
        return
    for number in column.dropna().astype(object):
        if not -_BOUND <= number < _BOUND:
            raise PlurelError(f"{where}: {number} takes more than 64 bits; make the column text or real numbers")


def create_statement(
    name: str, table: Table, df: pd.DataFrame, db: Database, types: Mapping[SqlKind, str], deferral: str = ""
) -> str:
    """CREATE TABLE with typed columns, primary key and foreign keys; `deferral` follows each REFERENCES clause."""
    lines = []
    for column in df.columns:
        constraint = " NOT NULL PRIMARY KEY" if column == table.pkey_col else ""
        lines.append(f"{quoted(column)} {types[sql_kind(df[column])]}{constraint}")
    for column, parent in table.fkey_col_to_pkey_table.items():
        target = f"{quoted(parent)} ({quoted(db.table_dict[parent].pkey_col)})"
        lines.append(f"FOREIGN KEY ({quoted(column)}) REFERENCES {target}{deferral}")
    return f"CREATE TABLE {quoted(name)} (\n  " + ",\n  ".join(lines) + "\n)"


def sql_frame(table: Table) -> pd.DataFrame:
    """The rows in types that SQL knows: nullable keys as whole numbers, times without a zone, decimals as real numbers,
    bytes as they are, other objects as text."""
    columns = {}
    for name in table.df.columns:
        column = table.df[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        kind = sql_kind(column)
        if kind == "number" and name in table.fkey_col_to_pkey_table:  # whole numbers beside NaN
            column = column.astype("Int64")
        elif kind == "number" and column.dtype == object:  # such as decimals
            column = as_numbers(column, kind)
        elif kind == "time":
            column = naive_utc(column)
        elif kind in ("date", "binary"):
            column = column.astype(object).where(column.notna(), None)
        elif kind == "text":
            column = column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
        columns[name] = column.reset_index(drop=True)
    return pd.DataFrame(columns)
