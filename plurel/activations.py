"""Activations of the causal model's perceptrons, by name (paper, sections 3 and 4).

Each maps a float32 array to a new one of the same shape, as the function of the same name in torch.nn.functional does
with its default arguments; `random_sines` has frequencies of its own and is drawn with the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf

if TYPE_CHECKING:
    from plurel.config import SCMParams

Array = np.ndarray

RANDOM_SINES = "random_sines"
_SELU_ALPHA, _SELU_SCALE = np.float32(1.6732632423543772), np.float32(1.0507009873554805)  # Klambauer et al. 2017
_LEAK = np.float32(0.01)
_RRELU_LEAK = np.float32((1 / 8 + 1 / 3) / 2)  # the mean slope, as outside training
_INF = np.float32(np.inf)


def _relu(x: Array) -> Array:
    return np.clip(x, np.float32(0), _INF)  # np.maximum takes three times as long


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)  # without overflow


def _elu(x: Array) -> Array:
    return _relu(x) + np.expm1(np.clip(x, -_INF, np.float32(0)))


def _softplus(x: Array) -> Array:
    return _relu(x) + np.log1p(np.exp(-np.abs(x)))


def _leaky(slope: np.float32) -> Callable[[Array], Array]:
    return lambda x: _relu(x) + slope * np.clip(x, -_INF, np.float32(0))


def _hardtanh(x: Array) -> Array:
    return np.clip(x, np.float32(-1), np.float32(1))


def _hardsigmoid(x: Array) -> Array:
    return np.clip(x / 6 + np.float32(0.5), np.float32(0), np.float32(1))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": _relu,
    "elu": _elu,
    "selu": lambda x: _SELU_SCALE * (_relu(x) + _SELU_ALPHA * np.expm1(np.clip(x, -_INF, np.float32(0)))),
    "silu": lambda x: x * _sigmoid(x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "hardswish": lambda x: x * _hardsigmoid(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "leaky_relu": _leaky(_LEAK),
    "gelu": lambda x: x * (0.5 + 0.5 * erf(x * np.float32(np.sqrt(0.5)))),
    "softplus": _softplus,
    "hardsigmoid": _hardsigmoid,
    "hardtanh": _hardtanh,
    "celu": _elu,
    "tanhshrink": lambda x: x - np.tanh(x),
    "rrelu": _leaky(_RRELU_LEAK),
    "logsigmoid": lambda x: -_softplus(-x),
    "softshrink": lambda x: x - np.clip(x, np.float32(-0.5), np.float32(0.5)),
    "hardshrink": lambda x: x * (np.abs(x) > 0.5),
    "identity": lambda x: x.copy(),
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "sign": np.sign,
    "clamp": _hardtanh,  # named apart from hardtanh, as in the published list: both together weigh double
    "signed_log1p": lambda x: np.copysign(np.log1p(np.abs(x)), x),
    "bent_identity": lambda x: (np.sqrt(x * x + 1) - 1) / 2 + x,
}
ACTIVATION_NAMES = (*ACTIVATIONS, RANDOM_SINES)


@dataclass(frozen=True)
class RandomSines:
    """A frozen sum of sines: Σ amplitude · sin(frequency · x + phase)."""

    amplitudes: Array
    frequencies: Array
    phases: Array

    @classmethod
    def draw(cls, rng: np.random.Generator) -> RandomSines:
        """Three to seven sines: amplitudes N(0, 1), frequencies log-uniform in [0.1, 10], phases uniform."""
        count = int(rng.integers(3, 8))
        return cls(
            rng.normal(size=count).astype(np.float32),
            np.exp(rng.uniform(np.log(0.1), np.log(10), count)).astype(np.float32),
            rng.uniform(0, 2 * np.pi, count).astype(np.float32),
        )

    def __call__(self, x: Array) -> Array:
        """Element by element, float32."""
        total = np.zeros_like(x)
        for amplitude, frequency, phase in zip(self.amplitudes, self.frequencies, self.phases, strict=True):
            total += amplitude * np.sin(frequency * x + phase)
        return total


@dataclass(frozen=True)
class Activations:
    """One scale · function(x) for each of several arrays, limited to ±`limit`."""

    functions: tuple[Callable[[Array], Array], ...]
    scales: Array  # float32 (functions,)
    limit: np.float32

    @classmethod
    def draw(cls, count: int, params: SCMParams, rng: np.random.Generator) -> Activations:
        """Functions by name, and scales exp(U(-s, s)) with s = `activation_log_scale`."""
        names = [params.activation_choices.draw(rng) for _ in range(count)]
        functions = tuple(RandomSines.draw(rng) if name == RANDOM_SINES else ACTIVATIONS[name] for name in names)
        spread = params.activation_log_scale
        scales = np.exp(rng.uniform(-spread, spread, count)).astype(np.float32)
        return cls(functions, scales, np.float32(params.activation_limit))

    def __call__(self, x: Array) -> Array:
        """(functions, rows, width) -> the same, float32, in place."""
        for number, function in enumerate(self.functions):
            x[number] = function(x[number])
        x *= self.scales[:, None, None]
        return np.clip(x, -self.limit, self.limit, out=x)
