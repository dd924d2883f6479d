"""The cells of a grid as jobs of Hydra's launchers: two side by side on one machine, then the run as a whole."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from analysis.results import loss_grid, read_results
from experiments import scaling
from experiments.scaling import with_device

ROOT = Path(__file__).resolve().parents[2]
TINY = ("profile=smoke", "threads=1", "grid.tokens=[2048,4096]", "text_model=hash", "model.d_text=64")
TINY += ("train.warmup_steps=1", "corpus.num_validation=1", "validation.rows_per_task=2")


def launcher(name: str) -> object:
    package = f"hydra-{name.split('_')[0]}-launcher"
    missing = not any(importlib.metadata.distributions(name=package))
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"needs {package} (the extra `cluster`)"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["basic", launcher("joblib"), launcher("submitit_local"), launcher("ray")])
def test_jobs_together_are_the_grid(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "experiments.scaling", "--multirun", *TINY, f"run.dir={tmp_path / 'run'}"]
    command += [f"hydra/launcher={name}", "job.num_databases=1,2", f"hydra.sweep.dir={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    grid = loss_grid(read_results(tmp_path / "run"))
    assert grid.shape == (2, 2) and grid.notna().all(axis=None)
    assert not (tmp_path / "run" / "transfer.csv").exists()  # the run as a whole makes it


def test_jobs_share_the_gpus_of_a_machine(monkeypatch) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        job, whole = (compose("scaling", ["profile=smoke", *more]) for more in (["job.seed=0"], []))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(scaling.HydraConfig, "get", lambda: type("H", (), {"job": type("J", (), {"num": 6})}))
    assert with_device(job).train.devices == [2] and with_device(whole).train.devices == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert with_device(job).train.devices == 1
