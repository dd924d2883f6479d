"""The cells of a scaling grid: (N, S, seed), as the configuration alone decides them."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import DictConfig


@dataclass(frozen=True)
class Cell:
    """One run of the grid: `num_databases` (N), training length in steps and tokens (S), and its seed."""

    num_databases: int
    steps: int
    tokens: int
    seed: int

    @property
    def name(self) -> str:
        return f"n{self.num_databases}-s{self.tokens}-seed{self.seed}"

    @property
    def trunk(self) -> str:
        """Name of the constant-rate training that the cells of one N and seed share (schedule wsd)."""
        return f"n{self.num_databases}-trunk-seed{self.seed}"


def tokens_per_step(cfg: DictConfig) -> int:
    """Context positions of an optimizer step on one device."""
    return cfg.train.batch_size * cfg.train.accumulate * cfg.train.ctx_len


def grid_seeds(cfg: DictConfig) -> range:
    """The seeds of every (N, S)."""
    return range(cfg.seed, cfg.seed + cfg.grid.num_seeds)


def grid_cells(cfg: DictConfig) -> list[Cell]:
    """Seed by seed, N by N, S rising, so that an early stop leaves whole grids."""
    lengths = [max(2, round(tokens / tokens_per_step(cfg))) for tokens in sorted(cfg.grid.tokens)]
    return [
        Cell(num_databases, steps, steps * tokens_per_step(cfg), seed)
        for seed in grid_seeds(cfg)
        for num_databases in sorted(cfg.corpus.num_databases)
        for steps in lengths
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
