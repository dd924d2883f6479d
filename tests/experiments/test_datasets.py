"""Checkpoints by the names that a user gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.datasets import load_model
from rfm.checkpoint import save_checkpoint
from rfm.errors import RfmError
from rfm.model import ModelConfig
from rfm.module import new_model


def test_names_of_the_package_and_paths(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(new_model(ModelConfig(1, 16, 2, 16, 8), 0), Path("mine"))
    assert load_model("mine").config.d_text == load_model(str(tmp_path / "mine")).config.d_text == 8
    assert load_model("plurel-small").config.d_text == 384


@pytest.mark.parametrize(
    ("given", "told"), [("plurel-smal", "did you mean 'plurel-small'"), ("runs/plurel-small", "no checkpoint at")]
)
def test_a_misspelt_one_is_named(tmp_path: Path, monkeypatch, given: str, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RfmError, match=told):
        load_model(given)
