"""The noise of a loss against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.loss_noise import loss_noise, noise_in_words


def results(losses: dict[tuple[int, int, int], np.ndarray]) -> pd.DataFrame:
    """Rows of {(N, S, seed): loss of each database}."""
    rows = []
    for (n, s, seed), values in losses.items():
        cell = dict(run="r", num_databases=n, tokens=s, seed=seed, split="val", metric="loss", task="")
        rows.append(cell | {"dataset": "synthetic-val", "value": values.mean()})
        rows += [cell | {"dataset": f"db-{i}", "value": value} for i, value in enumerate(values)]
    return pd.DataFrame(rows)


def test_interval_is_that_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 0.1, 400)
    noise = loss_noise(results({(1, 10, 0): values})).iloc[0]
    error = values.std(ddof=1) / np.sqrt(400)
    assert noise["loss"] == pytest.approx(values.mean())
    assert (noise["upper"] - noise["lower"]) / 2 == pytest.approx(1.96 * error, rel=0.06)


def test_distance_to_the_best_cell_pairs_databases() -> None:
    """Two cells that differ by a constant on each database: the distance has no noise at all."""
    values = np.random.default_rng(1).normal(0.4, 0.1, 30)
    noise = loss_noise(results({(1, 10, 0): values + 0.02, (2, 10, 0): values}))
    np.testing.assert_allclose(noise[["above_best", "above_best_lower", "above_best_upper"]].iloc[0], 0.02)
    assert (noise["above_best"].iloc[1], noise["above_best_upper"].iloc[1]) == (0, 0)
    assert "±0.0000" in noise_in_words(noise)


def test_seeds_are_averaged_and_their_spread_is_given() -> None:
    values = np.full(5, 0.4)
    noise = loss_noise(results({(1, 10, 0): values, (1, 10, 1): values + 0.02})).iloc[0]
    assert noise["loss"] == pytest.approx(0.41) and noise["num_seeds"] == 2
    assert noise["seed_sd"] == pytest.approx(0.02 / np.sqrt(2))
    assert noise["upper"] == pytest.approx(noise["lower"])


def test_needs_losses_of_single_databases() -> None:
    rows = results({(1, 10, 0): np.array([0.4])})
    with pytest.raises(AnalysisError, match="single held-out databases"):
        loss_noise(rows[rows["dataset"] == "synthetic-val"])


def test_a_seed_that_diverged_makes_the_cell_unknown() -> None:
    values, lost = np.full(4, 0.4), np.full(4, np.nan)
    noise = loss_noise(results({(1, 10, 0): values, (1, 10, 1): lost, (2, 10, 0): values + 0.1})).set_index(
        "num_databases"
    )
    assert noise.loc[1, ["loss", "lower", "above_best"]].isna().all() and noise.loc[1, "num_seeds"] == 2
    assert noise.loc[2, "above_best"] == 0
    with pytest.raises(AnalysisError, match="every cell of the grid diverged"):
        loss_noise(results({(1, 10, 0): lost}))


def test_a_cell_without_single_databases_is_named() -> None:
    rows = results({(1, 10, 0): np.array([0.4]), (2, 10, 0): np.array([0.4])})
    with pytest.raises(AnalysisError, match="at N = 2, S = 10"):
        loss_noise(rows[(rows["dataset"] == "synthetic-val") | (rows["num_databases"] == 1)])
