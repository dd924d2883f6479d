"""The best use of a budget under a joint law, and what a target loss needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.bootstrap import quantiles
from analysis.errors import AnalysisError
from analysis.joint_law import JointLawFit
from analysis.power_law import PowerLawFit

Cost = Callable[[NDArray, NDArray], NDArray]
REACH = 1e4  # how far beyond the fitted range of either resource the search goes
NUM_SPLITS = 1200


def compute_frontier(fit: JointLawFit, cost: Cost, budgets: ArrayLike) -> pd.DataFrame:
    """The split (n, s) of each budget with the lowest loss.

    Args:
        cost: (n, s) -> cost, elementwise and rising in s: FLOPs, GPU hours or money.
        budgets: positive, in the unit of cost.

    Returns:
        One row per budget: `budget`, `n`, `s`, `loss`, each of the three with `_low` and `_high` (95 %: the best split
        and its loss under every replicate; NaN without a bootstrap), and `beyond`, whether n or s lies outside the
        fitted range.

    Raises:
        AnalysisError: for a budget that buys nothing within REACH of the fitted range, or a cost that is not rising.
    """
    if np.size(budgets) == 0:
        raise AnalysisError("no budget; name one or more, in the unit of cost")
    rows = []
    n = np.geomspace(fit.n_range[0] / REACH, fit.n_range[1] * REACH, NUM_SPLITS)
    for budget in np.atleast_1d(np.asarray(budgets, dtype=float)):
        if not (np.isfinite(budget) and budget > 0):
            raise AnalysisError(f"a budget is {budget}; it must be a positive number in the unit of cost")
        s = _affordable(fit, cost, n, float(budget))
        can = np.isfinite(s)
        if not can.any():
            raise AnalysisError(
                f"budget {budget:.4g} buys no split within {REACH:g} times the fitted range; the cheapest fitted "
                f"corner costs {float(cost(np.array([fit.n_range[0]]), np.array([fit.s_range[0]]))[0]):.4g}"
            )
        rows.append({"budget": float(budget)} | _best_split(fit, n[can], s[can]))
    return pd.DataFrame(rows)


def required(
    fit: PowerLawFit | JointLawFit, loss: float, cost: Cost | None = None
) -> tuple[float, float, float] | pd.Series:
    """What a loss needs: of one resource for a power law, of the budget for a joint law.

    Returns:
        For a PowerLawFit: x with its 95 % interval (x, low, high); inf where the loss is not above the floor.
        For a JointLawFit: the row of compute_frontier with the smallest budget that reaches the loss.

    Raises:
        AnalysisError: for a loss that the law never reaches, a law without a bootstrap, or a joint law without a cost.
    """
    if not (np.isfinite(loss) and loss > 0):
        raise AnalysisError(f"loss={loss}; a loss to reach is a finite number above 0")
    if isinstance(fit, JointLawFit):
        if cost is None:
            raise AnalysisError("a joint law needs cost=, a function of (n, s), to say which of its splits is cheapest")
        return _cheapest(fit, loss, cost)
    if not len(fit.draws):
        raise AnalysisError("this law has no bootstrap replicates, so no interval; fit it with bootstrap=1000")
    coefficient, exponent, floor, _ = fit.draws.T
    low, high = np.quantile(_invert(coefficient, exponent, floor, loss), [0.025, 0.975], method="nearest")
    at = _invert(*(np.array([v]) for v in (fit.coefficient, fit.exponent, fit.floor)), loss)[0]
    return float(at), float(low), float(high)


def _invert(coefficient: NDArray, exponent: NDArray, floor: NDArray, loss: float) -> NDArray:
    excess = loss - floor
    with np.errstate(over="ignore", divide="ignore"):
        x = (coefficient / np.where(excess > 0, excess, 1.0)) ** (1 / exponent)
    return np.where(excess > 0, x, np.inf)


def _affordable(fit: JointLawFit, cost: Cost, n: NDArray, budget: float) -> NDArray:
    """The s that the rest of the budget buys beside each n, by bisection of log s; NaN where it buys none."""
    low = np.full_like(n, np.log(fit.s_range[0] / REACH))
    high = np.full_like(n, np.log(fit.s_range[1] * REACH))
    can = np.asarray(cost(n, np.exp(low))) <= budget
    if (np.asarray(cost(n, np.exp(high))) < np.asarray(cost(n, np.exp(low)))).any():
        raise AnalysisError("cost falls as s rises; it must rise with s for a budget to bound it")
    for _ in range(60):
        middle = 0.5 * (low + high)
        within = np.asarray(cost(n, np.exp(middle))) <= budget
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return np.where(can, np.exp(low), np.nan)


def _best_split(fit: JointLawFit, n: NDArray, s: NDArray) -> dict[str, float | bool]:
    loss = fit.predict(n, s)
    best = int(loss.argmin())
    row: dict[str, float | bool] = {"n": float(n[best]), "s": float(s[best]), "loss": float(loss[best])}
    ends = dict.fromkeys(("n", "s", "loss"), (np.nan, np.nan))
    if fit.draws:
        losses = fit.replicates(n, s)
        at = losses.argmin(axis=1)
        for name, values in (("n", n[at]), ("s", s[at]), ("loss", losses.min(axis=1))):
            ends[name] = quantiles(values, 0.95)
    for name, (low, high) in ends.items():
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    inside = fit.n_range[0] <= row["n"] <= fit.n_range[1] and fit.s_range[0] <= row["s"] <= fit.s_range[1]
    return row | {"beyond": not inside}


def _cheapest(fit: JointLawFit, loss: float, cost: Cost) -> pd.Series:
    corner = [np.array([end]) for end in (fit.n_range[0] / REACH, fit.s_range[0] / REACH)]
    far = [np.array([end]) for end in (fit.n_range[1] * REACH, fit.s_range[1] * REACH)]
    low, high = float(np.log(cost(*corner)[0])) + 1e-9, float(np.log(cost(*far)[0]))
    point = JointLawFit(**{**fit.__dict__, "draws": {}})  # the search needs no intervals
    if compute_frontier(point, cost, np.exp(high))["loss"][0] > loss:
        raise AnalysisError(f"loss {loss:g} is not reached within {REACH:g} times the fitted range")
    for _ in range(50):
        middle = 0.5 * (low + high)
        reached = compute_frontier(point, cost, np.exp(middle))["loss"][0] <= loss
        low, high = (low, middle) if reached else (middle, high)
    return compute_frontier(fit, cost, np.exp(high)).iloc[0]
