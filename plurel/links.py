"""Which parent row each child row points to: a hierarchical stochastic block model per foreign key (paper, section 3).

Rows of both sides are cut into prod(clusters) consecutive blocks; P(parent | child) is proportional to a product of
one factor per level, which depends on the two rows' blocks alone, and to the parent's popularity (1 in the published
priors). So a draw is one of a parent block and then of a row inside it: time and memory do not grow with parents x
children.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from plurel.config import SCMParams


def draw_block_weights(params: SCMParams, rng: np.random.Generator) -> np.ndarray:
    """Factors of a link between two blocks, all levels multiplied; float64 (parent blocks, child blocks)."""
    levels = params.bi_hsbm_levels_choices.draw(rng)
    matrices = []
    for _ in range(levels):
        parents, children = (params.bi_hsbm_clusters_per_level_choices.draw(rng) for _ in range(2))
        low, high = params.bi_hsbm_off_diagonal_choices.value
        matrix = rng.uniform(low, high, (parents, children))
        diagonal = np.arange(max(parents, children))
        matrix[diagonal % parents, diagonal % children] = params.bi_hsbm_diagonal
        matrices.append(matrix)
    return reduce(np.kron, matrices)


def block_bounds(num_rows: int, num_blocks: int) -> np.ndarray:
    """First row of each consecutive block, and the end; sizes differ by at most one. int64 (num_blocks + 1,)."""
    return np.arange(num_blocks + 1) * num_rows // num_blocks


def draw_popularity(num_parents: int, exponent: float, inactive: float, rng: np.random.Generator) -> np.ndarray:
    """Weights of parents: r^-exponent for the r-th of a random order, 0 for a random part; float64 (num_parents,)."""
    popularity = rng.permutation(np.arange(1, num_parents + 1)) ** -float(exponent)
    idle = rng.permutation(num_parents)[: min(round(inactive * num_parents), num_parents - 1)]
    popularity[idle] = 0
    return popularity


def draw_parents(popularity: np.ndarray, num_children: int, params: SCMParams, rng: np.random.Generator) -> np.ndarray:
    """One parent row for each child row, given the parents' weights within their block; int64 (num_children,)."""
    return sample_parents(draw_block_weights(params, rng), popularity, num_children, rng)


def sample_parents(
    weights: np.ndarray, popularity: np.ndarray, num_children: int, rng: np.random.Generator
) -> np.ndarray:
    """As draw_parents, with given factors between blocks (parent blocks, child blocks)."""
    bounds = block_bounds(len(popularity), weights.shape[0])
    mass = np.concatenate([[0.0], np.cumsum(popularity)])
    block_mass = np.diff(mass[bounds])
    cumulative = np.cumsum(weights * block_mass[:, None], axis=0)  # (parent blocks, child blocks)
    child_block = np.repeat(np.arange(weights.shape[1]), np.diff(block_bounds(num_children, weights.shape[1])))
    target = rng.random(num_children) * cumulative[-1, child_block]
    block = np.empty(num_children, dtype=np.int64)
    for b in np.unique(child_block):  # at most 3^5 blocks
        rows = child_block == b
        block[rows] = np.searchsorted(cumulative[:, b], target[rows], side="right")
    block = np.minimum(block, np.flatnonzero(block_mass)[-1])
    place = mass[bounds[block]] + rng.random(num_children) * block_mass[block]
    return np.searchsorted(mass, place, side="right").clip(bounds[block] + 1, bounds[block + 1]) - 1
