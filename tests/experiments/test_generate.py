"""experiments.generate as a user runs it: a corpus, and a page per database that leaves the corpus whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import plurel

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "prior.database_params.num_tables_choices.value=[3,4]",
    "prior.database_params.num_rows_entity_table_choices.value=[20,40]",
    "prior.database_params.num_rows_activity_table_choices.value=[100,200]",
]


def generate(*overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.generate", "prior=diverse", "corpus.size=2", *SMALL, *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


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
