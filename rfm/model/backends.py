"""Attention backends behind one interface, equal to each other within rounding.

| backend   | device | how                                                                                     |
|-----------|--------|-----------------------------------------------------------------------------------------|
| `sdpa`    | any    | torch's scaled dot product over all pairs, with a (B, L, L) bias for each attention      |
| `segment` | CPU    | groups of cells with one list of keys; no pair is computed that a mask would throw away  |
| `flex`    | CUDA   | masks from ids inside the kernel; blocks without a pair are skipped                      |

`auto` takes `segment` on a CPU: a cell attends to some 5 to 50 of 256 to 1024 cells, so that most of a dense product
is thrown away (experiments/results/model). On CUDA it takes `flex`, which needs no memory for masks, where heads are
wide enough for its matrix products. Otherwise `sdpa`.
Axes: B sequences, L cells, H heads, D head width.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from rfm.batch import Batch
from rfm.errors import RfmError
from rfm.model.flex import MIN_WIDTH, FlexMask
from rfm.model.masks import AttentionBias, RelationalMasks
from rfm.model.segments import Segments

ATTENTIONS = ("col", "feat", "nbr")  # their order in a block
BackendName = Literal["auto", "sdpa", "segment", "flex"]


class Attention(Protocol):
    """One of the three attentions of one batch."""

    def attend(self, heads: Tensor, gain: Tensor) -> Tensor:
        """Attention of the queries to keys and values in heads (B, L, 3, H, D) -> (B, L, H, D).

        Queries and keys are normalised first, queries times gain (D,); zeros where a query has no key.
        """
        ...


def check_backend(name: str) -> None:
    """Raises RfmError if there is no backend of this name."""
    if name not in get_args(BackendName):
        raise RfmError(f"attention backend is {name!r}; known: {', '.join(get_args(BackendName))}")


def choose_backend(name: BackendName, device: torch.device, head_width: int, dtype: torch.dtype) -> BackendName:
    """What `auto` stands for on this device; any other name is kept if it works there.

    Raises:
        RfmError: for a backend that does not run on the device.
    """
    check_backend(name)
    if name == "segment" and device.type != "cpu":
        raise RfmError(f"attention backend segment runs on a CPU, not on {device.type}; use auto, sdpa or flex")
    if name != "auto":
        return name
    if device.type == "cpu":
        return "segment"
    return "flex" if device.type == "cuda" and head_width >= MIN_WIDTH and dtype != torch.float64 else "sdpa"


def make_attentions(batch: Batch, name: BackendName, dtype: torch.dtype) -> dict[str, Attention]:
    """The attentions "col", "feat" and "nbr" of a batch by one backend (not `auto`), for inputs of `dtype`."""
    if name == "segment":
        return Segments.from_batch(batch)
    if name == "flex":
        return FlexMask.from_batch(batch)
    masks = RelationalMasks.from_batch(batch)
    return {kind: AttentionBias.from_mask(getattr(masks, kind), dtype) for kind in ATTENTIONS}
