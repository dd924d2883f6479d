"""Zero-shot transfer of every cell of a grid: does it rise with N and S?

    run_dir/grid_transfer-<rows>/<cell>.csv   rows like those of transfer.csv (model zero-shot, test rows), and
                                              `lift` over label history, `is_fresh`
    run_dir/grid_transfer.csv                 all of them

Scores are of at most so many test rows of each task, the same for every cell, drawn once: a curve along the grid, not
the scores to quote.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from tqdm import tqdm

from experiments.baselines.trivial import baseline_predictions
from experiments.cells import grid_cells
from experiments.contexts import TaskContexts
from experiments.datasets import choose_tasks, open_datasets
from experiments.grid import Grid
from experiments.intervals import bootstrap_scores, lift_signs, percentiles
from rfm.checkpoint import load_checkpoint
from rfm.metrics import score
from rfm.predict import predict_task
from rfm.store import Store


def score_cells(cfg: DictConfig, run_dir: Path, grid: Grid) -> pd.DataFrame:
    """Scores every cell that is not scored yet, and writes all of them together."""
    stores, texts = open_datasets(cfg.transfer.datasets, run_dir / "store-real", cfg.text_model)
    tasks = [(store, task) for store in stores for task in choose_tasks(store, cfg.transfer.tasks)]
    how = TaskContexts.from_config(cfg.transfer.protocol, cfg.transfer.policy, cfg.train, cfg.seed)
    chosen = {(store.name, task): _draw_rows(store, task, cfg.grid.transfer_rows) for store, task in tasks}
    history = {
        (store.name, task): baseline_predictions(store, task, how.protocol)["label_history"]["test"]
        for store, task in tasks
    }
    folder = run_dir / f"grid_transfer-{cfg.grid.transfer_rows}"
    folder.mkdir(exist_ok=True)
    cells = grid_cells(cfg)
    for cell in tqdm(cells, desc="transfer of cells", unit="cell", leave=False):
        path = folder / f"{cell.name}.csv"
        if path.exists():
            continue
        model, rows = load_checkpoint(grid.checkpoint_path(cell)), []
        facts = {"protocol": how.protocol, "policy": how.policy, "num_databases": grid.num_databases(cell)}
        facts |= {"tokens": cell.tokens, "seed": cell.seed, "is_fresh": cell.is_fresh}
        for store, task in tasks:
            part = chosen[store.name, task]
            found = predict_task(model, store, texts, task, "test", **how.options(), chosen=part, progress=False)
            rows += [row | facts for row in _rows(store, task, part, found, history[store.name, task][part])]
        _write(pd.DataFrame(rows), path)
    table = pd.concat([pd.read_csv(folder / f"{cell.name}.csv") for cell in cells], ignore_index=True)
    _write(table, run_dir / "grid_transfer.csv")
    return table


def mean_lifts(table: pd.DataFrame) -> pd.DataFrame:
    """Mean lift over label history, in points of AUROC or R² over tasks and seeds: N (index) x S (columns)."""
    rows = table[table["metric"].isin(("auroc", "r2")) & ~table["is_fresh"]]
    return rows.groupby(["num_databases", "tokens"])["lift"].mean().unstack("tokens")


def print_lifts(table: pd.DataFrame) -> None:
    """`mean_lifts`, said what it is."""
    print("\nMean zero-shot lift over label history, points of AUROC or R² (rows N, columns S in tokens)")
    print(mean_lifts(table).round(2).to_string())


def _draw_rows(store: Store, task: str, count: int) -> np.ndarray:
    """Positions of at most `count` random test rows with a target, rising."""
    known = np.flatnonzero(~np.isnan(store.task_targets(task, "test")))
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(0)))
    return np.sort(rng.permutation(known)[:count])


def _rows(store: Store, task: str, chosen: np.ndarray, prediction: np.ndarray, history: np.ndarray) -> list[dict]:
    info, target = store.tasks[task], store.task_targets(task, "test")[chosen]
    train_std = float(np.nanstd(store.task_targets(task, "train"), ddof=1))
    both = {"zero-shot": prediction, "label_history": history}
    drawn = bootstrap_scores(info.task_type, target, both, train_std)
    values = {model: score(info.task_type, target, found, train_std) for model, found in both.items()}
    common = {"dataset": store.name, "task": task, "task_type": info.task_type, "split": "test", "model": "zero-shot"}
    found = []
    for metric, sign in lift_signs(info.task_type).items():
        lifts = sign * (drawn["zero-shot", metric] - drawn["label_history", metric])
        (lower, upper), (lift_lower, lift_upper) = percentiles(drawn["zero-shot", metric]), percentiles(lifts)
        row = common | {"metric": metric, "value": values["zero-shot"][metric], "lower": lower, "upper": upper}
        row["lift"] = sign * (values["zero-shot"][metric] - values["label_history"][metric])
        row |= {"lift_lower": lift_lower, "lift_upper": lift_upper, "higher_is_better": sign > 0}
        found.append(row | {"num_rows": len(target)})
    return found


def _write(table: pd.DataFrame, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    table.to_csv(temporary, index=False, float_format="%.6g")
    os.replace(temporary, path)
