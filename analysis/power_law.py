"""The power law with a floor, y = A·x^-α + E, which the paper fits to its lower envelopes (section 2).

For a fixed α the law is linear in A >= 0 and E >= 0, so its best pair is known in closed form; what is left is a search
over α alone (variable projection): a dense grid, then a scalar polish. No starting point is picked by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError

EXPONENT_BOUNDS = (1e-3, 10.0)
GRID_SIZE = 600


@dataclass(frozen=True)
class PowerLawFit:
    """y = coefficient · x^-exponent + floor, by least squares on y.

    Attributes:
        coefficient, exponent, floor: A > 0, α in EXPONENT_BOUNDS, E >= 0 (0 if fitted without a floor).
        r2, rmse: of the fitted points.
        num_points: points fitted, the held-out ones not among them.
        x_range: smallest and largest fitted x, closed.
        extrapolation: one entry per held-out point, x rising: `x`, `observed`, `predicted`, `relative_error`
            ((predicted - observed) / observed) and `excess_error` (the same difference over observed - floor, or None
            where the observed value is not above the floor).
        warning: what a reader must know before believing the law, or None.
    """

    coefficient: float
    exponent: float
    floor: float
    r2: float
    rmse: float
    num_points: int
    x_range: tuple[float, float]
    extrapolation: list[dict[str, float | None]] = field(default_factory=list)
    warning: str | None = None

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """y at x > 0, of the same shape as x."""
        return self.coefficient * np.asarray(x, dtype=float) ** -self.exponent + self.floor

    def coefficient_per(self, unit: float) -> float:
        """A when x is counted in `unit`: predict(x) = coefficient_per(unit) · (x / unit)^-exponent + floor."""
        return float(self.coefficient * unit**-self.exponent)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, for JSON; `from_dict` reads it."""
        return asdict(self) | {"x_range": list(self.x_range)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PowerLawFit:
        """The fit that `to_dict` wrote.

        Raises:
            AnalysisError: for a missing or unknown key, naming it.
        """
        known = cls.__dataclass_fields__.keys()
        if values.keys() != known:
            key = sorted(values.keys() ^ known)[0]
            raise AnalysisError(
                f"power law: {'unknown' if key in values else 'missing'} key {key!r}; keys: {list(known)}"
            )
        return cls(**{**values, "x_range": tuple(values["x_range"])})

    def __repr__(self) -> str:
        text = (
            f"y = {self.coefficient:.4g} x^-{self.exponent:.4g} + {self.floor:.4g} "
            f"(R² {self.r2:.4f}, RMSE {self.rmse:.2g}, {self.num_points} points)"
        )
        for point in self.extrapolation:
            text += f"\n  held out x = {point['x']:.6g}: predicted {point['predicted']:.4f}, observed "
            text += f"{point['observed']:.4f}, error {point['relative_error']:+.2%} of y, "
            excess = point["excess_error"]
            text += "observed below the floor" if excess is None else f"{excess:+.1%} of the excess over the floor"
        return text + (f"\n  warning: {self.warning}" if self.warning else "")


def fit_power_law(x: ArrayLike, y: ArrayLike, *, floor: bool = True, holdout: int = 0) -> PowerLawFit:
    """Fits y = A·x^-α + E with A >= 0, E >= 0 by least squares on y.

    Args:
        x, y: positive numbers (points,), in any order. Values of y at a repeated x count one by one.
        floor: False fixes E = 0.
        holdout: the points at this many of the largest distinct x are left out and predicted instead.

    Raises:
        AnalysisError: if lengths differ, a value is not finite and positive, fewer distinct x are left than the law has
            parameters, or y does not fall with x (no law is better than a constant).
    """
    x, y = _checked(x, y)
    distinct = np.unique(x)
    num_parameters = 3 if floor else 2
    if not 0 <= holdout < len(distinct):
        raise AnalysisError(f"holdout={holdout} of {len(distinct)} distinct x; it must be in [0, {len(distinct)})")
    num_distinct = len(distinct) - holdout
    if num_distinct < num_parameters:
        raise AnalysisError(
            f"{num_distinct} distinct x to fit ({holdout} held out) for {num_parameters} parameters; "
            f"at least {num_parameters} are needed, and one more to say how well the law fits"
        )
    fitted = x <= distinct[num_distinct - 1]
    coefficient, exponent, level = _least_squares(x[fitted], y[fitted], floor)

    residual = coefficient * x[fitted] ** -exponent + level - y[fitted]
    spread = y[fitted] - y[fitted].mean()
    residual_ss, total_ss = float(residual @ residual), float(spread @ spread)
    if total_ss <= (1e-12 * y.max()) ** 2 or residual_ss >= total_ss * (1 - 1e-9):
        raise AnalysisError(
            f"y does not fall with x over [{distinct[0]:.6g}, {distinct[num_distinct - 1]:.6g}] "
            f"(from {y[x == distinct[0]].mean():.6g} to {y[x == distinct[num_distinct - 1]].mean():.6g}): "
            "no power law fits better than a constant"
        )
    return PowerLawFit(
        coefficient=coefficient,
        exponent=exponent,
        floor=level,
        r2=1.0 - residual_ss / total_ss,
        rmse=float(np.sqrt(residual_ss / fitted.sum())),
        num_points=int(fitted.sum()),
        x_range=(float(distinct[0]), float(distinct[num_distinct - 1])),
        extrapolation=_extrapolation(x[~fitted], y[~fitted], coefficient, exponent, level),
        warning=_warning(x, num_distinct, num_parameters, exponent, level if floor else None),
    )


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(x, dtype=float).ravel(), np.asarray(y, dtype=float).ravel()
    if len(x) != len(y):
        raise AnalysisError(f"{len(x)} values of x for {len(y)} of y; each point needs both")
    for name, values in (("x", x), ("y", y)):
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            at = int(bad.argmax())
            raise AnalysisError(
                f"{name}[{at}] is {values[at]} (at x = {x[at]}); a power law needs finite values above 0"
            )
    order = np.lexsort((y, x))  # sums then run in one order, so that the fit does not depend on the rows' order
    return x[order], y[order]


def _least_squares(x: NDArray, y: NDArray, floor: bool) -> tuple[float, float, float]:
    """(A, α, E) of the smallest sum of squares; A = 0 if no falling law is better than a constant."""
    from scipy.optimize import minimize_scalar  # half of the room's import time, and only fits want it

    center = float(np.exp(np.log(x).mean()))  # x in units of its own size: no overflow, and no unit shows in the fit
    log_x = np.log(x / center)
    exponents = np.geomspace(*EXPONENT_BOUNDS, GRID_SIZE)
    losses = [_project(exponent, log_x, y, floor)[2] for exponent in exponents]
    best = int(np.argmin(losses))
    around = exponents[max(best - 1, 0)], exponents[min(best + 1, GRID_SIZE - 1)]
    polished = minimize_scalar(
        lambda log_exponent: _project(np.exp(log_exponent), log_x, y, floor)[2],
        bounds=np.log(around),
        method="bounded",
        options={"xatol": 1e-12},
    )
    exponent = float(np.exp(polished.x)) if polished.fun < losses[best] else float(exponents[best])
    scaled, level, _ = _project(exponent, log_x, y, floor)
    return scaled * center**exponent, exponent, level


def _project(exponent: float, log_x: NDArray, y: NDArray, floor: bool) -> tuple[float, float, float]:
    """Best A >= 0 and E >= 0 for a fixed exponent, and their sum of squared residuals."""
    basis = np.exp(-exponent * log_x)
    without_floor = float(basis @ y / (basis @ basis)), 0.0
    pair = without_floor
    if floor:
        centered = np.expm1(-exponent * log_x)  # keeps its digits where the exponent is so small that basis is ~ 1
        centered -= centered.mean()
        slope = float(centered @ (y - y.mean()) / (centered @ centered))
        level = float(y.mean() - slope * basis.mean())
        if slope <= 0:
            pair = 0.0, float(y.mean())
        elif level >= 0:
            pair = slope, level
    residual = pair[0] * basis + pair[1] - y
    return *pair, float(residual @ residual)


def _extrapolation(
    x: NDArray, y: NDArray, coefficient: float, exponent: float, floor: float
) -> list[dict[str, float | None]]:
    points = []
    for at, observed in zip(x.tolist(), y.tolist(), strict=True):
        predicted = coefficient * at**-exponent + floor
        points.append(
            {
                "x": at,
                "observed": observed,
                "predicted": predicted,
                "relative_error": (predicted - observed) / observed,
                "excess_error": (predicted - observed) / (observed - floor) if observed > floor else None,
            }
        )
    return points


def _warning(x: NDArray, num_distinct: int, num_parameters: int, exponent: float, floor: float | None) -> str | None:
    """What makes this fit less than it seems; `floor` None if it was not fitted."""
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
    if len(np.unique(x)) < len(x):
        found.append(f"{len(x) - len(np.unique(x))} points repeat an x; they count as separate points")
    if exponent > 0.999 * EXPONENT_BOUNDS[1]:
        found.append(
            f"the exponent is at its upper bound {EXPONENT_BOUNDS[1]:g}: only the smallest x lies above the floor, and "
            "the exponent is not determined"
        )
    if exponent < 1.001 * EXPONENT_BOUNDS[0]:
        found.append(
            f"the exponent is at its lower bound {EXPONENT_BOUNDS[0]:g}: y falls like a logarithm or slower, and "
            "coefficient and floor are not determined"
        )
    if floor == 0:
        found.append("the floor is at its bound 0: over this range the points show no floor")
    return "; ".join(found) or None
