"""Trust in a model: against a search over all values, and on models that are known to be right or noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from experiments.baselines.trivial import baseline_predictions
from experiments.calibration import PRIOR_LABELS, PRIOR_TRUST, calibrated_predictions, trust
from experiments.contexts import TaskContexts
from rfm.model import ModelConfig
from rfm.module import new_model

SIZES = ModelConfig(num_blocks=1, d_model=16, num_heads=2, d_ff=16, d_text=64, label_history=True)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), num_labels=st.integers(0, 200), variance=st.floats(0.1, 20))
def test_trust_is_the_best_of_all(seed: int, num_labels: int, variance: float) -> None:
    rng = np.random.default_rng(seed)
    forecast, answer, label = rng.normal(size=(3, num_labels))

    def loss(part: float) -> float:
        prior = PRIOR_LABELS * variance * (part - PRIOR_TRUST) ** 2
        return float(((label - forecast - part * (answer - forecast)) ** 2).sum() + prior)

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    assert trust(forecast, answer, label, variance) == pytest.approx(best.x, abs=1e-5)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_noise_is_not_trusted_and_truth_is(noise: float) -> None:
    rng = np.random.default_rng(0)
    label = rng.normal(size=500)
    answer = noise * rng.normal(size=500) + (1 - noise) * label
    found = trust(np.zeros(500), answer, label, 1.0)
    assert found < 0.1 if noise else found > 0.95


def test_a_new_model_is_its_forecast_and_calibration_keeps_it(open_shop, shop_tables) -> None:
    _, store, texts = open_shop(shop_tables)
    how = TaskContexts("temporal", "mixed", 32, 128, 16, 0)
    regression = baseline_predictions(store, "user-spend", "temporal")["label_regression"]
    found = calibrated_predictions(new_model(SIZES, 0), store, texts, "user-spend", how, regression, progress=False)
    for split in ("val", "test"):
        np.testing.assert_allclose(found[split], regression[split])
    other = {split: prediction + 1 for split, prediction in regression.items()}
    found = calibrated_predictions(new_model(SIZES, 0), store, texts, "user-spend", how, other, progress=False)
    part = found["test"] - regression["test"]
    np.testing.assert_allclose(part, PRIOR_TRUST)  # a model that adds nothing to train labels says nothing of itself
