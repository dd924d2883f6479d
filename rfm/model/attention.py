"""Masked multi-head attention and the root mean square norm.

Axes: B sequences, L cells, H heads, D model width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfm.model.masks import AttentionBias

NORM_EPS = 1.1920929e-07  # float32 machine epsilon; fixed, so that the dtype does not change the function


def rms_normalise(x: Tensor) -> Tensor:
    """x / sqrt(mean(x², last axis) + eps), without a gain; summed in float32 also if x is narrower."""
    return F.rms_norm(x, x.shape[-1:], None, NORM_EPS)


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

    def forward(self, x: Tensor, mask: AttentionBias) -> Tensor:
        """x (B, L, D) -> (B, L, D)."""
        batch, length, width = x.shape
        # one product for the three projections: a narrow model is bound by calls and memory, not by arithmetic
        packed = F.linear(x, torch.cat([self.wq.weight, self.wk.weight, self.wv.weight]))  # (B, L, 3D)
        heads = packed.view(batch, length, 3, self.num_heads, -1)  # (B, L, 3, H, D/H)
        q, k = rms_normalise(heads[:, :, :2]).unbind(2)
        # q·g_q and k·g_k meet only in their product, so that both gains fit on the query
        q, v = q * (self.q_norm.weight * self.k_norm.weight).to(q.dtype), heads[:, :, 2]
        joined = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask.bias
        )  # (B, H, L, D/H)
        joined = joined.transpose(1, 2).reshape(batch, length, width)
        return self.wo(joined * mask.has_key)
