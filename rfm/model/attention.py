"""Masked multi-head attention.

Axes: B sequences, L cells, H heads, D model width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfm.model.backends import Attention
from rfm.model.norm import RMSNorm


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
        # q·g_q and k·g_k meet only in their product, so that both gains fit on the query
        return self.wo(attention.attend(heads, self.q_norm.weight * self.k_norm.weight).flatten(2))
