"""Values among quantiles: where rows lie between knots, and the quantiles of Beta distributions."""

from __future__ import annotations

import math

import numpy as np

from plurel.kernels.compiled import kernel
from plurel.kernels.elementary import half_turn_sine

u32 = np.uint32  # unsigned places need no check for being counted from the end

_STEPS = 1024  # of an angle, from 0 to a quarter turn
_ANGLES = np.linspace(0, np.pi / 2, _STEPS + 1)[1:-1]
_LOG_SINES, _LOG_COSINES = np.log(np.sin(_ANGLES)), np.log(np.cos(_ANGLES))


@kernel
def choose_knots(rising: np.ndarray, out: np.ndarray) -> int:
    """Fills `out` with the distinct ones of out.size even quantiles of sorted numbers; returns how many these are.

    Numbers that come often count often, so that rare ones may be no knot even where there are fewer than out.size.
    """
    count, step = 0, (rising.size - 1) / max(out.size - 1, 1)
    for i in range(out.size):
        knot = rising[int(i * step + 0.5)]
        if count == 0 or knot > out[count - 1]:
            out[count] = knot
            count += 1
    return count


@kernel
def locate_between(data: np.ndarray, knots: np.ndarray, out: np.ndarray) -> None:
    """out[r] = the fractional place of data[r] among rising knots, all float32: 2.5 lies midway from the third on."""
    below, size = np.zeros(data.size, dtype=np.uint32), knots.size
    while size > 1:  # bisection of all rows together, without branches: the last knot that is not above the number
        half = u32(size // 2)
        for r in range(data.size):
            middle = u32(below[r] + half)
            below[r] = middle if knots[middle] <= data[r] else below[r]
        size -= size // 2
    last = u32(knots.size - 1)
    for r in range(data.size):
        low, high = knots[below[r]], knots[min(u32(below[r] + u32(1)), last)]
        out[r] = np.float32(below[r]) + ((data[r] - low) / (high - low) if high > low else np.float32(0))


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
        angle = (step + part) * (0.5 * math.pi / _STEPS)
        out[i] = angle if angle < 0.25 * math.pi else angle - 0.5 * math.pi
    for i in range(out.size):  # close to 1 the distance from 1 is the finer number
        square = half_turn_sine(out[i]) ** 2
        out[i] = square if out[i] >= 0 else np.float32(1) - square
