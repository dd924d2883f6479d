"""Exogenous values: what the root nodes of a causal graph hold, row by row (paper.md, sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from plurel.kernels.autoregression import autoregress

if TYPE_CHECKING:
    from plurel.config import SCMParams

Array = np.ndarray
_MIXABLE = ("uniform", "gaussian", "beta")


def _limits(params: SCMParams, rng: np.random.Generator) -> tuple[float, float]:
    """Two sorted draws of U(0, scale)."""
    low, high = np.sort(rng.random(2)) * params.ts_value_scale_choices.draw(rng)
    return float(low), float(high)


def series(num_rows: int, is_activity: bool, params: SCMParams, rng: np.random.Generator) -> Array:
    """(trend + cycle + noise) / 3, float64 (num_rows,), each part limited by the same two numbers.

    The noise is autoregressive of order one. Entity tables, whose rows have no order in time, have no trend and cycle
    by default.
    """
    row = np.arange(num_rows)
    low, high = _limits(params, rng)
    if is_activity:
        trend_scale = params.activity_table_ts_trend_scale_choices.draw(rng)
        cycle_scale = params.activity_table_ts_cycle_scale_choices.draw(rng)
        noise_scale = params.activity_table_ts_noise_scale
    else:
        trend_scale, cycle_scale = params.entity_table_ts_trend_scale, params.entity_table_ts_cycle_scale
        noise_scale = params.entity_table_ts_noise_scale
    trend = np.minimum(trend_scale * (row / num_rows) ** params.ts_trend_alpha_choices.draw(rng) + low, high)
    period = np.ceil(num_rows * params.ts_cycle_freq_perc_choices.draw(rng))
    cycle = np.clip(cycle_scale * np.sin(np.pi * row / period), low, high)
    rho = params.ts_ar_rho_choices.draw(rng)
    noise = rng.normal(0, noise_scale, num_rows)
    autoregress(noise, rho)
    return (trend + cycle + np.clip(noise, low, high)) / 3


def _uniform(num_rows: int, is_activity: bool, params: SCMParams, rng: np.random.Generator) -> Array:
    return rng.uniform(*_limits(params, rng), num_rows)


def _gaussian(num_rows: int, is_activity: bool, params: SCMParams, rng: np.random.Generator) -> Array:
    """Normal with the limits at two standard deviations, and cut there."""
    low, high = _limits(params, rng)
    return np.clip(rng.normal((low + high) / 2, max((high - low) / 4, 1e-6), num_rows), low, high)


def _beta(num_rows: int, is_activity: bool, params: SCMParams, rng: np.random.Generator) -> Array:
    low, high = _limits(params, rng)
    a, b = params.source_beta_alpha_choices.draw(rng), params.source_beta_beta_choices.draw(rng)
    return low + (high - low) * rng.beta(a, b, num_rows)


def _mixed(num_rows: int, is_activity: bool, params: SCMParams, rng: np.random.Generator) -> Array:
    """Each row from one of two or three of the others."""
    kinds = rng.choice(_MIXABLE, size=rng.integers(2, 4))
    parts = np.stack([SOURCES[kind](num_rows, is_activity, params, rng) for kind in kinds])
    return parts[rng.integers(len(kinds), size=num_rows), np.arange(num_rows)]


SOURCES: dict[str, Callable[[int, bool, SCMParams, np.random.Generator], Array]] = {
    "ts": series,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "beta": _beta,
    "mixed": _mixed,
}


def numbers(num_rows: int, is_activity: bool, params: SCMParams, rng: np.random.Generator) -> Array:
    """A number per row, float64 (num_rows,), from a source drawn by name."""
    return SOURCES[params.source_gen_type_choices.draw(rng)](num_rows, is_activity, params, rng)


def categories(
    num_rows: int, num_categories: int, is_activity: bool, params: SCMParams, rng: np.random.Generator
) -> Array:
    """A category per row; int64 (num_rows,).

    From the softmax over one series per category, or, where the source is another, independent with Dirichlet(1, ...)
    probabilities.
    """
    if params.source_gen_type_choices.draw(rng) == "ts":
        logits = np.stack([series(num_rows, is_activity, params, rng) for _ in range(num_categories)], axis=1)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    else:
        odds = np.broadcast_to(rng.dirichlet(np.ones(num_categories)), (num_rows, num_categories))
    cumulative = np.cumsum(odds, axis=1)
    return (rng.random((num_rows, 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1).clip(max=num_categories - 1)
