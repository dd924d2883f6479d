"""What a fit refuses, and what it fits with a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.variable_projection import EXPONENT_BOUNDS

if TYPE_CHECKING:
    from analysis.power_law import PowerLawFit

FEWEST_REPLICATES = 20  # with fewer, the end of a 95 % interval is the smallest or largest of a handful
NOISY_SHARE = 0.025  # of the replicates; beyond it an end of a 95 % interval is the bound itself


def positive_floats(**columns: ArrayLike) -> list[NDArray[np.float64]]:
    """The named columns as flat float arrays.

    Raises:
        AnalysisError: if a value is no number, or not finite and above 0, naming the first one.
    """
    found: dict[str, NDArray] = {}
    for name, values in columns.items():
        try:
            found[name] = np.asarray(values, dtype=float).ravel()
        except (TypeError, ValueError) as error:
            raise AnalysisError(f"{name} must hold numbers ({error})") from error
        bad = ~(np.isfinite(found[name]) & (found[name] > 0))
        if bad.any():
            at = int(bad.argmax())
            where = f" (at x = {found['x'][at]})" if "x" in found and name != "x" else ""
            raise AnalysisError(f"{name}[{at}] is {found[name][at]}{where}; a law needs finite values above 0")
    return list(found.values())


def check_bootstrap(bootstrap: int) -> None:
    """Raises AnalysisError for a number of replicates that gives no interval worth its name."""
    if bootstrap != 0 and bootstrap < FEWEST_REPLICATES:
        raise AnalysisError(f"bootstrap={bootstrap}; it must be 0 (no intervals) or at least {FEWEST_REPLICATES}")


def check_level(interval: float) -> None:
    """Raises AnalysisError unless an interval is a probability."""
    if not 0 < interval < 1:
        raise AnalysisError(f"interval={interval}; it is a probability between 0 and 1, such as 0.95")


def checked_points(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
    """x, y and weights (ones if None) as float arrays, sorted by x.

    Raises:
        AnalysisError: if lengths differ, or a value is not finite and positive.
    """
    given = {"x": x, "y": y} | ({} if weights is None else {"weights": weights})
    sizes = {name: np.size(values) for name, values in given.items()}
    if sizes["x"] != sizes["y"]:
        raise AnalysisError(f"{sizes['x']} values of x for {sizes['y']} of y; each point needs both")
    if sizes.get("weights", sizes["y"]) != sizes["y"]:
        raise AnalysisError(f"{sizes['weights']} weights for {sizes['y']} points; each point needs one")
    x, y, *rest = positive_floats(**given)
    weights = rest[0] if rest else np.ones_like(y)
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
    flat = fit.draws[:, 0] == 0  # their exponent means nothing, and is stored as the lowest
    found = []
    if flat.mean() > NOISY_SHARE:
        found.append(f"{flat.mean():.0%} of the replicates do not fall at all: noise of this size may hide the law")
    for name, at_bound in (("lower", (fit.draws[:, 1] < low) & ~flat), ("upper", fit.draws[:, 1] > high)):
        if at_bound.mean() > NOISY_SHARE:
            found.append(bound_warning(name, "the exponent", at_bound.mean()))
    return found


def bound_warning(end: str, parameter: str, share: float) -> str:
    """Says that an interval's lower or upper end is a bound of the search, which that share of replicates reaches."""
    return (
        f"the {end} end of the interval of {parameter} is its bound ({share:.0%} of the replicates reach it): noise of "
        "this size leaves it open there"
    )


def _floor_warnings(fit: PowerLawFit, floor_is_fitted: bool) -> list[str]:
    if not floor_is_fitted:
        return []
    if fit.floor == 0:
        return ["the floor is at its bound 0: over this range the points show no floor"]
    share = float((fit.draws[:, 2] == 0).mean()) if len(fit.draws) else 0.0
    if share > NOISY_SHARE:
        return [f"the floor's interval begins at 0 ({share:.0%} of the replicates have none): a floor is not shown"]
    return []
