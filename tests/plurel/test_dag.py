"""Each graph family has the properties that the paper states."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurel.config import DAGParams
from plurel.dag import LAYOUTS, random_dag


@given(layout=st.sampled_from(sorted(LAYOUTS)), num_nodes=st.integers(1, 60), seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_every_layout_is_acyclic_over_all_nodes(layout: str, num_nodes: int, seed: int) -> None:
    graph = random_dag(layout, num_nodes, DAGParams(), np.random.default_rng(seed))
    assert sorted(graph) == list(range(num_nodes))
    assert nx.is_directed_acyclic_graph(graph)
    if layout != "BarabasiAlbert":  # which drops edges at the end
        assert nx.is_weakly_connected(graph)


@given(num_nodes=st.integers(2, 40), seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_trees_have_one_root_and_reversed_trees_one_sink(num_nodes: int, seed: int) -> None:
    tree = random_dag("RandomTree", num_nodes, DAGParams(), np.random.default_rng(seed))
    assert tree.number_of_edges() == num_nodes - 1
    assert sorted(d for _, d in tree.in_degree)[:2] == [0, 1]
    turned = random_dag("ReverseRandomTree", num_nodes, DAGParams(), np.random.default_rng(seed))
    assert nx.utils.graphs_equal(turned.reverse(), tree)


@given(num_nodes=st.integers(4, 60), seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_layered_graphs_link_consecutive_layers_only(num_nodes: int, seed: int) -> None:
    graph = random_dag("Layered", num_nodes, DAGParams(), np.random.default_rng(seed))
    depth = nx.dag_longest_path_length(graph) + 1
    assert 2 <= depth <= 8 or depth == num_nodes
    layer = {n: i for i, nodes in enumerate(nx.topological_generations(graph)) for n in nodes}
    interior = [n for n in graph if graph.in_degree(n) and graph.out_degree(n)]
    assert all(layer[b] - layer[a] == 1 for a, b in graph.edges if a in interior)


def test_erdos_renyi_density_is_that_of_two_chances() -> None:
    """An unordered pair is linked if either direction is drawn: 1 - (1 - p)² on average over p ~ U(0.3, 0.8)."""
    densities = []
    for seed in range(200):
        graph = random_dag("ErdosRenyi", 30, DAGParams(), np.random.default_rng(seed))
        densities.append(graph.number_of_edges() / (30 * 29 / 2))
    p = np.linspace(0.3, 0.8, 10001)
    expected = (1 - (1 - p) ** 2).mean()
    assert np.mean(densities) == pytest.approx(expected, abs=4 * np.std(densities) / np.sqrt(200))


def test_watts_strogatz_has_as_many_edges_as_its_ring() -> None:
    for seed in range(30):
        graph = random_dag("WattsStrogatz", 21, DAGParams(), np.random.default_rng(seed))
        assert graph.number_of_edges() >= 21  # k = 2 gives n edges, k = 4 twice as many; joints add to them
