"""Cells of a batch as vectors: the column's name plus the value, or a learned vector where the value is hidden.

Axes: B sequences, L cells, U unique strings of the batch, T types (number, text, datetime, boolean), D model dtype.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfm.batch import Batch
from rfm.model.norm import rms_normalise

TYPES = ("number", "text", "datetime", "boolean")  # position = semantic type of a cell
TEXT = TYPES.index("text")


def embed_cells(batch: Batch, enc: nn.ModuleDict, norm: nn.ModuleDict, mask_embs: nn.ParameterDict) -> Tensor:
    """Input of the first block, float (B, L, D): norm(enc(name)) + norm(enc(value)) or mask_embs; 0 on padding.

    The value of a masked cell is not read (paper, section 5).
    """
    dtype = enc["text"].weight.dtype
    texts = batch.text_embeddings.to(dtype)
    names = norm["col_name"](enc["col_name"](texts))  # (U, D): each unique string is projected once, then gathered
    strings = norm["text"](enc["text"](texts))  # (U, D)

    visible = ~(batch.is_masked | batch.is_padding)
    is_text = batch.sem_type == TEXT
    one_hot = F.one_hot(batch.sem_type.long(), len(TYPES)).to(dtype)  # (B, L, T)
    scalar_type = one_hot * (visible & ~is_text)[..., None]
    value = torch.where(visible & ~is_text, batch.value, 0).to(dtype)
    # float32 whatever the precision: bfloat16 would keep 8 bits of a value
    with torch.autocast(batch.value.device.type, enabled=False):
        scalars = rms_normalise(
            (scalar_type * value[..., None]) @ _per_type(enc, "weight") + scalar_type @ _per_type(enc, "bias")
        )
        hidden = one_hot * (batch.is_masked & ~batch.is_padding)[..., None]
        x = scalars * (scalar_type @ _per_type(norm, "weight")) + hidden @ torch.stack([mask_embs[t] for t in TYPES])
    x = x + F.embedding(batch.text_idx, strings) * (visible & is_text)[..., None]
    return x + F.embedding(batch.name_idx, names) * (~batch.is_padding)[..., None]


def _per_type(modules: nn.ModuleDict, parameter: str) -> Tensor:
    """(T, D): one row for each type; zeros for text, whose encoder reads a vector instead of one number."""
    rows = [getattr(modules[t], parameter).flatten() if t != "text" else None for t in TYPES]
    number = rows[0]
    return torch.stack([torch.zeros_like(number) if row is None else row for row in rows])
