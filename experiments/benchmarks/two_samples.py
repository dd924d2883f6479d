"""Whether two samples of databases come from one distribution, statistic by statistic."""

from __future__ import annotations

import numpy as np
import pandas as pd

Array = np.ndarray
_CHUNK = 2**22  # cells of the permuted matrix held at a time


def permutation_ks(
    values: Array, databases: Array, is_first: Array, permutations: int, seed: int
) -> tuple[float, float]:
    """The Kolmogorov-Smirnov distance of two samples, and its p-value when databases change sides at random.

    Columns of one database are alike, so the units that are exchanged are databases: each weighs the same, and its
    values share its weight. For one value a database it is the usual two-sample test, by permutation.

    Args:
        values: float (values,).
        databases: int (values,), the database of each value.
        is_first: bool (databases,), the side of each database.
        permutations: the smallest p-value is 1 / (permutations + 1).
        seed: of the permutations.
    """
    present, database = np.unique(databases, return_inverse=True)
    sides = is_first[present]
    order = np.argsort(values, kind="stable")
    ordered, database = values[order], database[order]
    weight = 1 / np.bincount(database)[database]
    ends = np.flatnonzero(np.append(ordered[1:] > ordered[:-1], True))
    rng = np.random.default_rng(seed)
    observed = _distances(sides[None], database, weight, ends)[0]
    as_far, left = 0, permutations
    while left:
        count = min(left, max(1, _CHUNK // len(values)))
        shuffled = rng.permuted(np.broadcast_to(sides, (count, len(sides))), axis=1)
        as_far += int((_distances(shuffled, database, weight, ends) >= observed - 1e-12).sum())
        left -= count
    return float(observed), (as_far + 1) / (permutations + 1)


def _distances(sides: Array, database: Array, weight: Array, ends: Array) -> Array:
    """Largest difference of the weighted distribution functions, for each row of `sides` (assignments, databases)."""
    first = sides.sum(axis=1, keepdims=True)
    signed = np.where(sides, 1 / first, -1 / (sides.shape[1] - first))
    return np.abs(np.cumsum(signed[:, database] * weight, axis=1)[:, ends]).max(axis=1)


def holm(p_values: Array) -> Array:
    """p-values that hold for all tests together (Holm 1979)."""
    order = np.argsort(p_values)
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def compare(measured: pd.DataFrame, permutations: int, seed: int = 0) -> pd.DataFrame:
    """One row a statistic, in the order of their names: databases and medians of both sides, distance, p-values.

    Args:
        measured: columns side ("ours" or "peer"), seed, statistic and value.
    """
    rows = []
    for name, group in measured.groupby("statistic", sort=True):
        keys = group.groupby(["side", "seed"], sort=True)
        is_ours = np.array([side == "ours" for side, _ in keys.groups])
        values = group["value"].to_numpy(dtype=np.float64)
        distance, p = permutation_ks(values, keys.ngroup().to_numpy(), is_ours, permutations, seed)
        medians = keys["value"].median().groupby("side").median()
        rows.append(
            {
                "statistic": name,
                "databases_ours": int(is_ours.sum()),
                "databases_peer": int((~is_ours).sum()),
                "median_ours": medians["ours"],
                "median_peer": medians["peer"],
                "distance": distance,
                "p": p,
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"].to_numpy()))
