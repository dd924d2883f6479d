"""Figures of fitted laws: the surface of a joint law, the frontier of budgets, and residuals.

As in `analysis.figures`: each draws into `ax`, or into a new figure of one-column width, and returns the Axes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from analysis import style
from analysis.errors import AnalysisError
from analysis.joint_law import JointLawFit
from analysis.power_law import PowerLawFit
from analysis.units import short_count

NAMES = ("synthetic databases N", "training tokens S")


def plot_surface(
    fit: JointLawFit,
    n: ArrayLike,
    s: ArrayLike,
    loss: ArrayLike,
    *,
    names: tuple[str, str] = NAMES,
    frontier: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Lines of equal loss of a joint law over both resources (log axes), and the measured points in its colours.

    A point that fits takes the colour of the ground around it. Outside the fitted range the lines are dashed.

    Args:
        n, s, loss: the measured points.
        names: of n and s, for the axes.
        frontier: of compute_frontier; drawn as a line of best splits.
    """
    n, s, loss = (np.asarray(values, dtype=float) for values in (n, s, loss))
    with style.sizes(ax):
        ax = ax or style.new_axes(style.COLUMN_WIDTH, 3.0)
        wide_n, wide_s = _span(n, 2.0), _span(s, 2.0)
        columns, rows = np.meshgrid(np.geomspace(*wide_s, 160), np.geomspace(*wide_n, 160))
        values = fit.predict(rows, columns)
        inside = _between(rows, fit.n_range) & _between(columns, fit.s_range)
        low, high = min(loss.min(), values[inside].min()), max(loss.max(), values[inside].max())
        # Equal steps in the excess over the lowest loss: plain steps would leave the flat part empty.
        levels = np.unique(low + (high - low) * np.linspace(0, 1, 15) ** 1.8)
        colours = {"cmap": "viridis_r", "vmin": low, "vmax": high}
        ax.contourf(columns, rows, np.clip(values, low, high), levels=levels, alpha=0.75, **colours)
        ink = style.mpl.rcParams["text.color"]
        for part, line in ((np.where(inside, values, np.nan), "solid"), (np.where(inside, np.nan, values), "dashed")):
            ax.contour(columns, rows, part, levels=levels[1:-1], colors=ink, linewidths=0.5, linestyles=line, alpha=0.6)
        points = ax.scatter(s, n, c=loss, s=26, edgecolors=ink, linewidths=0.7, zorder=3, **colours)
        if frontier is not None:
            shown = frontier[frontier["n"].between(*wide_n) & frontier["s"].between(*wide_s)]
            ax.plot(
                shown["s"], shown["n"], color=style.VERMILION, linewidth=1.6, zorder=2, label="best split of a budget"
            )
            ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2)
        ax.set(xscale="log", yscale="log", xlim=wide_s, ylim=wide_n, xlabel=names[1], ylabel=names[0])
        _short_ticks(ax, "xy")
        bar = ax.figure.colorbar(points, ax=ax, fraction=0.05, pad=0.03)
        bar.ax.set_title("loss", fontsize="medium")
        bar.outline.set_visible(False)
    return ax


def plot_frontier(
    frontier: pd.DataFrame,
    *,
    unit: str = "FLOPs",
    names: tuple[str, str] = ("N", "S"),
    resource: str = "loss",
    ax: Axes | None = None,
) -> Axes:
    """Over the budget (log axis) the lowest loss, or the best n or s, with its 95 % interval shaded.

    The part that needs n or s outside the fitted range is dashed.

    Args:
        frontier: of compute_frontier, two budgets or more.
        unit: of the budget.
        names: of n and s.
        resource: "loss", "n" or "s".

    Raises:
        AnalysisError: for another resource, or a single budget.
    """
    if resource not in ("loss", "n", "s"):
        raise AnalysisError(f"resource={resource!r}; choose loss, n or s")
    if len(frontier) < 2:
        raise AnalysisError(f"{len(frontier)} budget; a line needs two or more")
    with style.sizes(ax):
        ax = ax or style.new_axes(style.COLUMN_WIDTH, 2.4)
        blue = style.SKY_BLUE if style.is_dark() else style.BLUE
        budget, beyond = frontier["budget"].to_numpy(), frontier["beyond"].to_numpy(dtype=bool)
        values = frontier[resource].to_numpy()
        band = frontier[[f"{resource}_low", f"{resource}_high"]].to_numpy()
        if np.isfinite(band).any():
            ax.fill_between(budget, *band.T, color=blue, alpha=0.18, linewidth=0, label="95 % interval")
        near = ~beyond
        near_or_next = near | np.append(near[1:], False) | np.append(False, near[:-1])
        ax.plot(budget, np.where(near, values, np.nan), color=blue, linewidth=1.6, label="fitted range")
        far = np.where(beyond | (near_or_next & ~_interior(near)), values, np.nan)
        ax.plot(budget, far, "--", color=blue, linewidth=1.6, label="beyond it")
        ax.set_xscale("log")
        if resource != "loss":
            ax.set_yscale("log")
            _short_ticks(ax, "y")
        best = {"loss": "lowest loss", "n": f"best {names[0]}", "s": f"best {names[1]}"}
        ax.set(xlabel=f"budget in {unit}", ylabel=best[resource])
        ax.grid(axis="y", linewidth=0.4, alpha=0.35)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2, ncols=3, columnspacing=1.2)
    return ax


def plot_residuals(
    fit: PowerLawFit | JointLawFit,
    loss: ArrayLike,
    *resources: ArrayLike,
    names: tuple[str, str] = ("x", ""),
    ax: Axes | None = None,
) -> Axes:
    """Observed minus fitted loss in percent of the fitted one, over the first resource (log axis).

    A law that has the right form leaves no pattern; held-out points of a power law are hollow.

    Args:
        loss: measured losses (points,).
        resources: x of a power law, or n and s of a joint law; colours tell the second one.
        names: of the first resource, for the axis, and of the second, above the legend.

    Raises:
        AnalysisError: if the number of resources is not the law's.
    """
    wanted = 2 if isinstance(fit, JointLawFit) else 1
    if len(resources) != wanted:
        raise AnalysisError(f"{len(resources)} resources; residuals of this law need {wanted}")
    values = [np.asarray(resource, dtype=float) for resource in resources]
    fitted = fit.predict(*values)
    error = 100 * (np.asarray(loss, dtype=float) - fitted) / fitted
    with style.sizes(ax):
        ax = ax or style.new_axes(style.COLUMN_WIDTH, 2.1)
        ink, paper = style.mpl.rcParams["text.color"], style.mpl.rcParams["axes.facecolor"]
        ax.axhline(0, color=ink, linewidth=0.7)
        if wanted == 1:
            out = np.isin(values[0], [point["x"] for point in fit.extrapolation])
            ax.vlines(values[0], 0, error, color=ink, linewidth=0.6, alpha=0.5)
            ax.plot(values[0][~out], error[~out], "o", color=ink, markersize=5)
            ax.plot(values[0][out], error[out], "o", color=ink, markerfacecolor=paper, markersize=5)
        else:
            levels = np.unique(values[1])
            for level, colour in zip(levels, style.level_colours(len(levels)), strict=True):
                at = values[1] == level
                order = np.argsort(values[0][at])
                ax.plot(
                    values[0][at][order],
                    error[at][order],
                    "o-",
                    color=colour,
                    markersize=3.5,
                    linewidth=0.7,
                    label=short_count(level),
                )
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2, title=names[1])
        ax.set_xscale("log")
        _short_ticks(ax, "x")
        ax.margins(y=0.15)
        ax.set(xlabel=names[0], ylabel="observed − fitted, %")
    return ax


def _span(values: np.ndarray, factor: float) -> tuple[float, float]:
    return float(values.min() / factor), float(values.max() * factor)


def _between(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    return (values >= ends[0] * (1 - 1e-9)) & (values <= ends[1] * (1 + 1e-9))


def _interior(flags: np.ndarray) -> np.ndarray:
    """True where a flag and both its neighbours are set: the dashed line starts at the last solid point."""
    return flags & np.append(flags[1:], True) & np.append(True, flags[:-1])


def _short_ticks(ax: Axes, which: str) -> None:
    """At most six powers of ten, or 1-2-5 steps over less than two decades, as 1k, 5M, 2B."""
    for name in which:
        axis = ax.xaxis if name == "x" else ax.yaxis
        low, high = ax.get_xlim() if name == "x" else ax.get_ylim()
        axis.set_major_locator(LogLocator(10, (1.0,) if high / low > 100 else (1.0, 2.0, 5.0), numticks=6))
        axis.set_major_formatter(lambda value, _: short_count(value))
        axis.set_minor_formatter(NullFormatter())
