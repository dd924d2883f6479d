"""Links, sources and functions against direct computations from the paper's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from plurel.config import Config, DatabaseParams, SCMParams
from plurel.functions import ACTIVATIONS, INITIALISERS, MLP, CategoryCode
from plurel.links import block_bounds, draw_block_weights, draw_parents, sample_parents
from plurel.random_streams import stream
from plurel.schema import TableSchema
from plurel.scm import TableSCM, Values, foreign_vectors
from plurel.sources import beta_noise, categories, series


def test_parents_follow_the_block_model() -> None:
    """Frequencies of (parent, child) against P(parent | child) computed pair by pair."""
    rng = np.random.default_rng(1)
    weights = np.array([[0.9, 0.002], [0.001, 0.9], [0.3, 0.002]])
    num_parents, num_children, repeats = 7, 5, 4000
    drawn = np.stack([sample_parents(weights, num_parents, num_children, rng) for _ in range(repeats)])
    parent_block = np.searchsorted(block_bounds(num_parents, 3), np.arange(num_parents), side="right") - 1
    child_block = np.searchsorted(block_bounds(num_children, 2), np.arange(num_children), side="right") - 1
    for child in range(num_children):
        pair = np.array([weights[parent_block[p], child_block[child]] for p in range(num_parents)])
        expected = repeats * pair / pair.sum()
        observed = np.bincount(drawn[:, child], minlength=num_parents)
        common = expected >= 5
        folded = (
            [*observed[common], observed[~common].sum() + 1e-9],
            [*expected[common], expected[~common].sum() + 1e-9],
        )
        assert stats.chisquare(*folded, sum_check=False).pvalue > 1e-4


def test_block_weights_are_products_over_levels() -> None:
    params = DatabaseParams()
    for seed in range(50):
        weights = draw_block_weights(params, np.random.default_rng(seed))
        assert max(weights.shape) <= 3**5
        levels = np.log(weights.max()) / np.log(0.9)  # the best pair of blocks is on every diagonal
        assert levels == pytest.approx(round(levels))
        assert 1 <= round(levels) <= 5


def test_block_weights_are_those_of_the_hierarchy_pair_by_pair() -> None:
    """A block is a path of clusters, one per level; its weight is the product of the matrices along the path."""
    params = DatabaseParams()
    for seed in range(20):
        weights = draw_block_weights(params, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        matrices = []
        for _ in range(params.link_levels.draw(rng)):
            a, b = params.link_clusters.draw(rng), params.link_clusters.draw(rng)
            matrix = rng.uniform(*params.link_off_diagonal.value, (a, b))
            for i in range(max(a, b)):
                matrix[i % a, i % b] = params.link_diagonal
            matrices.append(matrix)
        paths = [list(np.ndindex(*[m.shape[side] for m in matrices])) for side in (0, 1)]
        expected = [
            [np.prod([m[i, j] for m, i, j in zip(matrices, p, c, strict=True)]) for c in paths[1]] for p in paths[0]
        ]
        np.testing.assert_allclose(weights, expected)


def test_every_child_has_a_parent_whatever_the_sizes() -> None:
    for seed, (parents, children) in enumerate([(1, 1), (1, 50), (2, 7), (300, 3), (500, 4000)]):
        drawn = draw_parents(parents, children, DatabaseParams(), np.random.default_rng(seed))
        assert drawn.shape == (children,)
        assert drawn.min() >= 0
        assert drawn.max() < parents


@pytest.mark.parametrize("is_activity", [True, False])
def test_series_equal_the_formulas_row_by_row(is_activity: bool) -> None:
    """trend, cycle and noise of section 3, one row at a time; the same draws in the same order."""
    params, rows = SCMParams(), 120
    for seed in range(30):
        rng = np.random.default_rng(seed)
        signs = [(-1 if u < 0.5 else 1) for u in rng.random(2)] if is_activity else [0, 0]
        limits = [sorted(pair) for pair in rng.random((3, 2)).tolist()]
        alpha = rng.uniform(0, 2)
        period = math.ceil(rows * params.cycle_fracs.value[rng.integers(10)])
        noise = rng.normal(0, 1, rows)
        scale = 0.05 if is_activity else 1.0
        expected = []
        for i in range(rows):
            trend = min(signs[0] * (i / rows) ** alpha + limits[0][0], limits[0][1])
            cycle = min(max(signs[1] * math.sin(math.pi * i / period), limits[1][0]), limits[1][1])
            expected.append((trend + cycle + min(max(noise[i] * scale, limits[2][0]), limits[2][1])) / 3)
        np.testing.assert_allclose(series(rows, is_activity, params, np.random.default_rng(seed)), expected, atol=1e-12)


def test_series_of_activity_tables_moves_and_of_entity_tables_is_noise() -> None:
    params = SCMParams()
    smooth, rough = [], []
    for seed in range(200):
        activity = series(400, True, params, np.random.default_rng(seed))
        entity = series(400, False, params, np.random.default_rng(seed))
        assert np.abs(activity).max() <= 1
        smooth.append(np.corrcoef(activity[:-1], activity[1:])[0, 1])
        rough.append(np.corrcoef(entity[:-1], entity[1:])[0, 1])
    assert np.nanmedian(smooth) > 0.5
    assert abs(np.nanmedian(rough)) < 0.02


def test_categories_follow_the_softmax_of_flat_series() -> None:
    drawn = categories(20_000, 4, False, SCMParams(), np.random.default_rng(0))
    assert set(np.unique(drawn)) == {0, 1, 2, 3}
    assert np.bincount(drawn).min() > 0.15 * 20_000  # noise / 3 moves each logit by at most a third


@pytest.mark.parametrize("shape", SCMParams().noise_shapes.value)
def test_beta_noise_has_the_beta_distribution(shape: tuple[float, float]) -> None:
    noise = beta_noise((5000, 4), *shape, np.random.default_rng(0)).ravel()
    assert stats.kstest(noise, stats.beta(*shape).cdf).pvalue > 1e-4


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_torchs(name: str) -> None:
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    expected = getattr(torch.nn.functional, name)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ACTIVATIONS[name](x), expected, rtol=1e-5, atol=1e-6)


TORCH_INITIALISERS = {
    "kaiming_normal": torch.nn.init.kaiming_normal_,
    "kaiming_uniform": torch.nn.init.kaiming_uniform_,
    "xavier_normal": torch.nn.init.xavier_normal_,
    "xavier_uniform": torch.nn.init.xavier_uniform_,
    "truncated_normal": torch.nn.init.trunc_normal_,
    "sparse": lambda w: torch.nn.init.sparse_(w, sparsity=0.5),
}


@pytest.mark.parametrize("name", sorted(INITIALISERS))
@pytest.mark.parametrize("shape", [(1, 32), (32, 32), (32, 1)])
def test_initialisers_have_torchs_distribution(name: str, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    repeats = max(1, 20_000 // (shape[0] * shape[1]))
    ours = np.concatenate([INITIALISERS[name](shape, rng).ravel() for _ in range(repeats)])
    theirs = np.concatenate([TORCH_INITIALISERS[name](torch.empty(shape)).numpy().ravel() for _ in range(repeats)])
    assert np.mean(ours == 0) == pytest.approx(np.mean(theirs == 0), abs=1e-12)
    if np.any(ours != 0):
        assert stats.ks_2samp(ours[ours != 0], theirs[theirs != 0]).pvalue > 1e-4


def test_decoding_finds_the_most_similar_category() -> None:
    params, rng = SCMParams(), np.random.default_rng(0)
    code = CategoryCode.draw(5, params, rng)
    x = rng.normal(size=(40, 32)).astype(np.float32)
    for row, category in zip(x, code.decode(x), strict=True):
        hidden = ACTIVATIONS[code.mlp.activation](row @ code.mlp.first) @ code.mlp.second
        assert max(range(5), key=lambda c: float(hidden @ code.table[c])) == category


def test_a_table_equals_a_row_by_row_evaluation() -> None:
    """The batched products against the definition: one edge, one row at a time, in float64."""
    config = Config.from_dict({"scm_params": {"d_embedding": 8}})
    table = TableSchema("table_3", num_rows=40, num_columns=5, fkeys={"foreign_row_0": "table_1"}, is_activity=True)
    foreign = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    for seed in range(6):
        scm = TableSCM(seed, table, config)
        values = dict(zip(scm.column_nodes, scm.propagate(foreign), strict=True))
        known = dict(values)
        for node in scm.column_nodes:
            parents = sorted(scm.graph.predecessors(node))
            if not parents or not all(p in known for p in parents):
                continue
            np.testing.assert_allclose(
                *_row_by_row(scm, seed, node, parents, known, foreign, config), rtol=1e-3, atol=1e-4
            )


def _row_by_row(scm, seed, node, parents, known, foreign, config):
    params = config.scm_params
    rng = stream(seed, "mechanism", "table_3", node)
    edges = []
    for p in parents:
        weight = rng.normal()
        kind = known[p].num_categories
        draw = CategoryCode.draw(kind, params, rng) if kind else MLP.draw(1, 8, 8, params, rng)
        edges.append((weight, draw))
    shape = params.noise_shapes.draw(rng)
    noise = beta_noise((40, 8), *shape, stream(seed, "noise", "table_3", node))
    count = scm.num_categories[node]
    decoder = CategoryCode.draw(count, params, rng) if count else MLP.draw(8, 8, 1, params, rng)
    out = []
    for row in range(40):
        embedding = noise[row].astype(np.float64) / 8 + foreign[row]
        for (weight, encoder), p in zip(edges, parents, strict=True):
            value = known[p].data[row]
            vector = encoder.encode()[value] if known[p].num_categories else encoder(np.array([[value]]))[0]
            embedding = embedding + weight * vector
        out.append(decoder.decode(embedding[None])[0] if count else decoder(embedding[None])[0, 0])
    return np.array(out), known[node].data


def test_foreign_vectors_are_the_mean_over_the_parents_columns() -> None:
    params = SCMParams()
    parent = TableSchema("table_1", 30, 2, {}, False)
    rng = np.random.default_rng(0)
    columns = [Values(rng.normal(size=30).astype(np.float32), 0), Values(rng.integers(0, 4, 30), 4)]
    number = MLP.draw(1, 32, 32, params, stream(9, "foreign", "table_1", 0, "table_2"))
    category = CategoryCode.draw(4, params, stream(9, "foreign", "table_1", 1, "table_2"))
    expected = (number(columns[0].data[:, None]) + category.encode()[columns[1].data]) / 2
    np.testing.assert_allclose(foreign_vectors(9, parent, "table_2", columns, params), expected, rtol=1e-4, atol=1e-6)


def test_streams_of_different_names_share_nothing() -> None:
    names = [("a", 1), ("a", "1"), ("a1",), ("a", 1, 0), ("b", 1)]
    draws = {stream(seed, *name).integers(2**63) for seed in range(20) for name in names}
    assert len(draws) == 20 * len(names)
    assert stream(3, "x").integers(2**63) == stream(3, "x").integers(2**63)
