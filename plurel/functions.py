"""Random functions of the causal model: initialisers and activations by name, and two-layer perceptrons of them.

A matrix has the shape (inputs, outputs), as in the published code, whose initialisers read fan-in from the second
axis; so do these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from plurel.config import SCMParams

Array = np.ndarray

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017


def _silu(x: Array) -> Array:
    return x * (0.5 + 0.5 * np.tanh(0.5 * x))  # x * sigmoid(x), without overflow


def _elu(x: Array) -> Array:
    return np.maximum(x, np.expm1(np.minimum(x, 0)))  # exp(x) - 1 >= x; np.where takes four times as long


def _selu(x: Array) -> Array:
    below = np.expm1(np.minimum(x, 0)) * np.float32(_SELU_ALPHA)
    return (np.maximum(x, 0) + below) * np.float32(_SELU_SCALE)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "elu": _elu,
    "selu": _selu,
    "silu": _silu,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
}


def _kaiming_normal(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return rng.normal(0, np.sqrt(2 / shape[1]), shape)


def _kaiming_uniform(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    bound = np.sqrt(6 / shape[1])
    return rng.uniform(-bound, bound, shape)


def _xavier_normal(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return rng.normal(0, np.sqrt(2 / sum(shape)), shape)


def _xavier_uniform(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    bound = np.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, shape)


def _truncated_normal(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Standard normal within ±2, by its inverse distribution function."""
    low, high = 0.022750131948179195, 0.9772498680518208  # Φ(-2), Φ(2)
    return ndtri(rng.uniform(low, high, shape))


def _sparse(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Normal of scale 0.01 with half of each column (rounded up) zero."""
    weight = rng.normal(0, 0.01, shape)
    zeros = np.argsort(rng.random(shape), axis=0) < -(-shape[0] // 2)
    weight[zeros] = 0
    return weight


INITIALISERS: dict[str, Callable[[tuple[int, int], np.random.Generator], Array]] = {
    "kaiming_normal": _kaiming_normal,
    "kaiming_uniform": _kaiming_uniform,
    "xavier_normal": _xavier_normal,
    "xavier_uniform": _xavier_uniform,
    "truncated_normal": _truncated_normal,
    "sparse": _sparse,
}


def random_matrix(shape: tuple[int, int], params: SCMParams, rng: np.random.Generator) -> Array:
    """A float32 matrix from an initialiser drawn for it."""
    return INITIALISERS[params.initialisers.draw(rng)](shape, rng).astype(np.float32)


@dataclass(frozen=True)
class MLP:
    """Two layers without biases: activation(x @ first) @ second.

    The activation is drawn once with the weights. (The published 1.0.0 draws it anew at every call, so that the
    mechanism of each row is another; its 1.1.0 fixes it, as here.)
    """

    first: Array  # (inputs, hidden)
    second: Array  # (hidden, outputs)
    activation: str

    @classmethod
    def draw(cls, d_in: int, d_hidden: int, d_out: int, params: SCMParams, rng: np.random.Generator) -> MLP:
        """Random weights; each matrix has an initialiser of its own."""
        return cls(
            random_matrix((d_in, d_hidden), params, rng),
            random_matrix((d_hidden, d_out), params, rng),
            params.activations.draw(rng),
        )

    def __call__(self, x: Array) -> Array:
        """(rows, inputs) -> (rows, outputs), float32."""
        return ACTIVATIONS[self.activation](x @ self.first) @ self.second


@dataclass(frozen=True)
class CategoryCode:
    """A random vector for each category, and a perceptron over such vectors."""

    table: Array  # (categories, width)
    mlp: MLP

    @classmethod
    def draw(cls, num_categories: int, params: SCMParams, rng: np.random.Generator) -> CategoryCode:
        """A random table and perceptron of the embedding's width."""
        width = params.d_embedding
        return cls(random_matrix((num_categories, width), params, rng), MLP.draw(width, width, width, params, rng))

    def encode(self) -> Array:
        """The vector of every category after the perceptron; float32 (categories, width)."""
        return self.mlp(self.table)

    def decode(self, embedding: Array) -> Array:
        """The category whose vector is most alike: argmax of dot products; int64 (rows,)."""
        return np.argmax(self.mlp(embedding) @ self.table.T, axis=1)
