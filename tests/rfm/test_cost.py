"""Counted costs are those of the model itself and of torch's own counter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from rfm.model import ModelConfig, RelationalTransformer, cost
from rfm.model.masks import AttentionBias

CONF = Path(__file__).resolve().parents[2] / "conf" / "model"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_parameters_of_every_size(path: Path) -> None:
    config = ModelConfig.from_dict(yaml.safe_load(path.read_text()))
    with torch.device("meta"):
        model = RelationalTransformer(config)
    params = sum(p.numel() for p in model.parameters())
    found = cost(config, 40)
    assert found.params == params and found.state_bytes == 16 * params
    about = {"nano": 0.4e6, "small": 3e6, "paper": 20e6, "large": 100e6}.get(path.stem, params)
    assert params == pytest.approx(about, rel=0.15)


def test_operations_are_those_of_the_counter_of_torch() -> None:
    size, length = 2, 24
    config = ModelConfig(num_blocks=1, d_model=16, num_heads=2, d_ff=40, d_text=8)
    (block,) = RelationalTransformer(config).blocks
    mask = AttentionBias.from_mask(torch.ones(size, length, length, dtype=torch.bool), torch.float32)
    x = torch.randn(size, length, config.d_model, requires_grad=True)
    found = cost(config, 3 * length)
    with FlopCounterMode(display=False) as counter:
        y = block(x, dict.fromkeys(("col", "feat", "nbr"), mask))
    assert matrix_products(counter) == found.forward * size * length
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert matrix_products(counter) == found.backward * size * length


def test_attention_operations_are_those_of_its_products() -> None:
    """Written out as matrix products, which torch counts, since its counter does not know the CPU's fused call."""
    length, config = 24, ModelConfig(num_blocks=1, d_model=16, num_heads=2, d_ff=40, d_text=8)
    q, k, v, upstream = (torch.randn(2, length, 8) for _ in range(4))
    with FlopCounterMode(display=False) as counter:
        weights = torch.bmm(q, k.mT).softmax(-1)
        torch.bmm(weights, v)
    assert 3 * counter.get_total_flops() == cost(config, 3 * length).attention_forward * length
    with FlopCounterMode(display=False) as counter:
        torch.bmm(q, k.mT)  # the scores again, then the gradients of weights, values, queries and keys
        slopes = torch.bmm(upstream, v.mT)
        torch.bmm(weights.mT, upstream), torch.bmm(slopes, k), torch.bmm(slopes.mT, q)
    assert 3 * counter.get_total_flops() == cost(config, 3 * length).attention_backward * length


def matrix_products(counter: FlopCounterMode) -> int:
    """Operations of `mm` calls: products with weights; attention is counted elsewhere, if at all."""
    return sum(n for call, n in counter.get_flop_counts()["Global"].items() if str(call) in ("aten.mm", "aten.addmm"))
