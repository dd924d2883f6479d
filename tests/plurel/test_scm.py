"""The causal model of a table against a plain evaluation, one row and one edge at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from plurel import Choices, Config, SyntheticDataset
from plurel.aggregate import AGGREGATIONS, NEUTRAL
from plurel.columns import TRANSFORMS
from plurel.edges import ForeignMessages, Places, Values
from plurel.functions import draw_functions
from plurel.kernels.bits import draw_streams, word
from plurel.kernels.join import add_noise, join
from plurel.kernels.node import codes_of, encode
from plurel.kernels.perceptron import draw_layers, evaluate
from plurel.kernels.quantiles import beta_quantiles
from plurel.propagation import Propagation
from plurel.random_streams import stream
from plurel.schema import TableSchema
from plurel.scm import TableSCM

TABLE = TableSchema("table_3", num_rows=40, num_columns=5, fkeys={"foreign_row_0": "table_1"}, is_activity=True)


def prior(**scm_params: object) -> Config:
    """`main` with exact edges and eager types, narrow for speed."""
    exact = {"edge_knots": 0, "mlp_emb_dim": 8, "propagation_mode_choices": Choices("set", ("type_eager",))}
    return dataclasses.replace(Config(), scm_params=dataclasses.replace(Config().scm_params, **(exact | scm_params)))


def foreign(config: Config) -> ForeignMessages:
    rng = np.random.default_rng(0)
    columns = [Values(rng.normal(size=30).astype(np.float32), 0), Values(rng.integers(0, 4, 30), 4)]
    return ForeignMessages(
        9, "table_1", "table_3", "foreign_row_0", columns, rng.integers(0, 30, 40), config.scm_params
    )


def by_definition(terms: list[np.ndarray], aggregation: str) -> np.ndarray:
    """float64, one row: the joint message of vectors."""
    stack = np.stack(terms).astype(np.float64)
    if aggregation == "logexp":
        return np.logaddexp.reduce(stack)
    return {"sum": np.sum, "max": np.max, "product": np.prod}[aggregation](stack, axis=0)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_table_equals_a_row_by_row_evaluation(aggregation: str) -> None:
    config = prior(propagation_agg_choices=Choices("set", (aggregation,)))
    key = foreign(config)
    checked = 0
    for seed in range(16):
        scm = TableSCM(seed, TABLE, config)
        known = dict(zip(scm.column_nodes, scm.propagate([key]), strict=True))
        propagation = Propagation(scm, scm.evaluated_nodes(), [key])
        for node in scm.column_nodes:
            parents = sorted(scm.graph.predecessors(node))
            if parents and all(p in known for p in parents):
                values = [known[p] for p in parents]
                expected = row_by_row(propagation, node, values, key.table(aggregation)[key.rows], aggregation)
                np.testing.assert_allclose(known[node].data, expected, rtol=2e-3, atol=1e-3)
                checked += 1
    assert checked >= 3


def row_by_row(
    propagation: Propagation, node: int, parents: list[Values], told: np.ndarray, aggregation: str
) -> np.ndarray:
    """A node's values from its parents' and what the foreign key tells each row."""
    number = propagation.number[node]
    edges = range(propagation.first[number], propagation.first[number + 1])
    quantiles = np.empty(4096, dtype=np.float32)
    beta_quantiles(*propagation.noise_shapes[number], quantiles)
    decoders = propagation.decoders
    codes, width = codes_of(decoders, number), decoders.perceptrons.width
    layers = draw_layers(decoders.perceptrons, number, width, width if len(codes) else 1, codes)
    out = []
    for row in range(len(told)):
        terms = [told[row]]
        for edge, parent in zip(edges, parents, strict=True):
            vectors = encode(propagation.encoders, edge, parent.data[row : row + 1].astype(np.float32))
            vector = vectors[:, parent.data[row] if parent.num_categories else 0]
            terms.append(np.clip(propagation.weights[edge] * vector, -1e4, 1e4))
        words = [int(word(propagation.noise_streams[number], row * (width // 4) + i)) for i in range(width // 4)]
        noise = [quantiles[(w >> shift) % 65536 // 16] / width for w in words for shift in (0, 16, 32, 48)]
        embedding = (by_definition(terms, aggregation) + noise).astype(np.float32)
        decoded = evaluate(decoders.perceptrons, number, layers, embedding[:, None])[:, 0]
        out.append(np.argmax(decoded) if len(codes) else decoded[0])
    return np.array(out)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_foreign_messages_join_the_parents_columns(aggregation: str) -> None:
    """One vector a parent row; the mean of the columns' vectors for `sum`, else joined as at a node."""
    config = prior()
    params, rng = config.scm_params, np.random.default_rng(0)
    numbers, codes = rng.normal(size=30).astype(np.float32), rng.integers(0, 4, 30)
    encoders = draw_functions([0, 4], params, stream(9, "foreign", "table_1", "table_3", "foreign_row_0"))
    number, category = encode(encoders, 0, numbers).T, encode(encoders, 1, numbers).T[codes]
    expected = [by_definition([a, b], aggregation) for a, b in zip(number, category, strict=True)]
    if aggregation == "sum":
        expected = [e / 2 for e in expected]
    key = foreign(config)
    table = key.table(aggregation)
    np.testing.assert_allclose(table[:-1], expected, rtol=1e-4, atol=1e-6)
    assert (table[-1] == np.float32(NEUTRAL[aggregation])).all()
    np.testing.assert_array_equal(key.rows, rng.integers(0, 30, 40))


@given(
    data=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200),
    num_knots=st.integers(2, 50) | st.just(0),
)
@settings(max_examples=200, deadline=None)
def test_positions_find_their_numbers(data: list[float], num_knots: int) -> None:
    """A row's position leads back to its number: between two knots, or with enough knots on one."""
    values = Values(np.array(data, dtype=np.float32), 0)
    places = Places(1, len(data), num_knots)
    places.put(0, values)
    knots, positions = places.knots[0, : places.num_knots[0]], places.positions[0]
    assert (np.diff(knots) > 0).all()
    assert knots[0] == values.data.min()
    assert knots[-1] == values.data.max()
    assert len(knots) <= (num_knots or len(data))
    below, above = np.floor(positions).astype(int), np.ceil(positions).astype(int)
    found = knots[below] + (positions - below) * (knots[above] - knots[below])
    widest = float(np.diff(knots).max(initial=0))  # a position is a float32: 17 bits between two of 50 knots
    np.testing.assert_allclose(found, values.data, rtol=1e-5, atol=1e-5 * widest)
    if num_knots == 0:
        np.testing.assert_array_equal(found, values.data)


def test_interpolated_edges_come_close_to_exact_ones() -> None:
    """The median edge is off by less than 0.5 % of its spread; jumps and fast sines by more, and bounded."""
    encoders = draw_functions([0] * 150, Config().scm_params, np.random.default_rng(0))
    errors = []
    for edge in range(150):
        values = Values(np.random.default_rng(edge).normal(size=2000).astype(np.float32), 0)
        outputs = []
        for num_knots in (Config().scm_params.edge_knots, 0):
            places = Places(1, 2000, num_knots)
            places.put(0, values)
            table = np.ascontiguousarray(encode(encoders, edge, places.knots[0, : places.num_knots[0]]).T)
            outputs.append(np.empty((2000, 32), dtype=np.float32))
            join(table, np.array([0]), places.positions, np.array([0]), 0, 0, outputs[-1])
            assert outputs[-1].min() >= table.min() - 1e-3 * np.abs(table).max()
        spread = outputs[1].std()
        if spread > 0:
            errors.append(np.sqrt(np.mean((outputs[0] - outputs[1]) ** 2)) / spread)
    assert len(errors) > 100
    assert np.median(errors) < 0.005


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("width", [3, 32])
def test_joining_is_by_definition_and_does_not_depend_on_the_batch(aggregation: str, width: int) -> None:
    rng = np.random.default_rng(0)
    tables, starts = rng.normal(size=(30, width)).astype(np.float32), np.array([0, 9, 21])
    positions = (rng.random((4, 50)) * 8).astype(np.float32)
    positions[1, :9] = np.arange(9)  # on a knot, the last one as well
    slots = np.array([3, 0, 1])

    def joined(first: int, stop: int) -> np.ndarray:
        out = np.empty((stop - first, width), dtype=np.float32)
        join(tables, starts, positions, slots, first, AGGREGATIONS.index(aggregation), out)
        return out

    whole = joined(0, 50)
    np.testing.assert_array_equal(np.concatenate([joined(i, min(i + 7, 50)) for i in range(0, 50, 7)]), whole)
    for row in range(50):
        terms = []
        for start, slot in zip(starts, slots, strict=True):
            knot, part = int(positions[slot, row]), positions[slot, row] % 1
            below, above = tables[start + knot], tables[min(start + knot + 1, 29)]
            terms.append(below * (1 - part) + above * part)
        np.testing.assert_allclose(whole[row], by_definition(terms, aggregation), rtol=1e-4, atol=1e-5)


def test_logarithms_of_sums_neither_overflow_nor_vanish() -> None:
    tables = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e30], [1e4, -9e3, 5]], dtype=np.float32)
    out = np.empty((1, 3), dtype=np.float32)
    number = AGGREGATIONS.index("logexp")
    join(tables, np.arange(3), np.zeros((1, 1), dtype=np.float32), np.zeros(3, dtype=np.int64), 0, number, out)
    np.testing.assert_allclose(out[0], np.logaddexp.reduce(tables.astype(float)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0.5, 0.5), (2.0, 3.0), (4.0, 1.0), (0.5, 5.0), (0.731, 1.02), (100.0, 60.0)])
def test_beta_noise_has_the_beta_distribution(shape: tuple[float, float]) -> None:
    quantiles, levels = np.empty(4096, dtype=np.float32), (np.arange(4096) + 0.5) / 4096
    beta_quantiles(*shape, quantiles)
    # half an interval: in float32 the highest quantile may round to 1
    np.testing.assert_allclose(stats.beta(*shape).cdf(quantiles), levels, atol=1.01 * 2**-13)
    (noise,) = draw_streams(1, np.random.default_rng(0))
    said, limit = np.zeros((5000, 6), dtype=np.float32), np.float32(1e15)
    drawn = add_noise(said, quantiles, noise, 0, limit)
    assert drawn.shape == (6, 5000)
    assert stats.kstest(drawn.ravel(), stats.beta(*shape).cdf).pvalue > 1e-4
    assert np.abs(np.corrcoef(drawn) - np.eye(6)).max() < 5 / np.sqrt(5000)
    np.testing.assert_array_equal(add_noise(said[:7], quantiles, noise, 100, limit), drawn[:, 100:107])


def test_noise_makes_numbers_of_what_is_none_and_limits_them() -> None:
    (noise,) = draw_streams(1, np.random.default_rng(0))
    said = np.array([[np.nan, np.inf, -np.inf, 1e20, 3]], dtype=np.float32)
    heard = add_noise(said, np.full(4096, 0.25, dtype=np.float32), noise, 0, np.float32(1e15))[:, 0]
    np.testing.assert_array_equal(heard, np.array([0.25, 1e15, -1e15, 1e15, 3.25], dtype=np.float32))


def test_a_database_does_not_depend_on_the_batch_size() -> None:
    frames = []
    for size in (256, 333):
        params = dataclasses.replace(Config().scm_params, propagate_batch_size=size)
        frames.append(SyntheticDataset(3, dataclasses.replace(Config(), scm_params=params)).make_db().table_dict)
    for name, table in frames[0].items():
        pd.testing.assert_frame_equal(table.df, frames[1][name].df)


def test_lazy_classes_are_cut_from_numbers() -> None:
    """Classes are intervals of the numbers before relabelling: at most C of them, a permutation of 0 ... C - 1."""
    lazy = {"propagation_mode_choices": Choices("set", ("type_lazy",)), "edge_knots": 64}
    never = {f"cat_label_{name}_prob_choices": Choices("range", (0.0, 0.0)) for name in ("permute", "reverse")}
    seen = 0
    for seed in range(10):
        plain = TableSCM(seed, TABLE, prior(**lazy, **never))
        relabelled = TableSCM(seed, TABLE, prior(**lazy))
        columns = zip(plain.propagate(), relabelled.propagate(), plain.column_nodes, strict=True)
        for one, two, node in columns:
            count = plain.num_categories[node]
            assert one.num_categories == two.num_categories == count
            if count:
                assert one.acts_as_number
                assert 0 <= min(one.data.min(), two.data.min()) <= max(one.data.max(), two.data.max()) < count
                pairs = set(zip(one.data.tolist(), two.data.tolist(), strict=True))
                assert len(pairs) == len(set(one.data)) == len(set(two.data))
                seen += 1
    assert seen > 10


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_transforms_keep_the_order_of_numbers(name: str) -> None:
    x = np.random.default_rng(0).standard_cauchy(500) * 10
    y = TRANSFORMS[name](x)
    assert stats.spearmanr(x, y).statistic == pytest.approx(1)
    exact = {
        "identity": x,
        "rank_uniform": (np.argsort(np.argsort(x)) + 1) / 501,
        "log": np.sign(x) * np.log1p(np.abs(x)),
        "sqrt": np.sign(x) * np.sqrt(np.abs(x)),
        "standardize": stats.zscore(x),
    }
    np.testing.assert_allclose(y, exact[name])
