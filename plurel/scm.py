"""The structural causal model of one table: a random graph of numbers and categories (paper.md, sections 3 and 4).

A node without parents holds an exogenous source. Any other node decodes an embedding: noise, plus what its causal
parents and the rows that its foreign keys point to say. All rows are evaluated together, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from plurel.aggregate import NEUTRAL
from plurel.dag import EDGE_WEIGHTS, random_dag
from plurel.edges import Edge, Messages, Positions, Values, draw_edges, locate
from plurel.functions import CategoryDecoder, NumberDecoder
from plurel.mechanisms import column_scores, composite
from plurel.noise import beta_quantiles, sample_quantiles
from plurel.random_streams import stream
from plurel.sources import categories, numbers

if TYPE_CHECKING:
    from plurel.config import Config, SCMParams
    from plurel.schema import TableSchema

_SPARE_NODES = 3
_LIMIT = np.float32(1e15)  # deep dense graphs grow exponentially; beyond this float32 would overflow


class ForeignMessages:
    """What the rows of `parents` say to a row of `child` that points to them, for one foreign key.

    Args:
        columns: the parent's feature columns.
        rows: int64 (child rows,), the parent row of each, or -1 for none; float32 must hold it exactly (16 million).
    """

    def __init__(
        self,
        seed: int,
        parent: str,
        child: str,
        foreign_key: str,
        columns: Sequence[Values],
        rows: np.ndarray,
        params: SCMParams,
    ) -> None:
        self._params, self._num_parents = params, len(columns[0].data)
        self._columns = [locate(values, params.edge_knots) for values in columns]
        self._rows = np.where(rows < 0, self._num_parents, rows).astype(np.float32)
        self._edges = draw_edges(
            self._columns,
            [0 if values.is_number else values.num_categories for values in columns],
            1.0,
            params,
            stream(seed, "foreign", parent, child, foreign_key),
        )
        self._tables: dict[str, np.ndarray] = {}

    def edge(self, aggregation: str) -> Edge:
        """One vector a parent row, the columns' vectors joined (for `sum` their mean); the last one says nothing."""
        if aggregation not in self._tables:
            messages, step = Messages(self._edges, aggregation), self._params.propagate_batch_size
            table = np.concatenate([messages(i, i + step) for i in range(0, self._num_parents, step)])
            if aggregation == "sum":
                table /= len(self._edges)
            nothing = np.full_like(table[:1], NEUTRAL[aggregation])
            self._tables[aggregation] = np.concatenate([np.clip(table, -_LIMIT, _LIMIT), nothing])
        return Edge(self._tables[aggregation], self._rows)

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """One of the parents' columns, drawn, as each child reads it: scores in [0, 1], the middle without parent."""
        scores = column_scores(self._columns[int(rng.integers(len(self._columns)))], rng)
        return np.append(scores, np.float32(0.5))[self._rows.astype(np.int64)]


class TableSCM:
    """The causal model of table `schema` in database `seed`; each `attempt` is another one, with streams of its own.

    Attributes:
        graph: causal graph over nodes 0 ... n - 1.
        column_nodes: the node of each feature column.
        num_categories: categories of each node, 0 for a numerical one.
        is_lazy: True where all nodes are numbers and categorical columns are cut into classes at the end.
    """

    def __init__(self, seed: int, schema: TableSchema, config: Config, attempt: int = 0) -> None:
        params = config.scm_params
        self.key = (schema.name, attempt) if attempt else (schema.name,)
        rng = stream(seed, "scm", *self.key)
        columns = schema.num_columns
        num_nodes = columns + ceil(columns / params.scm_col_node_perc_choices.draw(rng)) + _SPARE_NODES
        self.seed, self.schema, self.params, self._diversity = seed, schema, params, config.diversity_params
        self.is_lazy = params.propagation_mode_choices.draw(rng) == "type_lazy"
        self._edge_weights = EDGE_WEIGHTS[config.dag_params.edge_weight_dist_choices.draw(rng)]
        self.graph: nx.DiGraph = random_dag(params.scm_layout_choices.draw(rng), num_nodes, config.dag_params, rng)
        self.column_nodes: list[int] = rng.choice(num_nodes, columns, replace=False).tolist()
        self.num_categories = [_draw_categories(params, rng) for _ in range(num_nodes)]
        for node, count in zip(self.column_nodes, schema.categories or (), strict=False):
            self.num_categories[node] = count

    def propagate(
        self, foreign: Sequence[ForeignMessages] = (), shape: Callable[[int, Values], Values] | None = None
    ) -> list[Values]:
        """Values of the feature columns, given what each foreign key's parent rows say.

        `shape` may deal a column's values to the rows anew, given its node; see plurel.shaping. What the node causes
        follows them.
        """
        order = list(nx.lexicographical_topological_sort(self.graph))
        needed = set(self.column_nodes)
        for node in reversed(order):
            if node in needed:
                needed.update(self.graph.predecessors(node))
        columns = dict.fromkeys(self.column_nodes)
        positions: dict[int, Positions] = {}
        for node in filter(needed.__contains__, order):
            parents = sorted(self.graph.predecessors(node))
            values = self._caused(node, parents, positions, foreign) if parents else self._source(node)
            if node in columns:
                columns[node] = values = values if shape is None else shape(node, values)
            if not needed.isdisjoint(self.graph.successors(node)):
                positions[node] = locate(values, self.params.edge_knots)
        return [self._classes(node, column) for node, column in columns.items()]

    def _categories(self, node: int) -> int:
        return 0 if self.is_lazy else self.num_categories[node]

    def _source(self, node: int) -> Values:
        rng = stream(self.seed, "source", *self.key, node)
        rows, is_activity, count = self.schema.num_rows, self.schema.is_activity, self._categories(node)
        if count:
            return Values(categories(rows, count, is_activity, self.params, rng), count)
        return Values(numbers(rows, is_activity, self.params, rng).astype(np.float32), 0)

    def _caused(
        self,
        node: int,
        parents: list[int],
        positions: Mapping[int, Positions],
        foreign: Sequence[ForeignMessages],
    ) -> Values:
        """By the perceptrons of the published priors, or by a composite mechanism."""
        if self._diversity.composite_prob:
            rng = stream(self.seed, "composite", *self.key, node)
            if rng.random() < self._diversity.composite_prob:
                kind = self._diversity.mechanism_choices.draw(rng)
                scores = [column_scores(positions[p], rng) for p in parents]
                scores += [key.scores(rng) for key in foreign]
                return Values(*composite(kind, np.stack(scores), self._categories(node), rng))
        return self._decode(node, parents, positions, foreign)

    def _decode(
        self,
        node: int,
        parents: list[int],
        positions: Mapping[int, Positions],
        foreign: Sequence[ForeignMessages],
    ) -> Values:
        params, count = self.params, self._categories(node)
        width, num_rows = params.mlp_emb_dim, self.schema.num_rows
        rng = stream(self.seed, "mechanism", *self.key, node)
        aggregation = params.propagation_agg_choices.draw(rng)
        edges = draw_edges(
            [positions[p] for p in parents],
            [self._categories(p) for p in parents],
            self._edge_weights(len(parents), rng),
            params,
            rng,
        )
        messages = Messages(edges + [key.edge(aggregation) for key in foreign], aggregation)
        decoder = CategoryDecoder.draw(count, params, rng) if count else NumberDecoder.draw(params, rng)
        quantiles = beta_quantiles(*_noise_shape(params, rng)) / np.float32(width)
        data = np.empty(num_rows, dtype=np.int64 if count else np.float32)
        for start in range(0, num_rows, params.propagate_batch_size):
            stop = start + params.propagate_batch_size
            embedding = messages(start, stop)
            embedding += sample_quantiles(quantiles, embedding.shape, rng)
            np.clip(embedding, -_LIMIT, _LIMIT, out=embedding)
            data[start:stop] = decoder(embedding)
        if not count:
            np.clip(data, -_LIMIT, _LIMIT, out=data)
        return Values(data, count)

    def _classes(self, node: int, values: Values) -> Values:
        """Of a lazy table's categorical column: its numbers cut at values of random rows, classes relabelled."""
        count = self.num_categories[node]
        if not (self.is_lazy and count):
            return values
        rng = stream(self.seed, "classes", *self.key, node)
        bounds = np.sort(values.data[rng.integers(len(values.data), size=count - 1)])
        classes = np.searchsorted(bounds, values.data, side="left")
        if rng.random() < self.params.cat_label_permute_prob_choices.draw(rng):
            classes = rng.permutation(count)[classes]
        if rng.random() < self.params.cat_label_reverse_prob_choices.draw(rng):
            classes = count - 1 - classes
        return Values(classes, count, acts_as_number=True)


def _draw_categories(params: SCMParams, rng: np.random.Generator) -> int:
    is_categorical = params.col_stype_choices.draw(rng) == "categorical"
    return params.num_categories_choices.draw(rng) if is_categorical else 0


def _noise_shape(params: SCMParams, rng: np.random.Generator) -> tuple[float, float]:
    if params.node_noise_shape_choices is not None:
        return params.node_noise_shape_choices.draw(rng)
    return params.node_noise_alpha_choices.draw(rng), params.node_noise_beta_choices.draw(rng)
