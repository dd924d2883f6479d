"""Activations of whole layers in place. Their names, and the numbers that make one formula several of them, are in
plurel.activations."""

from __future__ import annotations

import math

import numpy as np

from plurel.kernels.bits import high_uniform, low_uniform, word
from plurel.kernels.compiled import kernel
from plurel.kernels.elementary import erf, exp, expm1, log, log1p, sine, tanh

f32 = np.float32

FORMULAS = (
    "bent",  # max(x, 0) + a min(x, 0)
    "elu",  # a max(x, 0) + b (e^min(x, 0) - 1)
    "clipped",  # a x + b, within ±1 or, where b is not 0, within [0, 1]
    "hard_swish",
    "soft_shrink",
    "hard_shrink",
    "sign",
    "soft_sign",
    "bent_identity",
    "tanh",
    "tanh_shrink",
    "sigmoid",
    "silu",
    "softplus",  # a log(1 + e^(a x))
    "mish",
    "gelu",
    "signed_log",
    "sine",  # sin(x + a)
    "random_sines",
)
(_BENT, _ELU, _CLIPPED, _HARD_SWISH, _SOFT_SHRINK, _HARD_SHRINK, _SIGN, _SOFT_SIGN, _BENT_IDENTITY, _TANH) = range(10)
(_TANH_SHRINK, _SIGMOID, _SILU, _SOFTPLUS, _MISH, _GELU, _SIGNED_LOG, _SINE, _RANDOM_SINES) = range(10, 19)


@kernel
def _sigmoid(x: float) -> float:
    return f32(0.5) + f32(0.5) * tanh(f32(0.5) * x)


@kernel
def _softplus(x: float) -> float:
    return max(x, f32(0)) + log1p(exp(-abs(x)))


@kernel
def _unit(x: float) -> float:
    return min(max(x, f32(0)), f32(1))


@kernel
def _limited(x: float, limit: float) -> float:
    return min(max(x, -limit), limit)


@kernel
def activate(
    x: np.ndarray, formula: int, a: float, b: float, gain: float, limit: float, stream: np.ndarray, place: int
) -> None:
    """x[i] = gain formula(x[i]), within ±limit, of a float32 (n,), in place.

    Random sines are drawn from the words of `stream` from `place` on.
    """
    if formula == _BENT:
        for i in range(x.size):
            x[i] = _limited(gain * (max(x[i], f32(0)) + a * min(x[i], f32(0))), limit)
    elif formula == _ELU:
        for i in range(x.size):
            x[i] = _limited(gain * (a * max(x[i], f32(0)) + b * expm1(min(x[i], f32(0)))), limit)
    elif formula == _CLIPPED:
        low = f32(0) if b != 0 else f32(-1)
        for i in range(x.size):
            x[i] = _limited(gain * (min(max(a * x[i] + b, low), f32(1))), limit)
    elif formula == _HARD_SWISH:
        for i in range(x.size):
            x[i] = _limited(gain * (x[i] * _unit(x[i] / f32(6) + f32(0.5))), limit)
    elif formula == _SOFT_SHRINK:
        for i in range(x.size):
            x[i] = _limited(gain * (x[i] - min(max(x[i], f32(-0.5)), f32(0.5))), limit)
    elif formula == _HARD_SHRINK:
        for i in range(x.size):
            x[i] = _limited(gain * (x[i] if abs(x[i]) > f32(0.5) else f32(0)), limit)
    elif formula == _SIGN:
        for i in range(x.size):
            x[i] = _limited(gain * (f32(x[i] > 0) - f32(x[i] < 0)), limit)
    elif formula == _SOFT_SIGN:
        for i in range(x.size):
            x[i] = _limited(gain * (x[i] / (f32(1) + abs(x[i]))), limit)
    elif formula == _BENT_IDENTITY:
        for i in range(x.size):
            x[i] = _limited(gain * ((np.sqrt(x[i] * x[i] + f32(1)) - f32(1)) * f32(0.5) + x[i]), limit)
    elif formula == _TANH:
        for i in range(x.size):
            x[i] = _limited(gain * (tanh(x[i])), limit)
    elif formula == _TANH_SHRINK:
        for i in range(x.size):
            x[i] = _limited(gain * (x[i] - tanh(x[i])), limit)
    elif formula == _SIGMOID:
        for i in range(x.size):
            x[i] = _limited(gain * (_sigmoid(x[i])), limit)
    elif formula == _SILU:
        for i in range(x.size):
            x[i] = _limited(gain * (x[i] * _sigmoid(x[i])), limit)
    elif formula == _SOFTPLUS:
        for i in range(x.size):
            x[i] = _limited(gain * (a * _softplus(a * x[i])), limit)
    elif formula == _MISH:
        for i in range(x.size):
            e = exp(min(x[i], f32(20)))
            x[i] = _limited(gain * (x[i] * (e * (e + f32(2)) / (e * (e + f32(2)) + f32(2)))), limit)  # tanh(log(1 + e))
    elif formula == _GELU:
        for i in range(x.size):
            x[i] = _limited(gain * (x[i] * (f32(0.5) + f32(0.5) * erf(x[i] * f32(math.sqrt(0.5))))), limit)
    elif formula == _SIGNED_LOG:
        for i in range(x.size):
            x[i] = _limited(gain * (math.copysign(log1p(abs(x[i])), x[i])), limit)
    elif formula == _SINE:
        for i in range(x.size):
            x[i] = _limited(gain * (sine(np.float64(x[i]) + a)), limit)
    else:
        _sum_of_sines(x, draw_sines(stream, place), gain, limit)


@kernel
def draw_sines(stream: np.ndarray, place: int) -> np.ndarray:
    """Three to seven sines: amplitudes N(0, 1), frequencies log-uniform in [0.1, 10], phases uniform in [0, 2 pi).

    float32 (sines, 3), from the words `place` to `place` + 14 of the stream.
    """
    sines = np.empty((3 + int(high_uniform(word(stream, place)) * f32(5)), 3), dtype=np.float32)
    for number in range(len(sines)):
        normal, wave = word(stream, place + 1 + 2 * number), word(stream, place + 2 + 2 * number)
        radius = np.sqrt(f32(-2) * log(f32(1) - low_uniform(normal)))
        sines[number, 0] = radius * sine(2 * math.pi * high_uniform(normal))
        sines[number, 1] = f32(0.1) * exp(low_uniform(wave) * f32(math.log(100)))
        sines[number, 2] = f32(2 * math.pi) * high_uniform(wave)
    return sines


@kernel
def _sum_of_sines(x: np.ndarray, sines: np.ndarray, gain: float, limit: float) -> None:
    """x[i] = gain times the sum of amplitude sin(frequency x[i] + phase), within ±limit, in place."""
    for start in range(0, x.size, 1024):
        part = x[start : start + 1024]
        total = np.zeros(part.size, dtype=np.float32)
        for number in range(len(sines)):
            amplitude, frequency, phase = sines[number, 0], np.float64(sines[number, 1]), np.float64(sines[number, 2])
            for i in range(part.size):
                total[i] += amplitude * sine(frequency * part[i] + phase)
        for i in range(part.size):
            part[i] = _limited(gain * total[i], limit)
