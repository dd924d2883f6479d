"""Predictions without a model, which every transfer score stands beside.

`constant` is the mean train label, `entity_mean` the mean of all of the entity's visible labels, `label_history`
the mean of its last k visible ones, k chosen on validation. Both means are shrunk by one prior label, the train
mean: (sum of labels + train mean) / (number of labels + 1). "Visible" is what the protocol shows a model at the
seed's time (section 6 of the paper's facts); a label never sees itself.

`label_regression` is the forecast that models with label history are told (`rfm.label_regression`): ridge regressions,
fitted to the labels before the seed, on the entity's last 1 to 32 labels, the latest 8 to 512 of any entity, and how
many, how recent and of what mean values the entity's own rows are. What a transformer adds to it is what it has learnt.

An autocomplete task has one label per entity, so its history is that of the rows which share a parent row; the
foreign key, like k, is chosen on validation.

Of a multiclass task, all three are shares: of each class among the labels in question. The class with the largest share
is the majority.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from experiments.baselines.seeds import SPLITS
from rfm.metrics import task_metrics
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler, shown_statistics
from rfm.store import NEVER, NO_TIME, SemType, Store, TaskInfo

HISTORY_LENGTHS = (1, 2, 3, 5, 8, 10, 15, 20, 30)


@dataclass(frozen=True)
class LabelPool:
    """All labels of a task, in split and row order: group (entity or shared parent), time, value and split."""

    group: np.ndarray  # int64 (labels,), -1 where the row has no such parent
    time: np.ndarray  # int64 (labels,), seconds
    value: np.ndarray  # float64 (labels,), NaN where hidden; a multiclass task's position of the class
    split: np.ndarray  # int8 (labels,), index into SPLITS


def entity_pools(store: Store, task: str) -> list[LabelPool]:
    """The pools that history may be read from: one by entity, or one per foreign key for an autocomplete task."""
    info = store.tasks[task]
    rows = np.concatenate([store.task_rows(task, s) for s in SPLITS])
    value = np.concatenate([store.task_targets(task, s) for s in SPLITS])
    split = np.repeat(np.arange(3, dtype=np.int8), [len(store.task_rows(task, s)) for s in SPLITS])
    fkeys = store.tables[info.table].fkeys
    parents = dict.fromkeys(fkeys.values()) if info.kind == "autocomplete" else {info.entity_table: None}
    return [LabelPool(_parent_in(store, rows, table), store.row_time[rows], value, split) for table in parents]


def _parent_in(store: Store, rows: np.ndarray, table: str) -> np.ndarray:
    """The first parent of each row that lies in `table`, or -1."""
    first, end = store.tables[table].first_row, store.tables[table].first_row + store.tables[table].num_rows
    parent = np.full(len(rows), -1, dtype=np.int64)
    lo, hi = store.parent_offset[rows], store.parent_offset[rows + 1]
    for slot in range(int((hi - lo).max(initial=0)) - 1, -1, -1):
        has = np.flatnonzero(lo + slot < hi)
        candidate = store.parent_row[lo[has] + slot].astype(np.int64)
        inside = (candidate >= first) & (candidate < end)
        parent[has[inside]] = candidate[inside]
    return parent


def history_sum(
    pool: LabelPool, split: int, last_k: int | None, protocol: str, timedelta_s: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the last `last_k` (None: all) visible labels of each seed's group; (seeds of the split,) each.

    A label of time t' is visible at the seed's time t if t' + timedelta <= t under `temporal` and `relbench` (which
    also wants it from an earlier split), and if t' < t under `paper`. A seed without a time sees all labels but its
    own; a label without a time is seen under `paper`, else by such seeds alone (`rfm.sampler`).
    """
    known = ~np.isnan(pool.value) & (pool.group >= 0)
    if protocol == "relbench":
        known &= pool.split < split
    known = np.flatnonzero(known)
    known = known[np.lexsort((pool.time[known], pool.group[known]))]
    group, times = pool.group[known], np.unique(np.append(pool.time[known], NO_TIME))
    key = group * (len(times) + 1) + np.searchsorted(times, pool.time[known])
    position = np.full(len(pool.time), -1)
    position[known] = np.arange(len(known))

    seeds = np.flatnonzero(pool.split == split)
    first_key, has_time = pool.group[seeds] * (len(times) + 1), pool.time[seeds] != NO_TIME
    closed = np.where(has_time, pool.time[seeds], 0) - (1 if protocol == "paper" else timedelta_s)
    rank = np.searchsorted(times, np.where(has_time, closed, NEVER - 1), side="right")
    start = np.searchsorted(key, first_key + (has_time & (protocol != "paper")))  # times[0] is NO_TIME
    end = np.maximum(start, np.searchsorted(key, first_key + rank))
    end = np.where(pool.group[seeds] < 0, start, end)
    own = position[seeds]
    if last_k is not None:
        sees_own = (own >= end - last_k) & (own >= start) & (own < end)
        start = np.maximum(start, end - last_k - sees_own)
    total = np.concatenate([[0.0], np.cumsum(pool.value[known])])
    sees_own = (own >= start) & (own < end)
    return total[end] - total[start] - np.where(sees_own, pool.value[seeds], 0), end - start - sees_own


def history_mean(
    pool: LabelPool, split: int, last_k: int | None, protocol: str, timedelta_s: int, prior: float
) -> np.ndarray:
    """Mean of what `history_sum` adds up, shrunk by one prior label; float64 (seeds of the split,)."""
    total, count = history_sum(pool, split, last_k, protocol, timedelta_s)
    return (total + prior) / (count + 1)


def class_history(
    pool: LabelPool, split: int, last_k: int | None, protocol: str, timedelta_s: int, prior: np.ndarray
) -> np.ndarray:
    """`history_mean` of being each class; float64 (seeds of the split, classes), `prior` of shape (classes,)."""
    known = ~np.isnan(pool.value)
    shares = []
    for k, share in enumerate(prior):
        of_class = replace(pool, value=np.where(known, pool.value == k, np.nan))
        shares.append(history_mean(of_class, split, last_k, protocol, timedelta_s, float(share)))
    return np.stack(shares, axis=1)


def baseline_predictions(store: Store, task: str, protocol: str) -> dict[str, dict[str, np.ndarray]]:
    """{baseline: {"val" | "test": predictions in the task's row order}} for all that the module names.

    Of a multiclass task each prediction is (rows, classes), and there is no label_regression.
    """
    info = store.tasks[task]
    train = store.task_targets(task, "train")
    classes = np.arange(len(info.classes))
    prior = (train[~np.isnan(train), None] == classes).mean(0) if info.classes else float(np.nanmean(train))
    history = class_history if info.classes else history_mean
    select = task_metrics(info.task_type, store.target_std(task))[0]
    val_target = store.task_targets(task, "val")
    known = ~np.isnan(val_target)
    pools = entity_pools(store, task)

    def predict(pool: LabelPool, last_k: int | None) -> dict[str, np.ndarray]:
        return {s: history(pool, SPLITS.index(s), last_k, protocol, info.timedelta_s, prior) for s in SPLITS[1:]}

    def best_on_validation(lengths: tuple[int | None, ...]) -> dict[str, np.ndarray] | None:
        best, best_score = None, float("nan")
        for pool in pools:
            for last_k in lengths:
                candidate = predict(pool, last_k)
                value = select.compute(val_target[known], candidate["val"][known]) if known.any() else float("nan")
                if best is None or select.better(value, best_score):
                    best, best_score = candidate, value
        return best

    constant = {s: np.repeat([prior], len(store.task_rows(task, s)), axis=0) for s in SPLITS[1:]}
    found = {
        "constant": constant,
        "entity_mean": best_on_validation((None,)) or constant,
        "label_history": best_on_validation(HISTORY_LENGTHS) or constant,
    }
    if not info.classes:
        found["label_regression"] = {s: label_regression(store, info, s, protocol) for s in SPLITS[1:]}
    return found


def label_regression(
    store: Store, task: TaskInfo, split: str, protocol: str, chosen: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """Forecasts of a split's rows, or the chosen ones, in the target's unit or as probabilities; float64 (rows,)."""
    sampler = ContextSampler(store, ctx_len=1, task=task.name, split=split, protocol=protocol)
    rows = store.task_rows(task.name, split)[chosen]
    forecast = sampler.sample(rows, task.target_column, item_keys(0, rows)).forecast[:, 0].astype(np.float64)
    column = store.columns[task.target_column]
    mean, std = column.stats[shown_statistics(protocol)]
    value = mean + std * forecast
    return np.clip(value, 0, 1) if column.sem_type == SemType.BOOLEAN else value
