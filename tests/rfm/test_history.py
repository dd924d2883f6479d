"""The summary of past labels: its numbers from their definition, and what may and may not depend on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rfm.batch import Batch, make_batch
from rfm.contexts import OWN_LABELS
from rfm.datamodule import PretrainBatches
from rfm.model import ModelConfig, RelationalTransformer
from rfm.model.history import WINDOWS, summarise_labels
from rfm.objective import Objective
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.floats(-9, 9, width=32), max_size=OWN_LABELS))
def test_summary_by_its_definition(two_stores, labels: list[float]) -> None:
    batch = replace(
        task_batch(two_stores, "user-spend"),
        own_value=torch.tensor([labels + [0.0] * (OWN_LABELS - len(labels))]),
        own_count=torch.tensor([len(labels)]),
        latest_mean=torch.tensor([[1.0, 2.0, 3.0, 4.0]]),
        latest_count=torch.tensor([7]),
    )
    (found,) = summarise_labels(batch).tolist()
    means = [sum(labels[:w]) / (len(labels[:w]) + 1) for w in WINDOWS]
    want = [*means, 1, 2, 3, 4, len(labels) / (len(labels) + 1), 7 / 8]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)


def make_model(d_text: int, label_history: bool) -> RelationalTransformer:
    torch.manual_seed(0)
    return RelationalTransformer(ModelConfig(2, 16, 2, 24, d_text, label_history)).eval()


def task_batch(two_stores, task: str) -> Batch:
    (store, _), texts = two_stores
    rows = store.task_rows(task, "val")
    sampler = ContextSampler(store, ctx_len=40, task=task, split="val", protocol="temporal", policy="mixed")
    return make_batch(sampler.sample(rows, store.tasks[task].target_column, item_keys(0, rows)), texts)


def test_own_labels_are_past_targets_of_the_entity(two_stores) -> None:
    """Against the label table itself: every label whose window has closed, latest first."""
    (store, _), _ = two_stores
    batch, task = task_batch(two_stores, "user-spend"), store.tasks["user-spend"]
    mean, std = store.columns[task.target_column].stats["train"]
    past = store.task_rows("user-spend", "train")
    labels = zip(past.tolist(), store.task_targets("user-spend", "train").tolist(), strict=True)
    known = [(int(store.row_time[r]), int(store.parent_row[store.parent_offset[r]]), y) for r, y in labels]
    assert batch.own_count.max() > 1
    for b, seed in enumerate(batch.seed_row.tolist()):
        entity, end = store.parent_row[store.parent_offset[seed]], store.row_time[seed] - task.timedelta_s
        want = [y for t, e, y in sorted(known, reverse=True) if e == entity and t <= end]
        count = int(batch.own_count[b])
        np.testing.assert_allclose(batch.own_value[b, :count] * std + mean, want, rtol=1e-3)


def test_model_reads_own_labels_only_when_asked_to(two_stores) -> None:
    batch = task_batch(two_stores, "user-spend")
    other = replace(batch, own_value=batch.own_value + (batch.own_value != 0))
    for label_history in (False, True):
        model = make_model(two_stores[1].d_text, label_history)
        with torch.no_grad():
            assert torch.equal(model(batch), model(other)) != label_history


def test_hidden_cells_are_not_among_own_labels(two_stores) -> None:
    """Own labels are cells of the target's column, of which the dense objective hides no other."""
    batch = PretrainBatches(*two_stores, ctx_len=60, batch_size=64, seed=0, objective=Objective("dense", 0.5)).batch(
        0, 0, 1
    )
    assert int(batch.is_masked.sum()) > 2 * len(batch.is_masked) and int(batch.own_count.max()) > 1
    of_target_column = batch.column_idx == batch.column_idx[:, :1]
    assert torch.equal(batch.is_masked & of_target_column, batch.is_target)
