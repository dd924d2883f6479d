"""How sure a validation loss is: spread over the held-out databases, and between seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.results import VALIDATION_DATASET, loss_rows

REPLICATES = 2000


def loss_noise(results: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """One row per (N, S), by bootstrap over the held-out databases, the same ones drawn for all cells.

    Returns:
        `num_databases`, `tokens`, `loss` (mean over databases and seeds), `lower`, `upper` (95 %), `above_best` (the
        distance to the lowest loss of the grid) with `above_best_lower`, `above_best_upper`, which pairs databases and
        so is far surer than the loss itself; `num_seeds` and `seed_sd` (ddof=1; NaN with one seed).

    Raises:
        AnalysisError: if the results hold no loss of single databases.
    """
    means = loss_rows(results)
    cells = means.groupby(["num_databases", "tokens"])["value"].agg(["mean", "std", "size"])
    rows = results[(results["metric"] == "loss") & (results["dataset"] != VALIDATION_DATASET)]
    single = rows.groupby(["num_databases", "tokens", "dataset"])["value"].mean().unstack("dataset")
    if single.empty:
        raise AnalysisError("no loss of single held-out databases: the noise of their mean is unknown")
    losses = single.loc[cells.index].to_numpy()  # (cells, databases)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
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
