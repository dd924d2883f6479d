"""The regression on past labels: against scikit-learn's ridge, label by label, and blind to what comes later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from rfm.label_regression import PENALTIES, PRIOR_LABELS, LabelRegression

KINDS = np.array([0, 0, 1, 2])


def draw(seed: int, num_labels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times with ties, labels that depend on two of four features, and the features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_labels, 4))
    value = 0.3 + features @ [0.8, -0.5, 0.0, 0.0] + 0.5 * rng.normal(size=num_labels)
    return np.sort(rng.integers(0, max(1, num_labels // 2), num_labels)), value, features


def fit_peer(value: np.ndarray, features: np.ndarray, kind: int, penalty: float) -> Callable:
    """scikit-learn's ridge regression on standardised features, with a shrunk mean label."""
    used = kind >= KINDS
    deviation = np.sqrt(features.var(axis=0) + 1 / len(value))[used]
    peer = Ridge(alpha=penalty).fit(features[:, used] / deviation, value)
    shrunk = value.sum() / (len(value) + PRIOR_LABELS) - value.mean()
    return lambda x: peer.predict(x[:, used] / deviation) + shrunk


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), num_labels=st.integers(1, 90))
def test_forecast_is_a_mean_of_ridge_regressions_by_their_errors(seed: int, num_labels: int) -> None:
    """Each label is foretold by regressions on labels up to the last of 16, 32, ... before it."""
    time, value, features = draw(seed, num_labels)
    last = list(range(16, num_labels, 16)) + [num_labels]
    experts = [(kind, penalty) for kind in (0, 1, 2) for penalty in PENALTIES]

    def mixed(num_known: int, errors: np.ndarray) -> Callable:
        fits = [fit_peer(value[:num_known], features[:num_known], *expert) for expert in experts]
        share = np.exp(-0.5 * (errors - errors.min())) / np.exp(-0.5 * (errors - errors.min())).sum()
        return lambda x: share @ np.stack([fit(x) for fit in fits])

    squares, own, forecast = np.zeros(len(experts)), 0.0, lambda x: np.zeros(len(x))
    for start, end in zip([0, *last[:-1]], last, strict=True):
        x, y = features[start:end], value[start:end]
        own += ((forecast(x) - y) ** 2).sum()
        for i, expert in enumerate(experts):
            before = fit_peer(value[:start], features[:start], *expert)(x) if start else np.zeros(len(x))
            squares[i] += ((before - y) ** 2).sum()
        forecast = mixed(end, squares)
    found = LabelRegression(time, value, features, KINDS).forecast(np.full(num_labels, time[-1]), features)
    np.testing.assert_allclose(found[:, 0], forecast(features), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], np.sqrt((own + PRIOR_LABELS) / (num_labels + PRIOR_LABELS)), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), num_labels=st.integers(2, 400), known=st.floats(0, 1))
def test_later_labels_change_nothing(seed: int, num_labels: int, known: float) -> None:
    time, value, features = draw(seed, num_labels)
    until = np.full(num_labels, int(known * time[-1]))
    is_later = time > until[0]
    forecast = LabelRegression(time, value, features, KINDS).forecast(until, features)
    changed = LabelRegression(
        time, np.where(is_later, -value, value), np.where(is_later[:, None], 9.0, features), KINDS
    )
    np.testing.assert_array_equal(changed.forecast(until, features), forecast)


def test_error_is_that_of_labels_not_yet_fitted_to() -> None:
    """Of labels that no feature explains it is their deviation, though the last fit comes nearer to its own labels."""
    rng = np.random.default_rng(0)
    told, own = [], []
    for _ in range(50):
        value, features = rng.normal(size=128), rng.normal(size=(128, 40))
        regression = LabelRegression(np.arange(128), value, features, np.zeros(40, int))
        forecast = regression.forecast(np.full(128, 127), features)
        told.append(forecast[0, 1])
        own.append(np.sqrt(np.mean((forecast[:, 0] - value) ** 2)))
    assert np.mean(own) < 0.98 < np.mean(told)


@pytest.mark.parametrize("num_labels", [0, 1, 2])
def test_few_labels_say_little(num_labels: int) -> None:
    time, value, features = draw(3, num_labels)
    forecast, error = LabelRegression(time, value, features, KINDS).forecast(np.array([10]), np.ones((1, 4)))[0]
    assert abs(forecast) < 0.5 and 0.5 < error < 1.5


def test_nothing_is_known_before_the_first_label() -> None:
    time, value, features = draw(0, 100)
    found = LabelRegression(time + 5, value, features, KINDS).forecast(np.array([4, -(10**18)]), features[:2])
    np.testing.assert_array_equal(found, [[0, 1], [0, 1]])


def test_outliers_are_bounded() -> None:
    time, value, features = draw(0, 200)
    value[50], features[60] = 1e12, 1e12
    found = LabelRegression(time, value, features, KINDS).forecast(np.full(200, time[-1]), features * 1e9)
    assert np.isfinite(found).all() and np.abs(found).max() <= 10
