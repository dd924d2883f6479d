"""Zero-shot transfer of every cell of a grid: does it rise with N and S?

    run_dir/transfer_grid-<rows>/<cell>.csv   rows like those of transfer.csv: zero-shot and label_history on test rows
    run_dir/transfer_grid.csv                 those of all cells; fresh cells have a file of their own in their folder

Scores are of at most so many test rows of each task, the same for every cell, drawn once: a curve along the grid, not
the scores to quote.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from tqdm import tqdm

from analysis.transfer import lift_metrics, mean_lifts
from experiments.baselines.trivial import baseline_predictions
from experiments.cells import Cell, grid_cells
from experiments.contexts import TaskContexts
from experiments.datasets import choose_tasks, open_datasets
from experiments.grid import Grid
from experiments.intervals import bootstrap_intervals, lift_signs
from experiments.tables import write_csv
from rfm.checkpoint import load_checkpoint
from rfm.metrics import score
from rfm.predict import predict_task
from rfm.store import Store


def score_cells(cfg: DictConfig, run_dir: Path, grid: Grid) -> pd.DataFrame:
    """Scores every cell that is not scored yet, writes all of them together, and returns those of fixed N."""
    stores, texts = open_datasets(cfg.transfer.datasets, run_dir / "store-real", cfg.text_model)
    tasks = [(store, task) for store in stores for task in choose_tasks(store, cfg.transfer.tasks)]
    how = TaskContexts.from_config(cfg.transfer.protocol, cfg.transfer.policy, cfg.train, cfg.seed)
    rows = [_draw_rows(store, task, cfg.grid.transfer_rows) for store, task in tasks]
    history = [baseline_predictions(s, task, how.protocol)["label_history"]["test"] for s, task in tasks]
    cells = grid_cells(cfg)
    for cell in tqdm(cells, desc="transfer of cells", unit="cell", leave=False):
        path = _path(cfg, grid, cell)
        if path.exists():
            continue
        model, found = load_checkpoint(grid.checkpoint_path(cell)), []
        facts = {"protocol": how.protocol, "policy": how.policy, "num_databases": grid.num_databases(cell)}
        facts |= {"tokens": cell.tokens, "seed": cell.seed}
        for (store, task), chosen, labels in zip(tasks, rows, history, strict=True):
            shown = predict_task(model, store, texts, task, "test", **how.options(), chosen=chosen, progress=False)
            both = {"label_history": labels[chosen], "zero-shot": shown}
            found += [row | facts for row in _scores(store, task, chosen, both)]
        write_csv(pd.DataFrame(found), path)
    for is_fresh in (True, False):
        paths = [_path(cfg, grid, cell) for cell in cells if cell.is_fresh is is_fresh]
        if paths:
            table = pd.concat(map(pd.read_csv, paths), ignore_index=True)
            write_csv(table, paths[0].parents[1] / "transfer_grid.csv")
    return table


def print_lifts(table: pd.DataFrame) -> None:
    """Mean lifts over label history, N by S."""
    for metric in lift_metrics(table):
        lifts = mean_lifts(table, metric).pivot(index="num_databases", columns="tokens", values="lift")
        print(f"\nMean zero-shot lift over label history in points of {metric} (rows N, columns S in tokens)")
        print(lifts.round(2).to_string())


def _path(cfg: DictConfig, grid: Grid, cell: Cell) -> Path:
    return grid.home(cell) / f"transfer_grid-{cfg.grid.transfer_rows}" / f"{cell.name}.csv"


def _draw_rows(store: Store, task: str, count: int) -> np.ndarray:
    """Positions of at most `count` random test rows with a target, rising."""
    known = np.flatnonzero(~np.isnan(store.task_targets(task, "test")))
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(0)))
    return np.sort(rng.permutation(known)[:count])


def _scores(store: Store, task: str, chosen: np.ndarray, predictions: Mapping[str, np.ndarray]) -> list[dict]:
    info, target = store.tasks[task], store.task_targets(task, "test")[chosen]
    train_std = store.target_std(task)
    intervals = bootstrap_intervals(info.task_type, target, predictions, "label_history", train_std)
    better = {metric: sign > 0 for metric, sign in lift_signs(info.task_type).items()}
    common = {"dataset": store.name, "task": task, "task_type": info.task_type, "split": "test"}
    return [
        common
        | {"model": model, "metric": metric, "value": value, **intervals[model, metric]}
        | {"higher_is_better": better[metric], "num_rows": len(target)}
        for model, prediction in predictions.items()
        for metric, value in score(info.task_type, target, prediction, train_std).items()
    ]
