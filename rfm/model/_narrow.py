"""bfloat16 in compiled loops: numba has no such type, so its bits travel as uint16 and are computed on as float32."""

from __future__ import annotations

import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor


def widen(x):
    """The float that compiled loops compute on: float32 of bfloat16 bits, any other float itself."""


def narrow(x, like):
    """`x` as a number of the type of `like`: the nearest bfloat16's bits for a uint16 (ties to even)."""


@overload(widen)
def _widen(x):
    if x == types.uint16:
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


@overload(narrow)
def _narrow(x, like):
    if like != types.uint16:
        return lambda x, like: x

    def round_bits(x, like):
        bits = np.float32(x).view(np.uint32)
        return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    return round_bits


def to_array(x: Tensor) -> np.ndarray:
    """The numbers of a CPU tensor, sharing memory where it is contiguous; bfloat16 as its bits."""
    x = x.detach().contiguous()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()
