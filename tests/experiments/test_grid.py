"""Which cells a grid has, on which databases they train, and what happens when one fails."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from experiments.cells import Cell, FreshPlan, fresh_databases, grid_cells, job_cells, trained_steps
from experiments.errors import ExperimentError
from experiments.grid import Grid

CONFIG = {
    "seed": 3,
    "corpus": {"num_databases": [4, 1]},
    "grid": {
        "tokens": [640, 320],
        "tokens_per_database": None,
        "num_seeds": 2,
        "schedule": "one_cycle",
        "decay_frac": 0.2,
    },
    "job": {"num_databases": None, "seed": None},
    "train": {"batch_size": 2, "accumulate": 1, "ctx_len": 16, "warmup_steps": 1},
}


def make_grid(run_dir: Path, pool_size: int = 6) -> Grid:
    pool = [SimpleNamespace(name=f"db-{i}") for i in range(pool_size)]
    return Grid(run_dir, pool, [], ((), (), ()), None, None, OmegaConf.create(CONFIG), None)


def test_cells_are_whole_grids_seed_by_seed() -> None:
    cells = grid_cells(OmegaConf.create(CONFIG))
    assert [(c.seed, c.num_databases, c.tokens, c.steps) for c in cells] == [
        (seed, n, s, s // 32) for seed in (3, 4) for n in (1, 4) for s in (320, 640)
    ]
    assert len({c.name for c in cells}) == 8


def test_few_databases_are_trained_on_for_a_part_of_the_tokens() -> None:
    cfg = OmegaConf.create(CONFIG)
    cfg.grid.tokens_per_database, cfg.corpus.num_databases = 320, [1, 2, float("inf")]
    found = {
        n: [c.tokens for c in grid_cells(cfg) if (c.num_databases, c.seed) == (n, 3)] for n in (1, 2, float("inf"))
    }
    assert found == {1: [320], 2: [320, 640], float("inf"): [320, 640]}


def test_seeds_train_on_databases_of_their_own_where_the_pool_allows(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    names = {(n, seed): [s.name for s in grid.databases(n, seed)] for n in (1, 3, 4, 6) for seed in (3, 4)}
    for n in (1, 3):
        assert not set(names[n, 3]) & set(names[n, 4])
    for seed in (3, 4):
        assert names[4, seed][:3] == names[3, seed] and len(set(names[4, seed])) == 4  # nested, none twice
        assert sorted(names[6, seed]) == [f"db-{i}" for i in range(6)]


def test_a_failed_cell_does_not_stop_the_others(tmp_path: Path, monkeypatch, capsys) -> None:
    measured = []

    def train(self: Grid, cell: Cell) -> None:
        if cell.num_databases == 4 and cell.seed == 3:
            raise ExperimentError("the loss is not finite")

    def measure(self: Grid, cell: Cell, module: object, wall_s: float) -> None:
        measured.append(cell.name)
        self.result_path(cell).parent.mkdir(exist_ok=True)
        self.result_path(cell).touch()

    monkeypatch.setattr(Grid, "_train_cell", train)
    monkeypatch.setattr(Grid, "_measure", measure)
    grid = make_grid(tmp_path)
    with pytest.raises(ExperimentError, match=r"2 of 8 cells failed .*n4-s320-seed3: the loss is not finite"):
        grid.run(grid_cells(grid.cfg))
    assert len(measured) == 6 and "n4-s640-seed4" in measured
    assert "failed: the loss is not finite" in capsys.readouterr().out

    monkeypatch.setattr(Grid, "_train_cell", lambda self, cell: None)
    grid.run(grid_cells(grid.cfg))
    assert len(measured) == 8 and measured[6:] == ["n4-s320-seed3", "n4-s640-seed3"]


def test_steps_of_a_whole_grid_count_a_shared_trunk_once() -> None:
    cfg = OmegaConf.create(CONFIG)
    assert trained_steps(cfg) == 4 * (10 + 20)
    cfg.grid.schedule = "wsd"  # per N and seed: trunk to step 16, decays of 2 and 4 steps
    assert trained_steps(cfg) == 4 * (16 + 2 + 4)


def test_a_job_is_a_part_of_the_grid_and_all_jobs_are_the_whole() -> None:
    cfg = OmegaConf.create(CONFIG)
    jobs = []
    for n in (1, 4):
        for seed in (3, 4):
            cfg.job = {"num_databases": n, "seed": seed}
            assert {(c.num_databases, c.seed) for c in job_cells(cfg)} == {(n, seed)}
            jobs += job_cells(cfg)
    cfg.job = {"num_databases": None, "seed": None}
    assert sorted(c.name for c in jobs) == sorted(c.name for c in job_cells(cfg)) and len(jobs) == 8


def test_every_fresh_database_serves_as_long_as_the_others() -> None:
    plan = FreshPlan(window=3, steps_each=2)
    served = [number for step in range(100) for number in plan.databases(step)]
    assert [served.count(number) for number in range(2, 40)] == [3 * 2] * 38
    assert all(len(plan.databases(step)) == 3 for step in range(100))
    assert [plan.num_databases(steps) for steps in (1, 2, 3, 100)] == [3, 3, 4, 52]


def test_fresh_databases_of_a_grid_count_a_shared_trunk_once() -> None:
    cfg = OmegaConf.create(CONFIG)
    assert fresh_databases(cfg) == 0
    cfg.corpus.num_databases = [1, float("inf")]
    cfg.grid.fresh = {"window": 1, "steps_each": 2}  # 10 and 20 steps: 5 and 10 databases
    assert fresh_databases(cfg) == 2 * (5 + 10)
    cfg.grid.schedule = "wsd"  # trunk to step 16: 8; branches 8 to 10 and 16 to 20: 1 and 2
    assert fresh_databases(cfg) == 2 * (8 + 1 + 2)
