"""Elementary functions against numpy's and scipy's in double precision, also where they vanish or are cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numba import vectorize
from scipy import special

from plurel.kernels import elementary

SIZES = (1e-20, 1e-4, 0.1, 1, 10, 80)
SPREAD = np.concatenate([np.random.default_rng(0).uniform(-s, s, 2000) for s in SIZES]).astype(np.float32)


def ufunc(name: str) -> Callable[[np.ndarray], np.ndarray]:
    function = getattr(elementary, name)
    return vectorize(["float32(float32)"])(lambda x: function(x))


@pytest.mark.parametrize(
    ("name", "x", "reference"),
    [
        ("exp", SPREAD, np.exp),
        ("log", np.abs(SPREAD), np.log),
        ("log", np.float32(1) + SPREAD[np.abs(SPREAD) < 0.2], np.log),
        ("log1p", np.abs(SPREAD), np.log1p),
        ("tanh", SPREAD, np.tanh),
        ("expm1", -np.abs(SPREAD), np.expm1),
        ("half_turn_sine", SPREAD[np.abs(SPREAD) < np.pi / 2], np.sin),
    ],
)
def test_relative_error_is_that_of_float32(name: str, x: np.ndarray, reference: Callable) -> None:
    np.testing.assert_allclose(ufunc(name)(x), reference(x.astype(np.float64)), rtol=3e-7)


def test_ends_of_the_exponential() -> None:
    ends = ufunc("exp")(np.array([-1e30, -87.5, 88, 1e30], dtype=np.float32))
    np.testing.assert_allclose(ends, np.exp([-87.0, -87.0, 88.0, 88.0]), rtol=1e-6)


def test_error_function() -> None:
    np.testing.assert_allclose(ufunc("erf")(SPREAD), special.erf(SPREAD.astype(np.float64)), atol=5e-7)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e7])
def test_sines_of_large_numbers(size: float) -> None:
    x = np.random.default_rng(0).uniform(-size, size, 5000)
    sine = vectorize(["float32(float64)"])(lambda x: elementary.sine(x))
    np.testing.assert_allclose(sine(x), np.sin(x), atol=5e-7)
