"""The plan of a grid: sums that can be done by hand, and the command itself on the smallest profile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.plan import Measured, plan

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "seed": 0,
    "workers": 2,
    "corpus": {"num_databases": [1, 4], "num_validation": 6},
    "grid": {
        "tokens": [1000, 2000],
        "tokens_per_database": None,
        "num_seeds": 3,
        "schedule": "one_cycle",
        "decay_frac": 0.2,
    },
    "train": {"batch_size": 10, "accumulate": 1, "ctx_len": 10},
    "validation": {"tasks_per_database": 2, "rows_per_task": 5},
    "model": {"num_blocks": 1, "d_model": 4, "num_heads": 1, "d_ff": 8, "d_text": 4},
}


def test_sums_of_a_plan() -> None:
    measured = Measured(
        database_s=3.0, database_bytes=7.0, tokens_per_s=100.0, validation_cell_s=0.5, checkpoint_bytes=11
    )
    table = plan(OmegaConf.create(CONFIG), measured).set_index("stage")
    assert table.seconds["corpora and stores"] == 10 * 3.0 / 2
    assert table.seconds["pretraining"] == 3 * 2 * (1000 + 2000) / 100
    assert table.seconds["validation"] == 12 * (6 * 2 * 5) * 0.5
    assert table.seconds["together"] == 15 + 180 + 360
    assert table.bytes["together"] == 10 * 7 + 2 * 12 * 11


@pytest.mark.slow
def test_the_command_prints_a_plan_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.plan", "profile=smoke", f"run.dir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pretraining" in done.stdout and "tokens/s" in done.stdout
    assert not (tmp_path / "run").exists()
