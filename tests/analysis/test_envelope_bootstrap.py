"""Replicates of the envelope follow the databases and seeds, and say which of its points are luck."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.envelope import lower_envelope
from analysis.envelope_bootstrap import describe_envelope, fit_envelope

NUM_DATABASES, TOKENS = [1, 2, 4, 8, 16], [32768, 65536, 131072, 262144]


def run_with_databases(make_grid: Callable, losses: np.ndarray, deviations: np.ndarray) -> pd.DataFrame:
    """Losses (N, S) and those of single databases: losses + deviations[d] (N, S); the mean row is their mean."""
    single = [make_grid(losses + d, NUM_DATABASES, TOKENS).assign(dataset=f"db-{i}") for i, d in enumerate(deviations)]
    return pd.concat([make_grid(losses + deviations.mean(axis=0), NUM_DATABASES, TOKENS), *single])


@pytest.fixture
def losses() -> np.ndarray:
    n, s = np.array(NUM_DATABASES)[:, None], np.array(TOKENS)[None, :] / 1e5
    return 0.385 + 0.05 * n**-0.6 + 0.04 * s**-0.7 + 0.03 * s / n**2


def test_databases_that_agree_leave_no_doubt(make_grid: Callable, losses: np.ndarray) -> None:
    table = describe_envelope(run_with_databases(make_grid, losses, np.zeros((5, *losses.shape))))
    np.testing.assert_allclose(table["low"], table["loss"])
    np.testing.assert_allclose(table["high"], table["loss"])
    assert (table["support"] == 1).all()
    ordered = np.sort(losses, axis=1)
    np.testing.assert_allclose(table["gap"], ordered[:, 1] - ordered[:, 0])
    assert table["bracketed"].tolist() == [bool(line.argmin() < 3) for line in losses]


def test_spread_of_databases_is_the_standard_error_of_their_mean(make_grid: Callable, losses: np.ndarray) -> None:
    levels = np.random.default_rng(0).normal(size=40) * 0.01
    results = run_with_databases(make_grid, losses, np.broadcast_to(levels[:, None, None], (40, *losses.shape)))
    table = describe_envelope(results, bootstrap=4000)
    width = 2 * 1.96 * levels.std() / np.sqrt(40)
    np.testing.assert_allclose(table["high"] - table["low"], width, rtol=0.06)
    fit = fit_envelope(results, bootstrap=500)
    low, high = fit.ci["floor"]
    assert high - low > 0.8 * width  # the level of the databases is part of the floor's interval
    alone = run_with_databases(make_grid, losses, np.zeros((1, *losses.shape)))
    assert fit_envelope(alone, bootstrap=500).ci["exponent"][0] < fit.exponent < fit.ci["exponent"][1]


def test_a_cell_that_is_best_by_luck_has_little_support(make_grid: Callable, losses: np.ndarray) -> None:
    deviations = np.zeros((6, *losses.shape))
    at = losses[0].argmin()
    other = (at + 1) % losses.shape[1]
    deviations[0, 0, other] = 6 * (losses[0, at] - losses[0, other]) - 0.003  # one database alone makes it the best
    table = describe_envelope(run_with_databases(make_grid, losses, deviations))
    assert table["tokens"][0] == TOKENS[other]
    assert table["support"][0] == pytest.approx(1 - (5 / 6) ** 6, abs=0.05)
    assert (table["support"][1:] == 1).all()


def test_seeds_widen_the_envelope_and_diverged_lines_stay_out(make_grid: Callable, losses: np.ndarray) -> None:
    losses[2] = np.nan
    seeds = [make_grid(losses + 0.01 * seed, NUM_DATABASES, TOKENS, seed=seed) for seed in range(3)]
    table = describe_envelope(pd.concat(seeds))
    np.testing.assert_allclose(table["loss"], lower_envelope(pd.concat(seeds))["loss"])
    firm = table["x"] != 4
    np.testing.assert_allclose((table["high"] - table["low"])[firm], 0.02, atol=0.004)
    assert table.loc[~firm, ["loss", "low", "high", "support"]].isna().all(axis=None)


def test_the_same_seed_gives_the_same_law(make_grid: Callable, losses: np.ndarray) -> None:
    results = make_grid(losses, NUM_DATABASES, TOKENS)
    assert fit_envelope(results, "tokens", bootstrap=100).ci == fit_envelope(results, "tokens", bootstrap=100).ci
    assert fit_envelope(results, bootstrap=0).ci == {}


@pytest.mark.parametrize("over", ["num_databases", "tokens"])
def test_a_cell_that_one_seed_has_not_reached_leaves_the_intervals_as_they_are(
    make_grid: Callable, losses: np.ndarray, over: str
) -> None:
    """Seeds with the same losses: which of them are there changes nothing."""
    deviations = 0.01 * np.random.default_rng(1).normal(size=(12, *losses.shape))
    whole = pd.concat([run_with_databases(make_grid, losses, deviations).assign(seed=seed) for seed in range(3)])
    late = (whole["num_databases"] >= 8) & (whole["seed"] == 2)
    table = describe_envelope(whole[~late], over, bootstrap=200)
    pd.testing.assert_frame_equal(table, describe_envelope(whole, over, bootstrap=200))
    partly, wholly = (fit_envelope(results, over, bootstrap=200).ci for results in (whole[~late], whole))
    for name, ends in wholly.items():
        assert partly[name] == pytest.approx(ends, rel=1e-6)


def test_a_late_seed_moves_a_cell_only_where_it_has_been(make_grid: Callable, losses: np.ndarray) -> None:
    seeds = [make_grid(losses + 0.01 * seed, NUM_DATABASES, TOKENS, seed=seed) for seed in range(2)]
    results = pd.concat([seeds[0], seeds[1][seeds[1]["num_databases"] > 4]])
    table = describe_envelope(results)
    np.testing.assert_allclose((table["high"] - table["low"]).to_numpy(), [0, 0, 0, 0.01, 0.01], atol=1e-9)


def test_the_best_cell_is_bracketed_by_what_was_measured_after_it(make_grid: Callable) -> None:
    nan = np.nan
    staircase = [[0.5, 0.6, nan, nan], [0.5, 0.4, nan, nan], [0.5, 0.4, 0.3, nan], [nan] * 4, [0.5, 0.3, 0.4, 0.5]]
    table = describe_envelope(make_grid(np.array(staircase), NUM_DATABASES, TOKENS), bootstrap=20)
    assert table["bracketed"].tolist() == [True, False, False, False, True]
