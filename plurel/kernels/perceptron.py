"""Random perceptrons without biases, each known by its few drawn numbers: its weights are made where they are used."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from plurel.kernels.activate import activate
from plurel.kernels.compiled import kernel
from plurel.kernels.weights import draw_matrix

f32 = np.float32

LAYER_WORDS = 2**32  # words of a perceptron's stream that belong to one layer
SINES = 2**31  # the first of them that belongs to its activation
_TOGETHER = 4  # weights that are used in one pass over the rows


class Perceptrons(NamedTuple):
    """What makes each of n perceptrons; arrays over layers are as long as the deepest needs.

    Attributes:
        streams: uint64 (n, 2), of weights and random sines; see plurel.kernels.bits.
        depths: int64 (n,), the number of matrices.
        initialisers, densities: of each matrix, int64 and float32 (n, depth); see draw_matrix.
        formulas, coefficients, gains: of each activation, int64 (n, depth - 1), float32 (n, depth - 1, 2) and
            (n, depth - 1); see activate.
        width: of the hidden layers.
        limit: the bound of an activation.
    """

    streams: np.ndarray
    depths: np.ndarray
    initialisers: np.ndarray
    densities: np.ndarray
    formulas: np.ndarray
    coefficients: np.ndarray
    gains: np.ndarray
    width: int
    limit: float


class Layers(NamedTuple):
    """The weight matrices of one perceptron without their zeros.

    Attributes:
        counts: int64 (depth, outputs), weights of each output, with zeros to a multiple of four.
        inputs: int64 (depth, outputs, most), the input that each weight belongs to.
        weights: float32 (depth, outputs, most).
        outputs: int64 (depth,), of each matrix.
    """

    counts: np.ndarray
    inputs: np.ndarray
    weights: np.ndarray
    outputs: np.ndarray


@kernel
def draw_layers(functions: Perceptrons, number: int, num_inputs: int, num_outputs: int, codes: np.ndarray) -> Layers:
    """The weights of one perceptron; where there are `codes` (n, outputs), of its dot products with them."""
    depth = functions.depths[number]
    widest = max(num_inputs, functions.width, num_outputs, len(codes))
    layers = Layers(
        np.zeros((depth, widest), dtype=np.int64),
        np.empty((depth, widest, widest + _TOGETHER), dtype=np.int64),
        np.empty((depth, widest, widest + _TOGETHER), dtype=np.float32),
        np.empty(depth, dtype=np.int64),
    )
    for layer in range(depth):
        is_last = layer == depth - 1
        shape = (functions.width if layer else num_inputs, num_outputs if is_last else functions.width)
        matrix = np.empty(shape, dtype=np.float32)
        initialiser, density = functions.initialisers[number, layer], functions.densities[number, layer]
        draw_matrix(matrix, initialiser, density, functions.streams[number], layer * LAYER_WORDS)
        if is_last and len(codes):
            matrix = _products(matrix, codes)
        layers.outputs[layer] = matrix.shape[1]
        _compress(matrix, layers.counts[layer], layers.inputs[layer], layers.weights[layer])
    return layers


@kernel
def _products(matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """matrix @ codes.T, float32."""
    out = np.zeros((len(matrix), len(codes)), dtype=np.float32)
    for i in range(len(matrix)):
        for j in range(len(codes)):
            for k in range(matrix.shape[1]):
                out[i, j] += matrix[i, k] * codes[j, k]
    return out


@kernel
def _compress(matrix: np.ndarray, counts: np.ndarray, inputs: np.ndarray, weights: np.ndarray) -> None:
    """Lists the entries (inputs, outputs) of each column that are not zero; see Layers."""
    for j in range(matrix.shape[1]):
        count, places, kept = 0, inputs[j], weights[j]
        for k in range(matrix.shape[0]):
            places[count], kept[count] = k, matrix[k, j]
            count += matrix[k, j] != 0
        while count % _TOGETHER:
            places[count], kept[count] = 0, 0
            count += 1
        counts[j] = count


@kernel
def _multiply(layers: Layers, layer: int, h: np.ndarray, out: np.ndarray) -> None:
    """out[j, r] = the sum of weights[k, j] h[k, r] over k; float32 (inputs, rows) and (outputs, rows)."""
    for j in range(len(out)):
        sums, inputs, weights = out[j], layers.inputs[layer, j], layers.weights[layer, j]
        sums[:] = 0
        for k in range(0, layers.counts[layer, j], _TOGETHER):
            w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
            h0, h1, h2, h3 = h[inputs[k]], h[inputs[k + 1]], h[inputs[k + 2]], h[inputs[k + 3]]
            for r in range(sums.size):
                sums[r] = (((sums[r] + w0 * h0[r]) + w1 * h1[r]) + w2 * h2[r]) + w3 * h3[r]


@kernel
def evaluate(functions: Perceptrons, number: int, layers: Layers, x: np.ndarray) -> np.ndarray:
    """One perceptron, whose weights are `layers`, at every column of x: (inputs, rows) -> (outputs, rows), float32."""
    h, limit = x, np.float32(functions.limit)
    for layer in range(len(layers.outputs)):
        out = np.empty((layers.outputs[layer], x.shape[1]), dtype=np.float32)
        _multiply(layers, layer, h, out)
        if layer < len(layers.outputs) - 1:
            a, b = functions.coefficients[number, layer]
            formula, gain = functions.formulas[number, layer], functions.gains[number, layer]
            place = layer * LAYER_WORDS + SINES
            activate(out.reshape(-1), formula, a, b, gain, limit, functions.streams[number], place)
        h = out
    return h
