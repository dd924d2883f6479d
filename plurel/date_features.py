"""Dates that are features and not the time of a row: a birthday before the window, a due date after the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

Array = np.ndarray

_PAST_DAYS = (365, 80 * 365)  # of the span of dates before the window; its logarithm is uniform
_DUE_DAYS = (2, 2 * 365)
_SPREAD = 2.5  # standard deviations from the middle to either end of the span
_DAY = np.timedelta64(86400, "s")


@dataclass(frozen=True)
class DateSpan:
    """Where the dates of a table lie.

    Attributes:
        start, end: the window.
        times: datetime64[us] (rows,), of the rows; None for a table without time.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    times: Array | None


def to_dates(numbers: Array, span: DateSpan, rng: np.random.Generator) -> Array:
    """Days that grow with the numbers; datetime64[us] (rows,), all at midnight.

    Half of the columns lie before the window (born, founded), the others after each row's own day or, where rows have
    no time, after the window (due, valid until).
    """
    scores = (numbers - numbers.mean()) / max(numbers.std(), 1e-8)
    place = np.clip(0.5 + scores / (2 * _SPREAD), 0, 1)
    is_past = rng.random() < 0.5
    days = np.exp(rng.uniform(*np.log(_PAST_DAYS if is_past else _DUE_DAYS)))
    if is_past:
        origin, count = np.datetime64(span.start, "s"), -1 - np.floor((1 - place) * days)
    else:
        own = np.datetime64(span.end, "s") if span.times is None else span.times.astype("datetime64[D]")
        origin, count = own.astype("datetime64[s]"), 1 + np.floor(place * days)
    return (origin + count.astype(np.int64) * _DAY).astype("datetime64[us]")
