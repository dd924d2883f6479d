"""The three attention masks of the relational transformer, made from ids once per batch.

Axes: B sequences, L cells, F parent slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rfm.batch import Batch
from rfm.model.norm import normalise_heads


@dataclass(frozen=True)
class RelationalMasks:
    """Which key cell a query cell may attend to (paper, section 5); bool (B, L, L), [sequence, query, key].

    Both ends are always real cells, never padding.

    col: same column of the same table, the cell itself included.
    feat: key in the query's row, or in a row that the query's row points to.
    nbr: key in a row that points to the query's row.
    """

    col: Tensor
    feat: Tensor
    nbr: Tensor

    @classmethod
    def from_batch(cls, batch: Batch) -> RelationalMasks:
        """Masks of a batch, from `column_idx`, `row_idx`, `parent_idx` and `is_padding`."""
        real = ~batch.is_padding
        both_real = real[:, :, None] & real[:, None, :]  # (B, L, L)
        row = batch.row_idx
        points_to = torch.zeros_like(both_real)
        for parent in batch.parent_idx.unbind(-1):  # F is small; one comparison each avoids a (B, L, L, F) tensor
            points_to |= parent[:, :, None] == row[:, None, :]  # unused slots (-1) equal padding rows only
        same_column = batch.column_idx[:, :, None] == batch.column_idx[:, None, :]
        same_row = row[:, :, None] == row[:, None, :]
        return cls(
            col=same_column & both_real,
            feat=(same_row | points_to) & both_real,
            nbr=points_to.transpose(1, 2) & both_real,
        )


@dataclass(frozen=True)
class AttentionBias:
    """A mask as softmax wants it: `bias` (B, 1, L, L), 0 or -inf, and `has_key` (B, L, 1), 1 or 0, of one dtype.

    A query without any key gets a row of zeros, so that its softmax stays finite forwards and backwards on every
    backend; its output has to be multiplied by `has_key`.
    """

    bias: Tensor
    has_key: Tensor

    @classmethod
    def from_mask(cls, mask: Tensor, dtype: torch.dtype) -> AttentionBias:
        """The bias of a bool mask (B, L, L), in the dtype that attention computes in."""
        has_key = mask.any(-1, keepdim=True)  # (B, L, 1)
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask & has_key, float("-inf"))
        return cls(bias[:, None], has_key.to(dtype))

    def attend(self, heads: Tensor, gain: Tensor) -> Tensor:
        """Normalised attention of heads (B, L, 3, H, D) with a gain (D,) on the queries -> (B, L, H, D)."""
        q, k, v = (x.transpose(1, 2) for x in normalise_heads(heads, gain))  # (B, H, L, D)
        joined = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)
        return joined.transpose(1, 2) * self.has_key[..., None]
