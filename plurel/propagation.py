"""How values move along one causal graph: mechanisms of all nodes, drawn together, and what each has told its children
(paper.md, sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from plurel.aggregate import AGGREGATIONS
from plurel.edges import LIMIT, ForeignMessages, Places, Values
from plurel.functions import draw_functions
from plurel.kernels.bits import draw_streams
from plurel.kernels.node import decode
from plurel.kernels.quantiles import beta_quantiles
from plurel.random_streams import stream

if TYPE_CHECKING:
    from plurel.config import SCMParams
    from plurel.scm import TableSCM

_NOISE_LEVELS = 4096
_NUMBER = {name: number for number, name in enumerate(AGGREGATIONS)}


class Propagation:
    """Of each node with parents: a joint message of its edges, noise, and a decoder. Values are told node by node.

    Args:
        scm: whose nodes.
        nodes: those that are evaluated, parents before children; a prior's draws are for these alone.
        foreign: what the rows say that foreign keys point to.

    Attributes:
        number: of each node with parents, its place in what follows.
        first: int64 (nodes + 1,), the first of the edges that lead to each node, in the order of its parents.
        encoders, weights: of each edge.
        decoders, aggregations, noise_shapes, noise_streams: of each node.
        places, slots: what children read, and the slot of each node in it, behind those of the foreign keys.
    """

    def __init__(self, scm: TableSCM, nodes: Sequence[int], foreign: Sequence[ForeignMessages]) -> None:
        params = self._params = scm.params
        rng = stream(scm.seed, "mechanisms", *scm.key)
        decoded = [node for node in nodes if scm.graph.in_degree(node)]
        parents = [sorted(scm.graph.predecessors(node)) for node in decoded]
        every_edge = [parent for nodes in parents for parent in nodes]
        self._num_categories = {node: scm.categories(node) for node in nodes}
        self.number = {node: number for number, node in enumerate(decoded)}
        self.first = np.cumsum([0] + [len(nodes) for nodes in parents])  # of the edges that lead to each node
        self.weights = scm.edge_weights(len(every_edge), rng).astype(np.float32)
        self.encoders = draw_functions([self._num_categories[parent] for parent in every_edge], params, rng)
        self.decoders = draw_functions([self._num_categories[node] for node in decoded], params, rng)
        self.aggregations = params.propagation_agg_choices.draws(len(decoded), rng, _NUMBER)
        self.noise_shapes = _noise_shapes(len(decoded), params, rng)
        self.noise_streams = draw_streams(len(decoded), rng)
        self.slots = {node: slot for slot, node in enumerate(nodes, start=len(foreign))}
        self._edge_slots = np.array([self.slots[parent] for parent in every_edge], dtype=np.int64)
        self._heard = set(self._edge_slots.tolist())
        self.places = Places(len(foreign) + len(nodes), scm.schema.num_rows, params.edge_knots)
        for slot, key in enumerate(foreign):
            self.places.positions[slot] = key.rows
        self._lay_tables(foreign)

    def _lay_tables(self, foreign: Sequence[ForeignMessages]) -> None:
        """One array for all tables: those of foreign keys, joined in each way that a node asks for, then a node's."""
        tables, self._foreign_starts, self._start = [], {}, 0
        for number in sorted(set(self.aggregations.tolist())) if foreign else ():
            joined = [key.table(AGGREGATIONS[number]) for key in foreign]
            self._foreign_starts[number] = self._start + np.cumsum([0] + [len(table) for table in joined[:-1]])
            self._start += sum(map(len, joined))
            tables += joined
        most = max(self.places.knots.shape[1], *self._num_categories.values(), 0)
        own = int(np.diff(self.first).max(initial=0)) * most
        self._tables = np.empty((self._start + own, self._params.mlp_emb_dim), dtype=np.float32)
        if tables:
            np.concatenate(tables, out=self._tables[: self._start])

    def is_heard(self, node: int) -> bool:
        """True where an evaluated node depends on this one."""
        return self.slots[node] in self._heard

    def put(self, node: int, values: Values) -> None:
        """Tells the node's values to its children."""
        self.places.put(self.slots[node], values)

    def scores(self, node: int, rng: np.random.Generator) -> np.ndarray:
        """A parent's values as scores in [0, 1], for plurel.composite, once it has told them."""
        return self.places.scores(self.slots[node], not self._num_categories[node], rng)

    def values(self, node: int) -> Values:
        """The node's values in every row, once its parents have told theirs."""
        number, params, places = self.number[node], self._params, self.places
        edges = slice(self.first[number], self.first[number + 1])
        slots, aggregation = self._edge_slots[edges], self.aggregations[number]
        weights = self.weights[edges]
        starts = places.tabulate(self.encoders, edges.start, slots, weights, params, self._tables, self._start)
        if self._foreign_starts:
            foreign = self._foreign_starts[aggregation]
            starts, slots = np.concatenate([starts, foreign]), np.concatenate([slots, np.arange(len(foreign))])
        quantiles = np.empty(_NOISE_LEVELS, dtype=np.float32)
        beta_quantiles(*self.noise_shapes[number], quantiles)
        quantiles /= np.float32(params.mlp_emb_dim)
        data = decode(
            self.decoders,
            number,
            self._tables,
            starts,
            places.positions,
            slots,
            aggregation,
            quantiles,
            self.noise_streams[number],
            LIMIT,
            params.propagate_batch_size,
        )
        count = self._num_categories[node]
        return Values(data.astype(np.int64) if count else data, count)


def _noise_shapes(count: int, params: SCMParams, rng: np.random.Generator) -> np.ndarray:
    """(a, b) of each node's Beta noise; float64 (count, 2)."""
    if params.node_noise_shape_choices is not None:
        pairs = np.array(params.node_noise_shape_choices.value, dtype=np.float64)
        return pairs[rng.integers(len(pairs), size=count)]
    ranges = (params.node_noise_alpha_choices, params.node_noise_beta_choices)
    return np.stack([choices.draws(count, rng) for choices in ranges], axis=1)
