"""Hidden cells: where and as often as asked, the same for the same item, and never read by the model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rfm.batch import Batch, make_batch
from rfm.contexts import Contexts
from rfm.datamodule import PretrainBatches
from rfm.errors import RfmError
from rfm.model import ModelConfig, RelationalTransformer, sequence_losses
from rfm.objective import Objective
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.store import SemType

CAN_BE_HIDDEN = torch.tensor([SemType.NUMBER, SemType.BOOLEAN])


@pytest.fixture(scope="module")
def groups(two_stores) -> list[Contexts]:
    """The same contexts forty times, each time as other items."""
    (store, _), _ = two_stores
    rows = store.task_rows("user-active", "test")
    sampler = ContextSampler(store, ctx_len=40, task="user-active", split="test")
    contexts = sampler.sample(rows, store.tasks["user-active"].target_column, item_keys(0, rows))
    return [replace(contexts, key=item_keys(9, k, contexts.key)) for k in range(40)]


def candidates(batch: Batch) -> torch.Tensor:
    of_target_column = batch.column_idx == batch.column_idx[:, :1]
    return torch.isin(batch.sem_type, CAN_BE_HIDDEN) & ~batch.is_padding & ~of_target_column


@pytest.mark.parametrize("rate", [0.15, 0.5, 0.9])
def test_rate_is_honoured_on_number_and_boolean_cells_alone(groups, two_stores, rate: float) -> None:
    batch = make_batch(groups, two_stores[1], Objective("dense", rate), key=3)
    batch.validate()
    for kind in CAN_BE_HIDDEN:
        of_kind = candidates(batch) & (batch.sem_type == kind)
        share, n = batch.is_masked[of_kind].float().mean().item(), int(of_kind.sum())
        assert abs(share - rate) < 4 * (rate * (1 - rate) / n) ** 0.5
    assert {SemType.TEXT, SemType.DATETIME} <= set(batch.sem_type[~batch.is_padding].tolist())
    assert torch.equal(batch.is_masked & ~candidates(batch), batch.is_target)


def test_paper_hides_the_target_alone(groups, two_stores) -> None:
    batch = make_batch(groups, two_stores[1], Objective("paper", 0.5), key=3)
    assert torch.equal(batch.is_masked, batch.is_target)


def test_choice_depends_on_key_and_item_alone(groups, two_stores) -> None:
    texts, objective = two_stores[1], Objective("dense", 0.2)
    batch = make_batch(groups, texts, objective, key=3)
    size = len(groups[0].key)
    assert torch.equal(make_batch(groups[5], texts, objective, key=3).is_masked, batch.is_masked[5 * size : 6 * size])
    assert not torch.equal(make_batch(groups, texts, objective, key=4).is_masked, batch.is_masked)


def test_a_step_hides_the_same_cells_again(two_stores) -> None:
    def draw(seed: int, step: int) -> Batch:
        objective = Objective("dense", 0.2)
        return PretrainBatches(*two_stores, ctx_len=30, batch_size=8, seed=seed, objective=objective).batch(step, 0, 1)

    first = draw(1, 4)
    assert torch.equal(first.is_masked, draw(1, 4).is_masked)
    for other in (draw(2, 4), draw(1, 5)):
        assert not torch.equal(first.is_masked, other.is_masked)


def test_hidden_values_change_no_prediction_but_their_own_loss(groups, two_stores) -> None:
    texts = two_stores[1]
    torch.manual_seed(0)
    model = RelationalTransformer(ModelConfig(2, 16, 2, 24, texts.d_text))
    batch = make_batch(groups[0], texts, Objective("dense", 0.3), key=3)
    other = replace(batch, value=torch.where(batch.is_masked, -batch.value + 7.0, batch.value))
    with torch.no_grad():
        assert torch.equal(model(batch), model(other))
        assert not torch.equal(sequence_losses(model, batch), sequence_losses(model, other))


def test_values_stay_in_the_batch(groups, two_stores) -> None:
    """Cells are hidden, not values: labels remain, and so does a visible cell with the value of a hidden one."""
    dense, paper = (make_batch(groups[0], two_stores[1], Objective(name, 0.3)) for name in ("dense", "paper"))
    assert torch.equal(dense.value, paper.value)


@pytest.mark.parametrize(
    ("name", "rate", "words"),
    [
        ("denser", 0.1, "objective is 'denser'; known: paper, dense"),
        ("dense", 1.0, "mask_rate is 1.0"),
        ("dense", -0.1, "mask_rate"),
        ("dense", float("nan"), "mask_rate"),
    ],
)
def test_impossible_objectives(name: str, rate: float, words: str) -> None:
    with pytest.raises(RfmError, match=words):
        Objective(name, rate)
