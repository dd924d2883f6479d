"""Foreign keys of a table to itself: employees and their managers, comments and what they reply to, parts of parts.

A row points to an earlier one, so that there is no cycle and, in a table with times, nothing points to the future.
Roots point to none. Children take after their parents; see plurel.shaping.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

_DEPTH = (0.2, 5.0)  # of the exponent below; its logarithm is uniform


def draw_tree(num_rows: int, root_share: float, rng: np.random.Generator) -> Array:
    """The parent of each row, -1 for roots: about `root_share` of the rows, and the first; int64 (num_rows,).

    The parent of row i is floor(i u^e) with u uniform. Small exponents e give replies to what came just before, and
    deep trees; large ones managers, who came early, and flat trees.
    """
    exponent = np.exp(rng.uniform(*np.log(_DEPTH)))
    parents = (np.arange(num_rows) * rng.random(num_rows) ** exponent).astype(np.int64)
    parents[rng.random(num_rows) < root_share] = -1
    parents[0] = -1
    return parents


def depths(parents: Array) -> Array:
    """Steps from each row to its root, 0 for a root; int64 (rows,). Parents come before their children."""
    depth, above = np.zeros(len(parents), dtype=np.int64), parents.copy()
    while (rows := np.flatnonzero(above >= 0)).size:
        depth[rows] += 1
        above[rows] = parents[above[rows]]
    return depth


def inherit(scores: Array, parents: Array, share: float) -> Array:
    """Scores that follow those of the parents: s = share · s(parent) + sqrt(1 - share²) · own; own for roots.

    Args:
        scores: float64 (rows,), standard normal; so are the returned ones, and each is correlated with its parent's
            by `share`.
    """
    mixed, depth = scores.copy(), depths(parents)
    for level in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero(depth == level)
        mixed[rows] = share * mixed[parents[rows]] + np.sqrt(1 - share**2) * scores[rows]
    return mixed
