"""The whole pipeline at its smallest size, as a user runs it, and what it does when called again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


def scaling(*overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.scaling", "profile=smoke", *overrides]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    run_dir = tmp_path_factory.mktemp("runs") / "smoke"
    done = scaling(f"run.dir={run_dir}")
    assert done.returncode == 0, done.stderr[-4000:]
    return run_dir, done


def test_every_promised_file_is_there(smoke) -> None:
    run_dir, done = smoke
    names = ["results.parquet", "transfer.csv", "fits.json", "data_card.json", "report.html", "run.json"]
    figures = ["scaling_num_databases", "scaling_tokens", "grid", "transfer"]
    names += [f"figures/{name}.{ending}" for name in figures for ending in ("png", "svg")]
    assert [n for n in names if not (run_dir / n).is_file()] == []
    assert done.stdout.strip().endswith("report.html")


def test_results_hold_one_validation_loss_for_each_cell(smoke) -> None:
    results = pd.read_parquet(smoke[0] / "results.parquet")
    cells = results[results.dataset == "synthetic-val"]
    assert sorted(zip(cells.num_databases, cells.tokens, strict=True)) == [
        (n, s) for n in (1, 2) for s in (16384, 65536)
    ]
    assert cells.value.between(0, 2).all()
    assert set(cells.git) == set(results.git) and "" not in set(cells.git)


def test_training_loss_falls(smoke) -> None:
    curves = []
    for n in (1, 2):
        parts = (smoke[0] / "logs" / f"n{n}-trunk-seed0").glob("from-*/metrics.csv")
        curves.append(pd.concat(map(pd.read_csv, parts)).sort_values("step")["train/loss"].dropna())
    quarter = min(map(len, curves)) // 4
    assert quarter >= 5
    first, last = (pd.concat([c.iloc[part] for c in curves]).mean() for part in (slice(quarter), slice(-quarter, None)))
    assert last < 0.95 * first


def test_transfer_has_every_baseline_and_both_kinds_of_task(smoke) -> None:
    table = pd.read_csv(smoke[0] / "transfer.csv")
    assert set(table.model) == {
        *("constant", "entity_mean", "label_history", "label_regression"),
        *("zero-shot", "calibrated", "fine-tuned"),
    }
    assert set(table.task_type) == {"binary_classification", "regression"}
    assert set(table.split) == {"val", "test"} and set(table.protocol) == {"temporal"}
    assert table.value.notna().all()


def test_a_second_call_repeats_nothing_and_prints_the_same_numbers(smoke) -> None:
    run_dir, first = smoke
    before = {p: p.stat().st_mtime_ns for p in run_dir.glob("results/*.parquet")}
    again = scaling(f"run.dir={run_dir}")
    assert again.returncode == 0, again.stderr[-4000:]
    assert {p: p.stat().st_mtime_ns for p in run_dir.glob("results/*.parquet")} == before
    table = first.stdout[first.stdout.index("Validation loss on held-out") :]
    assert table in again.stdout


def test_a_run_folder_refuses_another_configuration(smoke) -> None:
    refused = scaling(f"run.dir={smoke[0]}", "seed=7")
    assert refused.returncode != 0
    assert "seed=0, now seed=7" in refused.stderr and "Traceback" not in refused.stderr


def test_the_record_names_what_made_the_run(smoke) -> None:
    record = json.loads((smoke[0] / "run.json").read_text())
    assert record["command"].startswith("python -m experiments.scaling profile=smoke")
    assert {"corpora and stores", "pretraining grid", "transfer"} <= {s["name"] for s in record["stages"]}
    best = (smoke[0] / record["best_checkpoint"] / "model.safetensors").read_bytes()
    assert (smoke[0] / "checkpoints" / "best" / "model.safetensors").read_bytes() == best


def test_an_unknown_profile_names_the_known_ones() -> None:
    command = [sys.executable, "-m", "experiments.scaling", "profile=dmeo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "smoke" in done.stderr and "demo" in done.stderr
