"""The batch: strings once each, masks where and as often as asked, checks that name the field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rfm.batch import Batch, make_batch
from rfm.contexts import Contexts
from rfm.errors import RfmError
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.store import SemType

CTX_LEN = 40


@pytest.fixture(scope="module")
def contexts(two_stores) -> list[Contexts]:
    """Contexts of both stores, with different numbers of parent slots."""
    stores, _ = two_stores
    groups = []
    for i, store in enumerate(stores):
        rows = store.task_rows("user-active", "test")
        sampler = ContextSampler(store, ctx_len=CTX_LEN, task="user-active", split="test", num_parents=1 + i)
        groups.append(sampler.sample(rows, store.tasks["user-active"].target_column, item_keys(i, rows)))
    return groups


@pytest.fixture(scope="module")
def batch(contexts, two_stores) -> Batch:
    return make_batch(contexts, two_stores[1])


def test_every_distinct_string_once_and_in_its_place(contexts, two_stores, batch) -> None:
    texts = two_stores[1]
    name_text = np.concatenate([group.name_text for group in contexts])
    cell_text = np.concatenate([group.cell_text for group in contexts])
    used = set(name_text[name_text >= 0].tolist()) | set(cell_text[cell_text >= 0].tolist())
    assert batch.text_embeddings.shape == (len(used), texts.d_text)
    table = np.asarray(texts.embeddings, np.float32)
    for ids, idx in ((name_text, batch.name_idx), (cell_text, batch.text_idx)):
        gathered = batch.text_embeddings[idx].numpy()
        np.testing.assert_array_equal(gathered[ids >= 0], table[ids[ids >= 0]])
        assert (idx.numpy()[ids < 0] == 0).all()


def test_fields_are_those_of_the_contexts(contexts, batch) -> None:
    batch.validate()
    for name in ("row_idx", "column_idx", "value", "is_target"):
        np.testing.assert_array_equal(
            getattr(batch, name).numpy(), np.concatenate([getattr(c, name) for c in contexts])
        )
    first = len(contexts[0].key)
    assert batch.parent_idx.shape[2] == 2 and (batch.parent_idx[:first, :, 1] == -1).all()
    np.testing.assert_array_equal(batch.parent_idx[:first, :, :1].numpy(), contexts[0].parent_idx)
    assert batch.store_idx.tolist() == [0] * first + [1] * len(contexts[1].key)
    assert batch.seed_row.tolist() == [int(row) for group in contexts for row in group.row_id[:, 0]]
    assert torch.equal(batch.is_masked, batch.is_target)
    assert batch.num_tokens == sum(group.num_tokens for group in contexts) == int((~batch.is_padding).sum())


def test_one_group_or_other_store_indices(contexts, two_stores, batch) -> None:
    alone = make_batch(contexts[1], two_stores[1])
    assert (alone.store_idx == 0).all() and torch.equal(alone.value, batch.value[len(contexts[0].key) :])
    assert (make_batch(contexts[1:], two_stores[1], store_idxs=[7]).store_idx == 7).all()


def test_moves_to_a_device(batch) -> None:
    moved = batch.to("meta")
    assert moved.value.device.type == "meta" and batch.value.device.type == "cpu"


def spoil(batch: Batch, field: str, position: tuple[int, ...], value: float) -> Batch:
    tensor = getattr(batch, field).clone()
    tensor[position] = value
    return replace(batch, **{field: tensor})


@pytest.mark.parametrize(
    ("field", "position", "value"),
    [
        ("row_idx", (0, 0), -1),
        ("column_idx", (0, 0), -1),
        ("parent_idx", (0, 0, 0), 99),
        ("sem_type", (0, 0), 4),
        ("name_idx", (0, 0), 10**6),
        ("text_idx", (0, 0), -1),
        ("is_masked", (0, 0), False),
        ("is_target", (0, 0), False),
        ("value", (0, 0), float("nan")),
    ],
)
def test_validate_names_the_field(batch, field, position, value) -> None:
    with pytest.raises(RfmError, match="is_target" if field == "is_masked" else field):
        spoil(batch, field, position, value).validate()


def test_validate_masked_text_padding_and_types(batch) -> None:
    b, i = (batch.sem_type == SemType.TEXT).nonzero()[0].tolist()
    with pytest.raises(RfmError, match="is_masked: text"):
        spoil(batch, "is_masked", (b, i), True).validate()
    with pytest.raises(RfmError, match=r"value: dtype torch\.float32 expected, got torch\.float64"):
        replace(batch, value=batch.value.double()).validate()
    with pytest.raises(RfmError, match="store_idx: shape"):
        replace(batch, store_idx=batch.store_idx[1:]).validate()


def test_make_batch_errors(contexts, two_stores) -> None:
    texts = two_stores[1]
    with pytest.raises(RfmError, match="empty"):
        make_batch([], texts)
    with pytest.raises(RfmError, match="one for each"):
        make_batch(contexts, texts, store_idxs=[0])
    short = Contexts.empty(np.zeros(1, np.uint64), 3, 1)
    with pytest.raises(RfmError, match=r"lengths \[3, 40\]"):
        make_batch([*contexts, short], texts)


def test_item_keys() -> None:
    rows = np.arange(1000)
    keys = item_keys(3, rows)
    assert keys.dtype == np.uint64 and len(np.unique(keys)) == 1000
    np.testing.assert_array_equal(keys[10:20], item_keys(3, rows[10:20]))
    assert not np.isin(item_keys(4, rows), keys).any()
    assert item_keys(np.array([1]), 2) != item_keys(np.array([2]), 1)
    # by hand, in Python integers: key = mix(key + golden + mix(part)) for each part
    mask, golden = 2**64 - 1, 0x9E3779B97F4A7C15

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    key = 0
    for part in (-5, 2**70 + 1, 17):
        key = mix((key + golden + mix(part & mask)) & mask)
    assert int(item_keys(-5, 2**70 + 1, np.array([17]))[0]) == key
