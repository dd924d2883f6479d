"""Bootstrap intervals against a plain loop with the metrics of scikit-learn, and against theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from experiments.intervals import _scores, _weights, bootstrap_intervals
from rfm.metrics import score


@pytest.mark.parametrize("task_type", ["binary_classification", "multiclass_classification", "regression"])
def test_weighted_metrics_are_those_of_the_drawn_rows(task_type: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = int(rng.integers(5, 40))
        num_classes = {"binary_classification": 2, "multiclass_classification": 3}.get(task_type)
        target = rng.integers(0, num_classes, n).astype(float) if num_classes else rng.normal(size=n)
        prediction = np.round(rng.normal(size=(n, 3) if num_classes == 3 else n), 1)  # with ties
        (weights,) = _weights(n, 7, rng)
        assert (weights.sum(1) == n).all()
        found = _scores(task_type, target, prediction, 2.0, weights)
        for b in range(7):
            rows = np.repeat(np.arange(n), weights[b].astype(int))
            for metric, value in score(task_type, target[rows], prediction[rows], 2.0).items():
                assert found[metric][b] == pytest.approx(value, nan_ok=True)


def test_interval_of_a_mean_error_is_the_normal_one() -> None:
    rng = np.random.default_rng(1)
    target, n = rng.normal(size=4000), 4000
    found = bootstrap_intervals("regression", target, {"zero": np.zeros(n)}, "zero", 1.0)["zero", "mae"]
    half = norm.ppf(0.975) * np.abs(target).std() / np.sqrt(n)
    assert found["lower"] == pytest.approx(np.abs(target).mean() - half, abs=0.15 * half)
    assert found["upper"] == pytest.approx(np.abs(target).mean() + half, abs=0.15 * half)
    assert found["lift_lower"] == found["lift_upper"] == 0


def test_a_lift_is_paired_and_positive_where_the_model_is_better() -> None:
    """Two models with one error each on the same hard rows: their scores vary together, their difference hardly."""
    rng = np.random.default_rng(2)
    target = rng.normal(size=500)
    noise = rng.normal(size=500) * 3
    predictions = {"good": target + noise, "bad": target + noise + 0.2 * np.sign(noise), "hidden": target + noise}
    target[:10] = np.nan
    found = bootstrap_intervals("regression", target, predictions, "bad", 1.0)
    for metric in ("r2", "mae", "nmae"):
        good = found["good", metric]
        assert 0 < good["lift_lower"] < good["lift_upper"]
        assert good["lift_upper"] - good["lift_lower"] < 0.5 * (good["upper"] - good["lower"])
        assert good == found["hidden", metric]


def test_one_class_has_no_interval() -> None:
    found = bootstrap_intervals("binary_classification", np.ones(5), {"a": np.arange(5.0)}, "a", 1.0)
    assert np.isnan(found["a", "auroc"]["lower"])


@pytest.mark.parametrize("task_type", ["binary_classification", "multiclass_classification", "regression"])
def test_a_split_without_known_labels_has_no_score(task_type: str) -> None:
    hidden = np.full(4, np.nan)
    prediction = np.zeros((4, 3)) if task_type.startswith("multi") else np.zeros(4)
    found = bootstrap_intervals(task_type, hidden, {"zero": prediction}, "zero", 1.0)
    assert found and all(np.isnan(list(ends.values())).all() for ends in found.values())
