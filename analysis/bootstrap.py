"""Replicates of a fitted law, and intervals from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.variable_projection import fit_laws


def law_replicates(
    x: NDArray,
    law: NDArray,
    weights: NDArray,
    loss: float,
    floor: bool | float,
    num_parameters: int,
    bootstrap: int,
    seed: int,
    shifts: NDArray,
) -> NDArray[np.float64]:
    """(bootstrap, 4) refits of law + noise: coefficient, exponent, floor, and the noise's deviation at weight 1.

    Args:
        x, law, weights: (n,) points, the fitted law there, inverse variances up to a factor.
        loss: weighted sum of squared residuals of the fit.
        shifts: (bootstrap, n) deviations beside the noise.

    Returns:
        No rows without a degree of freedom: residuals that are zero by construction say nothing about noise.
    """
    freedom = len(x) - num_parameters
    if bootstrap == 0 or freedom <= 0:
        return np.empty((0, 4))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    noise = noise_scales(loss, freedom, bootstrap, rng)
    y = law + noise[:, None] * rng.normal(size=(bootstrap, len(x))) / np.sqrt(weights)
    laws = fit_laws(x, y + shifts, weights, floor)
    return np.column_stack([laws.coefficient, laws.exponent, laws.floor, noise])


def noise_scales(loss: float, freedom: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Standard deviations that residuals of this sum of squares allow: s²·ν/χ²_ν, whence t intervals, not normal."""
    return np.sqrt(loss / rng.chisquare(freedom, size=size))


def quantiles(values: NDArray, level: float) -> tuple[NDArray, NDArray]:
    """Low and high end of the central interval over the first axis.

    The ends are the (R + 1)·p-th of R replicates (Davison and Hinkley 1997, section 5.2): R replicates and the truth
    are R + 1 equal draws.
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    return low, high


def normal_quantiles(size: int) -> NDArray[np.float64]:
    """(size,) evenly spread quantiles of N(0, 1) in a shuffled order that is always the same."""
    from scipy.special import ndtri

    order = np.random.default_rng(0).permutation(size)
    return ndtri((order + 0.5) / size)
