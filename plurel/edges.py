"""What parents say to a node: every edge is a vector-valued function of one number or one category, so it is a table.

A category's vectors are all listed. A function of a number is evaluated at quantiles of the number (knots) and
interpolated linearly between them; with a knot for each row it is exact. Numbers that come often count often among
the quantiles. A foreign key is a table as well: one vector for each parent row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plurel.aggregate import AGGREGATIONS, NEUTRAL
from plurel.functions import draw_functions
from plurel.kernels.join import join
from plurel.kernels.node import Functions, tabulate
from plurel.kernels.quantiles import choose_knots, locate_between
from plurel.random_streams import stream

if TYPE_CHECKING:
    from plurel.config import SCMParams

Array = np.ndarray

LIMIT = np.float32(1e15)  # deep dense graphs grow exponentially; beyond this float32 would overflow


@dataclass(frozen=True)
class Values:
    """The values of a node in every row.

    Attributes:
        data: float32 numbers, or int64 categories in [0, num_categories).
        num_categories: 0 for numbers.
        acts_as_number: True for categories that were cut from numbers at the end (type_lazy): to other tables they
            are numbers.
    """

    data: Array
    num_categories: int
    acts_as_number: bool = False

    @property
    def is_number(self) -> bool:
        """True where an encoder reads the values as numbers."""
        return self.acts_as_number or not self.num_categories


class Places:
    """Where each row lies in the tables of several sources, one slot for each.

    Attributes:
        positions: float32 (slots, rows), the place among a source's knots, its category, or the parent row of a key.
        knots: float32 (slots, most), the numbers at which edges from a slot are evaluated.
        num_knots: int64 (slots,), how many these are, or the number of categories.
    """

    def __init__(self, num_slots: int, num_rows: int, num_knots: int) -> None:
        most = num_knots if num_knots and num_knots < num_rows else num_rows
        self.positions = np.empty((num_slots, num_rows), dtype=np.float32)
        self.knots = np.empty((num_slots, most), dtype=np.float32)
        self.num_knots = np.zeros(num_slots, dtype=np.int64)

    def put(self, slot: int, values: Values) -> None:
        """Fills a slot; knots are quantiles of the numbers, each number once; all of them with a knot for each row."""
        if not values.is_number:
            self.positions[slot], self.num_knots[slot] = values.data, values.num_categories
            return
        data = values.data.astype(np.float32, copy=False)
        count = self.num_knots[slot] = choose_knots(np.sort(data), self.knots[slot])
        locate_between(data, self.knots[slot, :count], self.positions[slot])

    def scores(self, slot: int, is_number: bool, rng: np.random.Generator) -> Array:
        """A number's place among the knots, about its rank, or a random number for each category; in [0, 1]."""
        if is_number:
            return self.positions[slot] / np.float32(max(self.num_knots[slot] - 1, 1))
        return rng.random(self.num_knots[slot]).astype(np.float32)[self.positions[slot].astype(np.int64)]

    def tabulate(
        self,
        encoders: Functions,
        first: int,
        slots: Array,
        weights: Array,
        params: SCMParams,
        tables: Array,
        start: int,
    ) -> Array:
        """Edges `first`, ... from `slots`, weight * encoder at the knots, in `tables` from `start` on; their starts.

        The vectors lie within ±embedding_limit.
        """
        limit = np.float32(params.embedding_limit)
        return tabulate(encoders, first, slots, self.knots, self.num_knots, weights, limit, tables, start)


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
        rows: Array,
        params: SCMParams,
    ) -> None:
        self.num_parents, self._width = len(columns[0].data), params.mlp_emb_dim
        self.rows = np.where(rows < 0, self.num_parents, rows)
        self._places = Places(len(columns), self.num_parents, params.edge_knots)
        for slot, values in enumerate(columns):
            self._places.put(slot, values)
        encoders = draw_functions(
            [0 if values.is_number else values.num_categories for values in columns],
            params,
            stream(seed, "foreign", parent, child, foreign_key),
        )
        self._tables = np.empty((self._places.num_knots.sum(), self._width), dtype=np.float32)
        self._is_number = [values.is_number for values in columns]
        self._slots, weights = np.arange(len(columns)), np.ones(len(columns), dtype=np.float32)
        self._starts = self._places.tabulate(encoders, 0, self._slots, weights, params, self._tables, 0)

    def scores(self, rng: np.random.Generator) -> Array:
        """One of the parents' columns, drawn, as each child reads it: scores in [0, 1], the middle without parent."""
        slot = int(rng.integers(len(self._slots)))
        return np.append(self._places.scores(slot, self._is_number[slot], rng), np.float32(0.5))[self.rows]

    def table(self, aggregation: str) -> Array:
        """One vector a parent row, the columns' vectors joined (for `sum` their mean); the last one says nothing."""
        joined = np.empty((self.num_parents + 1, self._width), dtype=np.float32)
        number = AGGREGATIONS.index(aggregation)
        join(self._tables, self._starts, self._places.positions, self._slots, 0, number, joined[:-1])
        if aggregation == "sum":
            joined[:-1] /= len(self._slots)
        if aggregation == "product":  # an overflow times 0 is 0 here, and NaN in the published code
            joined[np.isnan(joined)] = 0
        np.clip(joined, -LIMIT, LIMIT, out=joined)
        joined[-1] = NEUTRAL[aggregation]
        return joined
