"""Summaries of tables and columns: what the page shows of values, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from relbench.base import Database, Table

from plurel.column_kinds import Kind, as_numbers, column_kind

Role = Literal["primary key", "foreign key", "time", "feature"]
_BINS = 36
_MAX_SHOWN = 4  # values of a category
_SHORT_VOCABULARY = 40  # distinct values; more are free text
_TAIL = 0.005  # of each end, left out of a histogram that tails would flatten


@dataclass(frozen=True)
class Histogram:
    """Counts of equal bins from `low` to `high`; `num_outside` values lie beyond, in tails."""

    counts: np.ndarray
    low: float
    high: float
    num_outside: int


@dataclass(frozen=True)
class Categories:
    """The most frequent values and their counts; `num_others` rows hold one of `num_distinct` - len(counts) others."""

    counts: dict[str, int]
    num_others: int
    num_distinct: int


@dataclass(frozen=True)
class TextSample:
    """Free text: a histogram of lengths in characters, and some values."""

    lengths: Histogram
    examples: list[str]
    num_distinct: int


@dataclass(frozen=True)
class ColumnSummary:
    """A column. `values` is None for a key, or where every cell is missing."""

    name: str
    kind: Kind
    role: Role
    num_rows: int
    num_missing: int
    values: Histogram | Categories | TextSample | None

    @property
    def missing_frac(self) -> float:
        return self.num_missing / self.num_rows if self.num_rows else 0.0


@dataclass(frozen=True)
class TableSummary:
    """A table's columns in order, and its first and last time."""

    name: str
    num_rows: int
    columns: list[ColumnSummary]
    fkeys: dict[str, str]
    span: tuple[pd.Timestamp, pd.Timestamp] | None

    @property
    def features(self) -> list[ColumnSummary]:
        return [column for column in self.columns if column.role == "feature"]

    @property
    def missing_frac(self) -> float:
        """Of all cells that are not primary keys."""
        columns = [column for column in self.columns if column.role != "primary key"]
        cells = sum(column.num_rows for column in columns)
        return sum(column.num_missing for column in columns) / cells if cells else 0.0


def summarise(db: Database) -> list[TableSummary]:
    """A summary of each table, in the order of the database."""
    return [_table(name, table) for name, table in db.table_dict.items()]


def _table(name: str, table: Table) -> TableSummary:
    columns = [_column(str(column), table.df[column], _role(table, column)) for column in table.df.columns]
    times = table.df[table.time_col].dropna() if table.time_col is not None else []
    span = (pd.Timestamp(times.min()), pd.Timestamp(times.max())) if len(times) else None
    return TableSummary(name, len(table), columns, dict(table.fkey_col_to_pkey_table), span)


def _role(table: Table, column: str) -> Role:
    if column == table.pkey_col:
        return "primary key"
    if column in table.fkey_col_to_pkey_table:
        return "foreign key"
    return "time" if column == table.time_col else "feature"


def _column(name: str, column: pd.Series, role: Role) -> ColumnSummary:
    kind, known = column_kind(column), column.dropna()
    values = None if role.endswith("key") or not len(known) else _values(known, kind)
    return ColumnSummary(name, kind, role, len(column), len(column) - len(known), values)


def _values(known: pd.Series, kind: Kind) -> Histogram | Categories | TextSample:
    if kind == "boolean":
        counts = known.astype(bool).value_counts()
        return Categories({str(v): int(counts.get(v, 0)) for v in (False, True)}, 0, len(counts))
    if kind == "text":
        return _text(known.map(str))
    return histogram(as_numbers(known, kind).to_numpy(), kind == "integer")


def _text(known: pd.Series) -> Categories | TextSample:
    counts = known.value_counts()
    if len(counts) <= min(_SHORT_VOCABULARY, max(len(known) / 2, 2)):
        shown = counts.sort_index().sort_values(ascending=False, kind="stable").head(_MAX_SHOWN)
        pairs = {str(value): int(count) for value, count in shown.items()}
        return Categories(pairs, int(len(known) - shown.sum()), len(counts))
    examples = known.iloc[np.linspace(0, len(known) - 1, 3).astype(int)].tolist()
    return TextSample(histogram(known.str.len().to_numpy(dtype="float64"), True), examples, len(counts))


def histogram(values: np.ndarray, are_whole: bool = False) -> Histogram:
    """Counts of up to 36 equal bins, which hold equally many whole numbers where all values are whole.

    Where the outer hundredth takes most of the range, half of it on each side is left out and counted.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return Histogram(np.zeros(1, dtype=np.int64), np.nan, np.nan, len(values))
    low, high = float(finite.min()), float(finite.max())
    inner = np.quantile(finite, [_TAIL, 1 - _TAIL])
    if high / 8 - low / 8 > inner[1] / 2 - inner[0] / 2 > 0:  # parts: four ranges may exceed the largest float
        low, high = map(float, inner)
    inside = finite[(finite >= low) & (finite <= high)]
    outside = len(values) - inside.size
    if high == low:
        return Histogram(np.array([inside.size]), low, high, outside)
    if are_whole and high - low < 2**53:  # bins of whole width, so that each holds as many numbers
        low, high = np.ceil(low), np.floor(high)
        width = (high - low) // _BINS + 1
        bins = ((inside - low) // width).astype(int)
        return Histogram(np.bincount(bins), float(low), float(high), outside)
    unit = 1.0 if high - low < np.inf else 2.0  # a range may exceed the largest float, its half does not
    place = (inside / unit - low / unit) / (high / unit - low / unit)
    bins = np.minimum((place * _BINS).astype(int), _BINS - 1)
    return Histogram(np.bincount(bins, minlength=_BINS), low, high, outside)
