"""How many children the parents of a foreign key have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from relbench.base import Database

from plurel.keys import ForeignKey, parent_rows

_MAX_BARS = 24


@dataclass(frozen=True)
class Degrees:
    """Children per parent row.

    Attributes:
        bars: (label, parents) of neighbouring ranges of degrees, from "0" on.
        mean, largest: of all parents, childless ones included.
        num_parents, num_childless: rows of the parent table, and those that no row points to.
        num_missing: child rows whose key is missing.
    """

    key: ForeignKey
    bars: list[tuple[str, int]]
    mean: float
    largest: int
    num_parents: int
    num_childless: int
    num_missing: int


def measure_degrees(db: Database, key: ForeignKey) -> Degrees:
    """The degrees of one foreign key; single numbers up to 23, else ranges, which double where a tail is long."""
    parents = parent_rows(db, key)
    num_parents = len(db.table_dict[key.parent])
    degrees = np.bincount(parents[parents >= 0], minlength=num_parents)
    bounds = _bounds(degrees)
    counts = np.histogram(degrees, bounds)[0]
    labels = [str(a) if b - a == 1 else f"{a:,}–{b - 1:,}" for a, b in zip(bounds, bounds[1:], strict=False)]
    return Degrees(
        key=key,
        bars=list(zip(labels, counts.tolist(), strict=True)),
        mean=float(degrees.mean()) if num_parents else 0.0,
        largest=int(degrees.max(initial=0)),
        num_parents=num_parents,
        num_childless=int((degrees == 0).sum()),
        num_missing=int((parents < 0).sum()),
    )


def _bounds(degrees: np.ndarray) -> list[int]:
    """Whole numbers at which ranges begin, and one past the largest degree."""
    largest = int(degrees.max(initial=0))
    if largest < _MAX_BARS:
        return list(range(largest + 2))
    if largest > 8 * np.median(degrees[degrees > 0]):
        return [0, *(2**power for power in range(largest.bit_length())), 2 ** largest.bit_length()]
    width = -(-largest // (_MAX_BARS - 1))
    return [0, *range(1, largest + width + 1, width)]
