"""The two steps of a node: its edges as tables of vectors, and the values that it decodes from what they say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from plurel.kernels.compiled import kernel
from plurel.kernels.join import add_noise, join
from plurel.kernels.perceptron import Perceptrons, draw_layers, evaluate
from plurel.kernels.weights import draw_matrix

_CODES = 2**60  # the first of the words that belong to a function's vectors of categories


class Functions(NamedTuple):
    """Random functions, each to or from a number or a category, on whose other side is a vector.

    Attributes:
        perceptrons: n of them, over the number or over the category's own vector (its code).
        num_categories: int64 (n,), 0 for a number.
        code_initialisers: int64 (n,), of the codes.
    """

    perceptrons: Perceptrons
    num_categories: np.ndarray
    code_initialisers: np.ndarray


@kernel
def codes_of(functions: Functions, number: int) -> np.ndarray:
    """A random vector for each category of one function; float32 (categories, width), empty for a number."""
    codes = np.empty((functions.num_categories[number], functions.perceptrons.width), dtype=np.float32)
    if len(codes):
        streams = functions.perceptrons.streams
        draw_matrix(codes, functions.code_initialisers[number], np.float32(1), streams[number], np.int64(_CODES))
    return codes


@kernel
def encode(functions: Functions, number: int, knots: np.ndarray) -> np.ndarray:
    """The vectors at each of the `knots` (K,), or of each category; float32 (width, K)."""
    perceptrons, codes = functions.perceptrons, codes_of(functions, number)
    x = np.ascontiguousarray(codes.T) if len(codes) else np.ascontiguousarray(knots).reshape((1, knots.size))
    nothing = np.empty((0, perceptrons.width), dtype=np.float32)
    layers = draw_layers(perceptrons, number, x.shape[0], perceptrons.width, nothing)
    return evaluate(perceptrons, number, layers, x)


@kernel
def tabulate(
    encoders: Functions,
    first: int,
    slots: np.ndarray,
    knots: np.ndarray,
    num_knots: np.ndarray,
    weights: np.ndarray,
    limit: float,
    tables: np.ndarray,
    start: int,
) -> np.ndarray:
    """Tables of the edges `first`, `first` + 1, ... from the parents at `slots`; returns where each starts.

    Args:
        knots: float32 (slots, most), the numbers at which a slot is evaluated, as many as `num_knots` says.
        weights: float32 (edges,), what the vectors are multiplied by; they are kept within ±limit.
        tables: float32 (rows, width), filled from row `start` on.
    """
    starts = np.empty(slots.size, dtype=np.int64)
    for edge in range(slots.size):
        starts[edge] = start
        slot = slots[edge]
        vectors = encode(encoders, first + edge, knots[slot, : num_knots[slot]])
        for d in range(vectors.shape[0]):
            for k in range(vectors.shape[1]):
                tables[start + k, d] = min(max(weights[edge] * vectors[d, k], -limit), limit)
        start += vectors.shape[1]
    return starts


@kernel
def decode(
    decoders: Functions,
    number: int,
    tables: np.ndarray,
    starts: np.ndarray,
    positions: np.ndarray,
    slots: np.ndarray,
    aggregation: int,
    quantiles: np.ndarray,
    noise: np.ndarray,
    limit: float,
    batch: int,
) -> np.ndarray:
    """The values of a node, numbers or categories as float32 (rows,).

    Args:
        tables, starts, positions, slots, aggregation: what its parents say; see join.
        quantiles, noise: of the noise, and its stream; see add_noise.
        limit: bound of embeddings and numbers.
        batch: rows that are evaluated together.
    """
    perceptrons, codes = decoders.perceptrons, codes_of(decoders, number)
    width, is_number = perceptrons.width, len(codes) == 0
    layers = draw_layers(perceptrons, number, width, 1 if is_number else width, codes)
    values = np.empty(positions.shape[1], dtype=np.float32)
    for first in range(0, values.size, batch):
        out = values[first : first + batch]
        said = np.empty((out.size, width), dtype=np.float32)
        join(tables, starts, positions, slots, first, aggregation, said)
        decoded = evaluate(perceptrons, number, layers, add_noise(said, quantiles, noise, first, limit))
        for r in range(out.size):
            out[r] = min(max(decoded[0, r], -limit), limit) if is_number else np.argmax(decoded[:, r])
    return values
