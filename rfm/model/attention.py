"""Masked multi-head attention and the root mean square norm.

Axes: B sequences, L cells, H heads, D model width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from rfm.model.backends import Attention

NORM_EPS = 1.1920929e-07  # float32 machine epsilon; fixed, so that the dtype does not change the function


def rms_normalise(x: Tensor) -> Tensor:
    """x / sqrt(mean(x², last axis) + eps), without a gain; summed in float32 also if x is narrower."""
    if x.device.type == "cpu":
        return _NormaliseOnCpu.apply(x)
    return F.rms_norm(x, x.shape[-1:], None, NORM_EPS)


class _NormaliseOnCpu(torch.autograd.Function):
    """The same, in half the time: torch 2.13 has a fused norm for CUDA, on the CPU it differentiates op by op."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        scale = norm.square_().div_(x.shape[-1]).add_(NORM_EPS).rsqrt_().to(x.dtype)
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        y, scale = ctx.saved_tensors
        return torch.addcmul(grad, y, (grad * y).mean(-1, keepdim=True), value=-1).mul_(scale)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) * weight over the last axis, of width `d`."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        return rms_normalise(x) * self.weight.to(x.dtype)


class MaskedAttention(nn.Module):
    """Attention with normalised queries and keys and no biases; a query without a key gets zeros (paper, section 5)."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.wq = nn.Linear(d_model, d_model, bias=False)
        self.wk = nn.Linear(d_model, d_model, bias=False)
        self.wv = nn.Linear(d_model, d_model, bias=False)
        self.wo = nn.Linear(d_model, d_model, bias=False)
        self.q_norm = RMSNorm(d_model // num_heads)
        self.k_norm = RMSNorm(d_model // num_heads)

    def forward(self, x: Tensor, gain: Tensor, attention: Attention) -> Tensor:
        """Attends from and to x * gain: x (B, L, D), gain (D,) -> (B, L, D)."""
        # one product for the three projections, and the gain on the weights, which are fewer than the activations:
        # a narrow model is bound by calls and memory, not by arithmetic
        weights = torch.cat([self.wq.weight, self.wk.weight, self.wv.weight])
        packed = F.linear(x, weights * gain)  # (B, L, 3D)
        heads = packed.unflatten(-1, (3, self.num_heads, -1))  # (B, L, 3, H, D/H)
        q, k = rms_normalise(heads[:, :, :2]).unbind(2)
        # q·g_q and k·g_k meet only in their product, so that both gains fit on the query
        q, v = q * (self.q_norm.weight * self.k_norm.weight).to(q.dtype), heads[:, :, 2]
        return self.wo(attention.attend(q, k, v).flatten(2))
