"""Published laws beside our fits of the same points: a table.

    python -m experiments.benchmarks.refits

The paper's Figure 1 (free fit, last point held out), Cerebras-GPT over training FLOPs (all runs, and without the
largest), and Gadre et al. on C4 over parameters and tokens (runs of at least 20 tokens per parameter).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.joint_law import JointLawFit, fit_joint_law
from analysis.language_models import CEREBRAS_GPT, GADRE_C4, cerebras_gpt_runs, gadre_c4_runs
from analysis.power_law import PowerLawFit, fit_power_law
from analysis.published import PAPER_LAWS, PublishedLaw, paper_points

LEAST_RATIO = 19  # tokens per parameter, a little below the 20 of the runs that are meant


def power_rows(name: str, published: PublishedLaw, fit: PowerLawFit) -> Iterator[dict[str, object]]:
    """One row per parameter; the fit's x is in the unit of the published law."""
    for parameter in ("coefficient", "exponent", "floor"):
        yield _row(name, parameter, getattr(published, parameter), getattr(fit, parameter), fit.ci[parameter])


def joint_rows(name: str, fit: JointLawFit) -> Iterator[dict[str, object]]:
    """One row per parameter of the law of Gadre et al."""
    for parameter, value in fit.parameters.items():
        yield _row(name, parameter, getattr(GADRE_C4, parameter), value, fit.ci[parameter])


def refits() -> pd.DataFrame:
    """`points`, `parameter`, `published`, `fitted`, `low`, `high` (95 %), `inside`."""
    rows: list[dict[str, object]] = []
    for axis, law in PAPER_LAWS.items():
        points = paper_points(axis)
        rows += power_rows(f"paper, {axis}", law, fit_power_law(points["x"] / law.unit, points["loss"], holdout=1))
    runs = cerebras_gpt_runs()
    for name, holdout in (("all 7 runs", 0), ("without 13B", 1)):
        fit = fit_power_law(runs["flops"] / CEREBRAS_GPT.unit, runs["loss"], holdout=holdout)
        rows += power_rows(f"Cerebras-GPT, {name}", CEREBRAS_GPT, fit)
    runs = gadre_c4_runs()
    runs = runs[runs["tokens"] > LEAST_RATIO * runs["params"]]
    columns = (runs["params"], runs["tokens"], runs["loss"])
    for name, delta in (("Huber", 1e-3), ("least squares", np.inf)):
        rows += joint_rows(f"Gadre, C4, {len(runs)} runs, {name}", fit_joint_law(*columns, delta=delta))
    return pd.DataFrame(rows)


def _row(name: str, parameter: str, published: float, fitted: float, ci: tuple[float, float]) -> dict[str, object]:
    ends = {"low": ci[0], "high": ci[1], "inside": ci[0] <= published <= ci[1]}
    return {"points": name, "parameter": parameter, "published": published, "fitted": fitted} | ends


def main() -> None:
    print(refits().to_string(index=False, float_format="{:.4g}".format))


if __name__ == "__main__":
    main()
