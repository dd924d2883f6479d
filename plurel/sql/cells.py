"""Cells of declared columns from the values of the causal model: their distribution, within what the schema allows.

A RelBench table holds dates as times at midnight, decimals as float64, times of a day, UUIDs and points as text, JSON
and arrays as JSON text, intervals as seconds.
"""

from __future__ import annotations

import json
import math
import uuid

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from plurel.edges import Values
from plurel.sql.keys import encoded
from plurel.sql.numbers import as_cells, at_least, at_most, limits
from plurel.sql.schema import NUMBERS, Column
from plurel.words import words

Array = np.ndarray
_DAY_0 = pd.Timestamp("1970-01-01")
_DRAWN = ("text", "binary", "array", "json")  # as many classes as are drawn for a free text


def num_categories(column: Column, drawn: int) -> int:
    """Classes of a column in the causal model, 0 for a number; `drawn` of a text whose words are free."""
    if column.values is not None:
        return max(len(column.values), 2)
    if column.type.kind == "boolean":
        return 2
    return drawn if column.type.kind in _DRAWN else 0


def to_cells(
    column: Column,
    values: Values,
    window: tuple[pd.Timestamp, pd.Timestamp],
    distinct: Array | None,
    table: str,
    rng: np.random.Generator,
) -> pd.Series:
    """The cells of a column in a RelBench table, none of them missing.

    Args:
        distinct: where the column makes a key unique, a number for each row, from 0 on; otherwise None.
    """
    kind = column.type.kind
    if distinct is not None:
        cells = pd.Series(encoded(column, distinct, table))
    elif column.values is not None:
        cells = pd.Series(np.array(column.values, dtype=object)[values.data % len(column.values)])
    elif kind == "boolean":
        cells = pd.Series(values.data > 0)
    elif kind in _DRAWN:
        cells = pd.Series(np.array(_options(column, values.num_categories, rng), dtype=object)[values.data])
    elif kind in NUMBERS:
        cells = pd.Series(_numbers(column, values.data.astype(np.float64), rng))
    elif kind == "uuid":
        cells = pd.Series([str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in values.data])
    elif kind == "geometry":
        cells = pd.Series(_points(_shares(values), rng))
    elif kind == "interval":
        cells = pd.Series(np.round(_shares(values) ** 2 * rng.uniform(3600, 30 * 86400)))
    else:
        cells = time_cells(column, _shares(values), window)
    return typed(cells, kind)


def typed(cells: pd.Series, kind: str) -> pd.Series:
    """Cells in the type that a RelBench table holds them in."""
    if kind == "integer":
        return cells.astype("Int64") if cells.isna().any() else cells.astype("int64")
    if kind == "boolean":
        return cells.astype("boolean") if cells.isna().any() else cells.astype(bool)
    if kind in ("decimal", "real", "interval"):
        return cells.astype("float64")
    if kind in ("date", "timestamp"):
        times = pd.to_datetime(cells).astype("datetime64[us]")
        return times.dt.floor("D") if kind == "date" else times
    if kind in ("time", "uuid"):
        return cells.map(str, na_action="ignore").astype(object).where(cells.notna(), None)
    return cells.astype(object)


def time_cells(column: Column, shares: Array, window: tuple[pd.Timestamp, pd.Timestamp]) -> pd.Series:
    """Times at parts of the window, [0, 1] (rows,), as far as the column's bounds allow."""
    return typed(pd.Series(as_cells(_times(column, shares, window), column.type.kind)), column.type.kind)


def _shares(values: Values) -> Array:
    """Ranks in (0, 1)."""
    return rankdata(values.data, method="average") / (len(values.data) + 1)


def _times(column: Column, shares: Array, window: tuple[pd.Timestamp, pd.Timestamp]) -> Array:
    """Seconds within the window of the database, as far as the column's bounds allow; of a day, between its bounds."""
    low, high = limits(column)
    if column.type.kind != "time":
        first, last = ((day - _DAY_0).total_seconds() for day in window)
        start, end = max(low, first), min(high, last)
        if start > end:  # as long a stretch at the bound that lies outside of the window
            start, end = (low, low + last - first) if low > last else (high - last + first, high)
        low, high = max(low, start), min(high, end)
    numbers = at_most(low + shares * (high - low), column)
    return np.clip(numbers, at_least(low, column), at_most(high, column))


def _points(shares: Array, rng: np.random.Generator) -> list[str]:
    """Points on earth in WKT: longitude by the values' ranks, any latitude."""
    places = zip(shares * 360 - 180, rng.uniform(-90, 90, len(shares)), strict=True)
    return [f"POINT ({longitude:.3f} {latitude:.3f})" for longitude, latitude in places]


def _options(column: Column, count: int, rng: np.random.Generator) -> list[object]:
    """A cell for each class."""
    kind, element = column.type.kind, column.type.element
    if kind == "array":
        sizes = rng.integers(1, 4, count)
        return [json.dumps(_elements(element, int(size), rng)) for size in sizes]
    longest = math.inf if column.type.length is None else column.type.length
    longest = min(longest, math.inf if column.high is None else column.high, 60)
    shortest = int(column.low or 0)
    texts = [word[: int(longest)].strip().ljust(shortest, "x") for word in words(count, rng)]
    if kind == "binary":
        return [text.encode() for text in texts]
    return texts if kind == "text" else [json.dumps({"kind": word, "size": i}) for i, word in enumerate(texts)]


def _elements(element: object, size: int, rng: np.random.Generator) -> list[object]:
    if element.kind == "text":
        return [word[: element.length] for word in words(size, rng)]
    numbers = rng.integers(0, 10 if element.kind != "boolean" else 2, size).tolist()
    return [bool(n) for n in numbers] if element.kind == "boolean" else numbers


def _numbers(column: Column, numbers: Array, rng: np.random.Generator) -> Array:
    """Scaled to a random spread; moved and cut to what the type and the bounds allow."""
    low, high = column.low, column.high
    least, most = limits(column)
    scores = (numbers - numbers.mean()) / max(numbers.std(), 1e-8)
    if low is not None and high is not None:
        span = np.ptp(scores) or 1.0
        found = low + (scores - scores.min()) / span * (high - low)
    else:
        found = scores * rng.uniform(1, 50)
        if low is not None:
            found = low + found - found.min()
        elif high is not None:
            found = high - (found.max() - found)
    if column.type.kind == "real":
        return np.clip(found, least, most)
    scale = 0 if column.type.kind == "integer" else column.type.scale
    found = np.clip(np.round(found, scale), at_least(least, column), at_most(most, column))
    return np.round(found, scale)
