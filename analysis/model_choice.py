"""Which form of a joint law the points support: AICc and leave-one-out errors side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.joint_forms import FORMS
from analysis.joint_law import HUBER_DELTA, JointProblem, checked_joint


def compare_forms(
    n: ArrayLike,
    s: ArrayLike,
    loss: ArrayLike,
    forms: Sequence[str] = tuple(FORMS),
    *,
    delta: float = HUBER_DELTA,
) -> pd.DataFrame:
    """One row per form, best leave-one-out error first.

    Args:
        n, s, loss, delta: as in fit_joint_law.

    Returns:
        `form`, `num_parameters`, `rmse_log` (of the fit), `loo_rmse_log` (each point predicted by the law of all
        others), and `delta_aicc`: AICc above the smallest one. It takes log residuals as Gaussian of one variance, and
        is NaN where points are too few for its correction (parameters + 3).

    Raises:
        AnalysisError: as fit_joint_law, or without any form.
    """
    if not forms:
        raise AnalysisError("no form of a joint law has so few parameters that these points could test it")
    rows = []
    for form in forms:
        problem = JointProblem.of(*checked_joint(n, s, loss, form), form, delta)
        theta = problem.search()
        residual = problem.residual(theta)
        rows.append(
            {
                "form": form,
                "num_parameters": len(theta),
                "rmse_log": float(np.sqrt((residual**2).mean())),
                "loo_rmse_log": float(np.sqrt((leave_one_out(problem, theta) ** 2).mean())),
                "aicc": aicc(residual, len(theta)),
            }
        )
    table = pd.DataFrame(rows).sort_values("loo_rmse_log", ignore_index=True)
    table["delta_aicc"] = table["aicc"] - table["aicc"].min()
    return table.drop(columns="aicc")


def aicc(residual: NDArray, num_parameters: int) -> float:
    """Akaike's criterion with the small-sample correction (Hurvich and Tsai 1989), the variance counted as one more
    parameter; NaN where the correction has no meaning."""
    points, parameters = len(residual), num_parameters + 1
    if points - parameters - 1 <= 0:
        return float("nan")
    fit = points * np.log(max((residual**2).mean(), np.finfo(float).tiny))
    return float(fit + 2 * parameters + 2 * parameters * (parameters + 1) / (points - parameters - 1))


def leave_one_out(problem: JointProblem, theta: NDArray) -> NDArray[np.float64]:
    """(points,) log residuals, each under the law of all other points."""
    points = len(problem.log_loss)
    others = 1.0 - np.eye(points)
    found, _ = problem.refit(np.tile(theta, (points, 1)), np.tile(problem.log_loss, (points, 1)), others)
    return np.array([problem.residual(one)[at] for at, one in enumerate(found)])
