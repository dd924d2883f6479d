"""The report on both resources at once: which joint law the grid supports, its surface, and the best splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.frontier import compute_frontier
from analysis.joint_forms import FORMS
from analysis.joint_law import JointLawFit, fewest_points, fit_joint_law
from analysis.model_choice import compare_forms
from analysis.results import database_loss_rows, loss_rows

NUM_BUDGETS = 9
DATA_STAGE = "corpora and stores"


@dataclass(frozen=True)
class JointSection:
    """The law of the form with the smallest leave-one-out error.

    Attributes:
        points: `n`, `s`, `loss` of the cells that did not diverge.
        comparison: of compare_forms.
        seconds: of this run's machine, for one database and for one token; None where the run did not record them.
        frontier: best splits of budgets in those seconds; None without prices.
    """

    law: JointLawFit
    points: pd.DataFrame
    comparison: pd.DataFrame
    seconds: tuple[float, float] | None
    frontier: pd.DataFrame | None


def joint_section(results: pd.DataFrame, record: dict[str, Any]) -> JointSection | str:
    """The section, or why there is none.

    Args:
        record: run.json; its stage of data is the price of databases.
    """
    rows = loss_rows(results).dropna(subset="value")
    points = rows.rename(columns={"num_databases": "n", "tokens": "s", "value": "loss"})[["n", "s", "loss"]]
    columns = (points["n"], points["s"], points["loss"])
    distinct = len(points[["n", "s"]].drop_duplicates())
    try:
        comparison = compare_forms(*columns, [form for form in FORMS if fewest_points(form) <= distinct])
        law = fit_joint_law(*columns, form=comparison["form"].iloc[0], bootstrap=400)
    except AnalysisError as error:
        return str(error)
    seconds = _prices(results, record)
    return JointSection(law, points, comparison, seconds, _frontier(law, points, seconds))


def _prices(results: pd.DataFrame, record: dict[str, Any]) -> tuple[float, float] | None:
    """Seconds for a database and for a token; the latter of the shortest trainings: longer ones continue others."""
    spent = {stage["name"]: stage["wall_s"] for stage in record.get("stages") or []}
    if not spent.get(DATA_STAGE):
        return None
    rows = loss_rows(results)
    shortest = rows[rows["tokens"] == rows["tokens"].min()]
    databases = int(rows["num_databases"].max()) + database_loss_rows(results)["dataset"].nunique()
    return spent[DATA_STAGE] / databases, float((shortest["wall_s"] / shortest["tokens"]).median())


def _frontier(law: JointLawFit, points: pd.DataFrame, seconds: tuple[float, float] | None) -> pd.DataFrame | None:
    if seconds is None:
        return None

    def price(n: np.ndarray, s: np.ndarray) -> np.ndarray:
        return seconds[0] * n + seconds[1] * s

    low = price(points["n"].min(), points["s"].min())
    high = price(points["n"].max(), points["s"].max())
    try:
        return compute_frontier(law, price, np.geomspace(low, 2 * high, NUM_BUDGETS))
    except AnalysisError:
        return None
