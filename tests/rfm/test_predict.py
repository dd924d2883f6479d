"""Every row of a split gets one prediction, in the task's order and unit, whatever the batch size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rfm import predict
from rfm.batch import make_batch
from rfm.errors import RfmError
from rfm.model import ModelConfig, RelationalTransformer, sequence_losses
from rfm.predict import _parts, predict_task, validation_loss
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.seeds import validation_seeds
from rfm.store import Store, TextTable

CTX_LEN = 24


@pytest.fixture(scope="module")
def model(two_stores) -> RelationalTransformer:
    torch.manual_seed(0)
    d_text = two_stores[1].d_text
    return RelationalTransformer(ModelConfig(num_blocks=2, d_model=16, num_heads=2, d_ff=24, d_text=d_text))


@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
@pytest.mark.parametrize("task", ["user-active", "user-spend", "event-amount"])
def test_every_row_once_in_order_and_unit(two_stores, model, task: str, protocol: str) -> None:
    (store, _), texts = two_stores
    options = {"protocol": protocol, "policy": "history", "ctx_len": CTX_LEN, "progress": False}
    got = predict_task(model, store, texts, task, "test", batch_size=5, **options)
    rows = store.task_rows(task, "test")
    assert got.shape == (len(rows),) and got.dtype == np.float64 and np.isfinite(got).all()
    np.testing.assert_allclose(
        got, predict_task(model, store, texts, task, "test", batch_size=64, **options), rtol=1e-5, atol=1e-5
    )
    # by hand: one row at a time, all cells decoded
    sampler = ContextSampler(
        store, ctx_len=CTX_LEN, task=task, split="test", protocol=protocol, policy="history", max_bfs_width=128
    )
    column = store.columns[store.tasks[task].target_column]
    mean, std = column.stats["whole" if protocol == "paper" else "train"]
    for i in (0, len(rows) - 1):
        contexts = sampler.sample(rows[i : i + 1], column.id, item_keys(0, np.array([i])))
        batch = make_batch(contexts, texts)
        with torch.no_grad():
            yhat = model.decode(model(batch))
        if task == "user-active":
            want = torch.sigmoid(yhat["boolean"][0, 0, 0]).item()
        else:
            want = yhat["number"][0, 0, 0].item() * std + mean
        assert got[i] == pytest.approx(want, rel=1e-4, abs=1e-5)


def test_batches_of_one_size_answer_the_same(two_stores, model, monkeypatch) -> None:
    """As on a GPU, where the last batch is filled with its last row."""
    assert [part.tolist() for part in _parts(5, 2, "", False, full=False)] == [[0, 1], [2, 3], [4]]
    assert [part.tolist() for part in _parts(5, 2, "", False, full=True)] == [[0, 1], [2, 3], [4, 4]]
    stores, texts = two_stores
    seeds, options = validation_seeds(stores, rows_per_task=3), {"ctx_len": CTX_LEN, "batch_size": 7, "progress": False}
    sizes, forward = [], model.forward

    def both() -> list[np.ndarray]:
        tasks = [
            predict_task(model, stores[0], texts, task, "test", **options) for task in ("user-spend", "user-active")
        ]
        return [*tasks, validation_loss(model, stores, texts, seeds, **options)]

    want = both()
    monkeypatch.setattr(predict, "_parts", lambda *how: _parts(*how[:-1], full=True))
    monkeypatch.setattr(model, "forward", lambda batch: sizes.append(len(batch.value)) or forward(batch))
    for got, wanted in zip(both(), want, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert set(sizes) == {7}


def test_mode_of_the_model_is_restored(two_stores, model) -> None:
    (store, _), texts = two_stores
    for training in (True, False):
        model.train(training)
        predict_task(model, store, texts, "user-spend", "val", ctx_len=CTX_LEN, progress=False)
        assert model.training is training


def test_labels_do_not_move_predictions(two_stores, model) -> None:
    """A row's own label is hidden, though the batch holds it."""
    (store, _), texts = two_stores
    sampler = ContextSampler(store, ctx_len=CTX_LEN, task="user-spend", split="test", protocol="relbench")
    rows = store.task_rows("user-spend", "test")
    contexts = sampler.sample(rows, store.tasks["user-spend"].target_column, item_keys(0, np.arange(len(rows))))
    before = make_batch(contexts, texts)
    after = replace(before, value=before.value.masked_fill(before.is_target, 1e6))  # a copy: the other stays as it is
    assert not torch.equal(before.value, after.value)
    with torch.no_grad():
        assert torch.equal(model(before), model(after))


def test_text_table_of_another_width(two_stores) -> None:
    (store, _), texts = two_stores
    other = RelationalTransformer(ModelConfig(1, 8, 2, 8, texts.d_text + 1))
    with pytest.raises(RfmError, match=f"width {texts.d_text + 1}.*width {texts.d_text}"):
        predict_task(other, store, texts, "user-spend", "test", ctx_len=CTX_LEN, progress=False)


def test_text_table_of_other_stores(two_stores, model, tmp_path) -> None:
    (store, _), _ = two_stores
    other = TextTable.open_or_create(tmp_path, model="hash")
    with pytest.raises(RfmError, match="another text table"):
        predict_task(model, store, other, "user-spend", "test", ctx_len=CTX_LEN, progress=False)


def test_text_table_that_is_older_than_the_store(write_shop, model, tmp_path) -> None:
    old = TextTable.open_or_create(tmp_path / "stores", model="hash")
    store = Store.build(write_shop(tmp_path / "shop", 0), tmp_path / "stores" / "shop", "hash", progress=False)
    with pytest.raises(RfmError, match=r"built with \d+ texts, .* was opened when it had 0; .*store.texts"):
        predict_task(model, store, old, "user-spend", "test", ctx_len=CTX_LEN, progress=False)


def test_unknown_task(two_stores, model) -> None:
    (store, _), texts = two_stores
    with pytest.raises(RfmError, match="user-spent.*user-spend"):
        predict_task(model, store, texts, "user-spent", "test", ctx_len=CTX_LEN, progress=False)


def test_a_task_left_out_of_the_store_is_told_with_its_reason(two_stores, model, monkeypatch) -> None:
    (store, _), texts = two_stores
    monkeypatch.setitem(store.skipped_tasks, "user-friend", "recommendation is not supported")
    with pytest.raises(RfmError, match="'user-friend' of shop-0 is not supported: recommendation is not supported"):
        predict_task(model, store, texts, "user-friend", "test", ctx_len=CTX_LEN, progress=False)


def test_validation_loss_is_the_mean_per_database(two_stores, model) -> None:
    stores, texts = two_stores
    columns = [store.column("events", "amount").id for store in stores]
    rows = np.arange(stores[0].tables["events"].first_row, stores[0].tables["events"].first_row + 7)
    store_idx = np.array([0, 1, 0, 1, 1, 0, 0])
    seeds = (store_idx, rows, np.array([columns[i] for i in store_idx]))
    got = validation_loss(model, stores, texts, seeds, ctx_len=CTX_LEN, batch_size=3, progress=False)
    again = validation_loss(model, stores, texts, seeds, ctx_len=CTX_LEN, batch_size=32, progress=False)
    np.testing.assert_allclose(got, again, rtol=1e-5)
    want = []
    for i, store in enumerate(stores):
        mine = store_idx == i
        keys = item_keys(0, rows[mine], seeds[2][mine])
        contexts = ContextSampler(store, ctx_len=CTX_LEN, policy="mixed").sample(rows[mine], seeds[2][mine], keys)
        with torch.no_grad():
            want.append(sequence_losses(model, make_batch(contexts, texts)).mean().item())
    np.testing.assert_allclose(got, want, rtol=1e-5)
    only_first = tuple(part[store_idx == 0] for part in seeds)
    alone = validation_loss(model, stores, texts, only_first, ctx_len=CTX_LEN, progress=False)
    assert alone[0] == pytest.approx(got[0], rel=1e-5) and np.isnan(alone[1])
