"""Values among quantiles: where rows lie between knots, and the quantiles of Beta distributions."""

from __future__ import annotations

import math

import numpy as np

from plurel.kernels.compiled import kernel
from plurel.kernels.elementary import half_turn_sine

_STEPS = 1024  # of an angle, from 0 to a quarter turn
_ANGLES = np.linspace(0, np.pi / 2, _STEPS + 1)[1:-1]
_LOG_SINES, _LOG_COSINES = np.log(np.sin(_ANGLES)), np.log(np.cos(_ANGLES))


@kernel
def locate_between(data: np.ndarray, knots: np.ndarray, out: np.ndarray) -> None:
    """out[r] = the fractional place of data[r] among rising knots, all float32: 2.5 lies midway from the third on."""
    last = knots.size - 1
    for r in range(data.size):
        below, size = 0, last + 1
        while size > 1:  # the last knot that is not above the number
            half = size // 2
            below = below + half if knots[below + half] <= data[r] else below
            size -= half
        above = min(below + 1, last)
        gap = knots[above] - knots[below]
        out[r] = np.float32(below) + ((data[r] - knots[below]) / gap if gap > 0 else np.float32(0))


@kernel
def beta_quantiles(a: float, b: float, out: np.ndarray) -> None:
    """Fills `out`, float32 (n,), with the quantiles of Beta(a, b) at the midpoints of n equal intervals; a, b >= 0.5.

    With x = sin² t the density is proportional to sin^(2a-1) t · cos^(2b-1) t, bounded at both ends; the trapezoidal
    rule over 1,024 steps of t inverts it.
    """
    cumulative = np.empty(_STEPS + 1)
    cumulative[0], before = 0.0, 1.0 if a == 0.5 else 0.0
    for step in range(1, _STEPS + 1):
        density = 1.0 if b == 0.5 else 0.0
        if step < _STEPS:
            density = math.exp((2 * a - 1) * _LOG_SINES[step - 1] + (2 * b - 1) * _LOG_COSINES[step - 1])
        cumulative[step], before = cumulative[step - 1] + before + density, density
    step = 0
    for i in range(out.size):
        target = (i + 0.5) / out.size * cumulative[_STEPS]
        while cumulative[step + 1] < target:
            step += 1
        part = (target - cumulative[step]) / (cumulative[step + 1] - cumulative[step])
        out[i] = (step + part) * (0.5 * math.pi / _STEPS)
    for i in range(out.size):
        out[i] = half_turn_sine(out[i]) ** 2
