"""What the sampler returns: contexts of cells as plain numpy arrays, indices and values only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OWN_LABELS = 32
"""H, how many of the entity's own latest labels go with a context, whether or not their rows are in it.

numba's cache looks at `rfm._context_kernel` only: whoever changes this has to edit that file too.
"""

LATEST_WINDOWS = (8, 32, 128, 512)
"""W lengths: of so many latest labels of any entity the mean goes with a context."""


@dataclass(frozen=True)
class Contexts:
    """Contexts of B seed rows of one store, L positions each; padding only at the end of a context.

    Position 0 is the target cell. The cells of one row lie side by side, rows in the order in which the
    sampler reached them. On padding: indices -1, values 0, flags False.

    Attributes:
        row_idx: int32 (B, L), context-local row 0..n-1, the seed row is 0.
        row_id: int64 (B, L), row of the store.
        parent_idx: int32 (B, L, F), context-local rows that this cell's row points to and that are in the
            context, in the order of the foreign keys, then -1.
        column_idx: int32 (B, L), column of the store.
        name_text: int32 (B, L), text id of "<column> of <table>".
        cell_text: int32 (B, L), text id of a text cell, -1 for other types.
        sem_type: int8 (B, L), a `SemType`; 0 on padding.
        value: float32 (B, L), standardised by the protocol's statistics; 0 for text. The target cell holds its
            label here (0 when the label is unknown), so that whoever reads values has to look at `is_target`.
        is_target: bool (B, L), true on the target cell only.
        own_value: float32 (B, H), the latest own labels of the seed's entity that may be seen, latest first,
            standardised as `value`; 0 for text and behind the last one.
        own_text: int32 (B, H), text ids of own labels that are text; else -1.
        own_count: int64 (B,), how many own labels there are, 0 to H.
        latest_mean: float32 (B, W), mean of the latest labels of any entity before the seed's time, one per length in
            `LATEST_WINDOWS`, shrunk by one label of value 0, which is the column's mean; 0 for text.
        latest_count: int64 (B,), how many labels there are for the longest window; 0 for text and without a time.
        forecast: float32 (B, 2), what a regression fitted to past labels says of the target, standardised, and its
            error, see `rfm.label_regression`; 0 and 1 without past labels, for text and without a time.
        key: uint64 (B,), the item's random key.
    """

    row_idx: np.ndarray
    row_id: np.ndarray
    parent_idx: np.ndarray
    column_idx: np.ndarray
    name_text: np.ndarray
    cell_text: np.ndarray
    sem_type: np.ndarray
    value: np.ndarray
    is_target: np.ndarray
    own_value: np.ndarray
    own_text: np.ndarray
    own_count: np.ndarray
    latest_mean: np.ndarray
    latest_count: np.ndarray
    forecast: np.ndarray
    key: np.ndarray

    @classmethod
    def empty(cls, key: np.ndarray, ctx_len: int, num_parents: int) -> Contexts:
        """Contexts of padding only, for the items of `key` (uint64, (B,))."""
        shape = (key.shape[0], ctx_len)
        return cls(
            row_idx=np.full(shape, -1, np.int32),
            row_id=np.full(shape, -1, np.int64),
            parent_idx=np.full((*shape, num_parents), -1, np.int32),
            column_idx=np.full(shape, -1, np.int32),
            name_text=np.full(shape, -1, np.int32),
            cell_text=np.full(shape, -1, np.int32),
            sem_type=np.zeros(shape, np.int8),
            value=np.zeros(shape, np.float32),
            is_target=np.zeros(shape, bool),
            own_value=np.zeros((shape[0], OWN_LABELS), np.float32),
            own_text=np.full((shape[0], OWN_LABELS), -1, np.int32),
            own_count=np.zeros(shape[0], np.int64),
            latest_mean=np.zeros((shape[0], len(LATEST_WINDOWS)), np.float32),
            latest_count=np.zeros(shape[0], np.int64),
            forecast=np.tile(np.array([0, 1], np.float32), (shape[0], 1)),
            key=key,
        )

    @property
    def is_padding(self) -> np.ndarray:
        """bool (B, L), true behind the last cell."""
        return self.row_idx < 0

    @property
    def num_tokens(self) -> int:
        """Positions that hold a cell, over the whole batch."""
        return int((self.row_idx >= 0).sum())
