"""Every attention backend computes what a softmax over the brute-force masks computes, forwards and backwards."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from rfm.batch import Batch
from rfm.errors import RfmError
from rfm.label_history import SUMMARY_SIZE
from rfm.model import ModelConfig, RelationalTransformer, norm
from rfm.model._narrow import narrow, to_array, widen
from rfm.model._segment_kernel import exp
from rfm.model.backends import ATTENTIONS, choose_backend, make_attentions
from rfm.model.flex import compiled, mask_rules
from rfm.model.norm import NORM_EPS, normalise_heads, rms_normalise

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
        label_summary=torch.zeros(size, SUMMARY_SIZE),
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


def by_definition(batch: Batch, kind: str, heads: Tensor, gain: Tensor) -> Tensor:
    q, k = (x / (x.square().mean(-1, keepdim=True) + NORM_EPS).sqrt() for x in (heads[:, :, 0], heads[:, :, 1]))
    q, v = q * gain, heads[:, :, 2]
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for i in range(q.shape[1]):
            keys = keys_by_definition(batch, kind, b, i)
            if keys:
                weight = torch.softmax(torch.einsum("hd,chd->hc", q[b, i], k[b, keys]) / q.shape[-1] ** 0.5, -1)
                out[b, i] = torch.einsum("hc,chd->hd", weight, v[b, keys])
    return out


def random_inputs(batch: Batch, width: int = WIDTH, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """Heads and a gain that want gradients, and an upstream gradient of the output."""
    g = torch.Generator().manual_seed(batch.row_idx.numel())
    shape = (*batch.row_idx.shape, 3, HEADS, width)
    heads, gain = torch.randn(shape, generator=g, dtype=dtype), 0.5 + torch.rand(width, generator=g, dtype=dtype)
    heads[0, 0] = 0.0  # as padding is
    upstream = torch.randn(heads[:, :, 0].shape, generator=g, dtype=dtype)
    return [heads.requires_grad_(True), gain.requires_grad_(True)], upstream


@pytest.mark.parametrize("backend", ["sdpa", "segment"])
def test_equal_to_the_definition_on_random_graphs(backend: str) -> None:
    without_key = 0
    for seed in range(60):
        batch = random_graph(seed)
        attentions = make_attentions(batch, backend, torch.float64)
        inputs, upstream = random_inputs(batch, width=1 + seed % 7)
        for kind in ATTENTIONS:
            want = by_definition(batch, kind, *inputs)
            got = attentions[kind].attend(*inputs)
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
            without_key += int((want == 0).all(-1).all(-1).sum())
            if want.requires_grad:
                gradients = [torch.autograd.grad(out, inputs, upstream, allow_unused=True) for out in (got, want)]
                for mine, theirs in zip(*gradients, strict=True):
                    torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-11 * float(1 + theirs.abs().max()))
    assert without_key > 100


@pytest.mark.slow
def test_backends_are_equal_on_thousands_of_graphs() -> None:
    for seed in range(3000):
        batch = random_graph(1000 + seed)
        inputs, upstream = random_inputs(batch)
        found = [make_attentions(batch, name, torch.float64) for name in ("segment", "sdpa")]
        for kind in ATTENTIONS:
            outs = [attentions[kind].attend(*inputs) for attentions in found]
            torch.testing.assert_close(*outs, rtol=1e-9, atol=1e-12)
            for mine, theirs in zip(*(torch.autograd.grad(out, inputs, upstream) for out in outs), strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-11 * float(1 + theirs.abs().max()))


def test_gradient_check() -> None:
    """Torch's own, by finite differences in float64; attention of rows with and without keys."""
    batch = random_graph(11)
    inputs, _ = random_inputs(batch)
    heads = (inputs[0].detach() + 0.1).requires_grad_(True)  # differences across the norm's zero say nothing
    for kind in ATTENTIONS:
        attend = make_attentions(batch, "segment", torch.float64)[kind].attend
        assert torch.autograd.gradcheck(attend, (heads, inputs[1]), fast_mode=True)


def test_flex_rules_on_random_graphs() -> None:
    """Forwards alone: torch has no backward of flex attention on a CPU."""
    for seed in range(4):
        batch = random_graph(seed)
        attentions = make_attentions(batch, "flex", torch.float64)
        inputs = [x.detach() for x in random_inputs(batch)[0]]
        for kind in ATTENTIONS:
            want = by_definition(batch, kind, *inputs)
            torch.testing.assert_close(attentions[kind].attend(*inputs), want, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_block_masks_compile_once_for_each_rule() -> None:
    """Whatever the number of parents; compiled for the CPU, where the attention itself does not compile."""
    make = compiled(create_block_mask)
    first = random_graph(7)
    size, length = first.row_idx.shape
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for num_parents in (1, 3, 5):
        parents = torch.randint(-1, 4, (size, length, num_parents), generator=torch.Generator().manual_seed(0))
        batch = replace(first, parent_idx=torch.where(first.is_padding[..., None], -1, parents).int())
        for rule in mask_rules(batch).values():
            found, want = (f(rule, size, None, length, length, device="cpu") for f in (make, create_block_mask))
            assert torch.equal(found.to_dense(), want.to_dense())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_segments_keep_the_dtype(dtype: torch.dtype, tolerance: float) -> None:
    """Against the definition on the same, rounded, inputs: what is narrow is the storage, not the arithmetic."""
    batch = random_graph(3)
    inputs, upstream = random_inputs(batch)
    heads, gain = (x.detach().to(dtype).requires_grad_(True) for x in inputs)
    got = make_attentions(batch, "segment", dtype)["feat"].attend(heads, gain)
    want = by_definition(batch, "feat", heads.double(), gain.double())
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)
    found = [torch.autograd.grad(out, (heads, gain), upstream.to(out.dtype)) for out in (got, want)]
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, theirs, rtol=3 * tolerance, atol=tolerance * float(theirs.abs().max()))


def test_numbers_narrowed_are_those_of_torch() -> None:
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) * 10.0 ** torch.arange(-20, 20).repeat(250)

    @numba.njit
    def copy(wide: np.ndarray, bits: np.ndarray) -> None:
        for i in range(wide.size):
            bits[i] = narrow(wide[i], bits[i])
            wide[i] = widen(bits[i])

    bits, wide = np.zeros(len(x), np.uint16), x.numpy().copy()
    copy(wide, bits)
    assert np.array_equal(bits, to_array(x.bfloat16()))
    assert np.array_equal(wide, x.bfloat16().float().numpy())


def test_exponential_is_that_of_the_library() -> None:
    @numba.njit
    def apply(x: np.ndarray) -> None:
        for i in range(x.size):
            x[i] = exp(x[i])

    x = -np.logspace(-8, np.log10(85), 20_000).astype(np.float32)
    got = x.copy()
    apply(got)
    np.testing.assert_allclose(got, np.exp(x.astype(np.float64)), rtol=3e-7)
    edges = np.array([0.0, -100.0, -np.inf, np.nan], np.float32)
    apply(edges)
    assert edges[0] == 1 and (edges[1:3] < 1e-37).all() and np.isnan(edges[3])


def test_large_scores_do_not_overflow() -> None:
    batch = random_graph(3)
    heads, gain = (x.detach().float() for x in random_inputs(batch)[0])
    for kind in ATTENTIONS:
        got = make_attentions(batch, "segment", torch.float32)[kind].attend(heads, gain * 1e4)
        want = by_definition(batch, kind, heads.double(), gain.double() * 1e4)
        torch.testing.assert_close(got.double(), want, rtol=1e-2, atol=1e-2)


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
        inputs, upstream = random_inputs(batch, width=16, dtype=torch.float32)
        inputs, upstream = [x.detach().cuda().requires_grad_(True) for x in inputs], upstream.cuda()
        found = [make_attentions(batch.to("cuda"), name, torch.float32) for name in ("flex", "sdpa")]
        for kind in ATTENTIONS:
            outs = [attentions[kind].attend(*inputs) for attentions in found]
            torch.testing.assert_close(*outs, rtol=1e-2, atol=1e-2)  # tensor cores round to TF32
            gradients = [torch.autograd.grad(out, inputs, upstream) for out in outs]
            torch.testing.assert_close(*gradients, rtol=2e-2, atol=2e-2)


@pytest.mark.gpu
def test_flex_on_a_gpu_in_mixed_precision() -> None:
    """Heads are bfloat16 there, and so is all that attention reads, though torch's norm gives float32."""
    batch = random_graph(0)
    inputs, upstream = random_inputs(batch, width=16, dtype=torch.float32)
    heads, gain = inputs[0].detach().cuda().bfloat16().requires_grad_(True), inputs[1].detach().cuda()
    for kind, attention in make_attentions(batch.to("cuda"), "flex", torch.bfloat16).items():
        with torch.autocast("cuda", torch.bfloat16):
            assert {x.dtype for x in normalise_heads(heads, gain)} == {torch.bfloat16}
            got = attention.attend(heads, gain)
        want = by_definition(batch, kind, heads.detach().double().cpu(), gain.double().cpu())
        torch.testing.assert_close(got.double().cpu(), want, rtol=5e-2, atol=1e-1)
        (gradient,) = torch.autograd.grad(got, heads, upstream.cuda().bfloat16())
        assert gradient.dtype == torch.bfloat16 and gradient.isfinite().all()


def test_queries_and_keys_have_the_dtype_of_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the norm gives float32, as torch's does under CUDA's mixed precision."""
    monkeypatch.setattr(norm, "rms_normalise", lambda x: rms_normalise(x.float()))
    heads, gain = torch.randn(2, 3, 3, HEADS, 16).bfloat16(), torch.ones(16)
    assert {x.dtype for x in normalise_heads(heads, gain)} == {torch.bfloat16}
