"""Declared values of key columns as a function of the rows that foreign keys point to."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from plurel.errors import PlurelError
from plurel.sql.numbers import at_least, at_most, limits, step
from plurel.sql.schema import Column, ForeignKey, SqlTable

_DAY_0 = datetime.datetime(1970, 1, 1)
_YEAR_2000 = 946684800.0
_PLENTY = 10_000


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
    in_unique = {column for unique in table.unique for column in unique}
    for name in own:
        column = table.column(name)
        is_counted_in_group = name in table.primary_key and (name not in in_unique or capacity_of(column) < num_rows)
        found[name] = encoded(column, grouped if is_counted_in_group else numbers, table.name)
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
    if kind in ("text", "binary"):
        width = _width(column)
        texts = [_letters(number, width) for number in numbers.tolist()]
        return _objects(texts if kind == "text" else [text.encode() for text in texts])
    first, _, width = _grid(column)
    make = {
        "integer": lambda n: int(first) + n,
        "decimal": lambda n: round(first + n * width, column.type.scale),
        "date": lambda n: (_DAY_0 + datetime.timedelta(seconds=first + n * width)).date(),
        "timestamp": lambda n: _DAY_0 + datetime.timedelta(seconds=first + n * width),
        "time": lambda n: (_DAY_0 + datetime.timedelta(seconds=first + n * width)).time(),
        "boolean": bool,
        "uuid": lambda n: str(uuid.UUID(int=n + 1)),
    }.get(kind, lambda n: first + n * width)
    return _objects([make(number) for number in numbers.tolist()])


def capacity_of(column: Column) -> int:
    """How many values `encoded` knows."""
    kind = column.type.kind
    if column.values is not None:
        return len(column.values)
    if kind in ("text", "binary"):
        return 26 ** min(_width(column), 6) if _width(column) else 0
    if kind in ("boolean", "uuid"):
        return 2 if kind == "boolean" else 2**31
    first, last, width = _grid(column)
    return max(int(min((last - first) / width + 1e-6, 2.0**31)) + 1, 0) if last >= first else 0


def _grid(column: Column) -> tuple[float, float, float]:
    """The first and the last number of a key, and the width between two of them."""
    kind, (least, most) = column.type.kind, limits(column)
    width = {"timestamp": 60.0}.get(kind, step(column) or 1.0)
    usual = {"date": _YEAR_2000, "timestamp": _YEAR_2000, "time": 0.0}.get(kind, 1.0)
    # MySQL takes 0 in an AUTO_INCREMENT column for "the next one"; keys of few values use them all
    first = usual if least <= usual <= most and (most - usual > _PLENTY * width or column.low is None) else least
    low, high = at_least(np.array([first]), column), at_most(np.array([most]), column)
    return float(low[0]), float(high[0]), width


def _objects(values: list) -> np.ndarray:
    return np.array([*values, None], dtype=object)[:-1]


def _width(column: Column) -> int:
    shortest = max(int(column.low or 1), 1)
    longest = int(min(math.inf if n is None else n for n in (6, column.type.length, column.high)))
    return min(max(shortest, longest), _longest(column))


def _longest(column: Column) -> int:
    return int(min(10_000 if n is None else n for n in (column.type.length, column.high)))


def _letters(number: int, width: int) -> str:
    letters = []
    for _ in range(min(width, 6)):
        number, digit = divmod(number, 26)
        letters.append(chr(ord("A") + digit))
    return "".join(reversed(letters)).rjust(width, "A")
