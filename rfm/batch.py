"""The batch: what the model reads, as torch tensors of fixed shape, checked in one place.

Axes: B sequences, L cells, F parents, U distinct strings of the batch. Cells carry positions in the table of the
batch's distinct strings, never 384-wide vectors of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from rfm.contexts import Contexts
from rfm.errors import RfmError
from rfm.label_history import SUMMARY_SIZE, summarise_labels
from rfm.objective import Objective
from rfm.store import SemType, TextTable


@dataclass(frozen=True)
class Batch:
    """Contexts as tensors; position 0 of every sequence is its target cell, padding lies at the end.

    Attributes:
        row_idx: int32 (B, L), row of the cell within its sequence, 0 is the seed row; -1 on padding.
        parent_idx: int32 (B, L, F), rows of the sequence that this cell's row points to; -1 = unused slot.
        column_idx: int32 (B, L), column within the store (so table and column at once); -1 on padding. Comparable
            within a sequence only.
        sem_type: int64 (B, L), a `SemType`; 0 on padding.
        value: float32 (B, L), standardised; 0 for text and padding. Masked cells keep their true value here, it is
            the label: a model must not read it where `is_masked`.
        is_padding, is_masked, is_target: bool (B, L). `is_masked` = hidden from the model and trained on.
        name_idx: int64 (B, L), position in `text_embeddings` of "<column> of <table>"; 0 on padding.
        text_idx: int64 (B, L), position in `text_embeddings` of a text cell's string; 0 for other types.
        text_embeddings: float32 (U, d_text), the distinct strings of this batch.
        label_summary: float32 (B, S), what the target cell is told of past labels, see `rfm.label_history`.
        seed_row: int64 (B,), the seed's row of its store.
        store_idx: int64 (B,), which store the sequence comes from.
    """

    row_idx: Tensor
    parent_idx: Tensor
    column_idx: Tensor
    sem_type: Tensor
    value: Tensor
    is_padding: Tensor
    is_masked: Tensor
    is_target: Tensor
    name_idx: Tensor
    text_idx: Tensor
    text_embeddings: Tensor
    label_summary: Tensor
    seed_row: Tensor
    store_idx: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory; torch's DataLoader calls this when asked to pin."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(**{field.name: function(getattr(self, field.name)) for field in fields(self)})

    @property
    def num_tokens(self) -> int:
        """Positions that hold a cell."""
        return int((~self.is_padding).sum())

    def validate(self) -> None:
        """Checks shapes, dtypes and the promises of the class.

        Raises:
            RfmError: naming the field, what was expected and what was found.
        """
        self._check_shapes()
        self._check_ranges()
        padding = self.is_padding
        _require(not (padding[:, :-1] & ~padding[:, 1:]).any(), "is_padding", "cells must come before all padding")
        _require(
            not (self.is_masked & (padding | (self.sem_type == SemType.TEXT))).any(),
            "is_masked",
            "text cells and padding cannot be masked",
        )
        _require(bool((self.is_target <= self.is_masked).all()), "is_target", "every target cell must be masked")
        at_start = self.is_target[:, 0].all() and self.is_target.sum() == self.is_target.shape[0]
        _require(bool(at_start), "is_target", "exactly the first cell of a sequence is its target")
        for name in ("value", "label_summary"):
            _require(bool(torch.isfinite(getattr(self, name)).all()), name, "all values must be finite")

    def _check_shapes(self) -> None:
        size, length = self.row_idx.shape
        num_parents, width = self.parent_idx.shape[-1], self.text_embeddings.shape[-1]
        cells = (size, length)
        expected = {
            "row_idx": (cells, torch.int32),
            "parent_idx": ((*cells, num_parents), torch.int32),
            "column_idx": (cells, torch.int32),
            "sem_type": (cells, torch.int64),
            "value": (cells, torch.float32),
            "is_padding": (cells, torch.bool),
            "is_masked": (cells, torch.bool),
            "is_target": (cells, torch.bool),
            "name_idx": (cells, torch.int64),
            "text_idx": (cells, torch.int64),
            "text_embeddings": ((self.text_embeddings.shape[0], width), torch.float32),
            "label_summary": ((size, SUMMARY_SIZE), torch.float32),
            "seed_row": ((size,), torch.int64),
            "store_idx": ((size,), torch.int64),
        }
        for name, (shape, dtype) in expected.items():
            tensor = getattr(self, name)
            _require(tuple(tensor.shape) == shape, name, f"shape {shape} expected, got {tuple(tensor.shape)}")
            _require(tensor.dtype == dtype, name, f"dtype {dtype} expected, got {tensor.dtype}")

    def _check_ranges(self) -> None:
        cells = ~self.is_padding
        num_rows = self.row_idx.amax(1)  # (B,), the last row of each sequence
        _require(bool((self.row_idx >= 0).eq(cells).all()), "row_idx", "must be -1 on padding and only there")
        _require(bool((self.column_idx >= 0).eq(cells).all()), "column_idx", "must be -1 on padding and only there")
        in_sequence = (self.parent_idx >= -1) & (self.parent_idx <= num_rows[:, None, None])
        _require(bool(in_sequence.all()), "parent_idx", "must be -1 or a row of the same sequence")
        known = (self.sem_type >= 0) & (self.sem_type < len(SemType))
        _require(bool(known.all()), "sem_type", f"must lie in [0, {len(SemType)})")
        for name in ("name_idx", "text_idx"):
            idx = getattr(self, name)
            inside = (idx >= 0) & (idx < self.text_embeddings.shape[0])
            _require(bool(inside.all()), name, f"must lie in [0, {self.text_embeddings.shape[0]}), the batch's strings")


def make_batch(
    contexts: Contexts | Sequence[Contexts],
    texts: TextTable,
    objective: Objective | None = None,
    key: int = 0,
    store_idxs: Sequence[int] | None = None,
) -> Batch:
    """Joins contexts, one `Contexts` per store, into one batch and gathers the strings it needs.

    Args:
        contexts: of equal length L; their sequences follow one another in the given order.
        texts: the table that the stores' text ids point into.
        objective: which cells are masked; default: the target cells.
        key: with each item's own key, decides the random ones among them.
        store_idxs: index of the store of each `Contexts`; default: its position in the list.

    Raises:
        RfmError: no contexts, or contexts of unequal length.
    """
    groups = [contexts] if isinstance(contexts, Contexts) else list(contexts)
    store_idxs = range(len(groups)) if store_idxs is None else store_idxs
    _check_groups(groups, len(store_idxs))
    joined = _join(groups)
    is_padding = joined.is_padding
    is_text = joined.cell_text >= 0
    is_masked = (objective or Objective()).hidden(joined, key)
    name_idx, text_idx, unique = _local_strings(joined.name_text, joined.cell_text, is_padding, is_text)
    return Batch(
        row_idx=torch.from_numpy(joined.row_idx),
        parent_idx=torch.from_numpy(joined.parent_idx),
        column_idx=torch.from_numpy(joined.column_idx),
        sem_type=torch.from_numpy(joined.sem_type.astype(np.int64)),
        value=torch.from_numpy(joined.value),
        is_padding=torch.from_numpy(is_padding),
        is_masked=torch.from_numpy(is_masked),
        is_target=torch.from_numpy(joined.is_target),
        name_idx=torch.from_numpy(name_idx),
        text_idx=torch.from_numpy(text_idx),
        text_embeddings=torch.from_numpy(np.asarray(texts.embeddings[unique], np.float32)),
        label_summary=torch.from_numpy(summarise_labels(joined)),
        seed_row=torch.from_numpy(joined.row_id[:, 0].copy()),
        store_idx=torch.from_numpy(np.repeat(np.asarray(store_idxs, np.int64), [len(g.key) for g in groups])),
    )


def _check_groups(groups: list[Contexts], num_store_idxs: int) -> None:
    if not groups:
        raise RfmError("make_batch: the list of contexts is empty; give at least one Contexts")
    lengths = sorted({group.row_idx.shape[1] for group in groups})
    if len(lengths) > 1:
        raise RfmError(f"make_batch: contexts of lengths {lengths} cannot share a batch; use one ctx_len")
    if num_store_idxs != len(groups):
        raise RfmError(f"make_batch: {num_store_idxs} store_idxs for {len(groups)} contexts; give one for each")


def _join(groups: list[Contexts]) -> Contexts:
    """One `Contexts` of all sequences; stores with fewer foreign keys get unused parent slots."""
    if len(groups) == 1:
        return groups[0]
    num_parents = max(group.parent_idx.shape[2] for group in groups)
    arrays = {f.name: [getattr(group, f.name) for group in groups] for f in fields(Contexts)}
    arrays["parent_idx"] = [
        np.pad(array, ((0, 0), (0, 0), (0, num_parents - array.shape[2])), constant_values=-1)
        for array in arrays["parent_idx"]
    ]
    return Contexts(**{name: np.concatenate(parts) for name, parts in arrays.items()})


def _local_strings(
    name_text: np.ndarray, cell_text: np.ndarray, is_padding: np.ndarray, is_text: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (B, L) of names and of cells in the batch's distinct text ids, and those ids (U,), ascending."""
    is_cell = ~is_padding
    ids = np.concatenate([name_text[is_cell], cell_text[is_text]])
    unique, position = np.unique(ids, return_inverse=True)
    name_idx = np.zeros(name_text.shape, np.int64)
    text_idx = np.zeros(name_text.shape, np.int64)
    num_cells = int(is_cell.sum())
    name_idx[is_cell] = position[:num_cells]
    text_idx[is_text] = position[num_cells:]
    return name_idx, text_idx, unique


def _require(holds: bool, field: str, message: str) -> None:
    if not holds:
        raise RfmError(f"batch field {field}: {message}")
