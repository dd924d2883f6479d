"""Transfer of every cell of a grid, zero-shot and calibrated, beside BASELINES: does it rise with N and S?

    run_dir/transfer_grid-<rows>/<cell>.csv   rows like those of transfer.csv, of the test split
    run_dir/transfer_grid.csv                 those of all cells; fresh cells have a file of their own in their folder

Scores are of at most so many test rows of each task, the same for every cell, drawn once: a curve along the grid, not
the scores to quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from tqdm import tqdm

from analysis.transfer import TRAINED, lift_metrics, mean_lifts
from experiments.baselines.trivial import baseline_predictions
from experiments.calibration import Calibration, draw_back
from experiments.cells import Cell, grid_cells
from experiments.contexts import TaskContexts
from experiments.datasets import choose_tasks, open_datasets
from experiments.grid import Grid
from experiments.score_rows import score_rows
from experiments.tables import write_csv
from rfm.checkpoint import load_checkpoint
from rfm.model import RelationalTransformer
from rfm.predict import predict_task
from rfm.store import Store, TextTable

BASELINES = ("label_history", "label_regression")
"""The score to beat, and what a model that starts from the forecast has before it learns."""


@dataclass(frozen=True)
class _GridTask:
    """A task, the test rows that every cell is scored on, and what does not depend on the cell."""

    store: Store
    task: str
    chosen: np.ndarray  # int64 (rows,), positions in the test split, rising
    baselines: dict[str, np.ndarray]  # predictions of `chosen`
    calibration: Calibration | None  # None for a multiclass task

    @classmethod
    def draw(cls, store: Store, task: str, how: TaskContexts, num_rows: int) -> _GridTask:
        chosen = _draw_rows(store, task, num_rows)
        known = baseline_predictions(store, task, how.protocol)
        baselines = {model: known[model]["test"][chosen] for model in BASELINES if model in known}
        calibration = Calibration.of_task(store, task, how) if "label_regression" in known else None
        return cls(store, task, chosen, baselines, calibration)

    def predictions(self, model: RelationalTransformer, texts: TextTable, how: TaskContexts) -> dict[str, np.ndarray]:
        """Of the chosen rows, by every model: the baselines, zero-shot and calibrated."""
        options = how.options() | {"chosen": self.chosen, "progress": False}
        shown = predict_task(model, self.store, texts, self.task, "test", **options)
        found = self.baselines | {"zero-shot": shown}
        if self.calibration is not None:
            part = self.calibration.trust_in(model, texts, progress=False)
            found["calibrated"] = draw_back(self.baselines["label_regression"], shown, part)
        return found


def score_cells(cfg: DictConfig, run_dir: Path, grid: Grid) -> pd.DataFrame:
    """Scores every cell that is not scored yet, writes all of them together, and returns those of fixed N."""
    cells = grid_cells(cfg)
    missing = [cell for cell in cells if not _path(cfg, grid, cell).exists()]
    if missing:
        _score_missing(cfg, run_dir, grid, missing)
    for is_fresh in (True, False):
        paths = [_path(cfg, grid, cell) for cell in cells if cell.is_fresh is is_fresh]
        if paths:
            table = pd.concat(map(pd.read_csv, paths), ignore_index=True)
            write_csv(table, paths[0].parents[1] / "transfer_grid.csv")
    return table


def _score_missing(cfg: DictConfig, run_dir: Path, grid: Grid, cells: Sequence[Cell]) -> None:
    stores, texts = open_datasets(cfg.transfer.datasets, run_dir / "store-real", cfg.text_model)
    how = TaskContexts.from_config(cfg.transfer.protocol, cfg.transfer.policy, cfg.train, cfg.seed)
    names = [(store, task) for store in stores for task in choose_tasks(store, cfg.transfer.tasks)]
    tasks = [_GridTask.draw(store, task, how, cfg.grid.transfer_rows) for store, task in names]
    for cell in tqdm(cells, desc="transfer of cells", unit="cell", leave=False):
        model, found = load_checkpoint(grid.checkpoint_path(cell)), []
        facts = {"protocol": how.protocol, "policy": how.policy, "num_databases": grid.num_databases(cell)}
        facts |= {"tokens": cell.tokens, "seed": cell.seed}
        for task in tasks:
            predictions = task.predictions(model, texts, how)
            found += score_rows(task.store, task.task, "test", predictions, chosen=task.chosen, **facts)
        write_csv(pd.DataFrame(found), _path(cfg, grid, cell))


def print_lifts(table: pd.DataFrame) -> None:
    """Mean lifts over label history, N by S."""
    for model in TRAINED:
        for metric in lift_metrics(table, model):
            lifts = mean_lifts(table, metric, model=model).pivot(index="num_databases", columns="tokens", values="lift")
            print(f"\nMean {model} lift over label history in points of {metric} (rows N, columns S in tokens)")
            print(lifts.round(2).to_string())


def _path(cfg: DictConfig, grid: Grid, cell: Cell) -> Path:
    return grid.home(cell) / f"transfer_grid-{cfg.grid.transfer_rows}" / f"{cell.name}.csv"


def _draw_rows(store: Store, task: str, count: int) -> np.ndarray:
    """Positions of at most `count` random test rows with a target, rising."""
    known = np.flatnonzero(~np.isnan(store.task_targets(task, "test")))
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(0)))
    return np.sort(rng.permutation(known)[:count])
