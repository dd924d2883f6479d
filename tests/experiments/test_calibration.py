"""Trust in a model: against a search over all values, and on models that are known to be right or noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import experiments.calibration as calibration_module
from experiments.baselines.trivial import label_regression
from experiments.calibration import PRIOR_LABELS, PRIOR_TRUST, Calibration, draw_back, trust
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


@pytest.mark.parametrize("num_labels", [0, 3])
@pytest.mark.parametrize("variance", [0.0, float("nan")])
def test_without_anything_to_go_by_trust_is_the_prior(num_labels: int, variance: float) -> None:
    """No label, or labels that are all the same and a model that says so."""
    same = np.ones(num_labels)
    assert trust(same, same, same, variance) == PRIOR_TRUST


def test_a_new_model_says_nothing_of_itself(open_shop, shop_tables) -> None:
    """It answers label regression's forecast, so that trust stays what it is without a label."""
    _, store, texts = open_shop(shop_tables)
    how = TaskContexts("temporal", "mixed", 32, 128, 16, 0)
    calibration = Calibration.of_task(store, "user-spend", how)
    assert calibration.trust_in(new_model(SIZES, 0), texts, progress=False) == pytest.approx(PRIOR_TRUST)


@pytest.mark.parametrize("error", [0.0, 3.0])
def test_trust_is_in_the_answers_to_the_latest_train_labels(open_shop, shop_tables, monkeypatch, error: float) -> None:
    """A model that knows the labels is trusted, one that is wrong by much is not; no later label is looked at."""
    _, store, texts = open_shop(shop_tables)
    target = store.task_targets("user-spend", "train")
    monkeypatch.setattr(calibration_module, "NUM_LABELS", 5)
    monkeypatch.setattr(calibration_module, "PRIOR_LABELS", 1e-9)
    asked = []

    def predict(model: object, store: object, texts: object, task: str, split: str, *, chosen: np.ndarray, **_):
        asked.append((split, chosen))
        return target[chosen] + error * store.target_std(task) * (-1) ** np.arange(len(chosen))

    monkeypatch.setattr(calibration_module, "predict_task", predict)
    how = TaskContexts("temporal", "mixed", 32, 128, 16, 0)
    calibration = Calibration.of_task(store, "user-spend", how)
    found = calibration.trust_in(None, texts)
    assert found == pytest.approx(1.0) if error == 0 else found < 0.6
    ((split, chosen),) = asked
    forecast = label_regression(store, store.tasks["user-spend"], "train", "temporal")[chosen]
    np.testing.assert_array_equal(calibration.forecast, forecast)  # as if all rows had been asked about
    added = target[chosen] + error * store.target_std("user-spend") * (-1) ** np.arange(5) - forecast
    (slope,), *_ = np.linalg.lstsq(added[:, None], target[chosen] - forecast, rcond=None)
    assert found == pytest.approx(np.clip(slope, 0, 1))
    time = store.row_time[store.task_rows("user-spend", "train")]
    known = np.flatnonzero(~np.isnan(target))
    assert split == "train" and len(chosen) == 5 and set(chosen) <= set(known)
    assert time[chosen].min() >= np.sort(time[known])[-5]


def test_trust_mixes_forecast_and_answer() -> None:
    forecast, answer = np.array([1.0, 2.0]), np.array([3.0, -2.0])
    np.testing.assert_allclose(draw_back(forecast, answer, 0.25), [1.5, 1.0])
