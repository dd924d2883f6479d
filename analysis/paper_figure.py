"""The paper's Figure 1, drawn as our own: its points, its published law, and the free fit with an interval."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from analysis import style
from analysis.envelope import OTHER_AXIS, Axis
from analysis.power_law import fit_power_law
from analysis.published import PAPER_LAWS, paper_points
from analysis.units import AXIS_NAMES, SYMBOLS, LawTerms, count


def plot_paper_figure(axis: Axis = "num_databases", ax: Axes | None = None) -> Axes:
    """The lower envelope of the paper's Figure 1 over N or S, read off the figure (±0.0003), in the style of ours.

    The published law is dash-dotted, with its coefficients as printed: over S, two digits (0.02 for 0.0155) lift it off
    its own points. The free fit to the same points is solid over the fitted range and dashed beyond,
    its 95 % interval shaded; the point that the paper held out is hollow.
    """
    points, published = paper_points(axis), PAPER_LAWS[axis]
    x, loss, out = (points[name].to_numpy() for name in ("x", "loss", "held_out"))
    x = x.astype(float)
    fit = fit_power_law(x, loss, holdout=1)
    with style.sizes(ax):
        ax = ax or style.new_axes(style.COLUMN_WIDTH, 3.1)
        ink, paper = style.mpl.rcParams["text.color"], style.mpl.rcParams["axes.facecolor"]
        fine = np.geomspace(x.min(), x.max(), 200)
        line, low, high = fit.predict(fine, interval=0.95)
        beyond = fine >= fit.x_range[1]
        law = LawTerms.of(fit.coefficient_per(published.unit), fit.exponent, fit.floor).mathtext(SYMBOLS[axis])
        given = f"{published.coefficient:g}\\,{SYMBOLS[axis]}^{{-{published.exponent:g}}} + {published.floor:g}"
        unit = f" ({SYMBOLS[axis]} in billions)" if axis == "tokens" else ""
        ax.fill_between(fine, low, high, color=style.VERMILION, alpha=0.15, linewidth=0)
        ax.plot(fine[~beyond], line[~beyond], color=style.VERMILION, linewidth=1.5, label=f"free fit {law}{unit}")
        ax.plot(fine[beyond], line[beyond], "--", color=style.VERMILION, linewidth=1.5)
        law_line = published.coefficient * (fine / published.unit) ** -published.exponent + published.floor
        ax.plot(fine, law_line, "-.", color=style.SKY_BLUE, linewidth=1.3, label=f"published ${given}${unit}")
        marker = {"linestyle": "none", "marker": "o", "markersize": 5, "markeredgecolor": ink, "zorder": 4}
        best = f"paper: best over {SYMBOLS[OTHER_AXIS[axis]]}"
        ax.plot(x[~out], loss[~out], markerfacecolor=ink, label=best, **marker)
        ax.plot(x[out], loss[out], markerfacecolor=paper, label=f"{best}, held out", **marker)
        span = loss.max() - loss.min()
        ax.set(xscale="log", ylim=(loss.min() - 0.25 * span, loss.max() + 0.25 * span))
        ax.xaxis.set_major_locator(FixedLocator(x))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(lambda value, _: count(axis, value))
        ax.set(xlabel=AXIS_NAMES[axis], ylabel="validation loss")
        ax.grid(axis="y", linewidth=0.4, alpha=0.35)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2, handlelength=2.2)
    return ax
