"""Activations of the causal model's perceptrons, by name (paper, sections 3 and 4).

Each is what the function of the same name in torch.nn.functional is with its default arguments. Several are one
formula with other numbers; the formulas are in plurel.kernels.activate.
"""

from __future__ import annotations

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017
_RRELU_LEAK = (1 / 8 + 1 / 3) / 2  # the mean slope, as outside training

# name: (formula, a, b)
ACTIVATIONS: dict[str, tuple[str, float, float]] = {
    "relu": ("bent", 0.0, 0.0),
    "elu": ("elu", 1.0, 1.0),
    "selu": ("elu", _SELU_SCALE, _SELU_SCALE * _SELU_ALPHA),
    "silu": ("silu", 0.0, 0.0),
    "softsign": ("soft_sign", 0.0, 0.0),
    "tanh": ("tanh", 0.0, 0.0),
    "sigmoid": ("sigmoid", 0.0, 0.0),
    "hardswish": ("hard_swish", 0.0, 0.0),
    "mish": ("mish", 0.0, 0.0),
    "leaky_relu": ("bent", 0.01, 0.0),
    "gelu": ("gelu", 0.0, 0.0),
    "softplus": ("softplus", 1.0, 0.0),
    "hardsigmoid": ("clipped", 1 / 6, 0.5),
    "hardtanh": ("clipped", 1.0, 0.0),
    "celu": ("elu", 1.0, 1.0),
    "tanhshrink": ("tanh_shrink", 0.0, 0.0),
    "rrelu": ("bent", _RRELU_LEAK, 0.0),
    "logsigmoid": ("softplus", -1.0, 0.0),
    "softshrink": ("soft_shrink", 0.0, 0.0),
    "hardshrink": ("hard_shrink", 0.0, 0.0),
    "identity": ("bent", 1.0, 0.0),
    "abs": ("bent", -1.0, 0.0),
    "sin": ("sine", 0.0, 0.0),
    "cos": ("sine", 1.5707963267948966, 0.0),
    "sign": ("sign", 0.0, 0.0),
    "clamp": ("clipped", 1.0, 0.0),  # named apart from hardtanh, as in the published list: both together weigh double
    "signed_log1p": ("signed_log", 0.0, 0.0),
    "bent_identity": ("bent_identity", 0.0, 0.0),
    "random_sines": ("random_sines", 0.0, 0.0),  # a frozen sum of three to seven sines, drawn with the layer
}
ACTIVATION_NAMES = tuple(ACTIVATIONS)
