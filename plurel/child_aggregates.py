"""Features of a row that sum up the rows which point to it: how many, the mean of a number, the latest number.

Real tables carry such columns ("orders so far", "rating"), and carelessly made they tell the future: a row without
time is seen at any time. So what has a time counts only up to the database's snapshot, a day in the first part of the
window, and forecast tasks begin there. Rows before the snapshot may still be told by such a column; none after it is.
Rows that have a time themselves (entities with a creation time) get none: nothing points to them before they exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plurel.random_streams import stream

if TYPE_CHECKING:
    from plurel.config import Config
    from plurel.rows import TableRows
    from plurel.schema import Schema

AGGREGATES = ("count", "mean", "latest")


def snapshot(seed: int, config: Config, schema: Schema) -> pd.Timestamp:
    """The day up to whose first moment, inclusive, events are counted in database `seed`."""
    share = config.diversity_params.snapshot_choices.draw(stream(seed, "snapshot"))
    return schema.start + pd.Timedelta(days=int((schema.end - schema.start).days * share))


def add_aggregates(
    seed: int, config: Config, schema: Schema, rows: Mapping[str, TableRows], frames: Mapping[str, pd.DataFrame]
) -> None:
    """Adds columns to the frames of parents, numbered after their own."""
    until = (snapshot(seed, config, schema) - schema.start).total_seconds()
    width = {table.name: table.num_columns for table in schema.tables}
    for table in schema.tables:
        for fkey, parent in table.fkeys.items():
            rng = stream(seed, "child aggregate", table.name, fkey)
            if rng.random() >= config.diversity_params.child_aggregate_prob or rows[parent].seconds is not None:
                continue
            seconds, parents = rows[table.name].seconds, rows[table.name].links[fkey]
            numbers = _a_number_column(frames[table.name], table.num_columns, rng)
            kind = "count" if numbers is None else config.diversity_params.aggregate_choices.draw(rng)
            if kind == "latest" and seconds is None:
                kind = "mean"  # without time no child is the latest
            known = (parents >= 0) & (True if seconds is None else seconds <= until)
            cells = aggregate(kind, parents[known], None if numbers is None else numbers[known], len(frames[parent]))
            if cells is None:
                continue
            frames[parent][f"feature_{width[parent]}"] = cells
            width[parent] += 1


def _a_number_column(frame: pd.DataFrame, num_columns: int, rng: np.random.Generator) -> np.ndarray | None:
    """One of the table's own float columns (not an aggregate in its turn), or None."""
    own = [f"feature_{i}" for i in range(num_columns)]
    names = [name for name in own if name in frame and frame[name].dtype.kind == "f"]
    return frame[str(rng.choice(names))].to_numpy() if names else None


def aggregate(kind: str, parents: np.ndarray, numbers: np.ndarray | None, num_parents: int) -> np.ndarray | None:
    """Of each parent the count of its children, or the mean or the last of their numbers, NaN without any.

    Args:
        parents: int64 (children,), in order of time.
        numbers: float64 (children,), NaN where missing; not needed for a count.

    Returns:
        int64 or float64 (num_parents,); None where all parents are alike.
    """
    if kind == "count":
        cells = np.bincount(parents, minlength=num_parents)
        return cells if np.ptp(cells) else None
    is_there = ~np.isnan(numbers)
    parents, numbers = parents[is_there], numbers[is_there]
    cells = np.full(num_parents, np.nan)
    if kind == "latest":
        cells[parents] = numbers  # of several the last one stays
    else:
        count = np.bincount(parents, minlength=num_parents)
        total = np.bincount(parents, weights=numbers, minlength=num_parents)
        np.divide(total, count, out=cells, where=count > 0)
    return cells if len(np.unique(cells[~np.isnan(cells)])) > 1 else None
