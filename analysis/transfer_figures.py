"""Figures of transfer to real tasks: a checkpoint beside the baselines, and lift over a whole grid of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from analysis import style
from analysis.envelope import OTHER_AXIS, Axis
from analysis.errors import AnalysisError
from analysis.transfer import (
    METRIC_NAMES,
    MODEL_NAMES,
    PERCENT_METRICS,
    REFERENCE,
    TRAINED,
    compare_models,
    lift_metrics,
    mean_lifts,
    ordered_models,
    score_intervals,
)
from analysis.units import AXIS_NAMES, SYMBOLS, count

FORECAST = "label_regression"
LOWEST_SCORE = -25.0  # percent; a worse R² is drawn at the edge with its value, or it would flatten every other row


def plot_transfer(transfer: pd.DataFrame, split: str = "test", ax: Axes | None = None) -> Axes:
    """Scores in percent (AUROC, R²) per task, one lane per model; a line marks label history, the score to beat.

    Thin lines are 95 % intervals, where the table has them. MAE and NMAE have other scales and are left to tables. A
    score below LOWEST_SCORE is drawn as an arrow at the left edge with its value.

    Raises:
        AnalysisError: if the split has neither AUROC nor R².
    """
    table, intervals = compare_models(transfer, split), score_intervals(transfer, split)
    table = table[table["metric"].isin(PERCENT_METRICS)].reset_index(drop=True)
    if table.empty:
        raise AnalysisError(f"transfer table: split {split!r} has none of the metrics {', '.join(PERCENT_METRICS)}")
    models = ordered_models([name for name in transfer["model"].unique() if name in table])
    lane = 1.0 / (len(models) + 2.5)  # of a row; the rest is its title
    with style.sizes(ax):
        ax = ax or style.new_axes(style.COLUMN_WIDTH, 0.135 * (len(models) + 2.5) * len(table) + 1.0)
        marks = dict(zip(models, _model_marks(models), strict=True))
        for number, row in table.iterrows():
            title = f"{row['dataset']} · {row['task']} · {METRIC_NAMES[row['metric']]}"
            _draw_title(ax, title, number + lane)
            for place, model in enumerate(models):
                key = (row["dataset"], row["task"], row["protocol"], row["metric"], model)
                low, high = intervals[["lower", "upper"]].reindex([key]).to_numpy()[0]
                _draw_score(ax, row[model], (low, high), number + (place + 2.4) * lane, marks[model])
            if REFERENCE in models and row[REFERENCE] >= LOWEST_SCORE:
                ends = number + 1.9 * lane, number + (len(models) + 1.9) * lane
                ax.plot([row[REFERENCE]] * 2, ends, color=marks[REFERENCE]["color"], linewidth=1.1, zorder=1)
        scores = table[models].to_numpy(dtype=float)
        ax.set_xlim(max(LOWEST_SCORE, np.nanmin(scores, initial=0.0)) - 4, max(np.nanmax(scores, initial=50.0) + 4, 60))
        ax.set_ylim(len(table), 0)
        ax.yaxis.set_major_locator(NullLocator())
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", linewidth=0.4, alpha=0.35)
        ax.set_xlabel(f"score in %, {split} rows, protocol {', '.join(table['protocol'].unique())} (right is better)")
        for model in models:
            ax.plot([], [], linestyle="none", label=MODEL_NAMES.get(model, model), **marks[model])
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, columnspacing=1.2, handletextpad=0.2)
    return ax


def plot_lift(
    scores: pd.DataFrame,
    axis: Axis = "tokens",
    metric: str = "auroc",
    *,
    model: str = "zero-shot",
    split: str = "test",
    ax: Axes | None = None,
) -> Axes:
    """Mean lift over label history of each checkpoint of a grid, over N or S (log axis), a line per value of the other.

    The dashed line at zero is label history: a pretrained model has shown something only above it. The dotted line is
    label regression, where it was scored: what a model that starts from it has learnt is what lies above. Bars are 95 %
    intervals, where the scores have them.

    Args:
        scores: rows as `mean_lifts` takes them.
        axis: what is on the x axis.
        metric, model, split: which scores.
    """
    lifts = mean_lifts(scores, metric, model=model, split=split)
    other = OTHER_AXIS[axis]
    levels = np.unique(lifts[other])
    with style.sizes(ax):
        ax = ax or style.new_axes(style.COLUMN_WIDTH, 2.7)
        colours = style.level_colours(len(levels))
        ink = style.mpl.rcParams["text.color"]
        ax.axhline(0, color=ink, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1, label=MODEL_NAMES[REFERENCE])
        if metric in lift_metrics(scores, FORECAST) and model != FORECAST:
            forecast = mean_lifts(scores, metric, model=FORECAST, split=split)["lift"].iloc[0]  # the same for all cells
            ax.axhline(forecast, color=ink, linewidth=0.9, linestyle=":", zorder=1, label=MODEL_NAMES[FORECAST])
        for place, (level, colour) in enumerate(zip(levels, colours, strict=True)):
            line = lifts[lifts[other] == level].sort_values(axis)
            # Lines of a grid share their x: a small step apart, their bars do not hide one another.
            x = line[axis].to_numpy(dtype=float) * 1.03 ** (place - (len(levels) - 1) / 2)
            ax.vlines(x, line["low"], line["high"], color=colour, linewidth=0.8, alpha=0.7, zorder=2)
            ax.plot(x, line["lift"], "o-", color=colour, markersize=3.5, linewidth=1.2, zorder=3)
        ax.set_xscale("log")
        style.count_ticks(ax, axis, np.unique(lifts[axis]))
        num_tasks = int(lifts["num_tasks"].iloc[0])
        tasks = "1 task" if num_tasks == 1 else f"mean of {num_tasks} tasks"
        ax.set(xlabel=AXIS_NAMES[axis], ylabel=f"{model} lift in {METRIC_NAMES[metric]},\npoints ({tasks})")
        ax.grid(axis="y", linewidth=0.4, alpha=0.35)
        style.level_bar(ax, colours, [count(other, level) for level in levels], SYMBOLS[other])
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2, handlelength=2.2, ncols=2)
    return ax


def lift_plots(scores: pd.DataFrame, split: str = "test") -> dict[str, Callable[[], Axes]]:
    """The figures of a grid's scores, by name: lift_<metric>_<axis> zero-shot, lift_<model>_<metric>_<axis> else.

    None of a metric that label history has no score of.
    """
    known = lift_metrics(scores, REFERENCE)
    plots: dict[str, Callable[[], Axes]] = {}
    for model in TRAINED:
        prefix = "lift" if model == "zero-shot" else f"lift_{model}"
        for metric in (metric for metric in lift_metrics(scores, model) if metric in known):
            for axis in OTHER_AXIS:
                plots[f"{prefix}_{metric}_{axis}"] = partial(plot_lift, scores, axis, metric, model=model, split=split)
    return plots


def _model_marks(models: list[str]) -> list[dict[str, object]]:
    """Colour and shape of each model: baselines open and cool, pretrained ones filled and warm, the paper's purple."""
    known = {
        "label_history": (style.mpl.rcParams["text.color"], "D", "none"),
        "label_regression": (style.mpl.rcParams["text.color"], "s", "none"),
        "entity_mean": (style.SKY_BLUE, "s", "none"),
        "constant": (style.GREEN, "^", "none"),
        "boosting": (style.BLUE, "v", "none"),
        "graphsage": (style.GREEN, "p", "none"),
        "scratch": (style.SKY_BLUE, "o", "none"),
        "zero-shot": (style.ORANGE, "o", style.ORANGE),
        "calibrated": (style.ORANGE, "D", style.ORANGE),
        "real-only": (style.ORANGE, "^", style.ORANGE),
        "continued": (style.VERMILION, "s", style.VERMILION),
        "fine-tuned": (style.VERMILION, "P", style.VERMILION),
        "paper zero-shot": (style.PURPLE, "o", style.PURPLE),
        "paper real-only": (style.PURPLE, "^", style.PURPLE),
        "paper continued": (style.PURPLE, "s", style.PURPLE),
    }
    marks = []
    for model in models:
        colour, marker, face = known.get(model, (style.PURPLE, "X", style.PURPLE))
        marks.append({"color": colour, "marker": marker, "markerfacecolor": face, "markersize": 5})
    return marks


def _draw_title(ax: Axes, title: str, height: float) -> None:
    """The title of a row, on the paper's colour so that grid lines do not cross it; long ones are set smaller."""
    size = style.mpl.rcParams["font.size"] * min(1.0, 52 / len(title))
    box = {"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 1}
    ax.text(0, height, title, transform=ax.get_yaxis_transform(), va="center", fontsize=size, bbox=box)


def _draw_score(ax: Axes, score: float, ends: tuple[float, float], height: float, mark: dict[str, object]) -> None:
    if np.isnan(score):
        return
    if score >= LOWEST_SCORE:
        if not np.isnan(ends).any():
            low = max(ends[0], LOWEST_SCORE)
            ax.hlines(height, low, ends[1], color=mark["color"], linewidth=0.8, alpha=0.7, zorder=2)
        ax.plot(score, height, linestyle="none", zorder=3, **mark)
        return
    ax.plot(LOWEST_SCORE, height, linestyle="none", zorder=3, **{**mark, "marker": "<"})
    ax.text(LOWEST_SCORE + 2.5, height, f"{score:.0f}".replace("-", "−"), va="center", fontsize="small")
