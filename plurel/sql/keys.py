"""Declared values of key columns as a function of the rows that foreign keys point to."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from plurel.errors import PlurelError
from plurel.sql.schema import Column, ForeignKey, SqlTable

_DAY_0 = datetime.datetime(2000, 1, 1)


def key_frame(
    table: SqlTable,
    links: Mapping[ForeignKey, np.ndarray],
    parents: Mapping[str, pd.DataFrame],
    own: Sequence[str],
    num_rows: int,
) -> pd.DataFrame:
    """The key columns of a table as objects, None for NULL.

    Args:
        links: the parent row of each row, int64 (rows,), -1 for none; keys to the table itself may be among them.
        parents: key columns of the tables that `links` point to.
        own: columns that no foreign key fills: of the primary key, or referred to by other tables.
    """
    found: dict[str, np.ndarray] = {}
    for key, rows in links.items():
        if key.parent != table.name:
            _copy(found, key, rows, parents[key.parent])
    in_group = [column for column in table.primary_key if column in found]
    numbers = np.arange(num_rows)
    grouped = (
        pd.DataFrame({c: found[c] for c in in_group}).groupby(in_group).cumcount().to_numpy() if in_group else numbers
    )
    for name in own:
        found[name] = encoded(table.column(name), grouped if name in table.primary_key else numbers, table.name)
    for key, rows in links.items():
        if key.parent == table.name:
            _copy(found, key, rows, pd.DataFrame({c: found[c] for c in key.parent_columns}))
    return pd.DataFrame(found, index=range(num_rows), dtype=object)


def _copy(found: dict[str, np.ndarray], key: ForeignKey, rows: np.ndarray, parent: pd.DataFrame) -> None:
    for column, referred in zip(key.columns, key.parent_columns, strict=True):
        values = np.append(parent[referred].to_numpy(dtype=object), None)[rows]  # -1 is the None at the end
        # a column of several keys is NULL only where all of them are
        found[column] = np.where(pd.isna(found[column]), values, found[column]) if column in found else values


def encoded(column: Column, numbers: np.ndarray, table: str) -> np.ndarray:
    """A distinct value of the column for each number from 0 on; objects.

    Raises:
        PlurelError: if the column has fewer values.
    """
    kind, most = column.type.kind, int(numbers.max(initial=0))
    capacity = capacity_of(column)
    if most >= capacity:
        raise PlurelError(
            f"table {table}, column {column.name} has {capacity} values for {most + 1} rows; ask for fewer"
        )
    if column.values is not None:
        return np.array(column.values, dtype=object)[numbers]
    if kind == "text":
        width = _width(column)
        return np.array([_letters(number, width) for number in numbers.tolist()], dtype=object)
    make = {
        "date": lambda n: (_DAY_0 + datetime.timedelta(days=n)).date(),
        "timestamp": lambda n: _DAY_0 + datetime.timedelta(minutes=n),
        "time": lambda n: (_DAY_0 + datetime.timedelta(seconds=n)).time(),
        "boolean": bool,
    }.get(kind, lambda n: n + (1 if column.low is None else int(np.ceil(column.low))))
    return np.array([make(number) for number in numbers.tolist()] + [None], dtype=object)[:-1]


def capacity_of(column: Column) -> int:
    """How many values `encoded` knows."""
    kind = column.type.kind
    if column.values is not None:
        return len(column.values)
    if kind == "text":
        return 26 ** _width(column)
    limit = {"boolean": 2, "date": 100_000, "time": 86_400}.get(kind, 2**31 - 1)
    if kind in ("integer", "decimal"):
        digits = column.type.precision - column.type.scale
        top = 10**digits - 1 if kind == "decimal" else 2 ** (column.type.bits - (not column.type.is_unsigned)) - 1
        low = 1 if column.low is None else int(np.ceil(column.low))
        return max(min(limit, int(min(top, np.inf if column.high is None else column.high)) - low + 1), 0)
    return limit


def _width(column: Column) -> int:
    shortest = max(int(column.low or 1), 1)
    longest = int(min(column.type.length or 6, column.high or np.inf))
    return max(shortest, min(longest, 6))


def _letters(number: int, width: int) -> str:
    letters = []
    for _ in range(width):
        number, digit = divmod(number, 26)
        letters.append(chr(ord("A") + digit))
    return "".join(reversed(letters))
