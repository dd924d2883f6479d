"""The grid N x S: one trunk per N with a decay branch per S, or the paper's one-cycle run per cell.

A cell is finished when its results file exists; the file is written last. With `schedule=wsd` the learning rate of
a cell is warm-up, constant, then linear decay over the last `decay_frac` of its steps; the constant part is the same
for every S, so it is trained once (the trunk) and each S continues from the trunk's checkpoint at its own branch
step. Every cell therefore sees exactly the batches and rates that a run of its own would.

With N = inf the databases are generated while training runs (`experiments.fresh`); results and checkpoints of these
cells lie in run_dir/fresh-<window>x<steps each>/, in the same formats, with the number of databases seen as N.

A seed draws the weights, the batches and the databases: of k seeds, each starts one k-th further in the training pool,
so that where N is small the seeds train on different databases and their spread includes that of the prior.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from analysis.results import write_rows
from experiments.cells import Cell, decay_steps, fresh_plan, grid_cells, grid_seeds
from experiments.errors import ExperimentError
from experiments.fresh import FreshDatabases, first_fresh_seed
from experiments.generate import prior_from
from experiments.pretrain import make_schedule, pretrain, pretrain_batches
from experiments.provenance import git_commit
from experiments.training import RunLogs
from plurel.errors import PlurelError
from rfm.checkpoint import save_checkpoint
from rfm.datamodule import BatchSource
from rfm.errors import RfmError
from rfm.model import ModelConfig, cost
from rfm.module import PretrainModule
from rfm.predict import validation_loss
from rfm.schedule import ScheduleConfig
from rfm.store import Store, TextTable


@dataclass(frozen=True)
class Grid:
    """All that the cells of one run share.

    train_stores are ordered: N databases are N in a row. Everything is written below run_dir.
    """

    run_dir: Path
    train_stores: Sequence[Store]
    validation_stores: Sequence[Store]
    validation_seeds: Sequence
    texts: TextTable
    model: ModelConfig
    cfg: DictConfig
    logs: RunLogs

    def databases(self, num_databases: int, seed: int) -> list[Store]:
        """The N training databases of a seed."""
        start = grid_seeds(self.cfg).index(seed) * len(self.train_stores) // self.cfg.grid.num_seeds
        pool = [*self.train_stores[start:], *self.train_stores[:start]]
        return pool[:num_databases]

    def num_databases(self, cell: Cell) -> int:
        """N as results record it: of a fresh cell the databases that it has seen."""
        return fresh_plan(self.cfg).num_databases(cell.steps) if cell.is_fresh else int(cell.num_databases)

    def result_path(self, cell: Cell) -> Path:
        return self.home(cell) / "results" / f"{cell.name}.parquet"

    def checkpoint_path(self, cell: Cell) -> Path:
        return self.home(cell) / "checkpoints" / cell.name

    def home(self, cell: Cell) -> Path:
        """The folder below which results and checkpoints of a cell lie."""
        if not cell.is_fresh:
            return self.run_dir
        plan = fresh_plan(self.cfg)
        return self.run_dir / f"fresh-{plan.window}x{plan.steps_each}"

    def is_done(self, cell: Cell) -> bool:
        return self.result_path(cell).exists()

    def run(self, cells: Sequence[Cell]) -> None:
        """Trains and measures each of `cells` that is not finished yet; one that fails does not stop the others.

        Raises:
            ExperimentError: after the last cell, naming those that failed; the next call tries them again.
        """
        failed = []
        for number, cell in enumerate(cells, 1):
            if self.is_done(cell):
                continue
            label = f"[{number}/{len(cells)}] N = {cell.num_databases}, S = {cell.tokens:,} tokens, seed {cell.seed}"
            print(label, flush=True)
            start = time.perf_counter()
            try:
                module = self._train_cell(cell)
            except (ExperimentError, PlurelError, RfmError) as error:
                print(f"{label}: failed: {error}", flush=True)
                failed.append(f"{cell.name}: {error}")
                continue
            self._measure(cell, module, time.perf_counter() - start)
        if failed:
            raise ExperimentError(
                f"{len(failed)} of {len(cells)} cells failed and are tried again by the next call: {'; '.join(failed)}"
            )

    def _train_cell(self, cell: Cell) -> PretrainModule:
        decay = decay_steps(cell, self.cfg)
        schedule = make_schedule(self.cfg.grid.schedule, cell.steps, decay, self.cfg.train)
        start = None
        if self.cfg.grid.schedule == "wsd":
            start = self._extend_trunk(cell, cell.steps - decay)
        return self._pretrain(cell, schedule, cell.name, start=start)

    def _extend_trunk(self, cell: Cell, until: int) -> Path:
        """The checkpoint at step `until` of the cell's trunk, trained on from the newest one before it."""
        path = self.home(cell) / "training" / cell.trunk / f"step-{until}.ckpt"
        if not path.exists():
            schedule = make_schedule("wsd", until, 0, self.cfg.train)
            own = [c for c in grid_cells(self.cfg) if c.trunk == cell.trunk]
            branches = [c.steps - decay_steps(c, self.cfg) for c in own]
            self._pretrain(cell, schedule, cell.trunk, keep=branches)
        return path

    def _pretrain(self, cell: Cell, schedule: ScheduleConfig, name: str, **how: Any) -> PretrainModule:
        with self._batches(cell) as batches:
            return pretrain(
                batches,
                self.model,
                schedule,
                self.cfg.train,
                seed=cell.seed,
                directory=self.home(cell) / "training" / name,
                name=name,
                logs=self.logs,
                **how,
            )

    @contextmanager
    def _batches(self, cell: Cell) -> Iterator[BatchSource]:
        """Of the fixed databases of the cell, or of fresh ones, which are gone afterwards."""
        if not cell.is_fresh:
            stores = self.databases(cell.num_databases, cell.seed)
            yield pretrain_batches(stores, self.texts, self.cfg.train, cell.seed, self.model.label_history)
            return
        databases = FreshDatabases(
            self.home(cell) / f"databases-{cell.seed}",
            prior_from(self.cfg.prior),
            fresh_plan(self.cfg),
            self.texts,
            lambda stores, texts: pretrain_batches(stores, texts, self.cfg.train, cell.seed, self.model.label_history),
            first_seed=first_fresh_seed(cell.seed),
            max_fkeys=self.cfg.corpus.max_fkeys,
            workers=self.cfg.workers,
        )
        with closing(databases):
            yield databases

    def _measure(self, cell: Cell, module: PretrainModule, wall_s: float) -> None:
        losses = validation_loss(
            module.model,
            self.validation_stores,
            self.texts,
            self.validation_seeds,
            ctx_len=self.cfg.train.ctx_len,
            policy=self.cfg.train.policy,
            max_bfs_width=self.cfg.train.max_bfs_width,
            batch_size=self.cfg.train.batch_size,
        )
        save_checkpoint(module.model, self.checkpoint_path(cell))
        params = sum(p.numel() for p in module.model.parameters())
        common = dict(
            run=self.run_dir.name,
            profile=self.cfg.profile_name,
            prior=self.cfg.prior.name,
            num_databases=self.num_databases(cell),
            tokens=cell.tokens,
            step=cell.steps,
            seed=cell.seed,
            params=params,
            flops=cost(self.model, keys_per_cell=0).training
            * cell.tokens,  # products with weights; no attention scores
            wall_s=wall_s,
            git=git_commit(),
            split="val",
            metric="loss",
            task="",
        )
        per_database = [
            common | dict(dataset=store.name, value=float(loss))
            for store, loss in zip(self.validation_stores, losses, strict=True)
        ]
        mean = common | dict(dataset="synthetic-val", value=float(np.mean(losses)))
        write_rows(self.result_path(cell), [mean, *per_database])
        self.logs.log({"validation_loss": mean["value"], "num_databases": cell.num_databases, "tokens": cell.tokens})
        print(f"    validation loss {mean['value']:.4f}", flush=True)
