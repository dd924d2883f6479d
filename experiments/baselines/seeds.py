"""The seeds of a task, and up to which time each may look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rfm.store import NEVER, NO_TIME, Store

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class TaskSeeds:
    """All seeds of a task, train, val and test one after the other, each in the task's row order; (seeds,) each.

    Times are seconds. `rfm.sampler` states the protocols; labels of other tasks are seen by none.
    """

    row: np.ndarray  # int64, the store's row that carries the label
    split: np.ndarray  # int8, index into SPLITS
    entity: np.ndarray  # int64, the store's row that is asked about; the row itself in an autocomplete task
    time: np.ndarray  # int64, NO_TIME where the task has none
    cutoff: np.ndarray  # int64, the last time whose rows are seen
    label_cutoff: np.ndarray  # int64, the last time whose values of an autocomplete task's target are seen
    sees_untimed: np.ndarray  # bool, whether values of that target in rows without a time are seen

    def sees_target(self, seed: np.ndarray, row: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Whether a seed may read an autocomplete task's target in a row of this time; (pairs,) each, its own never."""
        known = (time <= self.label_cutoff[seed]) & (self.sees_untimed[seed] | (time != NO_TIME))
        return known & (row != self.row[seed])


def task_seeds(store: Store, task: str, protocol: str) -> TaskSeeds:
    """The seeds of a task under a protocol (paper, temporal, relbench)."""
    info = store.tasks[task]
    rows = [store.task_rows(task, split) for split in SPLITS]
    row = np.concatenate(rows)
    split = np.repeat(np.arange(3, dtype=np.int8), [len(part) for part in rows])
    entity = row if info.kind == "autocomplete" else store.parent_row[store.parent_offset[row]].astype(np.int64)
    time = np.asarray(store.row_time[row])
    cutoff = np.where(time == NO_TIME, NEVER - 1, np.minimum(time, NEVER - 1))
    label_cutoff = cutoff - (1 if protocol == "paper" else info.timedelta_s)
    if protocol == "relbench":
        cutoff = np.minimum(cutoff, np.array([NEVER - 1, store.val_time, store.test_time])[split])
        label_cutoff = np.minimum(label_cutoff, np.array([NO_TIME, store.val_time, store.test_time])[split])
    return TaskSeeds(row, split, entity, time, cutoff, label_cutoff, (time == NO_TIME) | (protocol == "paper"))
