"""What shapes the columns of a table beside its causal model: hidden states of its parents, its rows' place in a tree.

A Gaussian copula: the normal scores of a column's values are mixed with what they are to follow, and the values sorted
by the mixture. So a column keeps its distribution, and what it owes to its causes in part. (A further message to the
node, as loud as all others together, did not survive the products and saturations of `main`: over 12 databases it left
the median correlation between an entity's past and future where it was.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plurel.edges import Values
from plurel.random_streams import stream
from plurel.self_reference import inherit

Array = np.ndarray

_CORRELATION = (0.3, 0.95)  # of a column with what shapes it
_LISTENING = 0.5  # chance that a column is shaped by hidden states, and by the parents of its own table


@dataclass(frozen=True)
class Shaping:
    """The shapes of one table's columns, drawn for each.

    Attributes:
        hidden: float32 (rows,) each, the hidden state of the row that each foreign key points to.
        tree: int64 (rows,), the row of the same table that each row points to, -1 for none; None without such a key.
    """

    seed: int
    hidden: Sequence[Array]
    tree: Array | None

    def __bool__(self) -> bool:
        return bool(self.hidden) or self.tree is not None

    def of_model(self, key: tuple[str | int, ...]) -> Callable[[int, Values], Values]:
        """The values of a column, dealt to the rows anew, as a function of its node; `key` is the model's."""

        def shape(node: int, values: Values) -> Values:
            if self.hidden:
                values = _dealt(values, self._follow_states, stream(self.seed, "shape", *key, node))
            if self.tree is not None:
                values = _dealt(values, self._follow_tree, stream(self.seed, "inherit", *key, node))
            return values

        return shape

    def _follow_states(self, data: Array, rng: np.random.Generator) -> Array:
        return entangle(data, self.hidden, rng)

    def _follow_tree(self, data: Array, rng: np.random.Generator) -> Array:
        scores = normal_scores(data, rng)
        return deal(data, inherit(scores, self.tree, rng.uniform(*_CORRELATION)))


def _dealt(values: Values, rule: Callable[[Array, np.random.Generator], Array], rng: np.random.Generator) -> Values:
    if rng.random() >= _LISTENING:
        return values
    if not values.num_categories:
        return Values(rule(values.data, rng), 0)
    label = rng.permutation(values.num_categories)  # categories have no order of their own
    return Values(np.argsort(label)[rule(label[values.data], rng)], values.num_categories)


def entangle(data: Array, states: Sequence[Array], rng: np.random.Generator) -> Array:
    """The values of `data`, dealt anew so that they follow a random sum of the states by a random correlation.

    Args:
        data: (rows,), numbers or ordered classes; ties are broken at random.
        states: float32 (rows,) each.
    """
    weights = rng.normal(size=len(states))
    told = sum(weight * state for weight, state in zip(weights, states, strict=True))
    scores, target = normal_scores(data, rng), normal_scores(told, rng)
    share = rng.uniform(*_CORRELATION)
    return deal(data, np.sqrt(1 - share**2) * scores + share * target)


def deal(data: Array, order: Array) -> Array:
    """The same values, the smallest to the row that is lowest in `order`, and so on."""
    dealt = np.empty_like(data)
    dealt[np.argsort(order)] = np.sort(data)
    return dealt


def normal_scores(x: Array, rng: np.random.Generator) -> Array:
    """The quantiles of the standard normal distribution at the values' ranks; ties are broken at random."""
    from scipy.special import ndtri  # a fifth of a second that priors without hidden states need not wait

    order = np.lexsort((rng.random(len(x)), x))
    ranks = np.empty(len(x))
    ranks[order] = np.arange(1, len(x) + 1)
    return ndtri(ranks / (len(x) + 1))
