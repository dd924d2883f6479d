"""Attention on a GPU by torch's flex attention: masks are computed from ids inside the kernel, never materialised.

Axes: B sequences, L cells, F parent slots, H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from rfm.batch import Batch
from rfm.model.norm import normalise_heads

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
MIN_WIDTH = 16  # of a head: what the kernel's matrix products need
USUAL_PARENTS = (
    5  # databases with more foreign keys in a table are rare, and left out of pretraining (paper, section 3)
)


@dataclass(frozen=True)
class FlexMask:
    """One attention of one batch; blocks of cells without any pair are skipped."""

    block_mask: BlockMask

    @classmethod
    def from_batch(cls, batch: Batch) -> dict[str, FlexMask]:
        """The attentions "col", "feat" and "nbr" (paper, section 5) of a batch on any device."""
        size, length = batch.row_idx.shape
        make = compiled(create_block_mask) if batch.row_idx.is_cuda else create_block_mask
        return {
            name: cls(make(rule, size, None, length, length, device=batch.row_idx.device))
            for name, rule in mask_rules(batch).items()
        }

    def attend(self, heads: Tensor, gain: Tensor) -> Tensor:
        """Normalised attention of heads (B, L, 3, H, D) with a gain (D,) on the queries -> (B, L, H, D)."""
        attention = compiled(flex_attention) if heads.is_cuda else flex_attention
        qkv = [x.transpose(1, 2) for x in normalise_heads(heads, gain)]  # (B, H, L, D)
        return attention(*qkv, block_mask=self.block_mask).transpose(1, 2)


def mask_rules(batch: Batch) -> dict[str, Rule]:
    """Functions of (sequence, head, query, key) that say whether the query attends to the key."""
    # the number of no row or column: -1 on padding is distinct from -1 in an unused slot, so that neither matches
    row = torch.where(batch.is_padding, -2, batch.row_idx)
    column = batch.column_idx
    real = ~batch.is_padding
    unused = max(0, USUAL_PARENTS - batch.parent_idx.shape[-1])  # batches of other databases compile nothing anew
    slots = F.pad(batch.parent_idx, (0, unused), value=-1).unbind(-1)

    def points_to(b: Tensor, child: Tensor, parent: Tensor) -> Tensor:
        found = slots[0][b, child] == row[b, parent]
        for slot in slots[1:]:
            found = found | (slot[b, child] == row[b, parent])
        return found

    def col(b: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (column[b, query] == column[b, key]) & real[b, query]

    def feat(b: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return ((row[b, query] == row[b, key]) | points_to(b, query, key)) & real[b, query]

    def nbr(b: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return points_to(b, key, query) & real[b, key]

    return {"col": col, "feat": feat, "nbr": nbr}


@lru_cache(maxsize=2)
def compiled(function: Callable) -> Callable:
    """The function compiled once for each rule and shape; contexts of a training have a fixed one.

    Past torch's usual limit of eight it would run uncompiled, and materialise what it is there to avoid.
    """
    return torch._dynamo.config.patch(recompile_limit=64)(torch.compile(function, dynamic=False))
