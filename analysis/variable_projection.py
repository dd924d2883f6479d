"""Least squares for y = A·x^-α + E over many data sets at once.

For a fixed exponent α the law is linear in A >= 0 and E >= 0, so their best pair is known in closed form; what is left
is a search over α alone (variable projection, Golub and Pereyra 1973): a dense grid, then the grid around the best
point, finer each time. No starting point is picked by hand, and a thousand bootstrap replicates are one call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXPONENT_BOUNDS = (1e-3, 10.0)
GRID_SIZE = 600
ZOOM_POINTS = 9  # per round; each round narrows the bracket by (ZOOM_POINTS - 1) / 2
ZOOM_ROUNDS = 14  # 2 · log(1e4) / 600 / 4^14 ~ 1e-10 of the exponent, below what a sum of squares can tell apart


class Laws(NamedTuple):
    """Parameters of one law per data set, each (B,); `loss` is the weighted sum of squared residuals."""

    coefficient: NDArray[np.float64]
    exponent: NDArray[np.float64]
    floor: NDArray[np.float64]
    loss: NDArray[np.float64]


def fit_laws(x: NDArray, y: NDArray, weights: NDArray, floor: bool | float = True) -> Laws:
    """The law of the smallest weighted sum of squares for each row of y.

    Args:
        x: (n,) positive.
        y: (B, n).
        weights: (n,) positive.
        floor: True fits E >= 0, a number fixes it (False is 0).

    Returns:
        Laws with A = 0 where no falling law is better than a constant.
    """
    center = float(np.exp(np.log(x).mean()))  # x in units of its own size: no overflow, and no unit shows in the fit
    log_x = np.log(x / center)
    grid = np.log(np.geomspace(*EXPONENT_BOUNDS, GRID_SIZE))
    best = np.concatenate([_grid_losses(grid, log_x, rows, weights, floor).argmin(axis=1) for rows in _blocks(y)])
    step = grid[1] - grid[0]
    middle = grid[best]
    for _ in range(ZOOM_ROUNDS):
        around = middle[:, None] + step * np.linspace(-1, 1, ZOOM_POINTS)
        around = np.clip(around, grid[0], grid[-1])
        losses = project(np.exp(around), log_x, y[:, None, :], weights, floor).loss
        middle = around[np.arange(len(y)), losses.argmin(axis=1)]
        step *= 2 / (ZOOM_POINTS - 1)
    found = project(np.exp(middle), log_x, y, weights, floor)
    return Laws(found.coefficient * center**found.exponent, found.exponent, found.floor, found.loss)


def project(exponent: NDArray, log_x: NDArray, y: NDArray, weights: NDArray, floor: bool | float = True) -> Laws:
    """Best A >= 0 and E >= 0 at fixed exponents.

    Args:
        exponent: (...) one per data set.
        log_x, weights: (n,).
        y: (..., n), broadcast against the exponents.
    """
    share = weights / weights.sum()
    basis = np.exp(-exponent[..., None] * log_x)
    fixed = 0.0 if floor is True else float(floor)
    coefficient = np.maximum((share * basis * (y - fixed)).sum(-1) / (share * basis**2).sum(-1), 0.0)
    level = np.full_like(coefficient, fixed)
    if floor is True:
        centered = np.expm1(-exponent[..., None] * log_x)  # keeps its digits where the basis is ~ 1 everywhere
        centered = centered - (share * centered).sum(-1, keepdims=True)
        mean = (share * y).sum(-1)
        slope = (share * centered * (y - mean[..., None])).sum(-1) / (share * centered**2).sum(-1)
        slope = np.maximum(slope, 0.0)  # a rising curve: the best constant
        free = mean - slope * (share * basis).sum(-1)
        coefficient, level = np.where(free >= 0, slope, coefficient), np.maximum(free, 0.0)
    residual = coefficient[..., None] * basis + level[..., None] - y
    return Laws(coefficient, np.broadcast_to(exponent, level.shape), level, (weights * residual**2).sum(-1))


def _grid_losses(grid: NDArray, log_x: NDArray, y: NDArray, weights: NDArray, floor: bool | float) -> NDArray:
    """Losses (B, G) of `project` over a grid of log exponents, by matrix products: exact enough to choose a point."""
    share = weights / weights.sum()
    basis = np.exp(-np.exp(grid)[:, None] * log_x)
    fixed = 0.0 if floor is True else float(floor)
    above = y - fixed
    product = np.maximum((share * above) @ basis.T, 0.0)
    losses = (share * above**2).sum(-1)[:, None] - product**2 / (share * basis**2).sum(-1)
    if floor is True:
        mean = (share * y).sum(-1, keepdims=True)
        middle = (share * basis).sum(-1, keepdims=True)
        spread = (share * (basis - middle) ** 2).sum(-1)
        slope = np.maximum((share * (y - mean)) @ (basis - middle).T / spread, 0.0)
        free = (share * (y - mean) ** 2).sum(-1)[:, None] - slope**2 * spread
        losses = np.where(mean - slope * middle[:, 0] >= 0, free, losses)
    return losses


def _blocks(y: NDArray, values: int = 2**21) -> list[NDArray]:
    """Rows of y in pieces whose losses over the whole grid stay small in memory."""
    return np.array_split(y, max(1, -(-len(y) * GRID_SIZE // values)))
