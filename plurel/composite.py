"""Composite mechanisms: other ways how a node's value comes from its parents than the perceptrons of the priors.

Products of two parents, thresholds, small decision trees and periodic effects: what rules, prices and calendars do in
real databases, and what a sum of smooth functions of one parent each cannot say.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray

_MAX_TERMS = 3  # of products, thresholds and waves
_DEPTHS = (2, 4)  # of decision trees
_MAX_WAVES = 4.0  # over the range of a parent
_NOISE = (0.02, 0.7)  # standard deviation, in parts of the signal's; the logarithm is uniform


def interaction(scores: Array, rng: np.random.Generator) -> Array:
    """A weighted sum of products of two parents' normal scores; of a parent with itself where there is one alone."""
    from scipy.special import ndtri  # a fifth of a second that other priors need not wait

    normal = ndtri(np.clip(scores, 0.01, 0.99))
    signal = np.zeros(scores.shape[1])
    for _ in range(rng.integers(1, _MAX_TERMS + 1)):
        a, b = rng.choice(len(scores), 2, replace=len(scores) < 2)
        signal += rng.normal() * normal[a] * normal[b]
    return signal


def threshold(scores: Array, rng: np.random.Generator) -> Array:
    """A weighted sum of steps, each of one parent at one place."""
    signal = np.zeros(scores.shape[1])
    for _ in range(rng.integers(1, _MAX_TERMS + 1)):
        signal += rng.normal() * (scores[rng.integers(len(scores))] > rng.uniform(0.1, 0.9))
    return signal


def decision_tree(scores: Array, rng: np.random.Generator) -> Array:
    """The value of the leaf that a row falls into; of every inner node one parent and one place are drawn."""
    depth = int(rng.integers(_DEPTHS[0], _DEPTHS[1] + 1))
    inner = 2**depth - 1  # the children of node i are 2 i + 1, where the parent is lower, and 2 i + 2
    feature, place = rng.integers(len(scores), size=inner), rng.uniform(0.1, 0.9, inner)
    leaves = rng.normal(size=inner + 1)
    node, rows = np.zeros(scores.shape[1], dtype=np.int64), np.arange(scores.shape[1])
    for _ in range(depth):
        node = 2 * node + 1 + (scores[feature[node], rows] > place[node])
    return leaves[node - inner]


def periodic(scores: Array, rng: np.random.Generator) -> Array:
    """A weighted sum of sine waves, each of one parent."""
    signal = np.zeros(scores.shape[1])
    for _ in range(rng.integers(1, _MAX_TERMS + 1)):
        waves, phase = rng.uniform(0.5, _MAX_WAVES), rng.uniform(0, 2 * np.pi)
        signal += rng.normal() * np.sin(2 * np.pi * waves * scores[rng.integers(len(scores))] + phase)
    return signal


MECHANISMS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "interaction": interaction,
    "threshold": threshold,
    "decision_tree": decision_tree,
    "periodic": periodic,
}


def composite(kind: str, scores: Array, num_categories: int, rng: np.random.Generator) -> tuple[Array, int]:
    """A node's values from its parents' scores by the mechanism `kind`, with normal noise.

    Args:
        scores: float32 (parents, rows), in [0, 1].
        num_categories: 0: the values are float32; else they are cut into so many classes, which are named at random.

    Returns:
        The values (rows,) and `num_categories`.
    """
    signal = MECHANISMS[kind](scores, rng)
    level = np.exp(rng.uniform(*np.log(_NOISE)))
    values = signal + rng.normal(0, level * max(signal.std(), 1e-3), len(signal))
    if not num_categories:
        return values.astype(np.float32), 0
    bounds = np.sort(values[rng.integers(len(values), size=num_categories - 1)])
    return rng.permutation(num_categories)[np.searchsorted(bounds, values, side="left")], num_categories
