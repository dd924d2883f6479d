"""Pretraining on label rows: which rows are drawn, in which part of a batch, and what their contexts may show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from rfm.datamodule import PretrainBatches
from rfm.errors import RfmError
from rfm.seeds import LabelSeeds

TASKS = ("user-active", "user-spend")


def train_rows(stores) -> list[tuple[int, str, int]]:
    """(store, task, row) of every train label."""
    found = []
    for i, store in enumerate(stores):
        for task in TASKS:
            known = ~np.isnan(store.task_targets(task, "train"))
            found += [(i, task, row) for row in store.task_rows(task, "train")[known].tolist()]
    return found


def test_labels_are_drawn_evenly_from_train_rows_of_tasks_with_label_tables(two_stores) -> None:
    stores, _ = two_stores
    seeds, allowed = LabelSeeds(stores, seed=3), train_rows(stores)
    assert len(seeds) == len(allowed)
    task, row = seeds.draw(0, 0, 60 * len(allowed))
    drawn = [(*seeds.tasks[t], r) for t, r in zip(task.tolist(), row.tolist(), strict=True)]
    assert set(drawn) == set(allowed)  # the autocomplete task has no label table
    counts = np.unique([allowed.index(label) for label in drawn], return_counts=True)[1]
    assert chisquare(counts).pvalue > 1e-3
    for step, rank in ((1, 0), (0, 1)):
        assert not np.array_equal(seeds.draw(step, rank, 50)[1], row[:50])
    assert np.array_equal(LabelSeeds(stores, seed=3).draw(0, 0, 50)[1], seeds.draw(0, 0, 50)[1])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_a_batch_predicts_labels_from_closed_labels_alone(two_stores, share) -> None:
    stores, texts = two_stores
    source = PretrainBatches(stores, texts, ctx_len=60, batch_size=40, seed=0, label_share=share)
    allowed = {(i, row): task for i, task, row in train_rows(stores)}
    num_past_labels = 0
    for step in range(5):
        batch = source.batch(step, 0, 1)
        batch.validate()
        seeds = list(zip(batch.store_idx.tolist(), batch.seed_row.tolist(), strict=True))
        label_rows = {(i, r) for i, s in enumerate(stores) for t in TASKS for r in range(*_range(s, f"task:{t}"))}
        is_label = [seed in label_rows for seed in seeds]
        assert sum(is_label) == round(share * 40)
        assert all(seed in allowed for seed, own in zip(seeds, is_label, strict=True) if own)
    for sampler in source._label_samplers:
        store, info = sampler.store, sampler.task
        rows = store.task_rows(info.name, "train")
        contexts = sampler.sample(rows, info.target_column, np.arange(len(rows), dtype=np.uint64))
        for b, seed in enumerate(rows.tolist()):
            first, end = _range(store, f"task:{info.name}")
            labels = {r for r in contexts.row_id[b].tolist() if first <= r < end} - {seed}
            num_past_labels += len(labels)
            assert all(store.row_time[r] + info.timedelta_s <= store.row_time[seed] for r in labels)
    assert (num_past_labels > 0) == (share > 0)


def test_an_impossible_share_is_refused(two_stores) -> None:
    with pytest.raises(RfmError, match=r"label_share is 1.5; it must lie in \[0, 1\]"):
        PretrainBatches(*two_stores, ctx_len=8, batch_size=4, seed=0, label_share=1.5)


def _range(store, table: str) -> tuple[int, int]:
    info = store.tables[table]
    return info.first_row, info.first_row + info.num_rows
