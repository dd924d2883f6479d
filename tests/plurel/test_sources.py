"""Sources and noise against their formulas, row by row, and their distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from plurel import Choices
from plurel.config import Config, SCMParams
from plurel.sources import SOURCES, categories, series

UNIT = {"ts_value_scale_choices": Choices("set", (1,))}


@pytest.mark.parametrize("is_activity", [True, False])
def test_series_equal_the_formulas_row_by_row(is_activity: bool) -> None:
    """Trend, cycle and autoregressive noise, one row at a time; the same draws in the same order."""
    params, rows = SCMParams(), 120
    for seed in range(30):
        rng = np.random.default_rng(seed)
        low, high = sorted(rng.random(2) * params.ts_value_scale_choices.draw(rng))
        trend_scale = params.activity_table_ts_trend_scale_choices.draw(rng) if is_activity else 0
        cycle_scale = params.activity_table_ts_cycle_scale_choices.draw(rng) if is_activity else 0
        alpha = params.ts_trend_alpha_choices.draw(rng)
        period = math.ceil(rows * params.ts_cycle_freq_perc_choices.draw(rng))
        rho = params.ts_ar_rho_choices.draw(rng)
        shocks = rng.normal(0, 0.05 if is_activity else 1.0, rows)
        expected, state = [], 0.0
        for i in range(rows):
            state = rho * state + shocks[i]
            trend = min(trend_scale * (i / rows) ** alpha + low, high)
            cycle = min(max(cycle_scale * math.sin(math.pi * i / period), low), high)
            expected.append((trend + cycle + min(max(state, low), high)) / 3)
        np.testing.assert_allclose(series(rows, is_activity, params, np.random.default_rng(seed)), expected, atol=1e-12)


def test_series_of_activity_tables_move_and_of_the_papers_entity_tables_are_noise() -> None:
    params = Config.preset("paper").scm_params
    smooth, rough = [], []
    for seed in range(200):
        activity = series(400, True, params, np.random.default_rng(seed))
        entity = series(400, False, params, np.random.default_rng(seed))
        assert np.abs(activity).max() <= 1
        smooth.append(np.corrcoef(activity[:-1], activity[1:])[0, 1] if activity.std() > 0 else np.nan)
        rough.append(np.corrcoef(entity[:-1], entity[1:])[0, 1])
    assert np.nanmedian(smooth) > 0.5
    assert abs(np.nanmedian(rough)) < 0.02


def limits(seed: int) -> tuple[float, float]:
    """What a source draws first: two sorted U(0, 1), scale 1 drawn from a set of one."""
    return tuple(np.sort(np.random.default_rng(seed).random(2)))


def test_independent_sources_have_their_distributions() -> None:
    fixed = {"source_beta_alpha_choices": Choices("set", (2.0,)), "source_beta_beta_choices": Choices("set", (3.0,))}
    params = SCMParams(**UNIT, **fixed)
    pvalues = []
    for seed in range(20):
        low, high = limits(seed)
        drawn = {name: SOURCES[name](3000, True, params, np.random.default_rng(seed)) for name in SOURCES}
        pvalues.append(stats.kstest(drawn["uniform"], stats.uniform(low, high - low).cdf).pvalue)
        pvalues.append(stats.kstest(drawn["beta"], stats.beta(2, 3, low, high - low).cdf).pvalue)
        inside = drawn["gaussian"][(drawn["gaussian"] > low) & (drawn["gaussian"] < high)]
        pvalues.append(stats.kstest((inside - (low + high) / 2) * 4 / (high - low), stats.truncnorm(-2, 2).cdf).pvalue)
        assert len(inside) == pytest.approx(0.9545 * 3000, abs=80)
        assert 0 <= drawn["mixed"].min() <= drawn["mixed"].max() <= 1
    assert min(pvalues) > 1e-4


def test_categories_follow_the_softmax_of_flat_series() -> None:
    params = SCMParams(source_gen_type_choices=Choices("set", ("ts",)), **UNIT)
    drawn = categories(20_000, 4, False, params, np.random.default_rng(0))
    assert set(np.unique(drawn)) == {0, 1, 2, 3}
    assert np.bincount(drawn).min() > 0.15 * 20_000  # series within [0, 1] move odds by less than a factor e


def test_categories_of_other_sources_follow_dirichlet_probabilities() -> None:
    params = SCMParams(source_gen_type_choices=Choices("set", ("beta",)))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rng.random()  # the choice of the source
        expected = 5000 * rng.dirichlet(np.ones(4))
        observed = np.bincount(categories(5000, 4, False, params, np.random.default_rng(seed)), minlength=4)
        assert stats.chisquare(observed, expected).pvalue > 1e-4
