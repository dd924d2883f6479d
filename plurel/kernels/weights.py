"""Random weight matrices (paper, section 3).

A matrix has the shape (inputs, outputs), as in the published code, whose initialisers read fan-in from the last axis;
so do these.
"""

from __future__ import annotations

import math

import numpy as np

from plurel.initialisers import INITIALISERS
from plurel.kernels.bits import high_uniform, low_uniform, word
from plurel.kernels.compiled import kernel
from plurel.kernels.elementary import half_turn_sine, log

f32 = np.float32

_TRUNCATED, _SPARSE = INITIALISERS.index("truncated_normal"), INITIALISERS.index("sparse")
_UNIFORM = tuple(name.endswith("uniform") for name in INITIALISERS)
_READS_INPUTS = tuple(name.startswith("xavier") for name in INITIALISERS)
_AGAIN = 2**20  # the words of a matrix's second draws, behind those of the first ones


@kernel
def draw_matrix(out: np.ndarray, initialiser: int, density: float, stream: np.ndarray, place: int) -> None:
    """Fills `out`, float32 (inputs, outputs), from the words of a stream from `place` on.

    Args:
        initialiser: its place in INITIALISERS.
        density: the chance of an entry to stay; the others become 0, and those that stay are 1 / density as large.
    """
    flat, words = out.reshape(-1), np.empty(out.size, dtype=np.uint64)
    for i in range(words.size):
        words[i] = word(stream, place + i)
    if _UNIFORM[initialiser]:
        for i in range(flat.size):
            flat[i] = f32(2) * high_uniform(words[i]) - f32(1)
    else:
        _fill_normal(flat, words)
    if initialiser == _TRUNCATED:
        _draw_far_ones_again(flat, stream, place + _AGAIN)
    if initialiser == _SPARSE:
        _empty_half_of_columns(out, stream, place + _AGAIN)
    kept = f32(_scale(initialiser, out.shape[0], out.shape[1])) / density
    for i in range(flat.size):
        flat[i] *= kept if low_uniform(words[i]) < density else f32(0)


@kernel
def _scale(initialiser: int, inputs: int, outputs: int) -> float:
    """The deviation of a normal initialiser, the bound of a uniform one."""
    if initialiser == _TRUNCATED:
        return 1.0
    if initialiser == _SPARSE:
        return 0.01
    fan = inputs + outputs if _READS_INPUTS[initialiser] else outputs
    return math.sqrt((6.0 if _UNIFORM[initialiser] else 2.0) / fan)


@kernel
def _fill_normal(flat: np.ndarray, words: np.ndarray) -> None:
    """Standard normal numbers in pairs, from the high halves of the words (Box and Muller 1958).

    The angle lies in the right half of the circle, and the sign of its cosine is drawn apart: one short series gives
    the sine, a square root the cosine.
    """
    half = flat.size // 2
    for i in range(half):
        radius = np.sqrt(f32(-2) * log(f32(1) - high_uniform(words[i])))
        sine = half_turn_sine(f32(math.pi) * (high_uniform(words[half + i]) - f32(0.5)))
        flat[i] = radius * sine
        is_left = (words[half + i] & np.uint64(1)) != 0
        cosine = np.sqrt(max(f32(1) - sine * sine, f32(0)))
        flat[half + i] = -radius * cosine if is_left else radius * cosine
    if flat.size > 2 * half:
        flat[2 * half] = _normal(words[2 * half])


@kernel
def _normal(bits: int) -> float:
    """One standard normal number from 64 bits."""
    radius = np.sqrt(f32(-2) * log(f32(1) - high_uniform(bits)))
    return radius * half_turn_sine(f32(math.pi) * (low_uniform(bits) - f32(0.5)))


@kernel
def _draw_far_ones_again(flat: np.ndarray, stream: np.ndarray, place: int) -> None:
    """Numbers beyond ±2 are replaced until none is."""
    for i in range(flat.size):
        while abs(flat[i]) > f32(2):
            flat[i] = _normal(word(stream, place))
            place += 1


@kernel
def _empty_half_of_columns(out: np.ndarray, stream: np.ndarray, place: int) -> None:
    """Random ceil(inputs / 2) entries of each column become 0."""
    inputs, outputs = out.shape
    rows = np.arange(inputs)
    for column in range(outputs):
        for i in range((inputs + 1) // 2):
            j = i + int(high_uniform(word(stream, place)) * f32(inputs - i))
            rows[i], rows[j] = rows[j], rows[i]
            out[rows[i], column] = f32(0)
            place += 1
