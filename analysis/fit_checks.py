"""What a fit refuses, and what it fits with a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.variable_projection import EXPONENT_BOUNDS

if TYPE_CHECKING:
    from analysis.power_law import PowerLawFit

NOISY_SHARE = 0.025  # of the replicates; beyond it an end of a 95 % interval is the bound itself


def checked_points(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
    """x, y and weights (ones if None) as float arrays, sorted by x.

    Raises:
        AnalysisError: if lengths differ, or a value is not finite and positive.
    """
    x, y = np.asarray(x, dtype=float).ravel(), np.asarray(y, dtype=float).ravel()
    weights = np.ones_like(y) if weights is None else np.asarray(weights, dtype=float).ravel()
    if len(x) != len(y):
        raise AnalysisError(f"{len(x)} values of x for {len(y)} of y; each point needs both")
    if len(weights) != len(y):
        raise AnalysisError(f"{len(weights)} weights for {len(y)} points; each point needs one")
    for name, values in (("x", x), ("y", y), ("weights", weights)):
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            at = int(bad.argmax())
            raise AnalysisError(
                f"{name}[{at}] is {values[at]} (at x = {x[at]}); a power law needs finite values above 0"
            )
    order = np.lexsort((weights, y, x))  # sums then run in one order: the fit does not depend on the rows' order
    return x[order], y[order], weights[order]


def check_floor(floor: bool | float, y: NDArray) -> bool | float:
    """True for a floor to fit, else the number that it is given as.

    Raises:
        AnalysisError: for a negative floor, or one that no point lies above.
    """
    if isinstance(floor, bool | np.bool_):
        return True if floor else 0.0
    if not 0 <= floor < y.max():
        raise AnalysisError(f"floor={floor} must lie in [0, {y.max():.6g}), below the largest y; or True to fit it")
    return float(floor)


def split_holdout(x: NDArray, holdout: int, num_parameters: int) -> NDArray[np.bool_]:
    """Which of the sorted x are fitted: all but those at the `holdout` largest distinct ones.

    Raises:
        AnalysisError: if fewer distinct x are left than the law has parameters.
    """
    distinct = np.unique(x)
    if not 0 <= holdout < len(distinct):
        raise AnalysisError(f"holdout={holdout} of {len(distinct)} distinct x; it must be in [0, {len(distinct)})")
    num_distinct = len(distinct) - holdout
    if num_distinct < num_parameters:
        raise AnalysisError(
            f"{num_distinct} distinct x to fit ({holdout} held out) for {num_parameters} parameters; "
            f"at least {num_parameters} are needed, and one more to say how well the law fits"
        )
    return x <= distinct[num_distinct - 1]


def law_warnings(x: NDArray, fitted_x: NDArray, fit: PowerLawFit, floor_is_fitted: bool) -> str | None:
    """What makes this fit less than it seems, or None; x are all points, fitted_x those that were fitted."""
    num_parameters = 3 if floor_is_fitted else 2
    num_distinct, repeated = len(np.unique(fitted_x)), len(x) - len(np.unique(x))
    found = []
    if num_distinct == num_parameters:
        found.append(
            f"{num_distinct} distinct x for {num_parameters} parameters: the law goes through the points whatever they "
            "are, and R² says nothing"
        )
    if num_distinct == num_parameters + 1:
        found.append(
            f"only one distinct x more than parameters ({num_distinct} for {num_parameters}): R² is close to 1 for "
            "almost any falling curve"
        )
    if repeated:
        found.append(f"{repeated} points repeat an x; they count as separate points")
    return "; ".join(found + _exponent_warnings(fit) + _floor_warnings(fit, floor_is_fitted)) or None


def _exponent_warnings(fit: PowerLawFit) -> list[str]:
    low, high = 1.001 * EXPONENT_BOUNDS[0], 0.999 * EXPONENT_BOUNDS[1]
    if fit.exponent > high:
        return [
            f"the exponent is at its upper bound {EXPONENT_BOUNDS[1]:g}: only the smallest x lies above the floor, and "
            "the exponent is not determined"
        ]
    if fit.exponent < low:
        return [
            f"the exponent is at its lower bound {EXPONENT_BOUNDS[0]:g}: y falls like a logarithm or slower, and "
            "coefficient and floor are not determined"
        ]
    if not len(fit.draws):
        return []
    found = []
    for name, at_bound in (("lower", fit.draws[:, 1] < low), ("upper", fit.draws[:, 1] > high)):
        if at_bound.mean() > NOISY_SHARE:
            found.append(
                f"the {name} end of the exponent's interval is its bound ({at_bound.mean():.0%} of the replicates "
                "reach it): noise of this size leaves the exponent open there"
            )
    return found


def _floor_warnings(fit: PowerLawFit, floor_is_fitted: bool) -> list[str]:
    if not floor_is_fitted:
        return []
    if fit.floor == 0:
        return ["the floor is at its bound 0: over this range the points show no floor"]
    share = float((fit.draws[:, 2] == 0).mean()) if len(fit.draws) else 0.0
    if share > NOISY_SHARE:
        return [f"the floor's interval begins at 0 ({share:.0%} of the replicates have none): a floor is not shown"]
    return []
