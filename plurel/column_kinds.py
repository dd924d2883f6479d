"""What a column of a data frame holds, whatever type pandas gives it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pandas.api import types

Kind = Literal["boolean", "integer", "number", "time", "date", "text"]

_INFERRED: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "integer",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "datetime64": "time",
    "datetime": "time",
    "date": "date",
}


def column_kind(column: pd.Series) -> Kind:
    """The kind of a column: a time has an hour, a date has none. What is nothing else counts as text.

    Columns of Python objects are judged by their values, those without any value as text.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column_kind(column.cat.categories.to_series())
    if types.is_bool_dtype(column.dtype):
        return "boolean"
    if types.is_integer_dtype(column.dtype):
        return "integer"
    if types.is_float_dtype(column.dtype):
        return "number"
    if types.is_datetime64_any_dtype(column.dtype):
        return "time"
    return _INFERRED.get(types.infer_dtype(column, skipna=True), "text") if column.dtype == object else "text"


def as_numbers(column: pd.Series, kind: Kind) -> pd.Series:
    """A column that is not text as float64: NaN where missing, times and dates in seconds since 1970 (UTC)."""
    if kind in ("time", "date"):
        return seconds(column)
    return pd.Series(pd.to_numeric(column, errors="coerce").to_numpy(dtype="float64", na_value=np.nan))


def naive_utc(column: pd.Series) -> pd.Series:
    """Times as datetime64 without a zone; those with one in UTC."""
    times = pd.to_datetime(column)
    return times.dt.tz_convert(None) if times.dt.tz is not None else times


def seconds(column: pd.Series) -> pd.Series:
    """Times as float64 seconds since 1970 (UTC), NaN where missing."""
    times = naive_utc(column).astype("datetime64[us]")  # nanoseconds end in 1677 and 2262
    since = times.to_numpy().view("int64") / 1e6
    return pd.Series(np.where(times.isna(), np.nan, since))
