"""Layered drawings: order, room and crossings, on random graphs and on ones whose best drawing is known."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurel.description.layout import layered_layout

GAP = (30.0, 10.0)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[int, tuple[float, float]], list[tuple[int, int]]]:
    count = draw(st.integers(1, 12))
    sizes = {node: (draw(st.integers(5, 80)) * 1.0, draw(st.integers(5, 80)) * 1.0) for node in range(count)}
    ends = st.integers(0, count - 1)
    return sizes, draw(st.lists(st.tuples(ends, ends), max_size=20))


@given(graphs())
def test_boxes_do_not_meet_and_stay_inside(drawn: tuple) -> None:
    sizes, edges = drawn
    layout = layered_layout(sizes, edges, GAP)
    assert set(layout.centres) == set(sizes)
    boxes = {}
    for node, (x, y) in layout.centres.items():
        width, height = sizes[node]
        boxes[node] = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        assert boxes[node][0] >= -1e-6 and boxes[node][1] >= -1e-6
        assert boxes[node][2] <= layout.width + 1e-6 and boxes[node][3] <= layout.height + 1e-6
    for a, b in combinations(boxes.values(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6


@given(graphs())
def test_edges_of_an_acyclic_graph_lead_to_the_right(drawn: tuple) -> None:
    sizes, edges = drawn
    upwards = [(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]]
    layout = layered_layout(sizes, upwards, GAP)
    for u, v in upwards:
        along = [layout.centres[u][0], *(x for x, _ in layout.bends[u, v]), layout.centres[v][0]]
        assert along == sorted(along) and along[0] < along[-1]


def crossings(layout, edges: list[tuple]) -> int:
    """Straight lines between neighbouring points that change their order."""
    lines = []
    for edge in edges:
        points = [layout.centres[edge[0]], *layout.bends[edge], layout.centres[edge[1]]]
        lines += list(zip(points, points[1:], strict=False))
    same = [(a, b) for a, b in combinations(lines, 2) if a[0][0] == b[0][0]]
    return sum((a[0][1] - b[0][1]) * (a[1][1] - b[1][1]) < -1e-6 for a, b in same)


@pytest.mark.parametrize("seed", range(5))
def test_trees_are_drawn_without_crossings(seed: int) -> None:
    tree = nx.bfs_tree(nx.random_labeled_tree(30, seed=seed), 0)
    edges = list(tree.edges)
    np.random.default_rng(seed).shuffle(edges)
    edges = [tuple(map(int, edge)) for edge in edges]
    layout = layered_layout({node: (10.0, 10.0) for node in sorted(tree)}, edges, GAP)
    assert crossings(layout, edges) == 0


def test_a_chain_is_straight_and_a_cycle_is_drawn() -> None:
    chain = [(i, i + 1) for i in range(4)]
    layout = layered_layout({i: (10.0, 20.0) for i in range(5)}, chain, GAP)
    assert {y for _, y in layout.centres.values()} == {10.0}
    assert layout.width == 5 * 10 + 4 * 30 and layout.height == 20
    cycle = layered_layout({i: (10.0, 10.0) for i in range(3)}, [(0, 1), (1, 2), (2, 0), (1, 1)], GAP)
    assert len(cycle.centres) == 3
    assert layered_layout({}, [], GAP).width == 0
