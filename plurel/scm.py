"""The structural causal model of one table: a random graph of scalars and categories, evaluated for all rows at once.

A node without parents holds an exogenous source. Any other node decodes an embedding, the sum of noise, of one vector
per causal parent and of one vector per referenced row (paper, section 3). Axes: R rows, P parents, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import networkx as nx
import numpy as np

from plurel.config import Config, SCMParams
from plurel.dag import random_dag
from plurel.functions import ACTIVATIONS, MLP, CategoryCode
from plurel.random_streams import stream
from plurel.schema import TableSchema
from plurel.sources import beta_noise, categories, series

_CHUNK_VALUES = 2**20  # hidden values of one matrix product: 4 MiB, so that a chunk stays in cache
_LIMIT = np.float32(1e15)  # deep dense graphs grow exponentially; beyond this float32 would overflow


@dataclass(frozen=True)
class Values:
    """The values of a node in every row: float32 numbers, or int64 categories in [0, num_categories)."""

    data: np.ndarray
    num_categories: int  # 0: numbers


@dataclass(frozen=True)
class _Edge:
    """A causal parent's contribution: weight * encoder(parent's value)."""

    weight: float
    encoder: MLP | CategoryCode


class TableSCM:
    """The causal model of table `schema` in database `seed`; each `attempt` is another one, with streams of its own.

    Attributes:
        graph: causal graph over nodes 0 ... n - 1.
        column_nodes: the node of each feature column.
        num_categories: categories of each node, 0 for a numerical one.
    """

    def __init__(self, seed: int, schema: TableSchema, config: Config, attempt: int = 0) -> None:
        params = config.scm_params
        self.key = (schema.name, attempt) if attempt else (schema.name,)
        rng = stream(seed, "scm", *self.key)
        columns = schema.num_columns
        num_nodes = columns + ceil(columns / params.column_node_frac.draw(rng)) + params.extra_nodes
        self.seed, self.schema, self.params = seed, schema, params
        self.graph: nx.DiGraph = random_dag(params.layout.draw(rng), num_nodes, config.dag_params, rng)
        self.column_nodes: list[int] = rng.choice(num_nodes, columns, replace=False).tolist()
        self.num_categories = [
            params.num_categories.draw(rng) if rng.random() < params.categorical_prob else 0 for _ in range(num_nodes)
        ]

    def propagate(self, foreign: np.ndarray | None) -> list[Values]:
        """Values of the feature columns.

        Args:
            foreign: float32 (R, D), the sum over foreign keys of the referenced rows' vectors; None without keys.
        """
        needed = set(self.column_nodes).union(*(nx.ancestors(self.graph, n) for n in self.column_nodes))
        values: dict[int, Values] = {}
        for node in nx.lexicographical_topological_sort(self.graph.subgraph(needed)):
            parents = sorted(self.graph.predecessors(node))
            values[node] = self._decode(node, parents, values, foreign) if parents else self._source(node)
        return [values[node] for node in self.column_nodes]

    def _source(self, node: int) -> Values:
        rng = stream(self.seed, "source", *self.key, node)
        rows, is_activity, count = self.schema.num_rows, self.schema.is_activity, self.num_categories[node]
        if count:
            return Values(categories(rows, count, is_activity, self.params, rng), count)
        return Values(series(rows, is_activity, self.params, rng).astype(np.float32), 0)

    def _decode(self, node: int, parents: list[int], values: dict[int, Values], foreign: np.ndarray | None) -> Values:
        params, count = self.params, self.num_categories[node]
        width = params.d_embedding
        rng = stream(self.seed, "mechanism", *self.key, node)
        edges = [_Edge(rng.normal(), _draw_encoder(values[p].num_categories, params, rng)) for p in parents]
        noise_rng = stream(self.seed, "noise", *self.key, node)
        embedding = beta_noise((self.schema.num_rows, width), *params.noise_shapes.draw(rng), noise_rng) / width
        if foreign is not None:
            embedding += foreign
        _add_parents(embedding, edges, [values[p] for p in parents])
        np.clip(embedding, -_LIMIT, _LIMIT, out=embedding)
        if count:
            return Values(CategoryCode.draw(count, params, rng).decode(embedding), count)
        return Values(np.clip(MLP.draw(width, width, 1, params, rng)(embedding)[:, 0], -_LIMIT, _LIMIT), 0)


def foreign_vectors(seed: int, parent: TableSchema, child: str, columns: list[Values], params: SCMParams) -> np.ndarray:
    """What rows of `parent` contribute to every node of a row of `child` that points to them; float32 (parent rows, D).

    The mean over the parent's feature columns of an encoder that belongs to the pair (column, child).
    """
    total = np.zeros((parent.num_rows, params.d_embedding), dtype=np.float32)
    edges = [
        _Edge(
            1 / len(columns),
            _draw_encoder(v.num_categories, params, stream(seed, "foreign", parent.name, column, child)),
        )
        for column, v in enumerate(columns)
    ]
    _add_parents(total, edges, columns)
    return np.clip(total, -_LIMIT, _LIMIT)


def _draw_encoder(num_categories: int, params: SCMParams, rng: np.random.Generator) -> MLP | CategoryCode:
    if num_categories:
        return CategoryCode.draw(num_categories, params, rng)
    return MLP.draw(1, params.d_embedding, params.d_embedding, params, rng)


def _add_parents(embedding: np.ndarray, edges: list[_Edge], parents: list[Values]) -> None:
    """Adds weight * encoder(value) of every parent to `embedding` (R, D), in place.

    A category's vector is looked up. Numerical encoders share one product: with h_p = activation(x_p first_p),
    the sum over p of w_p h_p second_p is [h_1 ... h_P] times the stacked w_p second_p.
    """
    by_activation: dict[str, list[tuple[_Edge, np.ndarray]]] = {}
    for edge, parent in zip(edges, parents, strict=True):
        if isinstance(edge.encoder, CategoryCode):
            embedding += (np.float32(edge.weight) * edge.encoder.encode())[parent.data]
        else:
            by_activation.setdefault(edge.encoder.activation, []).append((edge, parent.data))
    for activation, group in sorted(by_activation.items()):
        first = np.concatenate([edge.encoder.first for edge, _ in group])  # (P, D)
        second = np.concatenate([np.float32(edge.weight) * edge.encoder.second for edge, _ in group])  # (P D, D)
        x = np.stack([data for _, data in group], axis=1)  # (R, P)
        step = max(1, _CHUNK_VALUES // first.size)
        for start in range(0, len(x), step):
            hidden = ACTIVATIONS[activation](x[start : start + step, :, None] * first)  # (rows, P, D)
            embedding[start : start + step] += hidden.reshape(-1, first.size) @ second
