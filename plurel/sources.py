"""Exogenous values: what the root nodes of a causal graph hold, row by row (paper, section 3)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv

if TYPE_CHECKING:
    from plurel.config import SCMParams

_QUANTILES = 2**16


def series(num_rows: int, is_activity: bool, params: SCMParams, rng: np.random.Generator) -> np.ndarray:
    """(trend + cycle + noise) / 3, float64 (num_rows,); each part is limited by two sorted U(0, 1) of its own.

    Entity tables, whose rows have no order in time, hold noise alone.
    """
    row = np.arange(num_rows)
    sign = np.where(rng.random(2) < 0.5, -1.0, 1.0) if is_activity else np.zeros(2)
    low, high = np.sort(rng.random((3, 2)), axis=1).T
    exponent = params.trend_exponent.draw(rng)
    trend = np.minimum(sign[0] * (row / num_rows) ** exponent + low[0], high[0])
    period = np.ceil(num_rows * params.cycle_fracs.draw(rng))
    cycle = np.clip(sign[1] * np.sin(np.pi * row / period), low[1], high[1])
    scale = params.activity_noise if is_activity else params.entity_noise
    noise = np.clip(rng.normal(0, 1, num_rows) * scale, low[2], high[2])
    return (trend + cycle + noise) / 3


def categories(
    num_rows: int, num_categories: int, is_activity: bool, params: SCMParams, rng: np.random.Generator
) -> np.ndarray:
    """A category per row, drawn from the softmax over one series per category; int64 (num_rows,)."""
    logits = np.stack([series(num_rows, is_activity, params, rng) for _ in range(num_categories)], axis=1)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    cumulative = np.cumsum(odds, axis=1)
    return (rng.random((num_rows, 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1).clip(max=num_categories - 1)


def beta_noise(shape: tuple[int, int], a: float, b: float, rng: np.random.Generator) -> np.ndarray:
    """Independent Beta(a, b) draws, float32 of `shape`.

    A draw is one of 65,536 equally likely quantiles, at the midpoints of their intervals: the distribution function
    is exact at the intervals' ends and off by at most 2^-17 between them.
    """
    codes = np.frombuffer(rng.bytes(2 * shape[0] * shape[1]), dtype="<u2")
    return _beta_quantiles(a, b)[codes].reshape(shape)


@lru_cache(maxsize=16)
def _beta_quantiles(a: float, b: float) -> np.ndarray:
    return betaincinv(a, b, (np.arange(_QUANTILES) + 0.5) / _QUANTILES).astype(np.float32)
