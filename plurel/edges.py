"""What parents say to a node: every edge is a vector-valued function of one number or one category, so it is a table.

A category's vectors are all listed. A function of a number is evaluated at quantiles of the number (knots) and
interpolated linearly between them; with as many knots as distinct values it is exact. A foreign key is a table as
well: one vector for each parent row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plurel._interpolation import interpolate
from plurel.aggregate import AGGREGATIONS
from plurel.functions import Encoders

if TYPE_CHECKING:
    from plurel.config import SCMParams

Array = np.ndarray


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


@dataclass(frozen=True)
class Positions:
    """Where each row lies among the knots of its node: float32 (rows,), `knots` (K, 1), or None for categories."""

    rows: Array
    knots: Array | None


def locate(values: Values, num_knots: int) -> Positions:
    """Knots at `num_knots` quantiles of the distinct numbers (all of them if 0 or more than there are)."""
    if not values.is_number:
        return Positions(values.data.astype(np.float32), None)
    knots = np.sort(values.data.astype(np.float32))
    if num_knots and num_knots < len(knots):
        knots = knots[np.linspace(0, len(knots) - 1, num_knots).round().astype(np.int64)]
    knots = knots[np.concatenate([[True], knots[1:] > knots[:-1]])]
    rows = np.interp(values.data, knots, np.arange(len(knots))).astype(np.float32)
    return Positions(rows, knots[:, None])


@dataclass(frozen=True)
class Edge:
    """A table of vectors, float32 (K, width), and the position of each row in it, float32 (rows,)."""

    table: Array
    positions: Array


def draw_edges(
    parents: Sequence[Positions],
    num_categories: Sequence[int],
    weights: Array | float,
    params: SCMParams,
    rng: np.random.Generator,
) -> list[Edge]:
    """weight * a random encoder of each parent, within ±embedding_limit."""
    tables = Encoders.draw(num_categories, params, rng).tables([parent.knots for parent in parents])
    sizes = [len(table) for table in tables]
    joined = np.concatenate(tables)
    joined *= np.repeat(np.broadcast_to(weights, len(sizes)).astype(np.float32), sizes)[:, None]
    np.clip(joined, -params.embedding_limit, params.embedding_limit, out=joined)
    bounded = np.split(joined, np.cumsum(sizes)[:-1])
    return [Edge(table, parent.rows) for table, parent in zip(bounded, parents, strict=True)]


class Messages:
    """The joint message of several edges, a batch of rows at a time."""

    def __init__(self, edges: Sequence[Edge], aggregation: str) -> None:
        tables = [edge.table for edge in edges]
        self._tables = np.concatenate(tables)
        self._starts = np.cumsum([0] + [len(table) for table in tables[:-1]])
        self._positions = [edge.positions for edge in edges]
        self._aggregate = AGGREGATIONS[aggregation]
        self._terms = np.empty(0, dtype=np.float32)  # kept between batches

    def __call__(self, start: int, stop: int) -> Array:
        """Of rows start ... stop - 1, as far as there are any: float32 (rows, width)."""
        positions = np.stack([rows[start:stop] for rows in self._positions])
        shape = (*positions.shape, self._tables.shape[1])
        size = math.prod(shape)
        if self._terms.size < size:
            self._terms = np.empty(size, dtype=np.float32)
        terms = self._terms[:size].reshape(shape)
        interpolate(self._tables, self._starts, positions, terms)
        return self._aggregate(terms)
