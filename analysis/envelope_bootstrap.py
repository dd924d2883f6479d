"""How sure the lower envelope is: replicates over seeds and validation databases, and laws that include them.

A replicate draws validation databases, and seeds where a run has several, with replacement, the same ones for every
cell: cells share both, so their losses move together. The minimum is then taken again, so that a cell that was best by
luck loses its place in some replicates. A cell that some seeds have not reached yet is the mean of those drawn that
have, and of all that have where none of them was drawn.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.envelope import OTHER_AXIS, Axis, lower_envelope
from analysis.power_law import PowerLawFit, fit_power_law
from analysis.results import database_loss_rows, loss_grid, loss_rows


def fit_envelope(
    results: pd.DataFrame, over: Axis = "num_databases", *, holdout: int = 1, bootstrap: int = 1000, seed: int = 0
) -> PowerLawFit:
    """The power law of the lower envelope, its intervals widened by which cells made the envelope.

    A replicate is law + residual noise + (resampled envelope - envelope). Where a run has one seed, the spread of seeds
    is known from the residuals alone; where it has several, part of it is counted twice, to the safe side.

    Raises:
        AnalysisError: as fit_power_law and lower_envelope.
    """
    points = lower_envelope(results, over)
    shifts = None
    if bootstrap:
        losses, _ = _replicates(results, over, bootstrap, seed)
        shifts = losses - points["loss"].to_numpy()
    return fit_power_law(points["x"], points["loss"], holdout=holdout, bootstrap=bootstrap, seed=seed, shifts=shifts)


def describe_envelope(
    results: pd.DataFrame, over: Axis = "num_databases", *, bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """The lower envelope and how firmly each of its points stands.

    Returns:
        `lower_envelope`'s columns and: `low`, `high`, 95 % of the replicates' losses; `support`, the share of
        replicates with the same best cell; `gap`, by how much the next cell is worse (NaN without one); `bracketed`,
        False where the best cell is the last measured one of its line, so that a longer line might go lower.
    """
    envelope = lower_envelope(results, over)
    losses, chosen = _replicates(results, over, bootstrap, seed)
    grid = loss_grid(results)
    lines = (grid if over == "num_databases" else grid.T).to_numpy(dtype=float)
    ordered = np.sort(lines, axis=1)  # NaN last
    measured = ~np.isnan(lines)
    best = np.where(measured, lines, np.inf).argmin(axis=1)
    last = lines.shape[1] - 1 - measured[:, ::-1].argmax(axis=1)
    alone = lines.shape[1] == 1
    envelope["low"], envelope["high"] = np.quantile(losses, [0.025, 0.975], axis=0)
    envelope["support"] = np.where(np.isnan(ordered[:, 0]), np.nan, (chosen == best).mean(axis=0))
    envelope["gap"] = np.nan if alone else ordered[:, 1] - ordered[:, 0]
    envelope["bracketed"] = best < np.where(measured.any(axis=1), last, 0)
    return envelope


def _replicates(results: pd.DataFrame, over: Axis, bootstrap: int, seed: int) -> tuple[NDArray, NDArray]:
    """Envelope losses and the index of the best cell, (bootstrap, values of the axis) each."""
    losses, is_trained = _loss_tensor(results, over)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    num_seeds, num_databases = losses.shape[:2]
    shares = rng.multinomial(num_databases, np.full(num_databases, 1 / num_databases), size=bootstrap) / num_databases
    turns = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=bootstrap)
    grids = (_seed_weights(turns, is_trained) * np.einsum("bd,rdij->brij", shares, losses)).sum(axis=1)
    # The recorded mean is the point estimate: what the mean of single rows misses of it is rounding.
    best = np.where(np.isnan(grids), np.inf, grids).argmin(axis=2)
    return np.take_along_axis(grids, best[..., None], axis=2)[..., 0], best


def _seed_weights(turns: NDArray, is_trained: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of the seeds in each cell, (bootstrap, seeds, i, j) that sum to one over the seeds; NaN in cells without.

    Args:
        turns: (bootstrap, seeds), how often each was drawn.
        is_trained: (seeds, i, j), the cells that a seed has.
    """
    drawn = turns[..., None, None] * is_trained
    drawn = np.where(drawn.any(axis=1, keepdims=True), drawn, is_trained)
    total = drawn.sum(axis=1, keepdims=True)
    return drawn / np.where(total > 0, total, np.nan)


def _loss_tensor(results: pd.DataFrame, over: Axis) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Losses (seeds, validation databases, values of the axis, values of the other axis), NaN where a run diverged and
    0 where there is none yet, and which cells each seed has, (seeds, values, values).

    One "database", the recorded mean, where single ones were not recorded.
    """
    mean = loss_rows(results)
    single = database_loss_rows(results)
    rows = mean if single.empty else single
    axes = ["seed", "dataset", over, OTHER_AXIS[over]]
    levels = [np.unique(rows[axis]) for axis in axes]
    index = pd.MultiIndex.from_product(levels, names=axes)
    rows = rows.set_index(axes)["value"]
    shape = [len(level) for level in levels]
    losses = rows.reindex(index, fill_value=0.0).to_numpy().reshape(shape)
    return losses, index.isin(rows.index).reshape(shape).any(axis=1)
