"""Random bits by their number: word i of a stream is a function of (stream, i), so rows and weights need no order."""

from __future__ import annotations

import numpy as np

from plurel.kernels.compiled import kernel

_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_TO_UNIT = np.float32(2**-24)


def draw_streams(count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` independent streams; uint64 (count, 2): where each starts and its odd step, 127 random bits."""
    streams = rng.integers(2**64, size=(count, 2), dtype=np.uint64)
    streams[:, 1] |= np.uint64(1)
    return streams


@kernel
def word(stream: np.ndarray, i: int) -> int:
    """The i-th 64 random bits of a stream: SplitMix64 with a step of the stream's own (Steele et al. 2014)."""
    z = stream[0] + np.uint64(i) * stream[1]
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@kernel
def low_uniform(bits: int) -> float:
    """Float32 in [0, 1) from the bits 8 to 31."""
    return np.float32(np.int32((bits >> np.uint64(8)) & np.uint64(0xFFFFFF))) * _TO_UNIT


@kernel
def high_uniform(bits: int) -> float:
    """Float32 in [0, 1) from the bits 40 to 63."""
    return np.float32(np.int32(bits >> np.uint64(40))) * _TO_UNIT
