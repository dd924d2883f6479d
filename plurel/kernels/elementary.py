"""Elementary functions of float32 numbers, written so that loops over them become vector instructions.

Each is within a few units in the last place of the true value, near zero as well, for any finite number. Coefficients
are those of the Cephes library's single precision functions (Moshier).
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from plurel.kernels.compiled import kernel

f32 = np.float32
_LOG2_E, _LN2_HIGH, _LN2_LOW = f32(1.44269504), f32(0.693359375), f32(-2.12194440e-4)
_ROUNDER = f32(1.5 * 2**23)  # added, it leaves the nearest whole number in a float32's lowest bits
_ROUNDER_BITS = 0x4B400000
_ROUNDER_64 = 1.5 * 2**52


@intrinsic
def _bits(typingctx, x):  # numba's form
    """The int32 with the bits of a float32."""
    return types.int32(types.float32), lambda context, builder, sig, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def _number(typingctx, bits):
    """The float32 with the lowest 32 bits of an int64."""

    def generate(context, builder, sig, args):
        return builder.bitcast(builder.trunc(args[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), generate


@kernel
def exp(x: float) -> float:
    """e^x, but for x beyond [-87, 88], where it stays what it is at the ends (1.6e-38 and 1.7e38)."""
    bounded = min(max(x, f32(-87.0)), f32(88.0))
    rounded = bounded * _LOG2_E + _ROUNDER
    n = rounded - _ROUNDER
    r = (bounded - n * _LN2_HIGH) - n * _LN2_LOW
    p = f32(1.9875691500e-4)
    p = p * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    return (p * r * r + r + f32(1)) * _number((np.int64(_bits(rounded)) - _ROUNDER_BITS + 127) << 23)


@kernel
def log(x: float) -> float:
    """The natural logarithm of a positive number that is not denormal."""
    bits = np.int64(_bits(x))
    exponent = (bits - 0x3F3504F3) >> 23  # the rest lies in [sqrt(1/2), sqrt(2))
    f = _number(bits - (exponent << 23)) - f32(1)
    e = f32(np.int32(exponent))
    p = f32(7.0376836292e-2)
    p = p * f + f32(-1.1514610310e-1)
    p = p * f + f32(1.1676998740e-1)
    p = p * f + f32(-1.2420140846e-1)
    p = p * f + f32(1.4249322787e-1)
    p = p * f + f32(-1.6668057665e-1)
    p = p * f + f32(2.0000714765e-1)
    p = p * f + f32(-2.4999993993e-1)
    p = p * f + f32(3.3333331174e-1)
    square = f * f
    return ((p * f * square + e * _LN2_LOW) - f32(0.5) * square + f) + e * _LN2_HIGH


@kernel
def log1p(x: float) -> float:
    """log(1 + x) of x >= 0."""
    u = f32(1) + x
    return log(u) + (x - (u - f32(1))) / u


@kernel
def tanh(x: float) -> float:
    """The hyperbolic tangent."""
    square = x * x
    p = f32(-5.70498872745e-3)
    p = p * square + f32(2.06390887954e-2)
    p = p * square + f32(-5.37397155531e-2)
    p = p * square + f32(1.33314422036e-1)
    p = p * square + f32(-3.33332819422e-1)
    near = p * square * x + x
    far = math.copysign(f32(1) - f32(2) / (exp(f32(2) * abs(x)) + f32(1)), x)
    return near if abs(x) < f32(0.625) else far


@kernel
def expm1(x: float) -> float:
    """e^x - 1 of x <= 0."""
    t = tanh(f32(0.5) * x)
    return f32(2) * t / (f32(1) - t)


@kernel
def half_turn_sine(x: float) -> float:
    """The sine of x in [-pi / 2, pi / 2]."""
    square = x * x
    p = f32(-1 / 39916800)  # the series; what is left out is below 6e-8
    p = p * square + f32(1 / 362880)
    p = p * square + f32(-1 / 5040)
    p = p * square + f32(1 / 120)
    p = p * square + f32(-1 / 6)
    return p * square * x + x


@kernel
def sine(x: float) -> float:
    """The sine of a float64 below 1e9 in size, as a float32."""
    turns = (x * (0.5 / math.pi) + _ROUNDER_64) - _ROUNDER_64
    r = f32(x - turns * (2 * math.pi))  # in [-pi, pi]
    folded = math.copysign(f32(math.pi), r) - r
    return half_turn_sine(folded if abs(r) > f32(math.pi / 2) else r)


@kernel
def erf(x: float) -> float:
    """The error function within 5e-7 (Abramowitz and Stegun, 7.1.26)."""
    size = abs(x)
    t = f32(1) / (f32(1) + f32(0.3275911) * size)
    p = f32(1.061405429)
    p = p * t + f32(-1.453152027)
    p = p * t + f32(1.421413741)
    p = p * t + f32(-0.284496736)
    p = p * t + f32(0.254829592)
    return math.copysign(f32(1) - p * t * exp(-size * size), x)
