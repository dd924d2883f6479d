"""Cells of declared columns from the values of the causal model: their distribution, within what the schema allows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from plurel.edges import Values
from plurel.sql.keys import encoded
from plurel.sql.schema import Column
from plurel.words import words

Array = np.ndarray


def num_categories(column: Column, drawn: int) -> int:
    """Classes of a column in the causal model, 0 for a number; `drawn` of a text whose words are free."""
    if column.values is not None:
        return max(len(column.values), 2)
    return {"boolean": 2, "text": drawn, "binary": 2}.get(column.type.kind, 0)


def to_cells(
    column: Column,
    values: Values,
    window: tuple[pd.Timestamp, pd.Timestamp],
    missing_rate: float,
    distinct: Array | None,
    table: str,
    rng: np.random.Generator,
) -> pd.Series:
    """The cells of a column in a RelBench table: dates are times at midnight, decimals float64, times of a day text.

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
    elif kind in ("text", "binary"):
        cells = pd.Series(np.array(_texts(column, values.num_categories, rng), dtype=object)[values.data])
    elif kind in ("integer", "decimal", "real"):
        cells = pd.Series(_numbers(column, values.data.astype(np.float64), rng))
    else:
        share = rankdata(values.data, method="average") / (len(values.data) + 1)
        start, end = window
        cells = pd.Series(start + pd.to_timedelta(share * (end - start).total_seconds(), unit="s")).dt.floor("s")
    is_missing = column.nullable & (rng.random(len(cells)) < missing_rate)
    return typed(cells.where(~is_missing, None), kind)


def typed(cells: pd.Series, kind: str) -> pd.Series:
    """Cells in the type that a RelBench table holds them in."""
    if kind == "integer":
        return cells.astype("Int64") if cells.isna().any() else cells.astype("int64")
    if kind == "boolean":
        return cells.astype("boolean") if cells.isna().any() else cells.astype(bool)
    if kind in ("decimal", "real"):
        return cells.astype("float64")
    if kind in ("date", "timestamp"):
        times = pd.to_datetime(cells).astype("datetime64[us]")
        return times.dt.floor("D") if kind == "date" else times
    if kind == "time":
        times = cells.map(lambda t: t.strftime("%H:%M:%S"), na_action="ignore")
        return times.astype(object).where(cells.notna(), None)
    return cells.astype(object)


def _texts(column: Column, count: int, rng: np.random.Generator) -> list[str]:
    longest = int(min(column.type.length or 60, math.inf if column.high is None else column.high))
    shortest = int(column.low or 0)
    return [word[:longest].strip().ljust(shortest, "x") for word in words(count, rng)]


def _numbers(column: Column, numbers: Array, rng: np.random.Generator) -> Array:
    """Scaled to a random spread; moved and cut to what the type and the bounds allow."""
    kind, low, high = column.type.kind, column.low, column.high
    if kind == "integer":
        bits = column.type.bits - (not column.type.is_unsigned)
        least, most = (0 if column.type.is_unsigned else -(2.0**bits)), 2.0 ** min(bits, 53) - 1
    else:
        most = 10.0 ** (column.type.precision - column.type.scale) - 10.0**-column.type.scale
        least, most = (-most, most) if kind == "decimal" else (-1e300, 1e300)
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
    least = least if low is None else max(least, low)
    most = most if high is None else min(most, high)
    if kind == "real":
        return np.clip(found, least, most)
    scale = 0 if kind == "integer" else column.type.scale
    return np.clip(
        np.round(found, scale), math.ceil(least * 10**scale) / 10**scale, math.floor(most * 10**scale) / 10**scale
    )
