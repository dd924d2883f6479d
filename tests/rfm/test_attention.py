"""Every attention backend computes what a softmax over the brute-force masks computes, forwards and backwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rfm.batch import Batch
from rfm.errors import RfmError
from rfm.model import ModelConfig, RelationalTransformer
from rfm.model.backends import ATTENTIONS, choose_backend, make_attentions

HEADS, WIDTH = 2, 4


def random_graph(seed: int) -> Batch:
    """One to three sequences of random rows: up to seven parents, self-references, the same parent twice, padding."""
    g = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=g)

    size, length, num_parents = (int(draw(low, high)) for low, high in ((1, 4), (1, 30), (1, 8)))
    shape = (size, length)
    num_rows = int(draw(1, length + 1))
    is_padding = torch.arange(length)[None] >= draw(1, length + 1, size)[:, None]
    row = draw(0, num_rows, *shape)  # cells of a row anywhere, some rows without a cell
    of_row = draw(-1, num_rows, size, num_rows, num_parents)
    parents = of_row[torch.arange(size)[:, None], row]
    column = draw(0, int(draw(1, 6)), *shape)
    zeros = torch.zeros(shape, dtype=torch.int64)
    return Batch(
        row_idx=torch.where(is_padding, -1, row).int(),
        parent_idx=torch.where(is_padding[..., None], -1, parents).int(),
        column_idx=torch.where(is_padding, -1, column).int(),
        sem_type=zeros,
        value=zeros.float(),
        is_padding=is_padding,
        is_masked=zeros.bool(),
        is_target=zeros.bool(),
        name_idx=zeros,
        text_idx=zeros,
        text_embeddings=torch.zeros(1, 3),
        target_value=zeros[:, 0].float(),
        seed_row=zeros[:, 0],
        store_idx=zeros[:, 0],
    )


def keys_by_definition(batch: Batch, kind: str, b: int, query: int) -> list[int]:
    """The cells that a query attends to, from the words of section 5 of the paper."""
    if batch.is_padding[b, query]:
        return []
    row, parents, column = (x[b].tolist() for x in (batch.row_idx, batch.parent_idx, batch.column_idx))
    real = [i for i in range(len(row)) if not batch.is_padding[b, i]]
    if kind == "col":
        return [i for i in real if column[i] == column[query]]
    if kind == "feat":
        return [i for i in real if row[i] == row[query] or row[i] in parents[query]]
    return [i for i in real if row[query] in parents[i]]


def by_definition(batch: Batch, kind: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for i in range(q.shape[1]):
            keys = keys_by_definition(batch, kind, b, i)
            if keys:
                weight = torch.softmax(torch.einsum("hd,chd->hc", q[b, i], k[b, keys]) / WIDTH**0.5, -1)
                out[b, i] = torch.einsum("hc,chd->hd", weight, v[b, keys])
    return out


def random_inputs(batch: Batch, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    g = torch.Generator().manual_seed(batch.row_idx.numel())
    shape = (*batch.row_idx.shape, HEADS, WIDTH)
    q, k, v, upstream = (torch.randn(shape, generator=g, dtype=dtype) for _ in range(4))
    return [x.requires_grad_(True) for x in (q, k, v)], upstream


@pytest.mark.parametrize("backend", ["sdpa", "segment"])
def test_equal_to_the_definition_on_random_graphs(backend: str) -> None:
    without_key = 0
    for seed in range(60):
        batch = random_graph(seed)
        attentions = make_attentions(batch, backend, torch.float64)
        inputs, upstream = random_inputs(batch)
        for kind in ATTENTIONS:
            want = by_definition(batch, kind, *inputs)
            got = attentions[kind].attend(*inputs)
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
            without_key += int((want == 0).all(-1).all(-1).sum())
            if want.requires_grad:
                gradients = [torch.autograd.grad(out, inputs, upstream) for out in (got, want)]
                torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-12)
    assert without_key > 100


def test_flex_rules_on_random_graphs() -> None:
    """Forwards alone: torch has no backward of flex attention on a CPU."""
    for seed in range(12):
        batch = random_graph(seed)
        attentions = make_attentions(batch, "flex", torch.float64)
        inputs = [x.detach() for x in random_inputs(batch)[0]]
        for kind in ATTENTIONS:
            want = by_definition(batch, kind, *inputs)
            torch.testing.assert_close(attentions[kind].attend(*inputs), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_segments_keep_the_dtype(dtype: torch.dtype, tolerance: float) -> None:
    batch = random_graph(3)
    inputs, _ = random_inputs(batch)
    attention = make_attentions(batch, "segment", dtype)["feat"]
    got = attention.attend(*(x.to(dtype) for x in inputs))
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), by_definition(batch, "feat", *inputs), rtol=tolerance, atol=tolerance)


def test_large_scores_do_not_overflow() -> None:
    batch = random_graph(3)
    inputs, _ = random_inputs(batch, torch.float32)
    with torch.no_grad():
        out = make_attentions(batch, "segment", torch.float32)["col"].attend(inputs[0] * 1e4, inputs[1], inputs[2])
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(
    ("name", "device", "head_width", "dtype", "want"),
    [
        ("auto", "cpu", 4, torch.float64, "segment"),
        ("auto", "cuda", 32, torch.bfloat16, "flex"),
        ("auto", "cuda", 8, torch.bfloat16, "sdpa"),
        ("auto", "cuda", 32, torch.float64, "sdpa"),
        ("auto", "mps", 32, torch.float32, "sdpa"),
        ("sdpa", "cpu", 32, torch.float32, "sdpa"),
    ],
)
def test_choice_by_device(name: str, device: str, head_width: int, dtype: torch.dtype, want: str) -> None:
    assert choose_backend(name, torch.device(device), head_width, dtype) == want


def test_unknown_and_impossible_backends() -> None:
    with pytest.raises(RfmError, match="'fast'; known: auto, sdpa, segment, flex"):
        RelationalTransformer(ModelConfig(1, 8, 2, 8, 8), attention="fast")
    with pytest.raises(RfmError, match="segment runs on a CPU, not on cuda"):
        choose_backend("segment", torch.device("cuda"), 32, torch.float32)


@pytest.mark.gpu
def test_flex_on_a_gpu_forwards_and_backwards() -> None:
    for seed in range(5):
        batch = random_graph(seed)
        g = torch.Generator().manual_seed(seed)
        shape = (*batch.row_idx.shape, HEADS, 16)
        inputs = [torch.randn(shape, generator=g).cuda().requires_grad_(True) for _ in range(3)]
        upstream = torch.randn(shape, generator=g).cuda()
        found = [make_attentions(batch.to("cuda"), name, torch.float32) for name in ("flex", "sdpa")]
        for kind in ATTENTIONS:
            outs = [attentions[kind].attend(*inputs) for attentions in found]
            torch.testing.assert_close(*outs, rtol=1e-2, atol=1e-2)  # tensor cores round to TF32
            gradients = [torch.autograd.grad(out, inputs, upstream) for out in outs]
            torch.testing.assert_close(*gradients, rtol=2e-2, atol=2e-2)
