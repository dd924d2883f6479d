"""The latest labels before a moment, of whatever entity: what a task has been like lately."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rfm.contexts import LATEST_WINDOWS
from rfm.store import NEVER, NO_TIME, Store


class Labels(NamedTuple):
    """The labels of one column in the order of their times."""

    row: np.ndarray  # int64 (R,), of the store
    time: np.ndarray  # int64 (R,), rising, seconds
    value: np.ndarray  # float64 (R,), standardised

    @classmethod
    def of_column(cls, store: Store, column: int, scale: float, shift: float, split_limit: int) -> Labels:
        """Reads a column; rows without a time are left out.

        Args:
            scale, shift: of stored values, to the statistics in use.
            split_limit: label rows of this split or later are left out.
        """
        table = store.tables[store.columns[column].table]
        offset = np.asarray(store.cell_offset[table.first_row : table.first_row + table.num_rows + 1])
        cell = offset[0] + np.flatnonzero(store.cell_column[offset[0] : offset[-1]] == column)
        row = table.first_row + np.searchsorted(offset, cell, side="right") - 1
        time = np.asarray(store.row_time[row])
        kept = (time != NO_TIME) & (time != NEVER) & (np.asarray(store.row_split[row]) < split_limit)
        order = np.argsort(time[kept], kind="stable")
        value = np.asarray(store.cell_value[cell[kept][order]], np.float64) * scale + shift
        return cls(row[kept][order], time[kept][order], value)

    def every(self, step: int) -> Labels:
        """Each `step`-th label."""
        return Labels(*(array[::step] for array in self))


class LatestLabels:
    """Means of the latest ones of a column's labels."""

    def __init__(self, labels: Labels) -> None:
        self._time = labels.time
        self._total = np.concatenate([[0.0], np.cumsum(labels.value)])

    def until(self, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of the last labels up to each time, one per window, shrunk by one label of value 0; and their number.

        Args:
            time: int64 (B,), seconds.

        Returns:
            float32 (B, windows) and int64 (B,), the latter at most the longest window.
        """
        end = np.searchsorted(self._time, time, side="right")[:, None]
        start = np.maximum(end - np.array(LATEST_WINDOWS), 0)
        mean = (self._total[end] - self._total[start]) / (end - start + 1)
        return mean.astype(np.float32), np.minimum(end[:, 0], LATEST_WINDOWS[-1])
