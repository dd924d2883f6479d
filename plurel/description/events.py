"""When the rows of a table happened: counts per day, or per week where the years are many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from relbench.base import Table

from plurel.column_kinds import naive_utc

_MAX_YEARS_OF_DAYS = 3
_MAX_ROWS = 80


@dataclass(frozen=True)
class Calendar:
    """Counts in rows of `unit`s.

    Attributes:
        unit: "day", in rows of weekdays and columns of weeks, one grid a year, or "week", in one grid of years.
        grids: (title, labels of rows, counts), int64 (rows, columns), -1 where there is no such day.
    """

    unit: str
    grids: list[tuple[str, list[str], np.ndarray]]

    @property
    def largest(self) -> int:
        return max(int(counts.max()) for _, _, counts in self.grids)


def count_events(table: Table) -> Calendar | None:
    """The calendar of a table's time column; None without one, or where every time is missing."""
    if table.time_col is None:
        return None
    times = pd.DatetimeIndex(naive_utc(table.df[table.time_col].dropna()))
    if not len(times):
        return None
    first, last = times.year.min(), times.year.max()
    if last - first < _MAX_YEARS_OF_DAYS:
        return Calendar("day", [_days(times, year) for year in range(first, last + 1)])
    return Calendar("week", [_weeks(times, first, last)])


def _days(times: pd.DatetimeIndex, year: int) -> tuple[str, list[str], np.ndarray]:
    start = pd.Timestamp(year=year, month=1, day=1)
    shift, length = start.weekday(), 365 + start.is_leap_year
    counts = np.full((7, -(-(shift + length) // 7)), -1, dtype=np.int64)
    place = np.arange(length) + shift
    per_day = np.bincount(times[times.year == year].day_of_year - 1, minlength=length)
    counts[place % 7, place // 7] = per_day
    return str(year), ["Mon", "", "Wed", "", "Fri", "", "Sun"], counts


def _weeks(times: pd.DatetimeIndex, first: int, last: int) -> tuple[str, list[str], np.ndarray]:
    step = -(-(last - first + 1) // _MAX_ROWS)  # years a row
    num_rows = (last - first) // step + 1
    counts = np.zeros((num_rows, 53), dtype=np.int64)
    np.add.at(counts, ((times.year - first) // step, (times.day_of_year - 1) // 7), 1)
    every = max(1, num_rows // 12)
    return "", [str(first + i * step) if i % every == 0 else "" for i in range(num_rows)], counts
