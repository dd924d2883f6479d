"""The model computes what the public reference computes: outputs, masks, loss and gradients (shared parity files)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from experiments.benchmarks.parity import to_batch
from rfm.model import ModelConfig, RelationalMasks, RelationalTransformer, masked_cell_loss

TOLERANCE = 1e-5


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
