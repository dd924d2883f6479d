"""The power law with a floor, y = A·x^-α + E, which the paper fits to its lower envelopes (section 2), with intervals.

Intervals come from a parametric bootstrap: replicates are the law plus Gaussian noise whose variance is itself drawn
from what the residuals say of it (s²·ν/χ²_ν with ν = points - parameters). Few points know their noise badly; without
that draw their intervals would be too narrow, as they are for resampled residuals. For a law that is linear in its
parameters these are the exact t intervals; tests/analysis/test_coverage.py measures how they cover for power laws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.bootstrap import law_replicates, normal_quantiles, quantiles
from analysis.errors import AnalysisError
from analysis.fit_checks import (
    check_bootstrap,
    check_floor,
    check_level,
    checked_points,
    law_warnings,
    positive_floats,
    split_holdout,
)
from analysis.law_text import law_html, law_text
from analysis.variable_projection import fit_laws

PARAMETERS = ("coefficient", "exponent", "floor")
CI_LEVEL = 0.95


@dataclass(frozen=True)
class PowerLawFit:
    """y = coefficient · x^-exponent + floor, by weighted least squares on y.

    Attributes:
        coefficient, exponent, floor: A > 0, α in EXPONENT_BOUNDS, E >= 0 (as given if it was not fitted).
        r2, rmse: of the fitted points.
        num_points: points fitted, the held-out ones not among them.
        x_range: smallest and largest fitted x, closed.
        ci: parameter -> its 95 % interval, for the parameters that were fitted; empty without a bootstrap.
        extrapolation: one entry per held-out point, x rising: `x`, `observed`, `predicted`, `relative_error`
            ((predicted - observed) / observed), `excess_error` (the same difference over observed - floor, or None
            where the observed value is not above the floor), and `interval`, `covered`: the 95 % interval of a new
            measurement there, with the same shifts where `fit_power_law` was given any, and whether it holds the
            observed one (None without a bootstrap).
        warning: what a reader must know before believing the law, or None.
        draws: (bootstrap, 4) replicates of coefficient, exponent, floor and noise (standard deviation at weight 1).
    """

    coefficient: float
    exponent: float
    floor: float
    r2: float
    rmse: float
    num_points: int
    x_range: tuple[float, float]
    ci: dict[str, tuple[float, float]] = field(default_factory=dict)
    extrapolation: list[dict[str, Any]] = field(default_factory=list)
    warning: str | None = None
    draws: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)), repr=False, compare=False)

    def predict(self, x: ArrayLike, interval: float | None = None) -> Any:
        """y at x > 0, of the shape of x; with `interval` (0.95) the triple y, low, high: where the law lies.

        Raises:
            AnalysisError: for an x that is not above 0, or an interval asked of a fit without a bootstrap.
        """
        positive_floats(x=x)
        x = np.asarray(x, dtype=float)
        y = self.coefficient * x**-self.exponent + self.floor
        return y if interval is None else (y, *self._bounds(x, interval))

    def predict_measurement(self, x: ArrayLike, interval: float = CI_LEVEL, weight: float = 1.0) -> tuple[NDArray, ...]:
        """As `predict` with an interval, but where a new measurement of that weight would fall."""
        x = np.asarray(x, dtype=float)
        return (self.predict(x), *self._bounds(x, interval, weight**-0.5))

    def coefficient_per(self, unit: float) -> float:
        """A when x is counted in `unit`: predict(x) = coefficient_per(unit) · (x / unit)^-exponent + floor."""
        return float(self.coefficient * unit**-self.exponent)

    def coefficient_ci_per(self, unit: float) -> tuple[float, float] | None:
        """The 95 % interval of `coefficient_per(unit)`; None without a bootstrap."""
        if not self.ci:
            return None
        low, high = quantiles(self.draws[:, 0] * unit ** -self.draws[:, 1], CI_LEVEL)
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, for JSON; `from_dict` reads it. Replicates keep seven digits."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values |= {"x_range": list(self.x_range), "ci": {name: list(pair) for name, pair in self.ci.items()}}
        return values | {"draws": [[float(f"{v:.7g}") for v in draw] for draw in self.draws.tolist()]}

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
        ci = {name: tuple(pair) for name, pair in values["ci"].items()}
        draws = np.array(values["draws"], dtype=float).reshape(-1, 4)
        return cls(**{**values, "x_range": tuple(values["x_range"]), "ci": ci, "draws": draws})

    def __repr__(self) -> str:
        return law_text(self)

    def _repr_html_(self) -> str:
        return law_html(self)

    def _bounds(
        self, x: NDArray, level: float, noise_scale: float = 0.0, shift: NDArray | float = 0.0
    ) -> tuple[NDArray, NDArray]:
        """Ends of the replicates at x, less the shift (bootstrap,) that each of them would carry there."""
        check_level(level)
        if not len(self.draws):
            raise AnalysisError("this law has no bootstrap replicates, so no interval; fit it with bootstrap=1000")
        coefficient, exponent, floor, noise = self.draws.T[(..., *([None] * x.ndim))]
        values = coefficient * x**-exponent + floor - shift
        if noise_scale:
            values = values + noise_scale * noise * normal_quantiles(len(self.draws)).reshape(noise.shape)
        low, high = quantiles(values, level)
        return low, high


def fit_power_law(
    x: ArrayLike,
    y: ArrayLike,
    *,
    floor: bool | float = True,
    holdout: int = 0,
    weights: ArrayLike | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    shifts: NDArray | None = None,
) -> PowerLawFit:
    """Fits y = A·x^-α + E with A >= 0, E >= 0 by least squares on y.

    Args:
        x, y: positive numbers (points,), in any order. Values of y at a repeated x count one by one.
        floor: True fits E, a number fixes it (False fixes E = 0).
        holdout: the points at this many of the largest distinct x are left out and predicted instead.
        weights: (points,) inverse variances of y up to a factor; None is noise of one size. For noise in proportion to
            y they are y^-2.
        bootstrap: number of replicates behind the intervals; 0 gives none. Points as many as parameters give none.
        seed: of the replicates.
        shifts: (bootstrap, points) further deviations that replicates of y carry, such as a resampled envelope's. A
            held-out point is compared with replicates that carry its own: what moves all points alike, such as hard
            validation databases, moves the law and the measurement together.

    Raises:
        AnalysisError: if lengths differ, a value is not finite and positive, fewer distinct x are left than the law has
            parameters, bootstrap is neither 0 nor at least 20, or y does not fall with x (a constant is as good).
    """
    check_bootstrap(bootstrap)
    order = np.argsort(np.ravel(x), kind="stable")
    x, y, weights = checked_points(x, y, weights)
    floor = check_floor(floor, y)
    num_parameters = 3 if floor is True else 2
    fitted = split_holdout(x, holdout, num_parameters)
    xs, ys, ws = x[fitted], y[fitted], weights[fitted]
    best = fit_laws(xs, ys[None], ws, floor)
    coefficient, exponent, level, loss = (float(value[0]) for value in best)
    moved = np.zeros((bootstrap, len(x))) if shifts is None else np.asarray(shifts)[:, order]
    law = coefficient * xs**-exponent + level
    total = float(ws @ (ys - np.average(ys, weights=ws)) ** 2)
    if total <= ws.sum() * (1e-12 * y.max()) ** 2 or coefficient == 0 or loss >= total * (1 - 1e-9):
        wanted = "power law" if floor is True else f"power law above the floor {floor:.6g}"
        raise AnalysisError(
            f"y does not fall with x as a {wanted} over [{xs[0]:.6g}, {xs[-1]:.6g}] (from "
            f"{ys[xs == xs[0]].mean():.6g} to {ys[xs == xs[-1]].mean():.6g}): a constant fits as well"
        )
    fit = PowerLawFit(
        coefficient=coefficient,
        exponent=exponent,
        floor=level,
        r2=1.0 - loss / total,
        rmse=float(np.sqrt(np.average((law - ys) ** 2, weights=ws))),
        num_points=int(fitted.sum()),
        x_range=(float(xs[0]), float(xs[-1])),
        draws=law_replicates(xs, law, ws, loss, floor, num_parameters, bootstrap, seed, moved[:, fitted]),
    )
    fit = replace(fit, ci=_parameter_intervals(fit.draws, num_parameters))
    return replace(
        fit,
        extrapolation=_extrapolation(fit, x[~fitted], y[~fitted], weights[~fitted], moved[:, ~fitted]),
        warning=law_warnings(x, xs, fit, floor is True),
    )


def _parameter_intervals(draws: NDArray, num_parameters: int) -> dict[str, tuple[float, float]]:
    if not len(draws):
        return {}
    low, high = quantiles(draws, CI_LEVEL)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(PARAMETERS[:num_parameters])}


def _extrapolation(fit: PowerLawFit, x: NDArray, y: NDArray, weights: NDArray, shifts: NDArray) -> list[dict[str, Any]]:
    points = []
    for at, observed, weight, shift in zip(x.tolist(), y.tolist(), weights.tolist(), shifts.T, strict=True):
        error = float(fit.predict(at)) - observed
        point = {
            "x": at,
            "observed": observed,
            "predicted": observed + error,
            "relative_error": error / observed,
            "excess_error": error / (observed - fit.floor) if observed > fit.floor else None,
            "interval": None,
            "covered": None,
        }
        if len(fit.draws):
            low, high = fit._bounds(np.asarray(at), CI_LEVEL, weight**-0.5, shift)
            point |= {"interval": [float(low), float(high)], "covered": bool(low <= observed <= high)}
        points.append(point)
    return points
