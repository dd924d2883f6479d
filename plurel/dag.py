"""Families of random directed acyclic graphs, by name: schemas and causal graphs (paper.md, sections 3 and 4).

Each takes the number of nodes, the parameters and a generator, and gives an acyclic graph that is connected when
edges are read both ways (BarabasiAlbert: before it drops edges).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

if TYPE_CHECKING:
    from plurel.config import DAGParams

Edges = list[tuple[int, int]]


def random_dag(layout: str, num_nodes: int, params: DAGParams, rng: np.random.Generator) -> nx.DiGraph:
    """A graph of the family `layout` (a key of LAYOUTS) over the nodes 0 ... num_nodes - 1."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(num_nodes))
    if num_nodes > 1:
        graph.add_edges_from(LAYOUTS[layout](num_nodes, params, rng))
    return graph


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _upward(num_nodes: int, edges: Iterable[tuple[int, int]], rng: np.random.Generator) -> Edges:
    """Edges between any two nodes, joined to one component if need be, from the smaller to the larger node."""
    upward = [(a, b) if a < b else (b, a) for a, b in edges]
    components = list(_components(num_nodes, upward).values())
    for one, other in zip(components, components[1:], strict=False):
        a, b = one[int(rng.integers(len(one)))], other[int(rng.integers(len(other)))]
        upward.append((min(a, b), max(a, b)))
    return upward


def _components(num_nodes: int, edges: Edges) -> dict[int, list[int]]:
    """The nodes of each connected component, by its smallest one."""
    parent = list(range(num_nodes))

    def smallest(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for a, b in edges:
        low, high = sorted((smallest(a), smallest(b)))
        parent[high] = low
    components: dict[int, list[int]] = {}
    for node in range(num_nodes):
        components.setdefault(smallest(node), []).append(node)
    return components


def erdos_renyi(num_nodes: int, params: DAGParams, rng: np.random.Generator) -> Edges:
    """Every ordered pair is drawn with one probability; a drawn pair points upwards, so p(i -> j) is 1 - (1 - p)²."""
    drawn = rng.random((num_nodes, num_nodes)) < params.er_p_choices.draw(rng)
    return _upward(num_nodes, np.argwhere(np.triu(drawn | drawn.T, 1)).tolist(), rng)


def barabasi_albert(num_nodes: int, params: DAGParams, rng: np.random.Generator) -> Edges:
    """Preferential attachment, upwards, relabelled; a sink may then lose one of several parents or turn its only edge.

    A turned edge makes the sink a parent, and the graph stays acyclic: nothing leads to a sink's new place.
    """
    edges_per_node = min(params.ba_m, num_nodes - 1)
    undirected = nx.barabasi_albert_graph(num_nodes, edges_per_node, seed=_seed(rng))
    label = rng.permutation(num_nodes)
    graph = nx.DiGraph([(int(label[a]), int(label[b])) for a, b in _upward(num_nodes, undirected.edges, rng)])
    for sink in [n for n in sorted(graph) if graph.out_degree(n) == 0]:
        parents = sorted(graph.predecessors(sink))
        if len(parents) > 1 and rng.random() < params.ba_sink_edge_dropout:
            graph.remove_edge(parents[int(rng.integers(len(parents)))], sink)
    for sink in [n for n in sorted(graph) if graph.out_degree(n) == 0 and graph.in_degree(n) == 1]:
        (parent,) = graph.predecessors(sink)
        if rng.random() < params.ba_flip_leaf_edge_prob and graph.in_degree(parent) < params.ba_max_in_degree:
            graph.remove_edge(parent, sink)
            graph.add_edge(sink, parent)
    return list(graph.edges)


def watts_strogatz(num_nodes: int, params: DAGParams, rng: np.random.Generator) -> Edges:
    """A rewired ring, upwards."""
    neighbours = min(params.ws_k_choices.draw(rng), num_nodes - num_nodes % 2)
    ring = nx.watts_strogatz_graph(num_nodes, max(2, neighbours), params.ws_rewire_p_choices.draw(rng), seed=_seed(rng))
    return _upward(num_nodes, ring.edges, rng)


def random_tree(num_nodes: int, params: DAGParams, rng: np.random.Generator) -> Edges:
    """A uniform labelled tree, from a random root outwards."""
    tree = nx.random_labeled_tree(num_nodes, seed=_seed(rng))
    return list(nx.bfs_edges(tree, int(rng.integers(num_nodes))))


def reverse_random_tree(num_nodes: int, params: DAGParams, rng: np.random.Generator) -> Edges:
    """A random tree with every edge turned: all paths lead to one node."""
    return [(child, parent) for parent, child in random_tree(num_nodes, params, rng)]


def layered(num_nodes: int, params: DAGParams, rng: np.random.Generator) -> Edges:
    """Consecutive layers, fully linked but for dropped edges; each node keeps a parent and a child."""
    depth = min(params.layered_depth_choices.draw(rng), num_nodes)
    sizes = 1 + rng.multinomial(num_nodes - depth, np.full(depth, 1 / depth))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    edges: Edges = []
    for a, b, c in zip(starts, starts[1:], starts[2:], strict=False):
        keep = rng.random((b - a, c - b)) >= params.layered_edge_dropout_p
        for orphan in np.flatnonzero(~keep.any(axis=0)):
            keep[rng.integers(b - a), orphan] = True
        for childless in np.flatnonzero(~keep.any(axis=1)):
            keep[childless, rng.integers(c - b)] = True
        edges += [(int(a + i), int(b + j)) for i, j in np.argwhere(keep)]
    return _upward(num_nodes, edges, rng)


def random_cauchy(num_nodes: int, params: DAGParams, rng: np.random.Generator) -> Edges:
    """An edge i -> j, i < j, with chance sigmoid(a + b_i + c_j), all standard Cauchy draws (paper.md, section 4)."""
    a, b, c = rng.standard_cauchy(), rng.standard_cauchy(num_nodes), rng.standard_cauchy(num_nodes)
    chance = 0.5 + 0.5 * np.tanh(0.5 * (a + b[:, None] + c[None, :]))  # the sigmoid, without overflow
    linked = rng.random((num_nodes, num_nodes)) < chance
    return _upward(num_nodes, np.argwhere(np.triu(linked, 1)).tolist(), rng)


LAYOUTS: dict[str, Callable[[int, DAGParams, np.random.Generator], Edges]] = {
    "ErdosRenyi": erdos_renyi,
    "BarabasiAlbert": barabasi_albert,
    "WattsStrogatz": watts_strogatz,
    "RandomTree": random_tree,
    "ReverseRandomTree": reverse_random_tree,
    "Layered": layered,
    "RandomCauchy": random_cauchy,
}
EDGE_WEIGHTS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "gaussian": lambda count, rng: rng.normal(size=count),
    "lognormal": lambda count, rng: rng.lognormal(size=count),
    "cauchy": lambda count, rng: rng.standard_cauchy(count),
    "uniform": lambda count, rng: rng.uniform(-2, 2, count),
}
