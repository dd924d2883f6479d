"""The model computes what the public reference computes: outputs, masks, loss and gradients (shared parity files)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rfm.batch import Batch
from rfm.model import ModelConfig, RelationalMasks, RelationalTransformer, masked_cell_loss
from rfm.model.embedding import TYPES

TOLERANCE = 1e-5


def to_batch(reference: dict[str, Tensor]) -> Batch:
    """The reference's batch in our terms: rows numbered within a context, unique strings, one value per cell."""
    is_padding = reference["is_padding"]
    row_idx = torch.full_like(reference["node_idxs"], -1)
    parent_idx = torch.full_like(reference["f2p_nbr_idxs"], -1)
    for b, nodes in enumerate(reference["node_idxs"].tolist()):
        local: dict[int, int] = {}
        for node in nodes:
            if node >= 0:
                local.setdefault(node, len(local))
        for i, node in enumerate(nodes):
            row_idx[b, i] = local.get(node, -1)
            for j, parent in enumerate(reference["f2p_nbr_idxs"][b, i].tolist()):
                parent_idx[b, i, j] = local.get(parent, -1) if parent >= 0 else -1
    column = reference["table_name_idxs"].long() * 100_000 + reference["col_name_idxs"]
    cells = is_padding.numel()
    value = sum(reference[f"{t}_values"].squeeze(-1) for t in ("number", "datetime", "boolean"))
    strings = torch.cat([reference["col_name_values"].reshape(cells, -1), reference["text_values"].reshape(cells, -1)])
    unique, position = strings.unique(dim=0, return_inverse=True)
    is_text = reference["sem_types"] == TYPES.index("text")
    return Batch(
        row_idx=row_idx,
        parent_idx=parent_idx,
        column_idx=torch.where(is_padding, -1, column).int(),
        sem_type=reference["sem_types"].long(),
        value=value,
        is_padding=is_padding,
        is_masked=reference["masks"],
        is_target=reference["is_targets"],
        name_idx=position[:cells].view(is_padding.shape),
        text_idx=torch.where(is_text, position[cells:].view(is_padding.shape), 0),
        text_embeddings=unique,
        target_value=torch.zeros(len(value)),
        seed_row=torch.zeros(len(value), dtype=torch.int64),
        store_idx=torch.zeros(len(value), dtype=torch.int64),
    )


@pytest.fixture(scope="module")
def parity(shared: Path) -> dict[str, dict[str, Tensor]]:
    folder = shared / "peers" / "parity"
    return {name: load_file(folder / f"{name}.safetensors") for name in ("state", "batch", "expected", "grads")}


@pytest.fixture(scope="module", params=["sdpa", "segment"])
def model(parity: dict[str, dict[str, Tensor]], request: pytest.FixtureRequest) -> RelationalTransformer:
    sizes = ModelConfig(num_blocks=2, d_model=32, num_heads=2, d_ff=64, d_text=16)
    model = RelationalTransformer(sizes, attention=request.param)
    model.load_state_dict(parity["state"], strict=True)
    return model


def test_outputs_at_every_position(parity, model) -> None:
    want = parity["expected"]
    seen: dict[str, Tensor] = {}
    hooks = [model.blocks[0].register_forward_pre_hook(lambda _, args: seen.update(x_embed=args[0]))]
    for i, block in enumerate(model.blocks):
        hooks.append(block.register_forward_hook(lambda _m, _a, out, i=i: seen.update({f"x_block_{i}": out})))
    with torch.no_grad():
        seen["x_out"] = model(to_batch(parity["batch"]))
        seen |= {f"yhat_{name}": yhat for name, yhat in model.decode(seen["x_out"]).items()}
    for hook in hooks:
        hook.remove()
    assert set(seen) == {name for name in want if name.startswith(("x_", "yhat_"))}
    for name, got in seen.items():
        scale = want[name].abs().clamp(min=1) if name.startswith("x_") else 1.0
        assert ((got - want[name]).abs() / scale).max() < TOLERANCE, name


def test_masks_are_equal(parity) -> None:
    masks = RelationalMasks.from_batch(to_batch(parity["batch"]))
    for name in ("col", "feat", "nbr"):
        assert torch.equal(getattr(masks, name), parity["expected"][f"mask_{name}"]), name


def test_loss_and_gradients(parity, model) -> None:
    model.zero_grad()
    batch = to_batch(parity["batch"])
    loss = masked_cell_loss(model, batch)
    loss.backward()
    assert abs(loss.item() - parity["expected"]["loss"].item()) < TOLERANCE
    assert {name for name, _ in model.named_parameters()} == set(parity["grads"])
    for name, parameter in model.named_parameters():
        assert (parameter.grad - parity["grads"][name]).abs().max() < TOLERANCE, name
