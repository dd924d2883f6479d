"""Random weight matrices, by name (paper, section 3).

A matrix has the shape (inputs, outputs), as in the published code, whose initialisers read fan-in from the last axis;
so do these. Shapes may have further axes in front: matrices that share an initialiser are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from plurel.config import SCMParams

Array = np.ndarray


def _normal(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Array:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def _uniform(shape: tuple[int, ...], bound: float, rng: np.random.Generator) -> Array:
    return (rng.random(shape, dtype=np.float32) - np.float32(0.5)) * np.float32(2 * bound)


def _truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Standard normal; what lies beyond ±2 is drawn again."""
    weight = rng.standard_normal(shape, dtype=np.float32)
    beyond = np.abs(weight) > 2
    while beyond.any():
        weight[beyond] = rng.standard_normal(np.count_nonzero(beyond), dtype=np.float32)
        beyond = np.abs(weight) > 2
    return weight


def _sparse(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Normal of scale 0.01 with half of each column (rounded up) zero."""
    is_kept = np.zeros(shape, dtype=np.bool_)
    is_kept[..., -(-shape[-2] // 2) :, :] = True
    return _normal(shape, 0.01, rng) * rng.permuted(is_kept, axis=-2)


INITIALISERS: dict[str, Callable[[tuple[int, ...], np.random.Generator], Array]] = {
    "kaiming_normal": lambda shape, rng: _normal(shape, math.sqrt(2 / shape[-1]), rng),
    "kaiming_uniform": lambda shape, rng: _uniform(shape, math.sqrt(6 / shape[-1]), rng),
    "xavier_normal": lambda shape, rng: _normal(shape, math.sqrt(2 / sum(shape[-2:])), rng),
    "xavier_uniform": lambda shape, rng: _uniform(shape, math.sqrt(6 / sum(shape[-2:])), rng),
    "truncated_normal": _truncated_normal,
    "sparse": _sparse,
}


def random_table(shape: tuple[int, int], params: SCMParams, rng: np.random.Generator) -> Array:
    """A float32 matrix from an initialiser drawn for it."""
    return INITIALISERS[params.initialization_choices.draw(rng)](shape, rng)


def random_weights(count: int, shape: tuple[int, int], params: SCMParams, rng: np.random.Generator) -> Array:
    """float32 (count, *shape): each matrix has an initialiser and a density of its own.

    A random part 1 - density of its entries is zero, and the others are larger by 1 / density.
    """
    by_name: dict[str, list[int]] = {}
    for number in range(count):
        by_name.setdefault(params.initialization_choices.draw(rng), []).append(number)
    weights = np.empty((count, *shape), dtype=np.float32)
    for name, numbers in by_name.items():
        weights[numbers] = INITIALISERS[name]((len(numbers), *shape), rng)
    density = np.array([params.mlp_weight_density_choices.draw(rng) for _ in range(count)], dtype=np.float32)
    if density.min() < 1:
        density = np.maximum(density, np.float32(1e-6))[:, None, None]
        weights *= rng.random(weights.shape, dtype=np.float32) < density
        weights /= density
    return weights
