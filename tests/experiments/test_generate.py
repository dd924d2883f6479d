"""experiments.generate as a user runs it: corpora that survive a kill, are remade and shared by jobs; a page each."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import plurel

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "prior.database_params.num_tables_choices.value=[3,4]",
    "prior.database_params.num_rows_entity_table_choices.value=[20,40]",
    "prior.database_params.num_rows_activity_table_choices.value=[100,200]",
]


COMMAND = [sys.executable, "-m", "experiments.generate", "prior=diverse", "corpus.size=2", *SMALL]


def generate(*overrides: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *overrides], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def content(corpus: Path) -> dict[str, bytes]:
    files = (path for path in corpus.rglob("*") if path.is_file() and "jobs" not in path.parts)
    return {path.relative_to(corpus).as_posix(): path.read_bytes() for path in files}


def test_reports_lie_beside_the_corpus_and_are_kept(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    generate(f"corpus.path={corpus}")
    assert not (corpus / "reports").exists()
    generate(f"corpus.path={corpus}", "report=true")
    folders = plurel.load_corpus(corpus)
    pages = sorted((corpus / "reports").iterdir())
    assert [page.name for page in pages] == sorted(f"{folder.name}.html" for folder in folders)
    assert all("Causal model" in page.read_text() for page in pages)
    stamps = [page.stat().st_mtime_ns for page in pages]
    pages[0].unlink()
    generate(f"corpus.path={corpus}", "report=true")
    assert pages[0].is_file() and pages[1].stat().st_mtime_ns == stamps[1]


def test_a_killed_corpus_continues_to_the_bytes_of_an_uninterrupted_one(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    size = "corpus.size=24"
    process = subprocess.Popen([*COMMAND, size, "workers=2", f"corpus.path={killed}"], cwd=ROOT, stderr=subprocess.PIPE)
    while not list(killed.glob("diverse-*/files.json")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()  # ends when the workers have, which share its stderr
    assert 1 <= len(list(killed.glob("diverse-*"))) < 24
    generate(size, f"corpus.path={killed}")
    prior, seeds = plurel.corpus_recipe(killed)
    plurel.generate_corpus(whole, seeds, prior, progress=False)
    assert content(killed) == content(whole)
    (next(whole.glob("diverse-*")) / "manifest.yaml").unlink()
    done = generate(f"corpus.remake={killed}/corpus.yaml", f"corpus.path={whole}")
    assert content(killed) == content(whole)
    assert "24 databases" in done.stdout and "cells/s" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [["cluster=jobs", "corpus.parts=2"], ["cluster=ray", "workers=2"]])
def test_jobs_and_a_ray_cluster_make_the_corpus_of_one_process(tmp_path: Path, cluster: list[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra `cluster`")
    pytest.importorskip("ray", reason="needs the extra `cluster`")
    generate("corpus.size=4", f"corpus.path={tmp_path / 'one'}")
    generate("corpus.size=4", f"corpus.path={tmp_path / 'many'}", *cluster)
    assert content(tmp_path / "many") == content(tmp_path / "one")
