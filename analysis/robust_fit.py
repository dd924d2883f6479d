"""Levenberg and Marquardt's method with a Huber loss, for many data sets at once.

A bootstrap and a leave-one-out are the same small problem a thousand times: solved together they cost a few seconds,
one by one minutes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

ROUNDS = 200
_STEP = 1e-6


def huber(residual: NDArray, delta: float) -> NDArray:
    """residual²/2 up to delta, straight beyond."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def polish(
    model: Callable[[NDArray], NDArray],
    start: NDArray,
    target: NDArray,
    weights: NDArray,
    delta: float,
    bounds: NDArray,
    rounds: int = ROUNDS,
) -> tuple[NDArray, NDArray]:
    """Parameters (M, p) of the smallest weighted Huber loss for each row, and that loss (M,).

    Args:
        model: theta (M, p) -> predictions (M, n).
        start: (M, p) within bounds.
        target, weights: (M, n); a weight of 0 leaves a point out.
        bounds: (p, 2).
    """
    found, losses = start.copy(), np.empty(len(start))
    moving = np.arange(len(start))  # most rows settle in a dozen rounds: only the others go on
    theta, damping = start.copy(), np.full(len(start), 1e-2)
    residual = model(theta) - target
    loss = losses[:] = (weights * huber(residual, delta)).sum(-1)
    for _ in range(rounds):
        tried = np.clip(theta - _step(model, theta, residual, weights, damping, delta, bounds), *bounds.T)
        tried_residual = model(tried) - target
        tried_loss = (weights * huber(tried_residual, delta)).sum(-1)
        better = tried_loss < loss
        settled = np.where(better, loss - tried_loss <= 1e-12 * loss, damping > 1e8)
        theta = np.where(better[:, None], tried, theta)
        residual = np.where(better[:, None], tried_residual, residual)
        loss = np.where(better, tried_loss, loss)
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-12, 1e12)
        found[moving], losses[moving] = theta, loss
        if settled.all():
            break
        parts = (moving, theta, damping, residual, loss, target, weights)
        moving, theta, damping, residual, loss, target, weights = (part[~settled] for part in parts)
    return found, losses


def _step(
    model: Callable[[NDArray], NDArray],
    theta: NDArray,
    residual: NDArray,
    weights: NDArray,
    damping: NDArray,
    delta: float,
    bounds: NDArray,
) -> NDArray:
    """What Levenberg and Marquardt subtract from theta, (M, p), at most 2 in any parameter."""
    slopes = _jacobian(model, theta)
    pull = weights * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
    pulled = (slopes * pull[:, :, None]).transpose(0, 2, 1)  # (M, p, n)
    gradient = (pulled @ residual[:, :, None])[:, :, 0]
    normal = pulled @ slopes
    diagonal = np.einsum("mpp->mp", normal)
    ridge = damping[:, None] * diagonal + 1e-14 * diagonal.max(1, keepdims=True) + 1e-300
    # A parameter at its bound that wants to leave is held, or it would bend the steps of the others.
    held = (theta <= bounds[:, 0]) & (gradient > 0) | (theta >= bounds[:, 1]) & (gradient < 0)
    free = ~held
    normal = normal * free[:, :, None] * free[:, None, :]
    normal += np.eye(theta.shape[1]) * np.where(held, 1.0, ridge)[:, None, :]
    step = np.linalg.solve(normal, (gradient * free)[..., None])[..., 0]
    return np.clip(step, -2, 2)


def _jacobian(model: Callable[[NDArray], NDArray], theta: NDArray) -> NDArray:
    """(M, n, p) by central differences; parameters are logs, so one step suits all."""
    columns = []
    for index in range(theta.shape[1]):
        step = np.zeros(theta.shape[1])
        step[index] = _STEP
        columns.append((model(theta + step) - model(theta - step)) / (2 * _STEP))
    return np.stack(columns, axis=-1)
