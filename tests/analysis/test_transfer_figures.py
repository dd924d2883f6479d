"""Transfer figures show baselines, losers and intervals; the lift over a grid is what its rows say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.errors import AnalysisError
from analysis.published import PAPER_MODELS
from analysis.transfer import BASELINES, TRAINED
from analysis.transfer_figures import lift_plots, plot_lift, plot_transfer

NUM_DATABASES, TOKENS = [1, 4, 16], [32_768, 131_072]
LIFT = np.array([[-8.0, -9.0], [-3.0, -1.0], [0.5, 4.0]])


def test_transfer_figure_marks_label_history_and_shows_losers(
    make_transfer: Callable, assert_inside_and_apart: Callable
) -> None:
    long = make_transfer(task="a-task-with-a-rather-long-name-of-its-own", dataset="movielens-small")
    ax = plot_transfer(pd.concat([make_transfer(), long]))
    assert_inside_and_apart(ax)
    assert "−341" in [text.get_text() for text in ax.texts]
    verticals = [line for line in ax.get_lines() if len(line.get_xdata()) == 2]
    assert [line.get_xdata()[0] for line in verticals] == [61.9, 3.5] * 2
    assert {"label history", "zero-shot"} <= {text.get_text() for text in ax.get_legend().get_texts()}


def test_every_model_has_a_mark_of_its_own(make_transfer: Callable, assert_inside_and_apart: Callable) -> None:
    table = make_transfer()
    models = (*BASELINES, *TRAINED, *PAPER_MODELS, "another")
    every = [table[table["model"] == "fine-tuned"].assign(model=model) for model in models]
    ax = plot_transfer(pd.concat(every))
    assert_inside_and_apart(ax)
    marks = [line for line in ax.get_lines() if line.get_linestyle() == "None" and not len(line.get_xdata())]
    seen = {(mark.get_color(), mark.get_marker(), mark.get_markerfacecolor()) for mark in marks}
    assert len(seen) == len(marks) == len(models)


def test_transfer_figure_needs_a_percent_metric(make_transfer: Callable, assert_inside_and_apart: Callable) -> None:
    table = make_transfer()
    with pytest.raises(AnalysisError, match="none of the metrics auroc, accuracy, r2"):
        plot_transfer(table[table["metric"] == "mae"])
    all_undefined = table.assign(value=np.nan)
    assert_inside_and_apart(plot_transfer(all_undefined))


def test_transfer_figure_draws_intervals(make_transfer: Callable) -> None:
    def drawn(table: pd.DataFrame) -> list[np.ndarray]:
        return [part for lines in plot_transfer(table).collections for part in lines.get_segments()]

    ends = sorted(tuple(part[:, 0]) for part in drawn(make_transfer(half_width=2.0)))
    assert len(ends) == 9  # ten scores, one of them beyond the edge
    assert (pytest.approx(59.9), pytest.approx(63.9)) in ends  # label history
    assert drawn(make_transfer()) == []


@pytest.mark.parametrize("axis", ["num_databases", "tokens"])
def test_lift_figure_has_a_line_per_level_and_a_bar_per_checkpoint(
    make_scores: Callable, axis: str, assert_inside_and_apart: Callable
) -> None:
    ax = plot_lift(make_scores(LIFT, NUM_DATABASES, TOKENS), axis)
    assert_inside_and_apart(ax)
    zero, *lines = ax.get_lines()
    assert list(zero.get_ydata()) == [0, 0]
    expected = LIFT if axis == "tokens" else LIFT.T
    np.testing.assert_allclose([line.get_ydata() for line in lines], expected)
    bars = np.concatenate([bar.get_segments() for bar in ax.collections])
    np.testing.assert_allclose(bars[:, 1, 1] - bars[:, 0, 1], 2 * 3.0 / np.sqrt(2))
    assert ax.get_xscale() == "log" and "AUROC" in ax.get_ylabel() and "2 tasks" in ax.get_ylabel()


def test_lift_figures_of_a_grid_with_multiclass_tasks_draw_label_regression_where_it_is(make_scores: Callable) -> None:
    """A multiclass task has no label regression; the other tasks of the same table have."""
    binary = make_scores(LIFT, NUM_DATABASES, TOKENS)
    regression = binary[binary["model"] == "zero-shot"].assign(model="label_regression", value=60.0)
    scores = pd.concat([binary, regression, binary.assign(metric="accuracy")], ignore_index=True)
    plots = lift_plots(scores)
    assert set(plots) == {f"lift_{m}_{a}" for m in ("auroc", "accuracy") for a in ("num_databases", "tokens")}
    for name, plot in plots.items():
        texts = {text.get_text() for text in plot().get_legend().get_texts()}
        assert ("label regression" in texts) == ("auroc" in name)


def test_lift_figure_of_one_checkpoint_and_in_the_axes_of_the_caller(
    make_scores: Callable, make_transfer: Callable, assert_inside_and_apart: Callable
) -> None:
    assert_inside_and_apart(plot_lift(make_scores(np.array([[2.0]]), [4], [1024])))
    axes = Figure(figsize=(8, 4), layout="constrained").subplots(1, 2)
    assert plot_lift(make_scores(LIFT, NUM_DATABASES, TOKENS), ax=axes[0]) is axes[0]
    assert plot_transfer(make_transfer(), ax=axes[1]) is axes[1]
    with pytest.raises(AnalysisError, match="no r2 of 'zero-shot'"):
        plot_lift(make_scores(LIFT, NUM_DATABASES, TOKENS), metric="r2")
