"""Published runs of language models, fitted again, give the published laws, or say where the points leave them open."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from analysis.joint_law import JointLawFit, fit_joint_law
from analysis.language_models import CEREBRAS_GPT, GADRE_C4, cerebras_gpt_runs, gadre_c4_runs
from analysis.power_law import fit_power_law


def test_cerebras_gpt_gives_its_published_law_without_a_floor_being_shown() -> None:
    runs = cerebras_gpt_runs()
    fit = fit_power_law(runs["flops"], runs["loss"])
    assert fit.exponent == pytest.approx(CEREBRAS_GPT.exponent, rel=0.01)
    assert fit.floor == pytest.approx(CEREBRAS_GPT.floor, rel=0.015)
    assert fit.coefficient_per(CEREBRAS_GPT.unit) == pytest.approx(CEREBRAS_GPT.coefficient, rel=0.015)
    assert fit.ci["exponent"][0] < CEREBRAS_GPT.exponent < fit.ci["exponent"][1]
    assert "a floor is not shown" in fit.warning
    ahead = fit_power_law(runs["flops"], runs["loss"], holdout=1)
    assert ahead.extrapolation[0]["covered"] and abs(ahead.extrapolation[0]["relative_error"]) < 0.02


def test_five_runs_by_the_recipe_of_gadre_give_their_published_digits() -> None:
    """Independent of our fits: scipy, one exponent for both resources, the five runs that the authors name."""
    runs = gadre_c4_runs()
    ratio = (runs["tokens"] / runs["params"]).round()
    small = runs["params"] < 1e9
    five = runs[small & (ratio == 20) | (runs["params"] < 2e7) & (ratio == 320)]
    assert len(five) == 5
    n, s, loss = (five[name].to_numpy() for name in ("params", "tokens", "loss"))

    def residual(p: np.ndarray) -> np.ndarray:
        return p[0] + np.exp(p[1]) * n ** -p[3] + np.exp(p[2]) * s ** -p[3] - loss

    found = least_squares(residual, (1.5, 5.0, 5.0, 0.25), xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=10_000).x
    assert found[0] == pytest.approx(GADRE_C4.E, abs=0.005)
    assert found[3] / 2 == pytest.approx(GADRE_C4.alpha / 2, abs=5e-4)
    # Their A and B as printed follow from the rounded exponent, so they agree to one percent only.
    assert np.exp(found[1:3]) == pytest.approx((GADRE_C4.A, GADRE_C4.B), rel=0.01)


@pytest.fixture(scope="module")
def gadre_fit() -> JointLawFit:
    """Of the runs with at least 20 tokens per parameter, as their law is."""
    runs = gadre_c4_runs()
    runs = runs[runs["tokens"] > 19 * runs["params"]]
    assert len(runs) == 26
    return fit_joint_law(runs["params"], runs["tokens"], runs["loss"])


def test_published_law_of_gadre_lies_in_the_intervals_of_all_runs(gadre_fit: JointLawFit) -> None:
    for name, (low, high) in gadre_fit.ci.items():
        assert low < getattr(GADRE_C4, name) < high, name
    low, high = np.quantile(gadre_fit.draws["alpha"] - gadre_fit.draws["beta"], [0.025, 0.975])
    assert low < 0 < high  # one exponent for both resources, which they assume, is not refuted


def test_small_runs_of_gadre_promise_too_much_at_seven_billion_parameters() -> None:
    runs = gadre_c4_runs()
    small = runs[(runs["tokens"] > 19 * runs["params"]) & (runs["params"] < 1e9)]
    fit = fit_joint_law(small["params"], small["tokens"], small["loss"])
    _, low, high = fit.predict(1_439_795_200, 80 * 1_439_795_200, interval=0.95)
    assert low < 2.4724 < high
    largest = runs.iloc[-1]
    _, _, high = fit.predict(largest["params"], largest["tokens"], interval=0.95)
    assert high < largest["loss"]
