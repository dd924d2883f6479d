"""Random 64-bit keys of items: the same on every platform, whatever the batch, the worker or the order."""

from __future__ import annotations

import numpy as np

# splitmix64 (Steele, Lea, Flood 2014): the increment of its state and the two factors of its finaliser.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
FACTOR_2 = np.uint64(0x94D049BB133111EB)


def mix64(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64, elementwise: uint64 -> uint64, a bijection that scatters nearby numbers."""
    z = np.atleast_1d(np.asarray(values)).astype(np.uint64)
    z = (z ^ (z >> np.uint64(30))) * FACTOR_1
    z = (z ^ (z >> np.uint64(27))) * FACTOR_2
    return (z ^ (z >> np.uint64(31))).reshape(np.shape(values))


def item_keys(*parts: int | np.ndarray) -> np.ndarray:
    """uint64 keys, one per element of the broadcast `parts` (integers, at least one array among them).

    Each part is hashed into the key in turn, so (1, 2) and (2, 1) differ; `item_keys(seed, rows)` gives every row
    of a task its own key.
    """
    shape = np.broadcast_shapes(*(np.shape(part) for part in parts))
    key = np.zeros(shape, np.uint64)
    for part in parts:
        key = mix64(key + GOLDEN + mix64(np.broadcast_to(_as_uint64(part), shape)))
    return key


def _as_uint64(part: int | np.ndarray) -> np.ndarray:
    """Integers modulo 2^64; a Python integer may be of any size and sign."""
    if isinstance(part, int):
        return np.array(part % 2**64, np.uint64)
    return np.asarray(part).astype(np.uint64)
