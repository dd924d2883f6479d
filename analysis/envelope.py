"""The lower envelope of a grid: what the paper fits its laws to (section 2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.results import loss_grid

Axis = Literal["num_databases", "tokens"]
OTHER_AXIS: dict[str, Axis] = {"num_databases": "tokens", "tokens": "num_databases"}


def lower_envelope(results: pd.DataFrame, over: Axis = "num_databases") -> pd.DataFrame:
    """For each value of one axis the best validation loss over the other one.

    Args:
        results: tidy rows of one run.
        over: the axis that stays.

    Returns:
        One row per value, rising: `x` (the value), `loss` (mean over seeds), and the other axis' name with the
        coordinate where it was reached (the smallest on a tie; <NA> with a NaN loss if every cell of x diverged).

    Raises:
        AnalysisError: for another axis, or results without a validation loss.
    """
    if over not in OTHER_AXIS:
        raise AnalysisError(f"over={over!r} is no axis of the grid; choose num_databases or tokens")
    grid = loss_grid(results)
    if over == "tokens":
        grid = grid.T
    loss = grid.to_numpy(dtype=float)
    best = np.where(np.isnan(loss), np.inf, loss).argmin(axis=1)  # argmin takes the first: the cheapest on a tie
    values = loss[np.arange(len(loss)), best]
    other = pd.array(grid.columns.to_numpy()[best], dtype="Int64")
    other[np.isnan(values)] = pd.NA
    return pd.DataFrame({"x": grid.index.to_numpy(), "loss": values, OTHER_AXIS[over]: other})
