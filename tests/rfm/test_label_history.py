"""The summary of past labels: its numbers from their definition, and what may and may not depend on it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rfm.batch import make_batch
from rfm.contexts import OWN_LABELS, Contexts
from rfm.datamodule import PretrainBatches
from rfm.label_history import SUMMARY_SIZE, WINDOWS, summarise_labels
from rfm.label_regression import LabelRegression
from rfm.model import ModelConfig, RelationalTransformer
from rfm.objective import Objective
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler, Policy, Protocol
from rfm.store import Store
from rfm.store.format import SPLITS


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.floats(-9, 9, width=32), max_size=OWN_LABELS))
def test_summary_by_its_definition(labels: list[float]) -> None:
    contexts = replace(
        Contexts.empty(np.zeros(1, np.uint64), 1, 1),
        own_value=np.array([labels + [0.0] * (OWN_LABELS - len(labels))], np.float32),
        own_count=np.array([len(labels)]),
        latest_mean=np.array([[1.0, 2.0, 3.0, 4.0]], np.float32),
        latest_count=np.array([7]),
        forecast=np.array([[0.5, 0.7]], np.float32),
    )
    (found,) = summarise_labels(contexts)
    means = [sum(labels[:w]) / (len(labels[:w]) + 1) for w in WINDOWS]
    want = [*means, 1, 2, 3, 4, len(labels) / (len(labels) + 1), 7 / 8, 0.5, 0.7]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)
    assert found.shape == (SUMMARY_SIZE,) and found.dtype == np.float32


def make_model(d_text: int, label_history: bool) -> RelationalTransformer:
    torch.manual_seed(0)
    return RelationalTransformer(ModelConfig(2, 16, 2, 24, d_text, label_history)).eval()


def task_contexts(two_stores, task: str, label_history: bool = True) -> Contexts:
    (store, _), _ = two_stores
    rows = store.task_rows(task, "val")
    options = {"protocol": "temporal", "policy": "mixed", "label_history": label_history}
    sampler = ContextSampler(store, ctx_len=40, task=task, split="val", **options)
    return sampler.sample(rows, store.tasks[task].target_column, item_keys(0, rows))


def test_own_labels_are_past_targets_of_the_entity(two_stores) -> None:
    """Against the label table itself: every label whose window has closed, latest first."""
    (store, _), _ = two_stores
    contexts, task = task_contexts(two_stores, "user-spend"), store.tasks["user-spend"]
    mean, std = store.columns[task.target_column].stats["train"]
    past = store.task_rows("user-spend", "train")
    labels = zip(past.tolist(), store.task_targets("user-spend", "train").tolist(), strict=True)
    known = [(int(store.row_time[r]), int(store.parent_row[store.parent_offset[r]]), y) for r, y in labels]
    assert contexts.own_count.max() > 1
    for b, seed in enumerate(contexts.row_id[:, 0].tolist()):
        entity, end = store.parent_row[store.parent_offset[seed]], store.row_time[seed] - task.timedelta_s
        want = [y for t, e, y in sorted(known, reverse=True) if e == entity and t <= end]
        count = int(contexts.own_count[b])
        np.testing.assert_allclose(contexts.own_value[b, :count] * std + mean, want, rtol=1e-3)


def test_model_reads_the_summary_only_when_asked_to(two_stores) -> None:
    batch = make_batch(task_contexts(two_stores, "user-spend"), two_stores[1])
    other = replace(batch, label_summary=batch.label_summary + 1)
    for label_history in (False, True):
        model = make_model(two_stores[1].d_text, label_history)
        with torch.no_grad():
            assert torch.equal(model(batch), model(other)) != label_history


def test_hidden_cells_are_not_among_own_labels(two_stores) -> None:
    """Own labels are cells of the target's column, of which the dense objective hides no other."""
    batch = PretrainBatches(*two_stores, ctx_len=60, batch_size=64, seed=0, objective=Objective("dense", 0.5)).batch(
        0, 0, 1
    )
    assert int(batch.is_masked.sum()) > 2 * len(batch.is_masked) and float(batch.label_summary[:, 10].max()) > 0.6
    of_target_column = batch.column_idx == batch.column_idx[:, :1]
    assert torch.equal(batch.is_masked & of_target_column, batch.is_target)


def test_without_label_history_the_cells_stay_and_the_rest_is_empty(two_stores) -> None:
    told, bare = (task_contexts(two_stores, "user-spend", told) for told in (True, False))
    np.testing.assert_array_equal(told.value, bare.value)
    np.testing.assert_array_equal(told.row_id, bare.row_id)
    empty = Contexts.empty(bare.key, 40, bare.parent_idx.shape[2])
    assert told.own_count.any() and told.latest_count.any() and (told.forecast != empty.forecast).any()
    for name in ("own_value", "own_count", "latest_mean", "latest_count", "forecast"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(empty, name))


def test_samplers_share_what_they_read_and_nothing_else(two_stores, monkeypatch) -> None:
    """After samplers of every protocol, policy and split, each tells what it tells alone, on a store opened anew."""
    store = Store.open(two_stores[0][0].path)
    fits = []
    monkeypatch.setattr("rfm.past_labels.LabelRegression", lambda *data: fits.append(1) or LabelRegression(*data))

    def forecasts(of: Store, protocol: str, policy: str, split: str) -> np.ndarray:
        options = {"ctx_len": 1 if policy == "paper" else 40, "protocol": protocol, "policy": policy, "split": split}
        rows = of.task_rows("user-spend", split)
        contexts = ContextSampler(of, task="user-spend", **options).sample(
            rows, of.tasks["user-spend"].target_column, item_keys(0, rows)
        )
        return np.concatenate([contexts.forecast, contexts.latest_mean, contexts.own_value], axis=1)

    hows = list(product(get_args(Protocol), get_args(Policy), SPLITS))
    first = [forecasts(store, *how) for how in hows]
    assert len(fits) == 2 + 3  # paper, temporal, and relbench of each split, whatever the policy
    for how, found in zip(hows, first, strict=True):
        np.testing.assert_array_equal(found, forecasts(Store.open(store.path), *how))
        np.testing.assert_array_equal(found, forecasts(store, *how))
    assert len(fits) == 5 + len(hows)
