"""The regression on past labels: against scikit-learn's ridge, fit by fit, and blind to what comes later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from rfm.label_regression import RIDGE, LabelRegression


def draw(seed: int, num_labels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times with ties, labels that depend on two of four features, and the features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_labels, 4))
    value = 0.3 + features @ [0.8, -0.5, 0.0, 0.0] + 0.5 * rng.normal(size=num_labels)
    return np.sort(rng.integers(0, max(1, num_labels // 2), num_labels)), value, features


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), num_labels=st.integers(1, 300))
def test_forecasts_are_those_of_ridge_regression(seed: int, num_labels: int) -> None:
    """With the last label known all are used: the constant is a feature of value 1, penalised like the others."""
    time, value, features = draw(seed, num_labels)
    with_constant = np.concatenate([features, np.ones((num_labels, 1))], axis=1)
    peer = Ridge(alpha=RIDGE, fit_intercept=False).fit(with_constant, value)
    found = LabelRegression(time, value, features).forecast(np.full(num_labels, time[-1]), features)
    np.testing.assert_allclose(found[:, 0], peer.predict(with_constant), rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), num_labels=st.integers(2, 400), known=st.floats(0, 1))
def test_later_labels_change_nothing(seed: int, num_labels: int, known: float) -> None:
    time, value, features = draw(seed, num_labels)
    until = np.full(num_labels, int(known * time[-1]))
    is_later = time > until[0]
    forecast = LabelRegression(time, value, features).forecast(until, features)
    changed = LabelRegression(time, np.where(is_later, -value, value), np.where(is_later[:, None], 9.0, features))
    np.testing.assert_array_equal(changed.forecast(until, features), forecast)


def test_error_is_that_of_labels_not_yet_fitted_to() -> None:
    """Labels that no feature explains: fits on few labels come near their own labels, the error does not."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(50):
        value, features = rng.normal(size=60), rng.normal(size=(60, 12))
        errors.append(LabelRegression(np.arange(60), value, features).forecast(np.array([59]), features[:1])[0, 1])
    assert np.mean(errors) > 1


@pytest.mark.parametrize("num_labels", [0, 1, 2])
def test_few_labels_say_little(num_labels: int) -> None:
    time, value, features = draw(3, num_labels)
    forecast, error = LabelRegression(time, value, features).forecast(np.array([10]), np.ones((1, 4)))[0]
    assert abs(forecast) < 0.5 and 0.5 < error < 1.5


def test_nothing_is_known_before_the_first_label() -> None:
    time, value, features = draw(0, 100)
    found = LabelRegression(time + 5, value, features).forecast(np.array([4, -(10**18)]), features[:2])
    np.testing.assert_array_equal(found, [[0, 1], [0, 1]])


def test_outliers_are_bounded() -> None:
    time, value, features = draw(0, 200)
    value[50], features[60] = 1e12, 1e12
    found = LabelRegression(time, value, features).forecast(np.full(200, time[-1]), features * 1e9)
    assert np.isfinite(found).all() and np.abs(found).max() <= 10
