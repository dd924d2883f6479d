"""The causal model of a table against a plain evaluation, one row and one edge at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from plurel import Choices, Config, SyntheticDataset
from plurel.aggregate import AGGREGATIONS
from plurel.columns import TRANSFORMS
from plurel.dag import EDGE_WEIGHTS
from plurel.edges import Edge, Messages, Values, draw_edges, locate
from plurel.functions import CategoryDecoder, Encoders, NumberDecoder
from plurel.noise import beta_quantiles, sample_quantiles
from plurel.random_streams import stream
from plurel.schema import TableSchema
from plurel.scm import ForeignMessages, TableSCM

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


@pytest.mark.parametrize("aggregation", sorted(AGGREGATIONS))
def test_a_table_equals_a_row_by_row_evaluation(aggregation: str) -> None:
    config = prior(propagation_agg_choices=Choices("set", (aggregation,)))
    message = foreign(config).edge(aggregation)
    checked = 0
    for seed in range(16):
        scm = TableSCM(seed, TABLE, config)
        known = dict(zip(scm.column_nodes, scm.propagate([foreign(config)]), strict=True))
        for node in scm.column_nodes:
            parents = sorted(scm.graph.predecessors(node))
            if parents and all(p in known for p in parents):
                expected = _row_by_row(scm, seed, node, parents, known, message, aggregation, config)
                np.testing.assert_allclose(known[node].data, expected, rtol=2e-3, atol=1e-3)
                checked += 1
    assert checked >= 3


def _row_by_row(scm, seed, node, parents, known, message, aggregation, config):
    params = config.scm_params
    scm_rng = stream(seed, "scm", "table_3")
    for choices in (params.scm_col_node_perc_choices, params.propagation_mode_choices):
        choices.draw(scm_rng)
    distribution = EDGE_WEIGHTS[config.dag_params.edge_weight_dist_choices.draw(scm_rng)]
    rng = stream(seed, "mechanism", "table_3", node)
    params.propagation_agg_choices.draw(rng)
    weights = distribution(len(parents), rng)
    kinds = [known[p].num_categories for p in parents]
    encoders = Encoders.draw(kinds, params, rng)
    count = scm.num_categories[node]
    decoder = CategoryDecoder.draw(count, params, rng) if count else NumberDecoder.draw(params, rng)
    shape = params.node_noise_alpha_choices.draw(rng), params.node_noise_beta_choices.draw(rng)
    noise = sample_quantiles(beta_quantiles(*shape), (40, 8), rng) / 8
    out = []
    for row in range(40):
        terms = [message.table[int(message.positions[row])]]
        row_values = [known[p].data[row] for p in parents]
        knots = [None if kind else np.array([[v]], dtype=np.float32) for kind, v in zip(kinds, row_values, strict=True)]
        tables = encoders.tables(knots)
        for table, kind, value, weight in zip(tables, kinds, row_values, weights, strict=True):
            terms.append(np.clip(weight * table[value if kind else 0], -1e4, 1e4))
        embedding = (by_definition(terms, aggregation) + noise[row]).astype(np.float32)
        out.append(decoder(embedding[None])[0])
    return np.array(out)


@pytest.mark.parametrize("aggregation", sorted(AGGREGATIONS))
def test_foreign_messages_join_the_parents_columns(aggregation: str) -> None:
    """One vector a parent row; the mean of the columns' vectors for `sum`, else joined as at a node."""
    config = prior()
    params, rng = config.scm_params, np.random.default_rng(0)
    numbers, codes = rng.normal(size=30).astype(np.float32), rng.integers(0, 4, 30)
    encoders = Encoders.draw([0, 4], params, stream(9, "foreign", "table_1", "table_3", "foreign_row_0"))
    number, category = encoders.tables([numbers[:, None], None])
    category = category[codes]
    expected = [by_definition([a, b], aggregation) for a, b in zip(number, category, strict=True)]
    if aggregation == "sum":
        expected = [e / 2 for e in expected]
    edge = foreign(config).edge(aggregation)
    np.testing.assert_allclose(edge.table[:-1], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(edge.positions, rng.integers(0, 30, 40))


@given(
    data=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200),
    num_knots=st.integers(2, 50) | st.just(0),
)
@settings(max_examples=200, deadline=None)
def test_positions_find_their_numbers(data: list[float], num_knots: int) -> None:
    """A row's position leads back to its number: between two knots, or with enough knots on one."""
    values = Values(np.array(data, dtype=np.float32), 0)
    positions = locate(values, num_knots)
    knots = positions.knots[:, 0]
    assert (np.diff(knots) > 0).all()
    assert knots[0] == values.data.min()
    assert knots[-1] == values.data.max()
    assert len(knots) <= (num_knots or len(data))
    below, above = np.floor(positions.rows).astype(int), np.ceil(positions.rows).astype(int)
    found = knots[below] + (positions.rows - below) * (knots[above] - knots[below])
    widest = float(np.diff(knots).max(initial=0))  # a position is a float32: 17 bits between two of 50 knots
    np.testing.assert_allclose(found, values.data, rtol=1e-5, atol=1e-5 * widest)
    if num_knots == 0:
        np.testing.assert_array_equal(found, values.data)


def test_interpolated_edges_come_close_to_exact_ones() -> None:
    """At 128 knots the median edge is off by less than 1 % of its spread; jumps and fast sines are not, and bounded."""
    params = Config().scm_params
    errors = []
    for seed in range(150):
        values = Values(np.random.default_rng(seed).normal(size=2000).astype(np.float32), 0)
        outputs = []
        for knots in (128, 0):
            (edge,) = draw_edges([locate(values, knots)], [0], 1.0, params, np.random.default_rng(seed))
            outputs.append(Messages([edge], "sum")(0, 2000))
            assert outputs[-1].min() >= edge.table.min() - 1e-3 * np.abs(edge.table).max()
        spread = outputs[1].std()
        if spread > 0:
            errors.append(np.sqrt(np.mean((outputs[0] - outputs[1]) ** 2)) / spread)
    assert len(errors) > 100
    assert np.median(errors) < 0.01


def test_messages_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(0)
    edges = [Edge(rng.normal(size=(9, 4)).astype(np.float32), (rng.random(50) * 8).astype(np.float32)) for _ in "abc"]
    for aggregation in AGGREGATIONS:
        messages = Messages(edges, aggregation)
        parts = np.concatenate([messages(i, min(i + 7, 50)) for i in range(0, 50, 7)])
        np.testing.assert_array_equal(parts, messages(0, 50))


def test_a_database_does_not_depend_on_the_batch_size_but_for_rounding() -> None:
    frames = []
    for size in (512, 333):
        params = dataclasses.replace(Config().scm_params, propagate_batch_size=size)
        dataset = SyntheticDataset(3, dataclasses.replace(Config(), scm_params=params))
        frames.append({name: table.df for name, table in dataset.make_db().table_dict.items()})
    same = total = 0
    for name, frame in frames[0].items():
        other = frames[1][name]
        assert list(frame) == list(other)
        for column in frame.drop(columns="date", errors="ignore"):
            one, two = frame[column].astype(float), other[column].astype(float)
            same, total = same + np.isclose(one, two, rtol=1e-2, atol=1e-3, equal_nan=True).sum(), total + len(one)
    assert same / total > 0.999


def test_lazy_classes_are_cut_from_numbers() -> None:
    """Classes are intervals of the numbers before relabelling: at most C of them, a permutation of 0 ... C - 1."""
    lazy = {"propagation_mode_choices": Choices("set", ("type_lazy",)), "edge_knots": 128}
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
