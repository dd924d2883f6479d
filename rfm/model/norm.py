"""The root mean square norm, and that of queries and keys.

Axes: B sequences, L cells, H heads, D head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

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


def normalise_heads(heads: Tensor, gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, L, H, D) of heads (B, L, 3, H, D); both first normalised, queries times gain.

    All in the dtype of `heads`: under CUDA's mixed precision the norm is float32, and attention wants one dtype.
    """
    q, k = rms_normalise(heads[:, :, :2]).to(heads.dtype).unbind(2)
    return q * gain.to(q.dtype), k, heads[:, :, 2]
