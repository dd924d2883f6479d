"""How sure a validation loss is: spread over the held-out databases, and between seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.results import database_loss_rows, loss_rows

REPLICATES = 2000


def loss_noise(results: pd.DataFrame) -> pd.DataFrame:
    """One row per (N, S), by bootstrap over the held-out databases, the same ones drawn for all cells.

    Returns:
        `num_databases`, `tokens`, `loss` (mean over databases and seeds), `lower`, `upper` (95 %), `above_best` (the
        distance to the lowest loss of the grid) with `above_best_lower`, `above_best_upper`, which pairs databases and
        so is far surer than the loss itself; `num_seeds` and `seed_sd` (ddof=1; NaN with one seed). NaN where a seed
        diverged.

    Raises:
        AnalysisError: if a cell has no loss of single databases, or every cell diverged.
    """
    cell = ["num_databases", "tokens"]
    groups = loss_rows(results).groupby(cell)["value"]
    cells = pd.DataFrame({"mean": groups.agg(_mean), "std": groups.std(), "size": groups.size()})
    single = database_loss_rows(results).groupby([*cell, "dataset"])["value"].agg(_mean).unstack("dataset")
    if unknown := set(cells.index) - set(single.index):
        where = "N = {}, S = {}".format(*min(unknown))
        raise AnalysisError(f"no loss of single held-out databases at {where}: the noise of their mean is unknown")
    if cells["mean"].isna().all():
        raise AnalysisError("every cell of the grid diverged (its loss is NaN); try a smaller learning rate")
    losses = single.loc[cells.index].to_numpy()  # (cells, databases)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(0)))
    drawn = rng.integers(0, losses.shape[1], (REPLICATES, losses.shape[1]))
    replicates = losses[:, drawn].mean(axis=2)  # (cells, replicates)
    above = replicates - replicates[int(np.nanargmin(cells["mean"]))]
    lower, upper = np.percentile(replicates, [2.5, 97.5], axis=1)
    above_lower, above_upper = np.percentile(above, [2.5, 97.5], axis=1)
    found = cells.reset_index()[["num_databases", "tokens"]]
    return found.assign(
        loss=cells["mean"].to_numpy(),
        lower=lower,
        upper=upper,
        above_best=cells["mean"].to_numpy() - np.nanmin(cells["mean"]),
        above_best_lower=above_lower,
        above_best_upper=above_upper,
        num_seeds=cells["size"].to_numpy(),
        seed_sd=cells["std"].to_numpy(),
    )


def _mean(values: pd.Series) -> float:
    """NaN if one of them is: a seed that diverged is no better than its neighbours."""
    return values.mean(skipna=False)


def noise_in_words(noise: pd.DataFrame) -> str:
    """One line: medians over the cells."""
    level = ((noise["upper"] - noise["lower"]) / 2).median()
    others = noise[noise["above_best"] > 0]
    paired = ((others["above_best_upper"] - others["above_best_lower"]) / 2).median()
    text = f"noise of a loss, 95 % by bootstrap over the held-out databases: ±{level:.4f}"
    if len(others):
        text += f"; of its distance to the best cell on the same databases: ±{paired:.4f}"
    if noise["seed_sd"].notna().any():
        text += f"; standard deviation between seeds: {noise['seed_sd'].median():.4f}"
    return text
