"""How strongly columns depend on each other, within a table and from parent to child: absolute rank correlation.

Numbers, times and booleans enter as ranks (Spearman). A text column of few values enters as one indicator per value,
and the strongest of them counts. Free text, keys and constant columns are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from relbench.base import Database

from plurel.column_kinds import as_numbers, column_kind
from plurel.keys import ForeignKey, parent_rows

_MAX_ROWS = 20_000  # evenly spaced rows; the standard error of a correlation is then below 0.01
_MAX_CLASSES = 12
MAX_COLUMNS = 30  # of a matrix's side


@dataclass(frozen=True)
class Block:
    """Columns of one table beside the described one: itself, or a parent by a foreign key.

    Attributes:
        title: the table, or "<foreign key> -> <parent>".
        columns: their names.
        strength: float64 (described columns, columns), in [0, 1]; NaN where too few rows have both.
    """

    title: str
    columns: list[str]
    strength: np.ndarray


@dataclass(frozen=True)
class Dependence:
    """Of the first 30 usable columns of a table on themselves and on those of each parent."""

    rows: list[str]
    blocks: list[Block]
    num_left_out: int

    def strongest(self, count: int = 6) -> list[tuple[str, str, str, float]]:
        """(column, block's title, other column, strength) in descending order; each pair of one table once."""
        found = []
        for number, block in enumerate(self.blocks):
            for i, j in np.argwhere(block.strength >= 0.1).tolist():
                if number or j > i:
                    found.append((self.rows[i], block.title, block.columns[j], float(block.strength[i, j])))
        return sorted(found, key=lambda pair: (-pair[3], pair[:3]))[:count]


def measure_dependence(db: Database, name: str) -> Dependence | None:
    """The dependence of a table's columns; None where there is nothing to compare."""
    table = db.table_dict[name]
    rows = np.unique(np.linspace(0, len(table) - 1, min(len(table), _MAX_ROWS)).astype(int))
    own = _scores(db, name, rows)
    if not own:
        return None
    shown = dict(list(own.items())[:MAX_COLUMNS])
    blocks = [_block(name, shown, shown)] if len(shown) > 1 else []
    for column, parent in table.fkey_col_to_pkey_table.items():
        positions = parent_rows(db, ForeignKey(name, column, parent))[rows]
        others = dict(list(_scores(db, parent, positions).items())[:MAX_COLUMNS])
        if others:
            blocks.append(_block(f"{column} → {parent}", shown, others))
    return Dependence(list(shown), blocks, len(own) - len(shown)) if blocks else None


def _block(title: str, left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> Block:
    every = np.abs(rank_correlation(np.hstack(list(left.values())), np.hstack(list(right.values()))))
    filled = np.where(np.isnan(every), -1, every)
    for axis, group in enumerate((left, right)):
        starts = np.cumsum([0, *(scores.shape[1] for scores in group.values())])[:-1]
        filled = np.maximum.reduceat(filled, starts, axis=axis)
    return Block(title, list(right), np.where(filled < 0, np.nan, filled))


def rank_correlation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Correlations of columns over the rows that both know; float64 (left columns, right columns), NaN below 10 rows.

    The scores are centred over all rows of a column, not pair by pair.
    """
    left_known, right_known = ~np.isnan(left), ~np.isnan(right)
    x, y = np.where(left_known, left, 0), np.where(right_known, right, 0)
    scale = np.sqrt((x**2).T @ right_known) * np.sqrt(left_known.T @ (y**2))
    pairs = left_known.T.astype(np.float64) @ right_known
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((pairs >= 10) & (scale > 0), np.clip(x.T @ y / scale, -1, 1), np.nan)


def _scores(db: Database, name: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Centred scores of a table's usable columns at `rows` (-1: none, NaN); float64 (rows, 1 or classes) each."""
    table = db.table_dict[name]
    keys = {table.pkey_col, *table.fkey_col_to_pkey_table}
    scores = {}
    for column in (c for c in table.df.columns if c not in keys):
        values = table.df[column].iloc[np.maximum(rows, 0)].reset_index(drop=True)
        encoded = _encode(values.where(rows >= 0)) if len(table) else None
        if encoded is not None:
            scores[str(column)] = encoded
    return scores


def _encode(column: pd.Series) -> np.ndarray | None:
    is_missing = column.isna().to_numpy(dtype=bool)
    known = column.dropna()
    kind = column_kind(known.infer_objects())
    if kind == "text":
        names = known.map(str).unique()
        if not 1 < len(names) <= _MAX_CLASSES:
            return None
        encoded = np.stack([(column.map(str) == name).to_numpy(dtype=float) for name in sorted(names)], axis=1)
    else:
        encoded = as_numbers(known.infer_objects(), kind).rank().reindex(range(len(known))).to_numpy()
        ranks = np.full((len(column), 1), np.nan)
        ranks[~is_missing, 0] = encoded
        encoded = ranks
    encoded[is_missing] = np.nan
    if not known.size or np.nanmax(encoded) == np.nanmin(encoded):
        return None
    return encoded - np.nanmean(encoded, axis=0)
