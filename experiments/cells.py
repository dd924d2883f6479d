"""The cells of a scaling grid: (N, S, seed), as the configuration alone decides them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from omegaconf import DictConfig


@dataclass(frozen=True)
class Cell:
    """One run of the grid: `num_databases` (N), training length in steps and tokens (S), and its seed.

    N is inf where databases are generated while training runs (`experiments.fresh`).
    """

    num_databases: int | float
    steps: int
    tokens: int
    seed: int

    @property
    def name(self) -> str:
        return f"n{self.num_databases}-s{self.tokens}-seed{self.seed}"

    @property
    def is_fresh(self) -> bool:
        return math.isinf(self.num_databases)

    @property
    def trunk(self) -> str:
        """Name of the constant-rate training that the cells of one N and seed share (schedule wsd)."""
        return f"n{self.num_databases}-trunk-seed{self.seed}"


@dataclass(frozen=True)
class FreshPlan:
    """Which of a seed's numbered, freshly generated databases feed which step.

    Batch `step` draws from `window` databases in a row; after each `steps_each` steps the oldest leaves and the next
    one joins, so that a database serves window x steps_each steps.
    """

    window: int
    steps_each: int

    def databases(self, step: int) -> range:
        """Numbers of the databases of a batch."""
        first = step // self.steps_each
        return range(first, first + self.window)

    def num_databases(self, steps: int) -> int:
        """How many a training of that many steps has seen."""
        return self.databases(steps - 1).stop


def fresh_plan(cfg: DictConfig) -> FreshPlan:
    """From `grid.fresh` of the configuration."""
    return FreshPlan(cfg.grid.fresh.window, cfg.grid.fresh.steps_each)


def fixed_sizes(cfg: DictConfig) -> list[int]:
    """The finite N, rising."""
    return sorted(n for n in cfg.corpus.num_databases if not math.isinf(n))


def tokens_per_step(cfg: DictConfig) -> int:
    """Context positions of an optimizer step on one device."""
    return cfg.train.batch_size * cfg.train.accumulate * cfg.train.ctx_len


def grid_seeds(cfg: DictConfig) -> range:
    """The seeds of every (N, S)."""
    return range(cfg.seed, cfg.seed + cfg.grid.num_seeds)


def grid_cells(cfg: DictConfig) -> list[Cell]:
    """Seed by seed, N by N, S rising, so that an early stop leaves whole grids.

    With `grid.tokens_per_database` few databases are not trained on long after they are known by heart.
    """
    per_database = math.inf if cfg.grid.tokens_per_database is None else cfg.grid.tokens_per_database
    return [
        Cell(num_databases, steps, steps * tokens_per_step(cfg), seed)
        for seed in grid_seeds(cfg)
        for num_databases in sorted(cfg.corpus.num_databases)
        for tokens in sorted(cfg.grid.tokens)
        if tokens <= per_database * num_databases
        for steps in [max(2, round(tokens / tokens_per_step(cfg)))]
    ]


def job_cells(cfg: DictConfig) -> list[Cell]:
    """The cells of `job`, or all of the grid."""
    wanted = (cfg.job.num_databases, cfg.job.seed)
    return [
        cell
        for cell in grid_cells(cfg)
        if all(want is None or have == want for have, want in zip((cell.num_databases, cell.seed), wanted, strict=True))
    ]


def decay_steps(cell: Cell, cfg: DictConfig) -> int:
    """Steps at the end of a cell in which the rate falls (schedule wsd)."""
    return max(1, round(cfg.grid.decay_frac * cell.steps))


def trained_steps(cfg: DictConfig) -> int:
    """Optimizer steps of the whole grid; what cells share counts once."""
    cells = grid_cells(cfg)
    if cfg.grid.schedule != "wsd":
        return sum(cell.steps for cell in cells)
    trunks: dict[str, int] = {}
    for cell in cells:
        trunks[cell.trunk] = max(trunks.get(cell.trunk, 0), cell.steps - decay_steps(cell, cfg))
    return sum(trunks.values()) + sum(decay_steps(cell, cfg) for cell in cells)


def fresh_databases(cfg: DictConfig) -> int:
    """Databases that the trainings with N = inf generate, all together; what cells share counts once."""
    cells = [cell for cell in grid_cells(cfg) if cell.is_fresh]
    if not cells:
        return 0
    plan = fresh_plan(cfg)
    whole = [plan.num_databases(cell.steps) for cell in cells]
    if cfg.grid.schedule != "wsd":
        return sum(whole)
    branches = [cell.steps - decay_steps(cell, cfg) for cell in cells]
    trunk = cfg.grid.num_seeds * plan.num_databases(max(1, max(branches)))
    return trunk + sum(n - plan.databases(start).start for n, start in zip(whole, branches, strict=True))
