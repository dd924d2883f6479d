"""The one compiled loop of the generator: rows of tables, looked up and interpolated."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def interpolate(tables: np.ndarray, starts: np.ndarray, positions: np.ndarray, out: np.ndarray) -> None:
    """out[p, r] = tables[starts[p] + positions[p, r]], linearly interpolated where the position is fractional.

    Args:
        tables: float32 (knots of all parents, width).
        starts: int64 (parents,), the first knot of each.
        positions: float32 (parents, rows).
        out: float32 (parents, rows, width).
    """
    num_parents, num_rows = positions.shape
    width = tables.shape[1]
    for p in range(num_parents):
        for r in range(num_rows):
            knot = int(positions[p, r])
            part = positions[p, r] - np.float32(knot)
            below = starts[p] + knot
            above = below + 1 if part > 0 else below
            for d in range(width):
                low = tables[below, d]
                out[p, r, d] = low + part * (tables[above, d] - low)
