"""The notebooks run from a fresh kernel, and their committed outputs come from their committed code."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from analysis.notebooks.execute import ROOT, code_hash, execute, notebook_paths

NAMES = [path.stem for path in notebook_paths()]
MAX_BYTES = 300_000


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(next(path for path in notebook_paths() if path.stem == name), as_version=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: later notebooks take the model that the second trains, as they would in a reader's folder."""
    return tmp_path_factory.mktemp("notebooks")


def test_there_are_five() -> None:
    assert [name[0] for name in NAMES] == list("12345")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, folder: Path) -> None:
    path = next(path for path in notebook_paths() if path.stem == name)
    ran = execute(path, folder)
    kinds = [[output.output_type for output in cell.outputs] for cell in ran.cells if cell.cell_type == "code"]
    committed = [
        [output.output_type for output in cell.outputs] for cell in read(name).cells if cell.cell_type == "code"
    ]
    assert kinds == committed


@pytest.mark.parametrize("name", NAMES)
def test_outputs_come_from_the_code(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata.code_sha256 == code_hash(notebook), f"run python -m analysis.notebooks.execute {name}"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_names_no_machine(name: str) -> None:
    path = next(path for path in notebook_paths() if path.stem == name)
    text = path.read_text(encoding="utf-8")
    assert len(text) < MAX_BYTES
    assert str(ROOT) not in text
    assert not re.search(r'"[^"]*(?<![\w.>])/(?:home|root|tmp|Users|work)/', text)


@pytest.mark.parametrize("name", NAMES)
def test_its_links_lead_somewhere(name: str) -> None:
    for cell in read(name).cells:
        for target in re.findall(r"\]\((\w+\.ipynb)\)", cell.source if cell.cell_type == "markdown" else ""):
            assert Path(target).stem in NAMES
