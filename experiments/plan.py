"""python -m experiments.plan profile=...: what a scaling run costs, estimated on this machine before any of it runs."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import hydra
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from experiments.cells import fixed_sizes, fresh_databases, grid_cells, tokens_per_step, trained_steps
from experiments.errors import user_errors
from experiments.generate import generate, prior_from
from experiments.pretrain import make_schedule, pretrain, pretrain_batches
from experiments.runtime import keep_memory, quiet_libraries, set_threads
from experiments.scaling import check_config
from experiments.training import RunLogs
from rfm.model import ModelConfig, cost
from rfm.predict import validation_loss
from rfm.seeds import validation_seeds
from rfm.store import build_stores

SAMPLE_DATABASES = 4
SAMPLE_SECONDS = 15.0
WARM_UP_STEPS = 5


@dataclass(frozen=True)
class Measured:
    """Costs of one unit of work on this machine, in seconds and bytes."""

    database_s: float  # generated and stored, by one process
    database_bytes: float
    tokens_per_s: float  # of training
    validation_cell_s: float
    checkpoint_bytes: int  # resumable: weights and the optimiser's moments


def measure(cfg: DictConfig) -> Measured:
    """Makes some databases of the prior, trains and validates on them for a moment; leaves nothing on the disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common = dict(prior=prior_from(cfg.prior), max_fkeys=cfg.corpus.max_fkeys, workers=1)
        generate(folder / "warm-up", count=1, first_seed=cfg.corpus.first_validation_seed, **common)
        start = time.perf_counter()
        paths = generate(folder / "corpus", count=SAMPLE_DATABASES, first_seed=cfg.corpus.first_seed, **common)
        stores, texts = build_stores(paths, folder / "store", text_model=cfg.text_model, progress=False)
        database_s = (time.perf_counter() - start) / SAMPLE_DATABASES
        used = sum(path.stat().st_size for part in ("corpus", "store") for path in (folder / part).rglob("*.*"))

        model = ModelConfig.from_dict(OmegaConf.to_container(cfg.model))
        logs = RunLogs(folder, None)
        rate, steps = 0.0, WARM_UP_STEPS
        for training in ("warm-up", "sample"):
            schedule = make_schedule("one_cycle", steps, 0, cfg.train)
            how = dict(seed=cfg.seed, directory=folder / training, name=training, logs=logs)
            batches = pretrain_batches(stores, texts, cfg.train, cfg.seed, model.label_history)
            module = pretrain(batches, model, schedule, cfg.train, **how)
            curve = pd.read_csv(folder / "logs" / training / "from-0" / "metrics.csv")
            rate = float(curve["tokens_per_s"].median())
            steps = max(2 * WARM_UP_STEPS, round(SAMPLE_SECONDS * rate / tokens_per_step(cfg)))
        checkpoint_bytes = max(path.stat().st_size for path in folder.rglob("step-*.ckpt"))

        seeds = validation_seeds(stores, cfg.validation.tasks_per_database, cfg.validation.rows_per_task)
        options = {key: cfg.train[key] for key in ("ctx_len", "policy", "max_bfs_width", "batch_size")}
        start = time.perf_counter()
        validation_loss(module.model, stores, texts, seeds, progress=False, **options)
        validation_cell_s = (time.perf_counter() - start) / len(seeds[0])
    return Measured(database_s, used / SAMPLE_DATABASES, rate, validation_cell_s, checkpoint_bytes)


def plan(cfg: DictConfig, measured: Measured) -> pd.DataFrame:
    """One row per stage (`stage`, `work`, `seconds`, `bytes`), then their sum; transfer and report are left out."""
    cells, tokens = grid_cells(cfg), trained_steps(cfg) * tokens_per_step(cfg)
    num_databases = max(fixed_sizes(cfg)) + cfg.corpus.num_validation
    operations = cost(ModelConfig.from_dict(OmegaConf.to_container(cfg.model)), keys_per_cell=0).training * tokens
    validated = (
        len(cells) * cfg.corpus.num_validation * cfg.validation.tasks_per_database * cfg.validation.rows_per_task
    )
    stages = [
        (
            "corpora and stores",
            f"{num_databases} databases, {cfg.workers} at a time",
            num_databases * measured.database_s / cfg.workers,
            num_databases * measured.database_bytes,
        ),
        (
            "pretraining",
            f"{len(cells)} cells, {tokens / 1e6:,.1f} M tokens, {operations:.1e} FLOPs",
            tokens / measured.tokens_per_s,
            2 * len(cells) * measured.checkpoint_bytes,  # of each cell its branch and its end
        ),
        ("validation", f"up to {validated:,} contexts", validated * measured.validation_cell_s, 0.0),
    ]
    fresh = fresh_databases(cfg)
    if fresh:
        work = f"{fresh:,} databases while training, {cfg.workers} at a time"
        stages.append(("fresh databases", work, fresh * measured.database_s / cfg.workers, 0.0))
    table = pd.DataFrame(stages, columns=["stage", "work", "seconds", "bytes"])
    table.loc[len(table)] = ["together", "", table["seconds"].sum(), table["bytes"].sum()]
    return table


@hydra.main(version_base="1.3", config_path="../conf", config_name="scaling")
def main(cfg: DictConfig) -> None:
    with user_errors():
        check_config(cfg)
        threads = set_threads(cfg.threads)
        keep_memory()
        quiet_libraries()
        print(f"N = {sorted(cfg.corpus.num_databases)} databases of the prior {cfg.prior.name}")
        print(
            f"S = {sorted(cfg.grid.tokens)} tokens, seeds per cell: {cfg.grid.num_seeds}, schedule {cfg.grid.schedule}"
        )
        print("measuring this machine ...", flush=True)
        measured = measure(cfg)
        table = plan(cfg, measured)
        table["time"] = [str(timedelta(seconds=round(seconds))) for seconds in table.pop("seconds")]
        table["disk"] = [f"{size / 1e6:,.0f} MB" for size in table.pop("bytes")]
        print(table.to_string(index=False))
        print(
            f"measured: {measured.tokens_per_s:,.0f} tokens/s with {threads} threads, "
            f"{measured.database_s:.2f} s a database; transfer to real databases and the report come on top"
        )


if __name__ == "__main__":
    main()
