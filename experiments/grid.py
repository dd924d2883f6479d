"""The grid N x S: one trunk per N with a decay branch per S, or the paper's one-cycle run per cell.

A cell is finished when its results file exists; the file is written last. With `schedule=wsd` the learning rate of
a cell is warm-up, constant, then linear decay over the last `decay_frac` of its steps; the constant part is the same
for every S, so it is trained once (the trunk) and each S continues from the trunk's checkpoint at its own branch
step. Every cell therefore sees exactly the batches and rates that a run of its own would.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from analysis.results import write_rows
from experiments.provenance import git_commit
from experiments.training import make_loggers, train
from rfm.checkpoint import save_checkpoint
from rfm.datamodule import PretrainData
from rfm.model import ModelConfig
from rfm.module import OptimConfig, PretrainModule, ScheduleConfig
from rfm.predict import validation_loss
from rfm.store import Store, TextTable


@dataclass(frozen=True)
class Cell:
    """One point of the grid: `num_databases` (N) and training length in steps and tokens (S)."""

    num_databases: int
    steps: int
    tokens: int

    @property
    def name(self) -> str:
        return f"n{self.num_databases}-s{self.tokens}"


@dataclass(frozen=True)
class Grid:
    """All that the cells of one run share.

    train_stores are ordered: N databases are the first N. Everything is written below run_dir.
    """

    run_dir: Path
    train_stores: Sequence[Store]
    validation_stores: Sequence[Store]
    validation_seeds: Sequence
    texts: TextTable
    model: ModelConfig
    cfg: DictConfig

    def cells(self) -> Iterator[Cell]:
        """N by N, S rising."""
        per_step = self.cfg.train.batch_size * self.cfg.train.ctx_len
        for num_databases in sorted(self.cfg.corpus.num_databases):
            for tokens in sorted(self.cfg.grid.tokens):
                steps = max(2, round(tokens / per_step))
                yield Cell(num_databases, steps, steps * per_step)

    def result_path(self, cell: Cell) -> Path:
        return self.run_dir / "results" / f"{cell.name}.parquet"

    def checkpoint_path(self, cell: Cell) -> Path:
        return self.run_dir / "checkpoints" / cell.name

    def is_done(self, cell: Cell) -> bool:
        return self.result_path(cell).exists()

    def decay_steps(self, cell: Cell) -> int:
        return max(1, round(self.cfg.grid.decay_frac * cell.steps))

    def run(self) -> None:
        """Trains and measures every cell that is not finished yet."""
        cells = list(self.cells())
        for number, cell in enumerate(cells, 1):
            if self.is_done(cell):
                continue
            print(f"[{number}/{len(cells)}] N = {cell.num_databases}, S = {cell.tokens:,} tokens", flush=True)
            start = time.perf_counter()
            module = self._train_cell(cell)
            self._measure(cell, module, time.perf_counter() - start)

    def _train_cell(self, cell: Cell) -> PretrainModule:
        loggers = make_loggers(self.run_dir, cell.name, self.cfg.logger.wandb)
        if self.cfg.grid.schedule == "one_cycle":
            schedule = ScheduleConfig("one_cycle", max_steps=cell.steps)
            return self._fit(cell, schedule, self.run_dir / "training" / cell.name, None, loggers)
        branch_step = cell.steps - self.decay_steps(cell)
        trunk = self._extend_trunk(cell.num_databases, branch_step)
        schedule = ScheduleConfig(
            "wsd", max_steps=cell.steps, warmup_steps=self.cfg.train.warmup_steps, decay_steps=self.decay_steps(cell)
        )
        return self._fit(cell, schedule, self.run_dir / "training" / cell.name, trunk, loggers)

    def _extend_trunk(self, num_databases: int, until: int) -> Path:
        """The trunk's checkpoint at step `until`, trained on from the newest one before it."""
        directory = self.run_dir / "training" / f"n{num_databases}-trunk"
        path = directory / f"step-{until}.ckpt"
        if not path.exists():
            schedule = ScheduleConfig("wsd", max_steps=until, warmup_steps=self.cfg.train.warmup_steps, decay_steps=0)
            cell = Cell(num_databases, until, 0)
            loggers = make_loggers(self.run_dir, f"n{num_databases}-trunk", "disabled")
            self._fit(cell, schedule, directory, None, loggers)
        return path

    def _fit(
        self, cell: Cell, schedule: ScheduleConfig, directory: Path, start: Path | None, loggers: Sequence[Logger]
    ) -> PretrainModule:
        cfg = self.cfg.train
        module = PretrainModule(self.model, OptimConfig(cfg.lr, cfg.weight_decay, tuple(cfg.betas)), schedule)
        data = PretrainData(
            self.train_stores[: cell.num_databases],
            self.texts,
            ctx_len=cfg.ctx_len,
            batch_size=cfg.batch_size,
            max_bfs_width=cfg.max_bfs_width,
            mask_frac=cfg.mask_frac,
            seed=self.cfg.seed,
        )
        branch_steps = [c.steps - self.decay_steps(c) for c in self.cells()]
        train(
            module,
            data,
            cfg,
            max_steps=cell.steps,
            directory=directory,
            keep=branch_steps if schedule.decay_steps == 0 else [],
            start=start,
            loggers=loggers,
        )
        return module

    def _measure(self, cell: Cell, module: PretrainModule, wall_s: float) -> None:
        losses = validation_loss(
            module.model,
            self.validation_stores,
            self.texts,
            self.validation_seeds,
            ctx_len=self.cfg.train.ctx_len,
            max_bfs_width=self.cfg.train.max_bfs_width,
            batch_size=self.cfg.train.batch_size,
        )
        save_checkpoint(module.model, self.checkpoint_path(cell))
        params = sum(p.numel() for p in module.model.parameters())
        common = dict(
            run=self.run_dir.name,
            profile=self.cfg.profile_name,
            prior=self.cfg.prior.name,
            num_databases=cell.num_databases,
            tokens=cell.tokens,
            step=cell.steps,
            seed=self.cfg.seed,
            params=params,
            flops=6.0 * params * cell.tokens,  # matrix products with weights; attention scores are not counted
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
        print(f"    validation loss {mean['value']:.4f}", flush=True)
