"""Figures of laws show their points, intervals and the part beyond the data, in any Axes."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.errors import AnalysisError
from analysis.frontier import compute_frontier
from analysis.joint_law import JointLawFit, fit_joint_law
from analysis.law_figures import plot_frontier, plot_residuals, plot_surface
from analysis.paper_figure import plot_paper_figure
from analysis.power_law import fit_power_law
from analysis.published import PAPER_LAWS, paper_points

N, S = (axis.ravel() for axis in np.meshgrid(2.0 ** np.arange(5), 1e5 * 2.0 ** np.arange(4)))
LOSS = (0.36 + 0.1 / N**0.5 + 0.05 / (S / 1e5) ** 0.6) * np.exp(0.002 * np.random.default_rng(0).normal(size=len(N)))


@pytest.fixture(scope="module")
def law() -> JointLawFit:
    return fit_joint_law(N, S, LOSS, bootstrap=50)


def cost(n: np.ndarray, s: np.ndarray) -> np.ndarray:
    return n * s


def inside(figure: Figure) -> bool:
    FigureCanvasAgg(figure).draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return drawn.x0 >= -0.01 and drawn.y0 >= -0.01 and drawn.x1 <= width + 0.01 and drawn.y1 <= height + 0.01


def test_surface_shows_every_point_and_the_frontier(law: JointLawFit) -> None:
    frontier = compute_frontier(law, cost, np.geomspace(1e6, 1e7, 4))
    ax = plot_surface(law, N, S, LOSS, frontier=frontier)
    points = ax.collections[-1].get_offsets()
    assert sorted(map(tuple, points.tolist())) == sorted(zip(S.tolist(), N.tolist(), strict=True))
    assert ax.get_lines()[0].get_xdata().tolist() == frontier["s"].tolist()
    assert inside(ax.figure)


@pytest.mark.parametrize("resource", ["loss", "n", "s"])
def test_frontier_is_solid_in_the_fitted_range_and_dashed_beyond(law: JointLawFit, resource: str) -> None:
    frontier = compute_frontier(law, cost, np.geomspace(1e6, 1e9, 12))
    assert 0 < frontier["beyond"].sum() < 12
    ax = plot_frontier(frontier, resource=resource)
    solid, dashed = ax.get_lines()
    assert np.isfinite(solid.get_ydata()).tolist() == (~frontier["beyond"]).tolist()
    drawn = np.isfinite(dashed.get_ydata())
    assert drawn[frontier["beyond"]].all() and drawn.sum() == frontier["beyond"].sum() + 1  # they meet in one point
    assert len(ax.collections) == 1 and inside(ax.figure)


def test_residuals_are_the_misses_in_percent(law: JointLawFit) -> None:
    ax = plot_residuals(law, LOSS, N, S, names=("N", "S"))
    drawn = np.concatenate([line.get_ydata() for line in ax.get_lines()[1:]])
    assert sorted(drawn) == pytest.approx(sorted(100 * (LOSS / law.predict(N, S) - 1)))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["100k", "200k", "400k", "800k"]
    x = 2.0 ** np.arange(6)
    fit = fit_power_law(x, 0.1 * x**-0.5 + 0.3, holdout=1, bootstrap=0)
    ax = plot_residuals(fit, 1.01 * fit.predict(x), x)
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), 1.0)
    assert ax.get_lines()[2].get_xdata().tolist() == [32] and inside(ax.figure)


def test_axes_of_the_caller_are_used_and_misuse_is_an_error(law: JointLawFit) -> None:
    axes = Figure(figsize=(9, 3), layout="constrained").subplots(1, 3)
    frontier = compute_frontier(law, cost, [1e6, 1e7])
    assert plot_surface(law, N, S, LOSS, ax=axes[0]) is axes[0]
    assert plot_frontier(frontier, ax=axes[1]) is axes[1]
    assert plot_residuals(law, LOSS, N, S, ax=axes[2]) is axes[2]
    with pytest.raises(AnalysisError, match="1 resources; residuals of this law need 2"):
        plot_residuals(law, LOSS, N)
    with pytest.raises(AnalysisError, match="resource='time'"):
        plot_frontier(frontier, resource="time")
    with pytest.raises(AnalysisError, match="1 budget"):
        plot_frontier(frontier[:1])


@pytest.mark.parametrize("axis", ["num_databases", "tokens"])
def test_the_papers_figure_shows_its_points_and_its_law(axis: str) -> None:
    ax = plot_paper_figure(axis)
    ax.figure.canvas.draw()
    points, law = paper_points(axis), PAPER_LAWS[axis]
    drawn = [line for line in ax.lines if line.get_marker() == "o"]
    losses = np.concatenate([line.get_ydata() for line in drawn])
    np.testing.assert_array_equal(losses, points["loss"])
    low, high = ax.get_ylim()
    assert low < losses.min() and losses.max() < high
    published = next(line for line in ax.lines if line.get_linestyle() == "-.")
    x, y = published.get_data()
    np.testing.assert_allclose(np.log(y - law.floor), np.log(law.coefficient) - law.exponent * np.log(x / law.unit))
