"""Links against direct computations from the paper's formulas, and the independence of random streams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from plurel.config import SCMParams
from plurel.links import block_bounds, draw_block_weights, draw_parents, draw_popularity, sample_parents
from plurel.random_streams import stream


@pytest.mark.parametrize("popularity_of", [np.ones, lambda n: np.array([3.0, 0, 1, 2, 0.5, 0, 9])[:n]])
def test_parents_follow_the_block_model(popularity_of: Callable[[int], np.ndarray]) -> None:
    """Frequencies of (parent, child) against P(parent | child) computed pair by pair; idle parents get none."""
    rng = np.random.default_rng(1)
    weights = np.array([[0.9, 0.002], [0.001, 0.9], [0.3, 0.002]])
    num_parents, num_children, repeats = 7, 5, 4000
    popularity = popularity_of(num_parents)
    drawn = np.stack([sample_parents(weights, popularity, num_children, rng) for _ in range(repeats)])
    parent_block = np.searchsorted(block_bounds(num_parents, 3), np.arange(num_parents), side="right") - 1
    child_block = np.searchsorted(block_bounds(num_children, 2), np.arange(num_children), side="right") - 1
    for child in range(num_children):
        pair = np.array([weights[parent_block[p], child_block[child]] * popularity[p] for p in range(num_parents)])
        assert set(np.unique(drawn[:, child])) <= set(np.flatnonzero(popularity))
        expected = repeats * pair / pair.sum()
        observed = np.bincount(drawn[:, child], minlength=num_parents)
        common = expected >= 5
        folded = (
            [*observed[common], observed[~common].sum() + 1e-9],
            [*expected[common], expected[~common].sum() + 1e-9],
        )
        assert stats.chisquare(*folded, sum_check=False).pvalue > 1e-4


def test_block_weights_are_products_over_levels() -> None:
    params = SCMParams()
    for seed in range(50):
        weights = draw_block_weights(params, np.random.default_rng(seed))
        assert max(weights.shape) <= 3**5
        levels = np.log(weights.max()) / np.log(0.9)  # the best pair of blocks is on every diagonal
        assert levels == pytest.approx(round(levels))
        assert 1 <= round(levels) <= 5


def test_block_weights_are_those_of_the_hierarchy_pair_by_pair() -> None:
    """A block is a path of clusters, one per level; its weight is the product of the matrices along the path."""
    params = SCMParams()
    for seed in range(20):
        weights = draw_block_weights(params, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        matrices = []
        for _ in range(params.bi_hsbm_levels_choices.draw(rng)):
            a, b = (params.bi_hsbm_clusters_per_level_choices.draw(rng) for _ in "ab")
            matrix = rng.uniform(*params.bi_hsbm_off_diagonal_choices.value, (a, b))
            for i in range(max(a, b)):
                matrix[i % a, i % b] = params.bi_hsbm_diagonal
            matrices.append(matrix)
        paths = [list(np.ndindex(*[m.shape[side] for m in matrices])) for side in (0, 1)]
        expected = [
            [np.prod([m[i, j] for m, i, j in zip(matrices, p, c, strict=True)]) for c in paths[1]] for p in paths[0]
        ]
        np.testing.assert_allclose(weights, expected)


def test_every_child_has_a_parent_whatever_the_sizes() -> None:
    for seed, (parents, children) in enumerate([(1, 1), (1, 50), (2, 7), (300, 3), (500, 4000)]):
        drawn = draw_parents(np.ones(parents), children, SCMParams(), np.random.default_rng(seed))
        assert drawn.shape == (children,)
        assert drawn.min() >= 0
        assert drawn.max() < parents


def test_popularity_is_a_power_law_over_active_parents() -> None:
    weights = draw_popularity(100, 1.3, 0.25, np.random.default_rng(0))
    assert (weights == 0).sum() == 25
    expected = np.arange(1, 101) ** -1.3
    assert set(weights[weights > 0]) <= set(expected)
    assert draw_popularity(3, 1.0, 1.0, np.random.default_rng(0)).sum() > 0


def test_streams_of_different_names_share_nothing() -> None:
    names = [("a", 1), ("a", "1"), ("a1",), ("a", 1, 0), ("b", 1)]
    draws = {stream(seed, *name).integers(2**63) for seed in range(20) for name in names}
    assert len(draws) == 20 * len(names)
    assert stream(3, "x").integers(2**63) == stream(3, "x").integers(2**63)
