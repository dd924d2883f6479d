"""Settings composed in Python are those of the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from experiments.errors import ExperimentError
from experiments.settings import load_settings


def test_they_are_those_of_the_command() -> None:
    overrides = ["corpus.path=c", "max_steps=7", "model=tiny"]
    shown = subprocess.run(
        [sys.executable, "-m", "experiments.pretrain", *overrides, "--cfg", "job"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert OmegaConf.create(shown.stdout) == load_settings("pretrain", *overrides)


@pytest.mark.parametrize(
    ("name", "override", "named"),
    [("pretain", "", "pretrain"), ("pretrain", "max_step=7", "max_step"), ("pretrain", "model=huge", "huge")],
)
def test_mistakes_are_named(name: str, override: str, named: str) -> None:
    with pytest.raises(ExperimentError, match=named):
        load_settings(name, *([override] if override else []))
