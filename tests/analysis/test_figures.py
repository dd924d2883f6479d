"""Figures are saved whole, nothing in them overlaps or is cut, and they say what they show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from analysis.envelope import lower_envelope
from analysis.figures import plot_grid, plot_scaling, save_figure
from analysis.power_law import PowerLawFit, fit_power_law
from analysis.style import ink_on, theme


def law_of(results: pd.DataFrame, axis: str) -> PowerLawFit:
    points = lower_envelope(results, over=axis)
    return fit_power_law(points["x"], points["loss"], holdout=1)


@pytest.mark.parametrize("axis", ["num_databases", "tokens"])
def test_scaling_figure_shows_cells_envelope_law_and_held_out_point(
    grid_results: pd.DataFrame, axis: str, assert_inside_and_apart: Callable
) -> None:
    fit = law_of(grid_results, axis)
    ax = plot_scaling(grid_results, fit, axis=axis)
    assert_inside_and_apart(ax)
    lines = ax.get_lines()
    others = grid_results["tokens" if axis == "num_databases" else "num_databases"].nunique()
    assert len(lines) == others + 4  # cells, law, its dashed part, envelope, held-out point
    solid, dashed = lines[others], lines[others + 1]
    assert solid.get_xdata()[[0, -1]] == pytest.approx(fit.x_range) and dashed.get_linestyle() == "--"
    assert dashed.get_xdata()[-1] == pytest.approx(fit.extrapolation[0]["x"])
    assert lines[-1].get_xdata().tolist() == [fit.extrapolation[0]["x"]]
    assert f"{fit.floor:.4f}" in ax.get_legend().get_texts()[0].get_text()
    assert ax.get_xscale() == "log"


def test_scaling_figure_without_a_law(grid_results: pd.DataFrame, assert_inside_and_apart: Callable) -> None:
    ax = plot_scaling(grid_results, None)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["best over S"]
    assert_inside_and_apart(ax)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (8, 7), (12, 9)])
def test_figures_of_any_grid_size_fit(
    make_grid: Callable, shape: tuple[int, int], assert_inside_and_apart: Callable
) -> None:
    rng = np.random.default_rng(0)
    losses = 0.37 + 0.1 * rng.random(shape)
    losses.flat[0] = np.nan
    results = make_grid(losses, [8 * 2**i for i in range(shape[0])], [int(5e8) * 2**j for j in range(shape[1])])
    assert_inside_and_apart(plot_grid(results))
    for axis in ("num_databases", "tokens"):
        assert_inside_and_apart(plot_scaling(results, None, axis=axis))


def test_grid_figure_writes_every_value(grid_results: pd.DataFrame) -> None:
    ax = plot_grid(grid_results)
    assert [text.get_text() for text in ax.texts] == [f"{v:.3f}" for v in grid_results["value"]]


def test_saved_figures_are_png_and_svg_and_the_same_twice(tmp_path: Path, grid_results: pd.DataFrame) -> None:
    first = save_figure(plot_grid(grid_results).figure, tmp_path / "figures" / "v1.grid")
    second = save_figure(plot_grid(grid_results).figure, tmp_path / "again")
    assert [path.name for path in first] == ["v1.grid.png", "v1.grid.svg"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["v1.grid.png", "v1.grid.svg"]
    assert imread(first[0]).std() > 0.05
    assert first[1].read_text().rstrip().endswith("</svg>")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_axes_of_the_caller_are_used_as_they_are(grid_results: pd.DataFrame) -> None:
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    assert plot_scaling(grid_results, None, ax=axes[0]) is axes[0]
    assert plot_grid(grid_results, ax=axes[1]) is axes[1]


def test_dark_theme_changes_the_background_only_inside_its_block(grid_results: pd.DataFrame) -> None:
    with theme("dark"):
        dark = plot_grid(grid_results).figure.get_facecolor()
    light = plot_grid(grid_results).figure.get_facecolor()
    assert sum(dark[:3]) < 0.5 and sum(light[:3]) == 3


def test_ink_contrasts_with_its_ground() -> None:
    assert ink_on((1, 1, 0)) == "black" and ink_on((0.2, 0, 0.3)) == "white"
