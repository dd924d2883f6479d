"""How far the floor decides the exponent: the fits with every floor, and which of them the points allow.

A profile holds one parameter and fits the rest. Values whose best sum of squares exceeds the smallest one by no more
than the F quantile allows form a 95 % interval (Bates and Watts 1988, chapter 6), whatever the scale of the parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.fit_checks import checked_points
from analysis.variable_projection import EXPONENT_BOUNDS, fit_laws, project

NUM_FLOORS = 400
NUM_EXPONENTS = 2000


@dataclass(frozen=True)
class FloorProfile:
    """Laws with a given floor beside the free one.

    Attributes:
        table: one row per floor, rising: `floor`, `exponent`, `coefficient`, `rmse`, and `allowed`, whether the pair
            (exponent, floor) lies in the joint 95 % region.
        floor, exponent: of the free fit.
        floor_interval, exponent_interval: 95 % profile intervals; an end at a bound of the search is the bound.
    """

    table: pd.DataFrame
    floor: float
    exponent: float
    floor_interval: tuple[float, float]
    exponent_interval: tuple[float, float]

    def __repr__(self) -> str:
        (low, high), (least, most) = self.floor_interval, self.exponent_interval
        allowed = self.table[self.table["allowed"]]
        return (
            f"floor {self.floor:.4g} ({low:.4g} to {high:.4g}), "
            f"exponent {self.exponent:.4g} ({least:.4g} to {most:.4g}); "
            f"jointly from floor {allowed['floor'].iloc[0]:.4g} with exponent {allowed['exponent'].iloc[0]:.3g} "
            f"to floor {allowed['floor'].iloc[-1]:.4g} with exponent {allowed['exponent'].iloc[-1]:.3g}"
        )


def profile_floor(x: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95) -> FloorProfile:
    """The profile of (exponent, floor) of y = A·x^-α + E.

    Args:
        x, y, weights: as in fit_power_law.

    Raises:
        AnalysisError: for bad points, for fewer than four of them, since the noise must be estimated too, or for points
            that do not fall.
    """
    from scipy.stats import f as f_distribution

    x, y, weights = checked_points(x, y, weights)
    freedom = len(x) - 3
    if freedom < 1 or len(np.unique(x)) < 3:
        raise AnalysisError(f"{len(x)} points at {len(np.unique(x))} distinct x; a profile needs 4 points at 3 x")
    free = fit_laws(x, y[None], weights)
    best = float(free.loss[0])
    if free.coefficient[0] == 0 or np.ptp(y) == 0:
        raise AnalysisError("y does not fall with x: no power law fits better than a constant, and there is no profile")
    steps = np.append(0.0, np.geomspace(1e-4, 1, NUM_FLOORS // 2))
    floor = float(free.floor[0])  # noise may leave points below the floor: the search goes on to the mean of y
    floors = np.unique(np.append(floor * (1 - steps), floor + (y.mean() - floor) * steps))
    laws = fit_laws(x, y - floors[:, None], weights, floor=0.0)  # a given floor is a law without one of what is above

    def within(losses: NDArray, parameters: int) -> NDArray[np.bool_]:
        return losses <= best * (1 + parameters / freedom * f_distribution.ppf(level, parameters, freedom))

    table = pd.DataFrame(
        {
            "floor": floors,
            "exponent": laws.exponent,
            "coefficient": laws.coefficient,
            "rmse": np.sqrt(laws.loss / weights.sum()),
            "allowed": within(laws.loss, 2),
        }
    )
    exponents = np.unique(np.append(np.geomspace(*EXPONENT_BOUNDS, NUM_EXPONENTS), free.exponent))
    log_x = np.log(x) - np.log(x).mean()
    by_exponent = project(exponents, log_x, y, weights).loss
    return FloorProfile(
        table=table,
        floor=floor,
        exponent=float(free.exponent[0]),
        floor_interval=_span(floors[within(laws.loss, 1)]),
        exponent_interval=_span(exponents[within(by_exponent, 1)]),
    )


def _span(values: NDArray) -> tuple[float, float]:
    return float(values.min()), float(values.max())
