"""Figures of a run: scaling curves like the paper's Figure 1, and the loss grid.

Each plot function draws into `ax`, or into a new figure of one-column width, and returns the Axes. Figures of our own
follow the colours of `analysis.style.theme`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import style
from analysis.envelope import OTHER_AXIS, Axis, lower_envelope
from analysis.power_law import PowerLawFit
from analysis.results import loss_grid
from analysis.units import AXIS_NAMES, SYMBOLS, LawTerms, count, law_unit

PNG_DPI = 150


def plot_scaling(
    results: pd.DataFrame, fit: PowerLawFit | None, axis: Axis = "num_databases", ax: Axes | None = None
) -> Axes:
    """Validation loss over N or S (log axis): every cell of the grid, the lower envelope and its law.

    Lines join the cells of one S (or N), coloured by it. The law is solid over the fitted range and dashed beyond, its
    95 % interval shaded as far as the losses reach; points of the envelope that were held out of the fit are hollow.

    Args:
        results: tidy rows of one run.
        fit: the law of the envelope over `axis`, x in databases or tokens; None draws none.
        axis: what is on the x axis.
    """
    envelope = lower_envelope(results, over=axis)
    grid = loss_grid(results)
    lines = grid if axis == "tokens" else grid.T  # one row per line
    with style.sizes(ax):
        ax = ax or style.new_axes(style.COLUMN_WIDTH, 3.1)
        colours = style.level_colours(len(lines))
        for (_, losses), colour in zip(lines.iterrows(), colours, strict=True):
            ax.plot(losses.index, losses, "o-", color=colour, markersize=2.5, linewidth=0.8, alpha=0.6, zorder=2)
        _draw_envelope(ax, envelope, fit, axis)
        _draw_interval(ax, fit, max(envelope["x"]))
        ax.set_xscale("log")
        style.count_ticks(ax, axis, envelope["x"].to_numpy())
        ax.set_xlabel(AXIS_NAMES[axis])
        ax.set_ylabel("validation loss")
        ax.grid(axis="y", linewidth=0.4, alpha=0.35)
        style.level_bar(
            ax, colours, [count(OTHER_AXIS[axis], level) for level in lines.index], SYMBOLS[OTHER_AXIS[axis]]
        )
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2, handlelength=2.2)
    return ax


def plot_grid(results: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Validation loss as a heat map, N down and S across, with the value in each cell and a frame around the best."""
    grid = loss_grid(results)
    values = grid.to_numpy(dtype=float)
    rows, columns = values.shape
    with style.sizes(ax):
        ax = ax or style.new_axes(max(style.COLUMN_WIDTH, 0.44 * columns + 0.5), max(1.9, 0.32 * rows + 0.75))
        image = ax.imshow(values, cmap="viridis_r", aspect="auto")  # a NaN cell is left transparent
        for (row, column), value in np.ndenumerate(values):
            missing = np.isnan(value)
            ink = style.mpl.rcParams["text.color"] if missing else style.ink_on(image.cmap(image.norm(value)))
            text = "–" if missing else f"{value:.3f}"
            ax.text(column, row, text, ha="center", va="center", color=ink, fontsize="small" if columns <= 10 else 5)
        if not np.isnan(values).all():
            row, column = np.unravel_index(np.nanargmin(values), values.shape)
            frame = {"fill": False, "edgecolor": style.VERMILION, "linewidth": 2, "clip_on": False}
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
        ax.set_xticks(range(columns), [count("tokens", tokens) for tokens in grid.columns])
        ax.set_yticks(range(rows), grid.index)
        ax.set_xlabel(AXIS_NAMES["tokens"])
        ax.set_ylabel(AXIS_NAMES["num_databases"])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    return ax


def save_figure(fig: Figure, stem: Path | str) -> tuple[Path, Path]:
    """Writes stem.png (150 dpi) and stem.svg, each whole or not at all; returns both paths. Creates the folder."""
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    for path in paths:
        temporary = path.with_name(f".{path.name}.tmp")
        kind = path.suffix[1:]
        with style.reproducible_svg():  # and no date: the same results give the same bytes
            fig.savefig(temporary, format=kind, dpi=PNG_DPI, metadata={"Date": None} if kind == "svg" else None)
        os.replace(temporary, path)
    return paths


def _draw_envelope(ax: Axes, envelope: pd.DataFrame, fit: PowerLawFit | None, axis: str) -> None:
    x, loss = envelope["x"].to_numpy(dtype=float), envelope["loss"].to_numpy(dtype=float)
    held_out = np.isin(x, [point["x"] for point in fit.extrapolation] if fit else [])
    if fit is not None:
        unit, word = law_unit(axis, max(x))
        law = LawTerms.of(fit.coefficient_per(unit), fit.exponent, fit.floor).mathtext(SYMBOLS[axis])
        words = f"\n({SYMBOLS[axis]} in {word}, R² {fit.r2:.3f})" if word else f"\n(R² {fit.r2:.3f})"
        fitted = np.geomspace(*fit.x_range, 200)
        ax.plot(fitted, fit.predict(fitted), color=style.VERMILION, linewidth=1.5, zorder=3, label=law + words)
        if held_out.any():
            beyond = np.geomspace(fit.x_range[1], max(x), 100)
            ax.plot(beyond, fit.predict(beyond), "--", color=style.VERMILION, linewidth=1.5, zorder=3)
    ink, paper = style.mpl.rcParams["text.color"], style.mpl.rcParams["axes.facecolor"]
    marker = {"linestyle": "none", "marker": "o", "markersize": 5, "markeredgecolor": ink, "zorder": 4}
    best = f"best over {SYMBOLS[OTHER_AXIS[axis]]}"
    ax.plot(x[~held_out], loss[~held_out], markerfacecolor=ink, label=best, **marker)
    if held_out.any():
        label = f"{best}, held out of the fit"
        ax.plot(x[held_out], loss[held_out], markerfacecolor=paper, label=label, **marker)


def _draw_interval(ax: Axes, fit: PowerLawFit | None, largest: float) -> None:
    """Shades where the law lies, without letting a wide interval flatten the losses."""
    if fit is None or not len(fit.draws):
        return
    limits = ax.get_ylim()
    x = np.geomspace(fit.x_range[0], max(largest, fit.x_range[1]), 120)
    _, low, high = fit.predict(x, interval=0.95)
    ax.fill_between(x, low, high, color=style.VERMILION, alpha=0.15, linewidth=0, zorder=1)
    ax.set_ylim(limits)
