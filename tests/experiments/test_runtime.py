"""Commands that do more than train refuse several processes; those that train alone share one training among them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from experiments.runtime import several_processes
from rfm.checkpoint import load_checkpoint, save_checkpoint
from rfm.model import ModelConfig
from rfm.module import new_model

ROOT = Path(__file__).resolve().parents[2]
SIZES = ModelConfig(num_blocks=1, d_model=16, num_heads=2, d_ff=24, d_text=64)
SMALL = ("text_model=hash", "logger.wandb=disabled", "threads=1", "train.ctx_len=32", "train.accelerator=cpu")


@pytest.mark.parametrize(
    ("devices", "num_nodes", "environment", "refused"),
    [
        (1, 1, {}, False),
        ([3], 1, {}, False),  # the fourth GPU
        (1, 1, {"SLURM_PROCID": "0"}, False),
        (2, 1, {}, True),
        ([0, 1], 1, {}, True),
        ("auto", 1, {}, True),
        (1, 2, {}, True),
        (1, 1, {"SLURM_PROCID": "1"}, True),
        (1, 1, {"RANK": "0", "WORLD_SIZE": "2"}, True),
    ],
)
def test_one_process_is_told_from_several(monkeypatch, devices, num_nodes, environment, refused) -> None:
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    complaints = several_processes(OmegaConf.create({"devices": devices, "num_nodes": num_nodes}))
    assert bool(complaints) == refused


def run(module: str, *overrides: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *launcher, "-m", f"experiments.{module}", *overrides]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


def test_a_grid_refuses_several_processes(tmp_path: Path) -> None:
    done = run("scaling", "profile=smoke", "train.devices=2", f"run.dir={tmp_path / 'run'}")
    assert done.returncode != 0 and not (tmp_path / "run").exists()
    assert "train.devices=2" in done.stderr and "hydra/launcher=joblib" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")])
def test_two_processes_fine_tune_as_one_with_twice_the_batch(
    tmp_path: Path, write_shop: Callable[[Path, int], Path], launcher: tuple[str, ...]
) -> None:
    """From nothing: stores are built, the model is saved and its scores are printed once."""
    shop, lr = write_shop(tmp_path / "shop", 0), 1e-2
    save_checkpoint(new_model(SIZES, 0), tmp_path / "start")
    given = [f"checkpoint={tmp_path / 'start'}", f"dataset={shop}", "task=user-spend", "max_steps=3", f"lr={lr}"]
    weights, scores = [], []
    for devices, batch_size in ((1, 8), (2, 4)):
        run_dir = tmp_path / f"{devices}-devices"
        given_here = [f"run.dir={run_dir}", f"store_dir={run_dir}", f"train.devices={devices}"]
        given_here += [f"train.batch_size={batch_size}"]
        done = run("finetune", *given, *given_here, *SMALL, launcher=launcher if devices > 1 else ())
        assert done.returncode == 0, done.stderr[-3000:]
        weights.append(load_checkpoint(run_dir / "checkpoint").state_dict())
        scores.append([line for line in done.stdout.splitlines() if line.startswith("shop user-spend")])
    assert len(scores[0]) == 2 and len(scores[1]) == 2
    for name, value in weights[0].items():
        assert (value - weights[1][name]).abs().max() < 1e-2 * lr, name


@pytest.mark.slow
def test_two_processes_continue_pretraining(tmp_path: Path, write_shop: Callable[[Path, int], Path]) -> None:
    shops = [write_shop(tmp_path / name, seed) for seed, name in enumerate(("one", "two"))]
    given = ["checkpoint=null", "model=tiny", "model.d_text=64", "continued.max_steps=3", "train.devices=2"]
    given += [f"datasets=[{shops[0]},{shops[1]}]", f"run.dir={tmp_path / 'run'}", f"store_dir={tmp_path / 'stores'}"]
    done = run("continue_pretraining", *given, "train.batch_size=4", "train.warmup_steps=1", *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines().count(str(tmp_path / "run" / "checkpoint")) == 1
    curve = pd.read_csv(tmp_path / "run" / "logs" / "continued" / "from-0" / "metrics.csv")
    assert curve["tokens"].dropna().tolist() == [2 * 4 * 32 * step for step in (1, 2, 3)]
    load_checkpoint(tmp_path / "run" / "checkpoint")
