"""Layered drawings of directed acyclic graphs, from left to right (after Sugiyama, Tagawa and Toda, 1981).

Nodes are put in layers along the longest path, edges over several layers get a bend in each, layers are ordered so
that edges cross little, and nodes move up or down to where their neighbours are.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.optimize import isotonic_regression

Node = Hashable
Point = tuple[float, float]
_ORDER_SWEEPS, _PLACE_SWEEPS = 24, 12


@dataclass(frozen=True)
class Layout:
    """Centres of nodes, and the bends of each edge from left to right, in pixels within (width, height)."""

    centres: dict[Node, Point]
    bends: dict[tuple[Node, Node], list[Point]]
    width: float
    height: float


def layered_layout(
    sizes: Mapping[Node, tuple[float, float]], edges: Sequence[tuple[Node, Node]], gap: tuple[float, float]
) -> Layout:
    """Places nodes of given (width, height); `gap` is the room between layers and between nodes of a layer.

    Edges that close a cycle are turned for the layers; self-loops are ignored.
    """
    graph = _acyclic(sizes, edges)
    layer = _layers(graph)
    chains = {edge: _bends_of(edge, layer) for edge in graph.edges}
    proper = nx.DiGraph()  # every edge joins neighbouring layers
    proper.add_nodes_from(graph)
    for (u, v), bends in chains.items():
        nx.add_path(proper, [u, *bends, v])
        layer |= {bend: bend[2] for bend in bends}
    columns: list[list[Node]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for node in proper:
        columns[layer[node]].append(node)
    columns = _uncrossed(proper, columns)
    height_of = {node: sizes[node][1] if node in sizes else 0.0 for node in proper}
    y = _places(proper, columns, height_of, gap[1])
    widths = [max((sizes[n][0] for n in column if n in sizes), default=0.0) for column in columns]
    x = np.concatenate([[0.0], np.cumsum(np.array(widths) + gap[0])])
    centre = {node: (float(x[layer[node]] + widths[layer[node]] / 2), y[node]) for node in proper}
    bends = {(u, v): [centre[b] for b in chain] for (u, v), chain in chains.items()}
    height = max((y[n] + height_of[n] / 2 for n in proper), default=0.0)
    return Layout({n: centre[n] for n in sizes}, bends, float(max(x[-1] - gap[0], 0)), height)


def _acyclic(nodes: Mapping[Node, object], edges: Sequence[tuple[Node, Node]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    for u, v in edges:
        if u != v and not graph.has_edge(u, v) and not graph.has_edge(v, u):
            is_back = nx.has_path(graph, v, u)
            graph.add_edge(*((v, u) if is_back else (u, v)))
    return graph


def _layers(graph: nx.DiGraph) -> dict[Node, int]:
    """Longest path from the left; then nodes without parents move up to their nearest child."""
    layer: dict[Node, int] = {}
    for node in nx.topological_sort(graph):
        layer[node] = max((layer[p] + 1 for p in graph.predecessors(node)), default=0)
    for node in graph:
        if not graph.in_degree(node) and graph.out_degree(node):
            layer[node] = min(layer[c] for c in graph.successors(node)) - 1
    return layer


def _bends_of(edge: tuple[Node, Node], layer: Mapping[Node, int]) -> list[tuple[Node, Node, int]]:
    return [(*edge, number) for number in range(layer[edge[0]] + 1, layer[edge[1]])]


def _uncrossed(graph: nx.DiGraph, columns: list[list[Node]]) -> list[list[Node]]:
    """Barycentre sweeps to and fro; the order with the fewest crossings is kept."""
    best, fewest = columns, _crossings(graph, columns)
    for sweep in range(_ORDER_SWEEPS):
        forward = sweep % 2 == 0
        columns = [list(column) for column in columns]
        for number in range(1, len(columns)) if forward else range(len(columns) - 2, -1, -1):
            fixed = columns[number - 1 if forward else number + 1]
            rank = {node: place for place, node in enumerate(fixed)}
            near = graph.predecessors if forward else graph.successors
            own = {node: place for place, node in enumerate(columns[number])}

            def barycentre(node: Node, near=near, rank=rank, own=own) -> float:
                places = [rank[n] for n in near(node)]
                return float(np.mean(places)) if places else own[node]

            columns[number].sort(key=barycentre)
        crossings = _crossings(graph, columns)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _crossings(graph: nx.DiGraph, columns: list[list[Node]]) -> int:
    total = 0
    for left, right in zip(columns, columns[1:], strict=False):
        rank = {node: place for place, node in enumerate(right)}
        ends = [place for node in left for place in sorted(rank[n] for n in graph.successors(node))]
        array = np.array(ends)
        total += int(sum((array[:i] > end).sum() for i, end in enumerate(ends)))
    return total


def _places(
    graph: nx.DiGraph, columns: list[list[Node]], height_of: Mapping[Node, float], gap: float
) -> dict[Node, float]:
    """Centres along the layer: as near to the mean of the neighbours as the order and the gaps allow."""
    offsets = {}
    for number, column in enumerate(columns):
        heights = np.array([height_of[n] for n in column])
        steps = (heights[:-1] + heights[1:]) / 2 + np.where(np.minimum(heights[:-1], heights[1:]) > 0, gap, gap / 2)
        offsets[number] = np.concatenate([[0.0], np.cumsum(steps)])[: len(column)]
    y: dict[Node, float] = {}
    for number, column in enumerate(columns):
        y |= dict(zip(column, offsets[number].tolist(), strict=True))
    for sweep in range(_PLACE_SWEEPS):
        for number in range(len(columns)) if sweep % 2 == 0 else range(len(columns) - 1, -1, -1):
            wish = []
            for node in columns[number]:
                near = [y[n] for n in (*graph.predecessors(node), *graph.successors(node))]
                wish.append(np.mean(near) if near else y[node])
            # least squares under "the next one at least a gap below": isotonic after taking the gaps out
            placed = isotonic_regression(np.array(wish) - offsets[number]).x + offsets[number]
            y |= dict(zip(columns[number], placed.tolist(), strict=True))
    top = min((y[n] - height_of[n] / 2 for n in y), default=0.0)
    return {node: at - top for node, at in y.items()}
