"""Each attention learns what it is for, and nothing else can stand in for it: rules that need one relation each.

A context is a fixed graph of rows; its values are drawn anew at every step, so that there is nothing to memorise. The
label is the standardised value of the first cell. Loss is Huber's, 0.36 for a prediction of nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rfm.batch import Batch
from rfm.label_history import SUMMARY_SIZE
from rfm.model import ModelConfig, RelationalTransformer, masked_cell_loss

SIZE, D_TEXT = 64, 8
KNOWN, UNKNOWN = 0.08, 0.25  # a rule that is learnt, and one that cannot be


@dataclass(frozen=True)
class Rule:
    """Rows as (parents, columns), one cell per column; `label` fills in values (B, cells) so that the first follows."""

    rows: list[tuple[list[int], list[int]]]
    label: Callable[[Tensor], None]
    num_blocks: int = 1

    def batch(self, g: torch.Generator) -> Batch:
        cells = [(row, parents, column) for row, (parents, columns) in enumerate(self.rows) for column in columns]
        shape, slots = (SIZE, len(cells)), max(1, *(len(parents) for _, parents, _ in cells))
        value = torch.randn(shape, generator=g)
        self.label(value)
        column = torch.tensor([column for *_, column in cells]).expand(shape)
        parents = torch.tensor([parents + [-1] * (slots - len(parents)) for _, parents, _ in cells])
        first = (torch.arange(len(cells)) == 0).expand(shape)
        zeros = torch.zeros(shape, dtype=torch.int64)
        batch = Batch(
            row_idx=torch.tensor([row for row, *_ in cells]).expand(shape).int(),
            parent_idx=parents.expand(*shape, slots).int(),
            column_idx=column.int(),
            sem_type=zeros,
            value=value,
            is_padding=zeros.bool(),
            is_masked=first,
            is_target=first,
            name_idx=column,
            text_idx=zeros,
            text_embeddings=torch.randn(8, D_TEXT, generator=torch.Generator().manual_seed(0)),
            label_summary=torch.zeros(SIZE, SUMMARY_SIZE),
            seed_row=zeros[:, 0],
            store_idx=zeros[:, 0],
        )
        batch.validate()
        return batch


def loss_after_training(rule: Rule, *, without: str = "", num_blocks: int = 0, steps: int = 150) -> float:
    """Mean loss of the last steps; the attention `without` gives zeros."""
    torch.manual_seed(0)
    sizes = ModelConfig(num_blocks or rule.num_blocks, d_model=32, num_heads=2, d_ff=64, d_text=D_TEXT)
    model = RelationalTransformer(sizes)
    for block in model.blocks:
        if without:
            block.attns[without].wo.weight.data.zero_()
            block.attns[without].wo.weight.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3, weight_decay=0.0)
    g, losses = torch.Generator().manual_seed(1), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * min(1.0, 2 * (1 - step / steps))
        loss = masked_cell_loss(model, rule.batch(g))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / 10


def copy_of(cell: int) -> Callable[[Tensor], None]:
    def fill(value: Tensor) -> None:
        value[:, 0] = value[:, cell]

    return fill


def mean_of(cells: list[int]) -> Callable[[Tensor], None]:
    def fill(value: Tensor) -> None:
        value[:, 0] = value[:, cells].sum(1) / len(cells) ** 0.5

    return fill


def history(value: Tensor) -> None:
    """Every label of an entity is the same number; the other entity's is another one."""
    value[:, 1:3] = value[:, :1]
    value[:, 4] = value[:, 3]


# columns: 0 the target's, others with values of no meaning; parents are row numbers
PARENT = Rule([([1], [0, 1]), ([], [2, 3])], copy_of(2))
CHILDREN = Rule([([], [0, 1]), ([0], [2]), ([0], [2]), ([], [2])], mean_of([2, 3]))
COLUMN = Rule([([], [0, 1]), ([], [0]), ([], [0]), ([], [0])], mean_of([2, 3, 4]))
GRANDPARENT = Rule([([1], [0, 1]), ([2], [2]), ([], [3, 4])], copy_of(3), num_blocks=2)
# label rows 0 (the seed), 1, 2 of entity 5, and 3, 4 of entity 6
LABELS = Rule([([5], [0])] * 3 + [([6], [0])] * 2 + [([], [1]), ([], [1])], history, num_blocks=2)


@pytest.mark.parametrize(
    ("rule", "needed", "not_needed"),
    [(PARENT, "feat", "nbr"), (CHILDREN, "nbr", "col"), (COLUMN, "col", "nbr")],
    ids=["one hop to the parent", "one hop to the children", "column statistics"],
)
def test_one_relation_needs_its_attention(rule: Rule, needed: str, not_needed: str) -> None:
    assert loss_after_training(rule, without=not_needed) < KNOWN
    assert loss_after_training(rule, without=needed) > UNKNOWN


def test_two_hops_need_two_blocks() -> None:
    assert loss_after_training(GRANDPARENT) < KNOWN
    assert loss_after_training(GRANDPARENT, num_blocks=1) > UNKNOWN


def test_labels_of_the_same_entity_are_told_from_those_of_another() -> None:
    """Up to the entity by `nbr`, down to the seed by `feat`; the column alone mixes two entities."""
    assert loss_after_training(LABELS, steps=300) < KNOWN
    assert loss_after_training(LABELS, without="feat") > UNKNOWN
    assert loss_after_training(LABELS, without="nbr") > UNKNOWN
