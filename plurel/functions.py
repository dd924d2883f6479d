"""Random functions of the causal model: perceptrons, and codes for categories made of them (paper.md, 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plurel.activations import Activations
from plurel.initialisers import random_table, random_weights

if TYPE_CHECKING:
    from plurel.config import SCMParams

Array = np.ndarray


@dataclass(frozen=True)
class Perceptrons:
    """Independent perceptrons without biases, drawn and evaluated together: a database has thousands of small ones.

    Each is x @ weight, activation, ..., @ weight. Activations are drawn once, with the weights. (The code published
    with the paper draws one anew at every call, so that the mechanism of each row is another; its release 1.1.0 fixes
    it, as here.)

    Attributes:
        order: int64 (perceptrons,), the perceptrons from deep to shallow; below they stand in that order.
        hidden: of each layer but the last, weights (n, inputs, width) and activations of the n that are deep enough.
        last: float32 (perceptrons, width, outputs).
    """

    order: Array
    hidden: tuple[tuple[Array, Activations], ...]
    last: Array

    @classmethod
    def draw(cls, count: int, d_in: int, d_out: int, params: SCMParams, rng: np.random.Generator) -> Perceptrons:
        """Random depths, weights and activations; hidden layers are as wide as the embedding."""
        width = params.mlp_emb_dim
        depths = np.array([params.mlp_num_layers_choices.draw(rng) for _ in range(count)])
        hidden = []
        for layer in range(int(depths.max()) - 1):
            deep_enough = int((depths > layer + 1).sum())
            weights = random_weights(deep_enough, (width if layer else d_in, width), params, rng)
            hidden.append((weights, Activations.draw(deep_enough, params, rng)))
        return cls(
            np.argsort(-depths, kind="stable"), tuple(hidden), random_weights(count, (width, d_out), params, rng)
        )

    def __call__(self, x: Array) -> Array:
        """(perceptrons, rows, inputs) -> (perceptrons, rows, outputs), float32."""
        (first, activations), *deeper = self.hidden
        h = activations(x[self.order] @ first)
        for weights, activations in deeper:
            h[: len(weights)] = activations(h[: len(weights)] @ weights)
        out = np.empty((*x.shape[:2], self.last.shape[-1]), dtype=np.float32)
        out[self.order] = h @ self.last
        return out


@dataclass(frozen=True)
class Encoders:
    """A random function of one number or one category, to a vector, for each of several parents.

    Attributes:
        num_categories: of each parent, 0 for a number.
        of_numbers: the perceptrons of the parents that are numbers, in their order; None without any.
        codes: a random vector for each category of the other parents, float32 (categories, width).
        of_codes: the perceptrons over such vectors; None without any.
    """

    num_categories: Sequence[int]
    of_numbers: Perceptrons | None
    codes: list[Array]
    of_codes: Perceptrons | None

    @classmethod
    def draw(cls, num_categories: Sequence[int], params: SCMParams, rng: np.random.Generator) -> Encoders:
        """Independent functions."""
        width = params.mlp_emb_dim
        codes = [random_table((count, width), params, rng) for count in num_categories if count]
        numbers = len(num_categories) - len(codes)
        return cls(
            num_categories,
            Perceptrons.draw(numbers, 1, width, params, rng) if numbers else None,
            codes,
            Perceptrons.draw(len(codes), width, width, params, rng) if codes else None,
        )

    def tables(self, knots: Sequence[Array | None]) -> list[Array]:
        """Of each parent the vectors at its `knots` (K, 1), or, for None, of all its categories; float32 (K, width)."""
        numbers = iter(_evaluate(self.of_numbers, [k for k in knots if k is not None]))
        codes = iter(_evaluate(self.of_codes, self.codes))
        return [next(codes) if count else next(numbers) for count in self.num_categories]


def _evaluate(functions: Perceptrons | None, inputs: Sequence[Array]) -> list[Array]:
    """Each perceptron at its own rows, whose number may differ: shorter inputs are padded with zeros for the call."""
    if functions is None:
        return []
    padded = np.zeros((len(inputs), max(map(len, inputs)), inputs[0].shape[1]), dtype=np.float32)
    for number, rows in enumerate(inputs):
        padded[number, : len(rows)] = rows
    outputs = functions(padded)
    return [outputs[number, : len(rows)] for number, rows in enumerate(inputs)]


@dataclass(frozen=True)
class NumberDecoder:
    """A number from an embedding."""

    function: Perceptrons

    @classmethod
    def draw(cls, params: SCMParams, rng: np.random.Generator) -> NumberDecoder:
        """A random perceptron."""
        return cls(Perceptrons.draw(1, params.mlp_emb_dim, 1, params, rng))

    def __call__(self, embedding: Array) -> Array:
        """(rows, width) -> (rows,), float32."""
        return self.function(embedding[None])[0, :, 0]


@dataclass(frozen=True)
class CategoryDecoder:
    """The category whose random vector is most alike to a function of the embedding: argmax of dot products."""

    codes: Array  # (categories, width)
    function: Perceptrons

    @classmethod
    def draw(cls, num_categories: int, params: SCMParams, rng: np.random.Generator) -> CategoryDecoder:
        """Random vectors and a random perceptron."""
        width = params.mlp_emb_dim
        codes = random_table((num_categories, width), params, rng)
        return cls(codes, Perceptrons.draw(1, width, width, params, rng))

    def __call__(self, embedding: Array) -> Array:
        """(rows, width) -> int64 (rows,)."""
        return np.argmax(self.function(embedding[None])[0] @ self.codes.T, axis=1)
