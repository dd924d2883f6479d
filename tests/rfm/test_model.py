"""What the model promises about any batch: a set function of visible cells, with the gradients of its loss."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from rfm.batch import Batch
from rfm.errors import RfmError
from rfm.label_history import SUMMARY_SIZE
from rfm.model import ModelConfig, RelationalMasks, RelationalTransformer, masked_cell_loss, sequence_losses
from rfm.model.norm import NORM_EPS, rms_normalise

NUMBER, TEXT, DATETIME, BOOLEAN = range(4)
D_TEXT = 6
CELL_FIELDS = [
    "row_idx",
    "parent_idx",
    "column_idx",
    "sem_type",
    "value",
    "is_padding",
    "is_masked",
    "is_target",
    "name_idx",
    "text_idx",
]


def make_model(seed: int = 0, **sizes: int) -> RelationalTransformer:
    torch.manual_seed(seed)
    return RelationalTransformer(
        ModelConfig(**{"num_blocks": 2, "d_model": 16, "num_heads": 2, "d_ff": 24, "d_text": D_TEXT} | sizes)
    )


def random_batch(lengths: list[int], ctx_len: int, seed: int = 0, num_parents: int = 2) -> Batch:
    """Sequences of rows of three cells, each row pointing to random earlier or later rows."""
    g = torch.Generator().manual_seed(seed)
    size = len(lengths)
    shape = (size, ctx_len)
    is_padding = torch.arange(ctx_len)[None] >= torch.tensor(lengths)[:, None]
    row = (torch.arange(ctx_len) // 3).expand(shape)
    parents = torch.full((*shape, num_parents), -1)
    for b, length in enumerate(lengths):
        num_rows = (length + 2) // 3
        of_row = torch.randint(-1, num_rows, (num_rows, num_parents), generator=g)
        parents[b, :length] = of_row[row[b, :length]]
    sem_type = torch.randint(0, 4, shape, generator=g)
    sem_type[:, 0] = torch.where(sem_type[:, 0] == TEXT, NUMBER, sem_type[:, 0])
    is_target = torch.zeros(shape, dtype=torch.bool)
    is_target[:, 0] = True
    extra = (torch.rand(shape, generator=g) < 0.2) & (sem_type != TEXT)
    num_strings = 9
    batch = Batch(
        row_idx=torch.where(is_padding, -1, row).int(),
        parent_idx=parents.int(),
        column_idx=torch.where(is_padding, -1, (row % 2) * 3 + torch.arange(ctx_len) % 3).int(),
        sem_type=torch.where(is_padding, 0, sem_type),
        value=torch.where(is_padding | (sem_type == TEXT), 0, torch.randn(shape, generator=g)),
        is_padding=is_padding,
        is_masked=(is_target | extra) & ~is_padding,
        is_target=is_target,
        name_idx=torch.where(is_padding, 0, torch.randint(0, num_strings, shape, generator=g)),
        text_idx=torch.where(sem_type == TEXT, torch.randint(0, num_strings, shape, generator=g), 0) * ~is_padding,
        text_embeddings=torch.randn(num_strings, D_TEXT, generator=g),
        label_summary=torch.randn(size, SUMMARY_SIZE, generator=g),
        seed_row=torch.arange(size),
        store_idx=torch.zeros(size, dtype=torch.int64),
    )
    batch.validate()
    return batch


def change_cells(batch: Batch, change) -> Batch:
    return replace(batch, **{name: change(getattr(batch, name)) for name in CELL_FIELDS})


def outputs(model: RelationalTransformer, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return model(batch)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=2e-6, rtol=1e-5)


def test_masks_by_brute_force() -> None:
    batch = random_batch([24, 13, 1], 24, num_parents=3)
    masks = RelationalMasks.from_batch(batch)
    for b in range(3):
        for q in range(24):
            for k in range(24):
                real = not (batch.is_padding[b, q] or batch.is_padding[b, k])
                q_row, k_row = int(batch.row_idx[b, q]), int(batch.row_idx[b, k])
                assert masks.col[b, q, k] == (real and bool(batch.column_idx[b, q] == batch.column_idx[b, k]))
                parents = batch.parent_idx[b, q].tolist()
                assert masks.feat[b, q, k] == (real and (q_row == k_row or k_row in parents))
                assert masks.nbr[b, q, k] == (real and q_row in batch.parent_idx[b, k].tolist())


def test_order_of_cells_does_not_matter() -> None:
    model, batch = make_model(), random_batch([20, 20], 20)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert close(outputs(model, batch)[:, order], outputs(model, change_cells(batch, lambda x: x[:, order])))


def test_numbering_of_rows_columns_parents_and_strings_does_not_matter() -> None:
    model, batch = make_model(), random_batch([20, 17], 20)
    rows = torch.randperm(7, generator=torch.Generator().manual_seed(1)).int()

    def renumber(x):
        return torch.where(x < 0, x, rows[x.long()])

    strings = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    other = replace(
        batch,
        row_idx=renumber(batch.row_idx),
        parent_idx=renumber(batch.parent_idx).flip(-1),
        column_idx=torch.where(batch.is_padding, -1, 5 - batch.column_idx),
        text_embeddings=batch.text_embeddings[strings],
        name_idx=strings.argsort()[batch.name_idx],
        text_idx=strings.argsort()[batch.text_idx],
    )
    assert close(outputs(model, batch), outputs(model, other))


@pytest.mark.parametrize("hidden", [1e30, float("nan"), float("inf")])
def test_hidden_values_do_not_leak(hidden: float) -> None:
    model, batch = make_model(), random_batch([20, 13], 20)
    other = replace(batch, value=torch.where(batch.is_masked, hidden, batch.value))
    assert torch.equal(outputs(model, batch), outputs(model, other))


def test_visible_values_are_read() -> None:
    model, batch = make_model(), random_batch([20], 20)
    before = outputs(model, batch)
    for cell in range(20):
        if batch.is_masked[0, cell]:
            continue
        changed = replace(batch, value=batch.value.clone(), text_idx=batch.text_idx.clone())
        if batch.sem_type[0, cell] == TEXT:
            changed.text_idx[0, cell] = (changed.text_idx[0, cell] + 1) % 9
        else:
            changed.value[0, cell] += 1.0
        assert not close(before[0, cell], outputs(model, changed)[0, cell])


def test_fields_of_other_types_are_not_read() -> None:
    model, batch = make_model(), random_batch([20, 13], 20)
    is_text = (batch.sem_type == TEXT) & ~batch.is_padding
    other = replace(
        batch, value=torch.where(is_text, 3.0, batch.value), text_idx=torch.where(is_text, batch.text_idx, 4)
    )
    assert torch.equal(outputs(model, batch), outputs(model, other))


def test_padding_is_inert() -> None:
    model, batch = make_model(), random_batch([12, 9], 12)
    longer = random_batch([12, 9], 30)
    longer = replace(longer, **{n: torch.cat([getattr(batch, n), getattr(longer, n)[:, 12:]], 1) for n in CELL_FIELDS})
    longer = replace(longer, text_embeddings=batch.text_embeddings)
    got = outputs(model, longer)
    assert close(got[:, :12], outputs(model, batch))
    assert (got[longer.is_padding] == 0).all()
    assert torch.isclose(masked_cell_loss(model, batch), masked_cell_loss(model, longer))


def test_composition_of_the_batch_is_inert() -> None:
    model, batch = make_model(), random_batch([20, 13, 1], 20)
    together, losses = outputs(model, batch), sequence_losses(model, batch)
    for b in range(3):
        alone = replace(
            batch, **{f.name: getattr(batch, f.name)[b : b + 1] for f in fields(batch) if f.name != "text_embeddings"}
        )
        assert close(together[b : b + 1], outputs(model, alone))
        assert torch.isclose(losses[b], sequence_losses(model, alone)[0])


def test_gradient_is_that_of_the_loss() -> None:
    """Against central differences, in float64, along a random direction of all parameters."""
    model, batch = make_model().double(), random_batch([14, 5], 14)
    loss = masked_cell_loss_double(model, batch)
    gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
    g = torch.Generator().manual_seed(3)
    direction = [torch.randn(p.shape, generator=g, dtype=p.dtype) for p in model.parameters()]
    predicted = sum((d * x).sum() for d, x in zip(direction, gradients, strict=True)).item()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(model.parameters(), direction, strict=True):
                p.add_(d, alpha=sign * 1e-6)
            values.append(masked_cell_loss_double(model, batch).item())
            for p, d in zip(model.parameters(), direction, strict=True):
                p.sub_(d, alpha=sign * 1e-6)
    assert predicted == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def masked_cell_loss_double(model: RelationalTransformer, batch: Batch) -> torch.Tensor:
    """The loss written out cell by cell, from the words of its definition."""
    yhat = model.decode(model(batch))
    per_sequence = []
    for b in range(len(batch.value)):
        cells = []
        for i in batch.is_masked[b].nonzero().flatten().tolist():
            sem_type, value = int(batch.sem_type[b, i]), batch.value[b, i].double()
            if sem_type == BOOLEAN:
                logit = yhat["boolean"][b, i, 0]
                cells.append(torch.log1p(torch.exp(-logit if value > 0 else logit)))
            else:
                error = (yhat["number" if sem_type == NUMBER else "datetime"][b, i, 0] - value).abs()
                cells.append(0.5 * error**2 if error < 1 else error - 0.5)
        per_sequence.append(sum(cells) / len(cells))
    return sum(per_sequence) / len(per_sequence)


def test_loss_is_as_defined() -> None:
    model, batch = make_model(), random_batch([20, 13, 1], 20)
    assert masked_cell_loss(model, batch).item() == pytest.approx(
        masked_cell_loss_double(model, batch).item(), abs=1e-6
    )


def test_sequence_without_a_masked_cell_counts_zero() -> None:
    model, batch = make_model(), random_batch([20, 13], 20)
    none_masked = replace(batch, is_masked=batch.is_masked & torch.tensor([[True], [False]]))
    losses = sequence_losses(model, none_masked)
    assert losses[1] == 0 and losses[0] > 0
    masked_cell_loss(model, replace(batch, is_masked=torch.zeros_like(batch.is_masked))).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_rows_without_neighbours_and_padding_give_finite_gradients() -> None:
    model, batch = make_model(), random_batch([9, 1, 4], 16)
    alone = replace(batch, parent_idx=torch.full_like(batch.parent_idx, -1))
    loss = masked_cell_loss(model, alone)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        if ".nbr.w" in name:
            assert (parameter.grad == 0).all(), name


def test_bfloat16_autocast_stays_close() -> None:
    model, batch = make_model(), random_batch([20, 13], 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = masked_cell_loss(model, batch)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(masked_cell_loss(model, batch).item(), rel=0.05)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_memorises_a_handful_of_contexts() -> None:
    model, batch = make_model(d_model=32), random_batch([20, 20, 13, 8, 19, 17, 20, 11], 20)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for _ in range(200):
        loss = masked_cell_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


@pytest.mark.gpu
def test_gpu_agrees_with_cpu() -> None:
    model, batch = make_model(), random_batch([20, 13, 1], 20)
    want, loss = outputs(model, batch), masked_cell_loss(model, batch)
    model, batch = model.cuda(), batch.to("cuda")
    assert torch.allclose(outputs(model, batch).cpu(), want, atol=1e-4)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        half = masked_cell_loss(model, batch)
    half.backward()
    assert half.item() == pytest.approx(loss.item(), rel=0.05)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"d_model": 15}, "num_heads 2 does not divide d_model 15"),
        ({"d_ff": 0}, "d_ff is 0"),
        ({"num_blocks": True}, "num_blocks is True"),
    ],
)
def test_impossible_sizes(change: dict[str, int], words: str) -> None:
    with pytest.raises(RfmError, match=words):
        make_model(**change)


@pytest.mark.parametrize("shape", [(3, 7, 16), (2, 5, 2, 4, 8)])
def test_norm_on_the_cpu_is_that_of_torch(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0, 0] = 0.0  # padding
    x.requires_grad_(True)
    want = torch.nn.functional.rms_norm(x, shape[-1:], None, NORM_EPS)
    assert torch.allclose(rms_normalise(x), want, rtol=1e-12)
    upstream = torch.randn_like(x)
    got_grad, want_grad = (torch.autograd.grad(y, x, upstream)[0] for y in (rms_normalise(x), want))
    assert torch.allclose(got_grad, want_grad, rtol=1e-9)
