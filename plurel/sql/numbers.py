"""Cells of a column as numbers that can be compared, and the grid of numbers that the column can hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from plurel.sql.schema import NUMBERS, TIMES, Column

COMPARABLE = (*NUMBERS, *TIMES)
_FAR = 1e300
_TIMES = {"date": (-2208988800.0, 4102444800.0), "timestamp": (-2208988800.0, 4102444800.0), "time": (0.0, 86399.0)}


def as_numbers(cells: pd.Series, kind: str) -> np.ndarray:
    """Cells of a table or key, float64, NaN for NULL: times in seconds, those of a day since midnight."""
    if kind == "time":
        return pd.to_timedelta(cells.map(str, na_action="ignore")).dt.total_seconds().to_numpy(dtype="float64")
    if kind in ("date", "timestamp"):
        times = pd.to_datetime(cells).astype("datetime64[us]")
        return np.where(times.isna(), np.nan, times.to_numpy().astype("int64") / 1e6)
    return pd.to_numeric(cells).to_numpy(dtype="float64", na_value=np.nan)


def as_cells(numbers: np.ndarray, kind: str) -> np.ndarray:
    """The inverse of as_numbers, as objects in the types that a table's cells have; NaN where NULL."""
    if kind == "time":
        seconds = pd.Series(pd.to_timedelta(numbers, unit="s"))
        return seconds.map(lambda t: str(t).split()[-1][:8], na_action="ignore").to_numpy(dtype=object)
    if kind in ("date", "timestamp"):
        return pd.Series(pd.to_datetime(np.round(numbers * 1e6), unit="us")).to_numpy(dtype=object)
    if kind == "integer":
        return np.array([n if math.isnan(n) else int(n) for n in numbers.tolist()], dtype=object)
    return numbers.astype(object)


def step(column: Column) -> float | None:
    """Between neighbouring numbers of the column; None where they are dense."""
    kind = column.type.kind
    if kind == "decimal":
        return 10.0**-column.type.scale
    return {"integer": 1.0, "date": 86400.0, "timestamp": 1.0, "time": 1.0}.get(kind)


def at_least(numbers: np.ndarray, column: Column, is_strict: bool = False) -> np.ndarray:
    """The column's least number that is not below (or, strictly, above) each of `numbers`."""
    width = step(column)
    if width is None:
        # a float32 must still tell the two apart
        return numbers + np.maximum(np.abs(numbers) * 1e-6, 1e-9) if is_strict else numbers
    multiples = _steps(numbers, width)
    return (np.floor(multiples) + 1 if is_strict else np.ceil(multiples)) * width


def at_most(numbers: np.ndarray, column: Column, is_strict: bool = False) -> np.ndarray:
    """The column's greatest number that is not above (or, strictly, below) each of `numbers`."""
    return -at_least(-np.asarray(numbers, dtype=float), column, is_strict)


def limits(column: Column) -> tuple[float, float]:
    """The least and the greatest number that the column's type and bounds allow; times from 1900 to 2100."""
    kind = column.type.kind
    if kind == "integer":
        bits = column.type.bits - (not column.type.is_unsigned)
        most = 2.0 ** min(bits, 53) - (bits <= 53)
        least = 0.0 if column.type.is_unsigned else -(2.0**bits) if bits < 53 else -most
    elif kind == "decimal":
        most = 10.0 ** (column.type.precision - column.type.scale) - 10.0**-column.type.scale
        least = -most
    else:
        least, most = _TIMES.get(kind, (-_FAR, _FAR))
    low, high = column.low, column.high
    if kind in TIMES:  # bounds reach beyond the usual years
        return (least if low is None else low), (most if high is None else high)
    return (least if low is None else max(least, low)), (most if high is None else min(most, high))


def _steps(numbers: np.ndarray, width: float) -> np.ndarray:
    """Numbers as multiples of `width`, whole where they are so up to rounding."""
    multiples = np.asarray(numbers, dtype=float) / width
    whole = np.round(multiples)
    return np.where(np.abs(multiples - whole) < 1e-6, whole, multiples)
