"""A model on disk comes back bit for bit, and every way to damage it is named in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rfm.checkpoint import load_checkpoint, save_checkpoint
from rfm.errors import RfmError
from rfm.model import ModelConfig, RelationalTransformer

CONFIG = ModelConfig(num_blocks=2, d_model=8, num_heads=2, d_ff=12, d_text=5)


@pytest.fixture
def model() -> RelationalTransformer:
    torch.manual_seed(0)
    return RelationalTransformer(CONFIG)


def assert_same(a: RelationalTransformer, b: RelationalTransformer) -> None:
    assert a.config == b.config
    for (name, x), (other, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert name == other and torch.equal(x, y)


def test_round_trip_by_folder_and_by_file(model, tmp_path: Path) -> None:
    path = save_checkpoint(model, tmp_path / "best")
    assert path == tmp_path / "best" / "model.safetensors"
    for given in (path, path.parent, str(path.parent)):
        loaded = load_checkpoint(given)
        assert_same(model, loaded)
        assert not loaded.training and all(p.requires_grad for p in loaded.parameters())
    named = save_checkpoint(model, tmp_path / "other" / "n8.safetensors")
    assert_same(model, load_checkpoint(named))
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "config.json",
        "config.json",
        "model.safetensors",
        "n8.safetensors",
    ]


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_released_pt_file(model, tmp_path: Path, prefix: str) -> None:
    torch.save({prefix + name: value.bfloat16() for name, value in model.state_dict().items()}, tmp_path / "a.pt")
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded.config == CONFIG
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.bfloat16().float())


def test_released_parameter_names(model) -> None:
    names = {
        f"enc_dict.{t}.{p}" for t in ("number", "text", "datetime", "boolean", "col_name") for p in ("weight", "bias")
    }
    names |= {f"dec_dict.{t}.{p}" for t in ("number", "text", "datetime", "boolean") for p in ("weight", "bias")}
    names |= {f"norm_dict.{t}.weight" for t in ("number", "text", "datetime", "boolean", "col_name")} | {
        "norm_out.weight"
    }
    names |= {f"mask_embs.{t}" for t in ("number", "text", "datetime", "boolean")}
    for i in range(2):
        names |= {f"blocks.{i}.norms.{n}.weight" for n in ("col", "feat", "nbr", "ffn")}
        names |= {f"blocks.{i}.ffn.{w}.weight" for w in ("w1", "w2", "w3")}
        for a in ("col", "feat", "nbr"):
            names |= {f"blocks.{i}.attns.{a}.{w}.weight" for w in ("wq", "wk", "wv", "wo", "q_norm", "k_norm")}
    assert set(model.state_dict()) == names


def change_state(change):
    def apply(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors")

    return apply


def change_config(change):
    def apply(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return apply


def truncate(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


DAMAGE = {
    "missing parameter": (change_state(lambda s: s.pop("norm_out.weight")), ["norm_out.weight is missing"]),
    "unexpected": (
        change_state(lambda s: s.update({"norm_ou.weight": torch.ones(1)})),
        ["norm_ou.weight", "norm_out.weight"],
    ),
    "shape": (
        change_state(lambda s: s.update({"norm_out.weight": torch.ones(9)})),
        ["norm_out.weight", "(9,)", "(8,)"],
    ),
    "not finite": (
        change_state(lambda s: s.update({"norm_out.weight": torch.full((8,), torch.nan)})),
        ["norm_out.weight", "not finite"],
    ),
    "other sizes": (change_config(lambda c: c.update(d_ff=13)), ["ffn.w1.weight", "(12, 8)", "(13, 8)"]),
    "fewer blocks": (change_config(lambda c: c.update(num_blocks=1)), ["unexpected parameter blocks.1."]),
    "misspelt size": (change_config(lambda c: c.update(num_block=c.pop("num_blocks"))), ["num_block", "num_blocks"]),
    "missing size": (change_config(lambda c: c.pop("d_ff")), ["d_ff missing"]),
    "wrong type": (change_config(lambda c: c.update(d_ff="12")), ["d_ff is '12'", "positive integer"]),
    "no config": (lambda f: (f / "config.json").unlink(), ["config.json is missing"]),
    "damaged config": (lambda f: (f / "config.json").write_text("{"), ["config.json is damaged"]),
    "list config": (lambda f: (f / "config.json").write_text("[]"), ["config.json holds a list"]),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ["no checkpoint at"]),
    "truncated": (truncate, ["model.safetensors is damaged"]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(model, tmp_path: Path, damage: str) -> None:
    save_checkpoint(model, tmp_path)
    change, words = DAMAGE[damage]
    change(tmp_path)
    with pytest.raises(RfmError) as caught:
        load_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"text", "not a file of plain tensors"),
        ({"a": 1}, "does not hold a dictionary of tensors"),
        ({"a": torch.ones(2)}, "enc_dict.text.weight is missing"),
        ({"enc_dict.text.weight": torch.ones(2)}, "it must have 2 axes"),
    ],
)
def test_other_pt_files(tmp_path: Path, content, words: str) -> None:
    path = tmp_path / "a.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(RfmError, match=words) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_code_in_a_pt_file_is_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Harmful()}, tmp_path / "a.pt")
    with pytest.raises(RfmError, match="plain tensors"):
        load_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(RfmError, match="neither a .safetensors nor a .pt"):
        load_checkpoint(tmp_path / "a.bin")
