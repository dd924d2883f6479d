"""python -m experiments.scaling: from nothing to scaling curves, fitted laws, a transfer table and a report.

Each stage skips what is complete on disk, so the same command continues an interrupted run.
"""

from __future__ import annotations

import math
from pathlib import Path

import hydra
import pandas as pd
import torch
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from analysis.loss_noise import loss_noise, noise_in_words
from analysis.results import loss_grid, loss_rows, read_results
from experiments.cells import Cell, fixed_sizes, grid_cells, job_cells, tokens_per_step
from experiments.contexts import POLICIES, PROTOCOLS, TaskContexts
from experiments.datasets import choose_tasks, open_dataset
from experiments.errors import ExperimentError, user_errors
from experiments.generate import generate, prior_from
from experiments.grid import Grid
from experiments.provenance import RunRecord
from experiments.report import make_report
from experiments.runtime import keep_memory, quiet_libraries, set_threads, several_processes
from experiments.tables import write_csv
from experiments.training import RunLogs, unusable_precision
from experiments.transfer import print_table, transfer_table
from experiments.transfer_grid import print_lifts, score_cells
from rfm.checkpoint import load_checkpoint, save_checkpoint
from rfm.errors import RfmError
from rfm.model import ModelConfig
from rfm.objective import Objective
from rfm.seeds import validation_seeds
from rfm.store import Store, TextTable, build_stores


def check_config(cfg: DictConfig) -> None:
    """Refuses a grid that cannot be run or fitted, naming every offending key at once.

    Raises:
        ExperimentError: with all complaints in one line.
    """
    complaints = several_processes(cfg.train) + unusable_precision(cfg.train) + _axis_complaints(cfg)
    if not OmegaConf.is_list(cfg.transfer.datasets):
        complaints.append(f"transfer.datasets must be a list, such as [nycflights13]; got {cfg.transfer.datasets}")
    if min(cfg.grid.fresh.window, cfg.grid.fresh.steps_each) < 1:
        complaints.append("grid.fresh.window and grid.fresh.steps_each must be at least 1")
    if cfg.corpus.num_validation < 1:
        complaints.append(f"corpus.num_validation must be at least 1, got {cfg.corpus.num_validation}")
    if cfg.grid.schedule not in ("wsd", "one_cycle"):
        complaints.append(f"grid.schedule must be wsd or one_cycle, got {cfg.grid.schedule!r}")
    if cfg.grid.num_seeds < 1:
        complaints.append(f"grid.num_seeds must be at least 1, got {cfg.grid.num_seeds}")
    if not 0 < cfg.grid.decay_frac < 1:
        complaints.append(f"grid.decay_frac must lie in (0, 1), got {cfg.grid.decay_frac}")
    try:
        Objective(cfg.train.objective, cfg.train.mask_rate)
    except RfmError as error:
        complaints.append(f"train: {error}")
    for key, known in (("protocol", PROTOCOLS), ("policy", POLICIES)):
        if cfg.transfer[key] not in known:
            complaints.append(f"transfer.{key} must be one of {', '.join(known)}, got {cfg.transfer[key]!r}")
    if cfg.logger.wandb not in ("online", "offline", "disabled"):
        complaints.append(f"logger.wandb must be online, offline or disabled, got {cfg.logger.wandb!r}")
    if complaints:
        raise ExperimentError("; ".join(complaints))


def _axis_complaints(cfg: DictConfig) -> list[str]:
    """What is wrong with the values of N and S, or of what depends on them."""
    axes = {"corpus.num_databases": cfg.corpus.num_databases, "grid.tokens": cfg.grid.tokens}
    wrong = [
        f"{key} must be a list of distinct positive whole numbers, such as [4,16]; got {values}"
        for key, values in axes.items()
        if not _is_axis(values)
    ]
    if wrong or not fixed_sizes(cfg):
        return wrong or ["corpus.num_databases needs a finite number beside inf"]
    alone = min(cfg.grid.tokens) / min(fixed_sizes(cfg))
    if cfg.grid.tokens_per_database is not None and cfg.grid.tokens_per_database < alone:
        wrong.append(
            f"grid.tokens_per_database must be null or at least {alone:.0f}, so that the smallest of "
            f"corpus.num_databases has the smallest of grid.tokens; got {cfg.grid.tokens_per_database}"
        )
    if not job_cells(cfg):
        wrong.append(f"job: no cell of the grid has num_databases={cfg.job.num_databases}, seed={cfg.job.seed}")
    steps = round(min(cfg.grid.tokens) / tokens_per_step(cfg))
    if cfg.grid.schedule == "wsd" and (1 - cfg.grid.decay_frac) * steps < cfg.train.warmup_steps:
        wrong.append(f"the smallest of grid.tokens is {steps} steps, too few for {cfg.train.warmup_steps} of warm-up")
    return wrong


def _is_axis(values: object) -> bool:
    """Whether a value is a list of distinct positive whole numbers, inf among them."""
    if not OmegaConf.is_list(values) or not values:
        return False
    sizes = [isinstance(v, int | float) and v >= 1 and (math.isinf(v) or v == int(v)) for v in values]
    return all(sizes) and len(set(values)) == len(values)


def identity(cfg: DictConfig) -> dict:
    """What the results in a run folder depend on; the grid's axes may be extended later."""
    tree = OmegaConf.to_container(cfg, resolve=True)
    keys = ("prior", "model", "train", "validation", "transfer", "seed", "text_model", "profile_name")
    shared = {key: tree[key] for key in keys}
    corpus = {k: v for k, v in tree["corpus"].items() if k != "num_databases"}
    grid = {
        k: v for k, v in tree["grid"].items() if k not in ("tokens", "tokens_per_database", "fresh", "transfer_rows")
    }
    if cfg.grid.num_seeds > 1:  # a seed's databases depend on the size of the pool that it starts in
        corpus["training_pool"] = max(fixed_sizes(cfg))
    return shared | {"corpus": corpus, "grid": grid}


def make_corpora(cfg: DictConfig, run_dir: Path) -> tuple[list[Path], list[Path]]:
    """The training pool (as many as the largest N) and the held-out validation databases."""
    common = dict(prior=prior_from(cfg.prior), max_fkeys=cfg.corpus.max_fkeys, workers=cfg.workers)
    largest = max(fixed_sizes(cfg))
    first, first_validation = cfg.corpus.first_seed, cfg.corpus.first_validation_seed
    training = generate(run_dir / "corpus" / "train", count=largest, first_seed=first, **common)
    held_out = generate(
        run_dir / "corpus" / "validation", count=cfg.corpus.num_validation, first_seed=first_validation, **common
    )
    both = {p.name for p in training} & {p.name for p in held_out}
    if both:
        raise ExperimentError(
            f"corpus.first_validation_seed={first_validation} makes {sorted(both)[0]} part of both pools; "
            "move it beyond the training seeds"
        )
    return training, held_out


def build_pools(cfg: DictConfig, run_dir: Path) -> tuple[list[Store], list[Store], TextTable]:
    """Stores of both pools, with one text table."""
    training, held_out = make_corpora(cfg, run_dir)
    stores, texts = build_stores([*training, *held_out], run_dir / "store", text_model=cfg.text_model)
    return stores[: len(training)], stores[len(training) :], texts


def best_cell(results: pd.DataFrame) -> Cell:
    """The cell with the lowest validation loss on held-out synthetic databases; no real data decides it."""
    losses = loss_rows(results)
    best = losses.loc[losses["value"].idxmin()]
    return Cell(*(int(best[name]) for name in ("num_databases", "step", "tokens", "seed")))


def run_transfer(cfg: DictConfig, run_dir: Path, grid: Grid, cell: Cell) -> pd.DataFrame:
    """transfer.csv: the cell's checkpoint on every task of every dataset, beside the baselines."""
    path = run_dir / "transfer.csv"
    if not _holds_transfer(path, cell):
        model = load_checkpoint(grid.checkpoint_path(cell))
        how = TaskContexts.from_config(cfg.transfer.protocol, cfg.transfer.policy, cfg.train, cfg.seed)
        tables = []
        for name in cfg.transfer.datasets:
            store, texts = open_dataset(name, run_dir / "store-real", cfg.text_model)
            tables.append(
                transfer_table(
                    model,
                    store,
                    texts,
                    choose_tasks(store, cfg.transfer.tasks),
                    how,
                    train_cfg=cfg.train,
                    finetune_steps=cfg.transfer.finetune_steps,
                    finetune_lr=cfg.transfer.finetune_lr,
                    num_databases=cell.num_databases,
                    tokens=cell.tokens,
                    seed=cell.seed,
                )
            )
        write_csv(pd.concat(tables, ignore_index=True), path)
    return pd.read_csv(path)  # as it is written, with rounded numbers, so that a later call prints the same


def _holds_transfer(path: Path, cell: Cell) -> bool:
    """Whether a transfer table is there and of this cell: a grid that grows may get another best one."""
    if not path.exists():
        return False
    checkpoints = pd.read_csv(path, usecols=["num_databases", "tokens", "seed"]).drop_duplicates()
    return checkpoints.to_dict("records") == [
        {"num_databases": cell.num_databases, "tokens": cell.tokens, "seed": cell.seed}
    ]


def check_transfer(cfg: DictConfig, run_dir: Path) -> None:
    """Opens the real databases and finds their tasks, so that a wrong name ends the run before hours of training."""
    for name in cfg.transfer.datasets:
        store, _ = open_dataset(name, run_dir / "store-real", cfg.text_model)
        choose_tasks(store, cfg.transfer.tasks)


def run(cfg: DictConfig) -> Path:
    """Every stage of a scaling run, or the cells of one job; returns the report's path, or the run folder."""
    check_config(cfg)
    run_dir = Path(cfg.run.dir)
    set_threads(cfg.threads)
    keep_memory()
    quiet_libraries()
    run_dir.mkdir(parents=True, exist_ok=True)
    if not is_job(cfg):
        check_transfer(cfg, run_dir)
    with FileLock(run_dir / ".lock"):  # jobs of a sweep start together: the first makes the databases
        record = RunRecord(
            run_dir,
            identity(cfg),
            profile=cfg.profile_name,
            prior=cfg.prior.name,
            seed=cfg.seed,
            model=OmegaConf.to_container(cfg.model),
            protocol=cfg.transfer.protocol,
        )
        with record.stage("corpora and stores"):
            training, held_out, texts = build_pools(cfg, run_dir)
    seeds = validation_seeds(held_out, cfg.validation.tasks_per_database, cfg.validation.rows_per_task, seed=cfg.seed)
    model = ModelConfig.from_dict(OmegaConf.to_container(cfg.model))
    logs = RunLogs.start(run_dir, cfg)
    grid = Grid(run_dir, training, held_out, seeds, texts, model, with_device(cfg), logs)
    if is_job(cfg):
        grid.run(job_cells(cfg))
        logs.finish()
        return run_dir
    with record.stage("pretraining grid"):
        grid.run(grid_cells(cfg))
    logs.finish()
    results = read_results(run_dir)
    print_losses(results, grid)
    best = best_cell(results)
    save_checkpoint(load_checkpoint(grid.checkpoint_path(best)), run_dir / "checkpoints" / "best")
    record.note(best_checkpoint=f"checkpoints/{best.name}")
    if cfg.transfer.datasets:
        with record.stage("transfer"):
            table = run_transfer(cfg, run_dir, grid, best)
        print(f"\nTransfer of {best.name}, protocol {cfg.transfer.protocol}; AUROC and R² in percent")
        print_table(table)
        if cfg.grid.transfer_rows:
            with record.stage("transfer of every cell"):
                print_lifts(score_cells(cfg, run_dir, grid))
    with record.stage("laws, figures, report"):
        report = make_report(run_dir)
    print(f"\n{report}")
    return report


def is_job(cfg: DictConfig) -> bool:
    """Whether this process trains a part of the grid alone."""
    return cfg.job.num_databases is not None or cfg.job.seed is not None


def with_device(cfg: DictConfig) -> DictConfig:
    """The configuration of one of several jobs on a machine with several GPUs: job k takes the k-th, in turn."""
    gpus = torch.cuda.device_count()
    if not is_job(cfg) or gpus < 2 or cfg.train.devices != 1:
        return cfg
    number = HydraConfig.get().job.num
    return OmegaConf.merge(cfg, {"train": {"devices": [number % gpus]}})


def print_losses(results: pd.DataFrame, grid: Grid) -> None:
    """The loss of every cell, those of fresh databases apart, and how sure it is; the latter also as noise.csv."""
    print("\nValidation loss on held-out synthetic databases (rows N, columns S in tokens)")
    print(loss_grid(results).round(4).to_string())
    fresh = [cell for cell in grid_cells(grid.cfg) if cell.is_fresh]
    if fresh:
        rows = loss_rows(pd.concat([read_results(grid.result_path(cell)) for cell in fresh], ignore_index=True))
        print("\nFresh databases for every step: N is how many were seen")
        print(rows.groupby(["tokens", "num_databases"])["value"].mean().round(4).to_string())
    noise = loss_noise(results)
    write_csv(noise, grid.run_dir / "noise.csv")
    print(f"\n{noise_in_words(noise)}")


@hydra.main(version_base="1.3", config_path="../conf", config_name="scaling")
def main(cfg: DictConfig) -> None:
    with user_errors():
        run(cfg)


if __name__ == "__main__":
    main()
