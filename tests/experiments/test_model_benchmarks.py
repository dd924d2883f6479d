"""Benchmarks of the model: what they compare is the same function, and a difference is found."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from experiments.benchmarks.gpu import MaterialisedTransformer, keys_per_cell
from experiments.benchmarks.model_scaling import NANO, measure
from experiments.benchmarks.parity import main as parity
from experiments.benchmarks.parity import sizes_of, to_batch
from experiments.benchmarks.techniques import make_model, make_optimizers, table
from rfm.model import RelationalTransformer


@pytest.fixture(scope="module")
def case(shared: Path) -> Path:
    return shared / "peers" / "parity"


def test_parity_command_finds_equality_and_difference(case: Path, tmp_path: Path, capsys) -> None:
    assert parity([f"case={case}"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["backend"] for line in lines] == ["sdpa", "segment"]
    assert {"loss", "gradients", "number", "text"} <= set(lines[0])
    wrong = tmp_path / "case"
    shutil.copytree(case, wrong)
    grads = load_file(wrong / "grads.safetensors")
    grads["blocks.0.attns.nbr.wo.weight"][0, 0] += 1e-3
    save_file(grads, wrong / "grads.safetensors")
    assert parity([f"case={wrong}", "backends=segment"]) == 1


def test_materialised_masks_are_the_same_attention(case: Path) -> None:
    state, batch = load_file(case / "state.safetensors"), to_batch(load_file(case / "batch.safetensors"))
    outs = []
    for kind in (MaterialisedTransformer, RelationalTransformer):
        model = kind(sizes_of(state))
        model.load_state_dict(state)
        with torch.no_grad():
            outs.append(model(batch))
    torch.testing.assert_close(*outs, atol=1e-5, rtol=1e-5)
    segments = RelationalTransformer(sizes_of(state), attention="segment").attentions(batch, outs[0])
    pairs = sum(int((np.diff(s.key_start) * np.diff(s.query_start)).sum()) for s in segments.values())
    assert keys_per_cell(batch) == pairs / batch.num_tokens


def test_costs_per_token_are_measured(case: Path) -> None:
    batch = to_batch(load_file(case / "batch.safetensors"))
    sizes = sizes_of(load_file(case / "state.safetensors"))
    found = measure(sizes, batch, "segment", 0.0)
    assert found["forward_us"] > 0 and found["training_us"] > 0


def test_techniques_change_what_they_name(case: Path) -> None:
    cfg = type("Cfg", (), {"lr": 1e-3, "weight_decay": 0.1, "betas": (0.9, 0.999)})
    models = {name: make_model(name, NANO, 0) for name in ("none", "zero-init", "gated")}
    assert (models["zero-init"].blocks[0].ffn.w2.weight == 0).all()
    assert torch.equal(models["zero-init"].blocks[3].ffn.w1.weight, models["none"].blocks[3].ffn.w1.weight)
    batch = to_batch(load_file(case / "batch.safetensors"))
    batch = replace(batch, text_embeddings=torch.ones(len(batch.text_embeddings), NANO.d_text))
    gated, plain = (models[name](batch) for name in ("gated", "none"))
    assert gated.shape == plain.shape and not torch.allclose(gated, plain)
    ((adamw, _),) = make_optimizers("none", models["none"], cfg)
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.1, 0.1]
    (adamw, _), (muon, rate) = make_optimizers("muon-2x", models["none"], cfg)
    assert rate == 2e-3
    held = sum(p.numel() for o in (adamw, muon) for group in o.param_groups for p in group["params"])
    assert held == sum(p.numel() for p in models["none"].parameters())


def test_table_compares_at_equal_time() -> None:
    """The loss of `none` falls by 0.1 for each doubling of time; a technique takes twice as long for the same loss."""
    rows = [("none", 100, 0.5, 10.0), ("none", 150, 0.5 - 0.1 * np.log2(1.5), 15.0), ("slow", 100, 0.5, 20.0)]
    rows = [dict(technique=t, seed=s, steps=n, loss=x, cpu_s=c) for s in range(2) for t, n, x, c in rows]
    found = table(pd.DataFrame(rows))
    assert found.loc["slow", "at equal tokens"].startswith("+0.0000")
    assert found.loc["slow", "time"] == "2.00" and found.loc["slow", "at equal time"] == "+0.1000"
