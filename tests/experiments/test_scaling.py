"""What a scaling run checks before it trains, and what it does when the grid grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from analysis.results import SCHEMA
from experiments.cells import Cell
from experiments.errors import ExperimentError
from experiments.scaling import best_cell, check_transfer, run_transfer
from rfm.errors import RfmError

CELLS = [Cell(1, 4, 1024, 0), Cell(2, 8, 2048, 1)]


def results(losses: list[float]) -> pd.DataFrame:
    """Results with the mean validation loss of each of CELLS."""
    row = dict.fromkeys(SCHEMA, "") | {"run": "r", "dataset": "synthetic-val", "split": "val", "metric": "loss"}
    rows = [
        row | dict(num_databases=c.num_databases, step=c.steps, tokens=c.tokens, seed=c.seed, value=loss)
        for c, loss in zip(CELLS, losses, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_best_cell_is_that_of_the_results() -> None:
    """Also if the axes of the configuration have shrunk since it was trained."""
    assert best_cell(results([0.4, 0.5])) == CELLS[0]
    assert best_cell(results([float("nan"), 0.5])) == CELLS[1]


def test_a_wrong_task_is_named_before_training(tmp_path: Path, write_shop: Callable[[Path, int], Path]) -> None:
    folder = str(write_shop(tmp_path / "shop", 0))
    cfg = OmegaConf.create({"text_model": "hash", "transfer": {"datasets": [folder], "tasks": ["user-spend"]}})
    check_transfer(cfg, tmp_path)
    cfg.transfer.tasks = ["user-spent"]
    with pytest.raises(ExperimentError, match="user-spent"):
        check_transfer(cfg, tmp_path)
    cfg.transfer.datasets = [str(tmp_path / "nowhere")]
    with pytest.raises(RfmError, match="nowhere"):
        check_transfer(cfg, tmp_path)


def test_a_transfer_table_is_kept_for_the_cell_that_it_is_of(tmp_path: Path) -> None:
    """A larger grid may have another best cell, whose scores must not be those of the old one."""
    table = pd.DataFrame([dict(num_databases=1, tokens=1024, seed=0, value=50.0)])
    table.to_csv(tmp_path / "transfer.csv", index=False)
    pd.testing.assert_frame_equal(run_transfer(None, tmp_path, None, CELLS[0]), table)
    with pytest.raises(AttributeError):  # it asks the grid for the checkpoint of the other cell
        run_transfer(None, tmp_path, None, CELLS[1])
