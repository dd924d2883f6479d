"""A training that is killed at any moment and called again ends with the very weights of one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import plurel

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "num_tables_choices": {"kind": "range", "value": [3, 4]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [30, 40]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [100, 200]},
}


def command(corpus: Path, run_dir: Path, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "experiments.pretrain", f"corpus.path={corpus}", f"run.dir={run_dir}"),
        *("model=tiny", "model.d_text=64", "text_model=hash", "logger.wandb=disabled", "threads=1"),
        *("max_steps=120", "train.batch_size=4", "train.warmup_steps=5", "train.checkpoint_every=7", *overrides),
    ]


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_killed_training_continues_to_the_same_weights(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    prior = plurel.Config.from_dict({"name": "small", "database_params": SMALL})
    plurel.generate_corpus(corpus, [0, 1], prior, progress=False)
    whole = run(corpus, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr[-3000:]

    process = subprocess.Popen(command(corpus, tmp_path / "killed"), cwd=ROOT, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "killed" / "training").glob("step-*.ckpt")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "checkpoint").exists()
    again = run(corpus, tmp_path / "killed")
    assert again.returncode == 0, again.stderr[-3000:]

    weights = [(tmp_path / name / "checkpoint" / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    starts = sorted(p.name for p in (tmp_path / "killed" / "logs" / "pretrain").iterdir())
    assert len(starts) == 2, starts  # the second call went on from a checkpoint
    assert sorted(p.name for p in (tmp_path / "killed" / "training").iterdir()) == ["step-120.ckpt"]

    refused = run(corpus, tmp_path / "killed", "train.lr=0.1")
    assert refused.returncode != 0
    assert "train.lr=0.002, now train.lr=0.1" in refused.stderr
    assert "Traceback" not in refused.stderr
