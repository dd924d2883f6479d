"""The structural causal model of one table: a random graph of numbers and categories (paper.md, sections 3 and 4).

A node without parents holds an exogenous source. Any other node decodes an embedding: noise, plus what its causal
parents and the rows that its foreign keys point to say. All rows are evaluated together, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from plurel.composite import composite
from plurel.dag import EDGE_WEIGHTS, random_dag
from plurel.edges import ForeignMessages, Values
from plurel.propagation import Propagation
from plurel.random_streams import stream
from plurel.sources import categories, numbers

if TYPE_CHECKING:
    from plurel.config import Config, SCMParams
    from plurel.schema import TableSchema

_SPARE_NODES = 3


class TableSCM:
    """The causal model of table `schema` in database `seed`; each `attempt` is another one, with streams of its own.

    Attributes:
        graph: causal graph over nodes 0 ... n - 1.
        column_nodes: the node of each feature column.
        num_categories: categories of each node, 0 for a numerical one.
        edge_weights: the distribution of edge weights, of (count, generator).
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
        self.edge_weights = EDGE_WEIGHTS[config.dag_params.edge_weight_dist_choices.draw(rng)]
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
        order = self.evaluated_nodes()
        columns = dict.fromkeys(self.column_nodes)
        propagation = Propagation(self, order, foreign)
        for node in order:
            values = self._caused(node, propagation, foreign) if self.graph.in_degree(node) else self._source(node)
            if node in columns:
                columns[node] = values = values if shape is None else shape(node, values)
            if propagation.is_heard(node):
                propagation.put(node, values)
        return [self._classes(node, column) for node, column in columns.items()]

    def evaluated_nodes(self) -> list[int]:
        """The nodes that a column depends on, parents before children."""
        order = list(nx.topological_sort(self.graph))
        needed = set(self.column_nodes)
        for node in reversed(order):
            if node in needed:
                needed.update(self.graph.predecessors(node))
        return [node for node in order if node in needed]

    def categories(self, node: int) -> int:
        """What the node takes while values propagate: that many categories, or 0 for a number."""
        return 0 if self.is_lazy else self.num_categories[node]

    def _source(self, node: int) -> Values:
        rng = stream(self.seed, "source", *self.key, node)
        rows, is_activity, count = self.schema.num_rows, self.schema.is_activity, self.categories(node)
        if count:
            return Values(categories(rows, count, is_activity, self.params, rng), count)
        return Values(numbers(rows, is_activity, self.params, rng).astype(np.float32), 0)

    def _caused(self, node: int, propagation: Propagation, foreign: Sequence[ForeignMessages]) -> Values:
        """By the perceptrons of the published priors, or by a composite mechanism."""
        if self._diversity.composite_prob:
            rng = stream(self.seed, "composite", *self.key, node)
            if rng.random() < self._diversity.composite_prob:
                kind = self._diversity.mechanism_choices.draw(rng)
                scores = [propagation.scores(parent, rng) for parent in sorted(self.graph.predecessors(node))]
                scores += [key.scores(rng) for key in foreign]
                return Values(*composite(kind, np.stack(scores), self.categories(node), rng))
        return propagation.values(node)

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
