"""Scores of every cell of a grid lie where the analysis looks for them, and none is computed twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import experiments.calibration as calibration
import experiments.transfer_grid as transfer_grid
from analysis.envelope import OTHER_AXIS
from analysis.report.run_files import RunFiles
from analysis.results import write_rows
from analysis.transfer import mean_lifts
from analysis.transfer_figures import lift_plots, plot_lift
from experiments.cells import Cell
from experiments.grid import Grid
from rfm.store import Store

CONF = Path(__file__).resolve().parents[2] / "conf"
GRID = ["corpus.num_databases=[1,4]", "grid.tokens=[640,1280]", "grid.num_seeds=2", "grid.transfer_rows=10"]
SIZES = ["train.ctx_len=32", "train.batch_size=2", "train.accumulate=1", "text_model=hash"]


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("scaling", [*GRID, *SIZES, *overrides])


def write_loss(grid: Grid, cell: Cell) -> None:
    row = dict(run="demo", profile="tiny", prior="none", num_databases=cell.num_databases, tokens=cell.tokens, step=1)
    row |= dict(seed=cell.seed, dataset="synthetic-val", task="", split="val", metric="loss", value=0.4)
    row |= dict(params=1, flops=1.0, wall_s=1.0, git="")
    write_rows(grid.result_path(cell), [row])


def test_the_analysis_reads_what_the_grid_writes(tmp_path: Path, write_shop: Callable, monkeypatch) -> None:
    shop, run_dir = write_shop(tmp_path / "shop", 0), tmp_path / "run"
    cfg = composed(f"transfer.datasets=[{shop}]", "transfer.tasks=[user-spend]")
    grid = Grid(run_dir, [], [], ((), (), ()), None, None, cfg, None)
    cells = transfer_grid.grid_cells(cfg)
    for cell in cells:
        write_loss(grid, cell)
    loaded = []

    def predict(
        model: str, store: Store, texts: object, task: str, split: str, *, chosen: np.ndarray, **_
    ) -> np.ndarray:
        """A model that is right, but for an error that falls with its tokens."""
        tokens = next(cell.tokens for cell in cells if cell.name == model)
        return store.task_targets(task, split)[chosen] + 640 / tokens

    monkeypatch.setattr(transfer_grid, "load_checkpoint", lambda path: loaded.append(path) or path.name)
    monkeypatch.setattr(transfer_grid, "predict_task", predict)
    monkeypatch.setattr(calibration, "predict_task", predict)
    for _ in range(2):
        transfer_grid.score_cells(cfg, run_dir, grid)
    assert loaded == [grid.checkpoint_path(cell) for cell in cells]  # the second time nothing is left to do

    scores = RunFiles.read(run_dir).transfer_grid
    lifts = mean_lifts(scores, "r2")
    assert lifts[["num_databases", "tokens"]].to_numpy().tolist() == [[1, 640], [1, 1280], [4, 640], [4, 1280]]
    assert (lifts.groupby("num_databases")["lift"].diff().dropna() > 0).all()
    assert set(scores["num_rows"]) == {10} and set(scores["seed"]) == {0, 1}
    history, forecast, line = plot_lift(scores, "tokens", "r2").get_lines()[:3]
    assert set(history.get_ydata()) == {0}
    (regression,) = set(mean_lifts(scores, "r2", model="label_regression")["lift"])
    assert set(forecast.get_ydata()) == {regression}
    np.testing.assert_allclose(line.get_ydata(), lifts["lift"].head(2))

    calibrated = mean_lifts(scores, "r2", model="calibrated")["lift"]
    assert (calibrated >= regression).all()  # its answers to train labels are right, and the test rows agree
    assert set(lift_plots(scores)) == {f"{n}_r2_{a}" for n in ("lift", "lift_calibrated") for a in OTHER_AXIS}
