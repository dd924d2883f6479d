"""What a relational database looks like in numbers that do not depend on its size: one value for the database, or one
for each of its tables, foreign keys or columns. Two generators of the same prior give the same distributions of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from relbench.base import Database, Table
from scipy.stats import kurtosis, rankdata

from plurel.keys import ForeignKey, foreign_keys, parent_rows

Array = np.ndarray
Measured = Iterator[tuple[str, float]]

_BINS = 8  # of mutual information, equally full
_MAX_PAIRS = 60  # of columns, evenly spaced over all, of which mutual information is taken


def measure(db: Database) -> pd.DataFrame:
    """Columns `statistic` and `value`, a row for each unit that has one; finite values alone."""
    rows = [*_database(db)]
    scores = {name: _Scores(table) for name, table in db.table_dict.items()}
    for name, table in db.table_dict.items():
        rows += [*_table(table), *_columns(table), *_within(scores[name], table.time_col is not None)]
    for key in foreign_keys(db):
        rows += _key(db, key, scores)
    frame = pd.DataFrame(rows, columns=["statistic", "value"])
    return frame[np.isfinite(frame["value"])].reset_index(drop=True)


def _database(db: Database) -> Measured:
    tables = db.table_dict.values()
    keys = [len(table.fkey_col_to_pkey_table) for table in tables]
    yield "database: tables", len(keys)
    yield "database: foreign keys", sum(keys)
    yield "database: foreign keys of the table with most", max(keys)
    yield "database: rows", sum(map(len, tables))
    times = [table.df[table.time_col] for table in tables if table.time_col is not None]
    yield "database: share of tables with a time", len(times) / len(keys)
    window = max(time.max() for time in times) - min(time.min() for time in times)
    yield "database: days", window / pd.Timedelta(days=1)


def _features(table: Table) -> list[str]:
    keys = {table.pkey_col, table.time_col, *table.fkey_col_to_pkey_table}
    return [column for column in table.df if column not in keys]


def _table(table: Table) -> Measured:
    features = _features(table)
    yield f"table: rows, {'with' if table.time_col is not None else 'without'} a time", len(table)
    yield "table: feature columns", len(features)
    yield "table: foreign keys", len(table.fkey_col_to_pkey_table)
    numbers = [column for column in features if table.df[column].dtype.kind == "f"]
    if features:
        yield "table: share of booleans among features", 1 - len(numbers) / len(features)


def _columns(table: Table) -> Measured:
    for name in _features(table):
        column = table.df[name]
        if column.dtype.kind == "b":
            rate = column.mean()
            yield "boolean: share of true", rate
            yield "boolean: entropy (bits)", _entropy(np.array([rate, 1 - rate]))
        else:
            yield from _number(column.to_numpy(dtype=np.float64))


def _number(cells: Array) -> Measured:
    known = cells[np.isfinite(cells)]
    yield "number: share missing or infinite", 1 - len(known) / len(cells)
    if not len(known):
        return
    distinct, counts = np.unique(known, return_counts=True)
    yield "number: distinct values / rows", len(distinct) / len(known)
    yield "number: share of the most frequent value", counts.max() / len(known)
    yield "number: constant", float(len(distinct) == 1)
    low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
    if len(distinct) > 1:
        yield "number: log10 of the standard deviation", np.log10(known.std())
        standard = (known - known.mean()) / known.std()
        yield "number: log10 of the kurtosis", np.log10(kurtosis(standard, fisher=False))
    if high > low:
        yield "number: skewness, (q90 + q10 - 2 q50) / (q90 - q10)", (high + low - 2 * middle) / (high - low)
        outer = np.quantile(known, [0.01, 0.99])
        yield "number: log10 of tails, (q99 - q1) / (q90 - q10)", np.log10((outer[1] - outer[0]) / (high - low))


class _Scores:
    """The feature columns that vary, as standardised ranks (0 where missing) and as eight classes.

    Attributes:
        ranks: float64 (rows, columns), mean 0, length 1.
        classes: int64 (rows, columns), in [0, 8); a missing value is in the middle.
        is_number: bool (columns,), False for booleans.
    """

    def __init__(self, table: Table) -> None:
        columns = {name: _centred_ranks(table.df[name].to_numpy(dtype=np.float64)) for name in _features(table)}
        varying = {name: ranks for name, ranks in columns.items() if ranks.any()}
        ranks = np.array([*varying.values()]).reshape(len(varying), len(table)).T
        self.ranks = _unit(ranks)
        self.classes = ((ranks + 0.5) * _BINS).astype(np.int64).clip(0, _BINS - 1)
        self.is_number = np.array([table.df[name].dtype.kind == "f" for name in varying], dtype=np.bool_)


def _centred_ranks(column: Array) -> Array:
    """In (-0.5, 0.5), 0 where missing."""
    known = np.isfinite(column)
    out = np.zeros(len(column))
    if known.any():
        out[known] = (rankdata(column[known]) - 0.5) / known.sum() - 0.5
    return out


def _unit(columns: Array) -> Array:
    centred = columns - columns.mean(axis=0)
    return centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-300)


def _within(scores: _Scores, has_time: bool) -> Measured:
    ranks = scores.ranks
    pairs = list(combinations(range(ranks.shape[1]), 2))
    if pairs:
        yield from _strengths("within a table", np.abs(ranks.T @ ranks)[tuple(np.transpose(pairs))])
        yield _information("within a table", scores.classes, scores.classes, pairs)
    for column in ranks[:, scores.is_number].T:
        kind = "with" if has_time else "without"
        yield f"rows in order, {kind} a time: autocorrelation of ranks, lag 1", float(column[1:] @ column[:-1])
        if has_time:
            time = _unit(np.arange(len(column), dtype=np.float64)[:, None])[:, 0]
            yield "rows in order, with a time: |rank correlation| with time", abs(float(column @ time))


def _strengths(where: str, strength: Array) -> Measured:
    yield f"{where}: |rank correlation|, median of pairs", float(np.median(strength))
    yield f"{where}: |rank correlation|, 90 % of pairs", float(np.quantile(strength, 0.9))


def _information(where: str, left: Array, right: Array, pairs: list[tuple[int, int]]) -> tuple[str, float]:
    """The median mutual information of at most 60 pairs of columns of classes; it has a bias of 49 / (2 rows) nats."""
    some = np.linspace(0, len(pairs) - 1, min(len(pairs), _MAX_PAIRS), dtype=int)
    bits = []
    for i, j in (pairs[place] for place in some):
        joint = np.bincount(left[:, i] * _BINS + right[:, j], minlength=_BINS * _BINS).reshape(_BINS, _BINS) / len(left)
        bits.append(_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint.ravel()))
    return f"{where}: mutual information (bits), median of pairs", float(np.median(bits))


def _entropy(shares: Array) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def _key(db: Database, key: ForeignKey, scores: dict[str, _Scores]) -> Measured:
    rows = parent_rows(db, key)
    degrees = np.sort(np.bincount(rows[rows >= 0], minlength=len(db.table_dict[key.parent])))
    yield "key: log10 of the largest degree over the mean", np.log10(degrees[-1] / degrees.mean())
    share = np.cumsum(degrees) / degrees.sum()
    yield "key: Gini index of degrees", float(1 - 2 * (share.mean() - 0.5 / len(share)))
    yield "key: share of parents without children", float((degrees == 0).mean())
    order = _unit(np.stack([np.arange(len(rows)), rows], axis=1).astype(np.float64))
    yield "key: |correlation| of child's and parent's place", abs(float(order[:, 0] @ order[:, 1]))
    child, parent = scores[key.child], scores[key.parent]
    pairs = [(i, j) for i in range(child.ranks.shape[1]) for j in range(parent.ranks.shape[1])]
    if pairs:
        yield from _strengths("child to parent", np.abs(child.ranks.T @ _unit(parent.ranks[rows])).ravel())
        yield _information("child to parent", child.classes, parent.classes[rows], pairs)
