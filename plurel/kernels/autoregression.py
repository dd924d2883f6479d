"""Noise with a memory."""

from __future__ import annotations

import numpy as np

from plurel.kernels.compiled import kernel


@kernel
def autoregress(shocks: np.ndarray, rho: float) -> None:
    """x[i] = rho x[i - 1] + shocks[i], float64, in place."""
    for i in range(1, shocks.size):
        shocks[i] += rho * shocks[i - 1]
