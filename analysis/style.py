"""How figures look: one-column width, a light and a dark theme, colours that colour-blind readers tell apart."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from analysis.units import count

Theme = Literal["light", "dark"]
COLUMN_WIDTH = 3.5  # inches, one column of a two-column paper

# Okabe and Ito's palette; each colour is legible on white and on the dark theme's background.
ORANGE, SKY_BLUE, GREEN, BLUE, VERMILION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"

_THEMES: dict[str, dict[str, object]] = {
    "light": {"ink": "#1b1f24", "soft": "#6a737d", "paper": "#ffffff"},
    "dark": {"ink": "#e6e8eb", "soft": "#9aa4ae", "paper": "#16191d"},
}
_SIZES = {
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same figure on every machine
}


def theme(name: Theme) -> AbstractContextManager[None]:
    """Colours for figures that are made inside the `with` block."""
    colours = _THEMES[name]
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.labelcolor", "ytick.labelcolor")
    papers = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    soft = ("xtick.color", "ytick.color", "grid.color")
    return mpl.rc_context(
        dict.fromkeys(inks, colours["ink"])
        | dict.fromkeys(papers, colours["paper"])
        | dict.fromkeys(soft, colours["soft"])
    )


def reproducible_svg() -> AbstractContextManager[None]:
    """Ids in an SVG depend on its content alone, so that the same results give the same bytes."""
    return mpl.rc_context({"svg.hashsalt": "analysis"})


def sizes(ax: Axes | None) -> AbstractContextManager[None]:
    """Font sizes of the house for a figure of our own; an Axes that the caller brought keeps the caller's."""
    return mpl.rc_context(_SIZES if ax is None else {})


def new_axes(width: float, height: float) -> Axes:
    """The Axes of a new figure (inches), outside pyplot: no global state, nothing to close."""
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def is_dark() -> bool:
    """True if figures are being made on a dark background."""
    return float(np.dot(to_rgb(mpl.rcParams["axes.facecolor"]), (0.299, 0.587, 0.114))) < 0.5


def level_colours(number: int) -> np.ndarray:
    """`number` steps of viridis, without the end that vanishes in the background; float (number, 4)."""
    return mpl.colormaps["viridis"](np.linspace(0.35, 1.0, number) if is_dark() else np.linspace(0.0, 0.88, number))


def count_ticks(ax: Axes, axis: str, values: np.ndarray) -> None:
    """Ticks at the grid's own values (every second one if there are many)."""
    ax.xaxis.set_major_locator(FixedLocator(values[:: 1 + (len(values) - 1) // 8]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: count(axis, value))


def level_bar(ax: Axes, colours: np.ndarray, labels: list[str], title: str) -> None:
    """A bar of discrete colours, one per line of the grid, with their values."""
    norm = BoundaryNorm(np.arange(len(labels) + 1) - 0.5, len(labels))
    mappable = mpl.cm.ScalarMappable(norm, ListedColormap(colours))
    bar = ax.figure.colorbar(mappable, ax=ax, fraction=0.05, pad=0.03, ticks=range(len(labels)))
    bar.ax.set_yticklabels(labels)
    bar.ax.minorticks_off()
    bar.ax.tick_params(length=0)
    bar.ax.set_title(title, fontsize="medium")
    bar.outline.set_visible(False)


def ink_on(colour: tuple[float, ...]) -> str:
    """Black or white, whichever reads better on `colour`."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return "black" if np.dot(linear, (0.2126, 0.7152, 0.0722)) > 0.18 else "white"
