"""The figures of a report, embedded twice: for readers with a light and with a dark screen."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

from matplotlib.axes import Axes

from analysis import style
from analysis.figures import plot_grid, plot_scaling
from analysis.law_figures import plot_frontier, plot_surface
from analysis.paper_figure import plot_paper_figure
from analysis.report.joint import JointSection
from analysis.report.run_files import AXES, RunFiles
from analysis.report.transfer_table import transfer_splits
from analysis.transfer import PERCENT_METRICS
from analysis.transfer_figures import lift_plots, plot_transfer


def embedded_figures(run: RunFiles, joint: JointSection | str) -> dict[str, dict[str, str]]:
    """Name -> theme -> data URI of an SVG."""
    plots: dict[str, Callable[[], Axes]] = {"grid": lambda: plot_grid(run.results)}
    for axis in AXES:
        fit = run.laws[axis]
        plots[axis] = lambda axis=axis, fit=fit: plot_scaling(run.results, None if isinstance(fit, str) else fit, axis)
        plots[f"paper-{axis}"] = lambda axis=axis: plot_paper_figure(axis)
    if run.transfer is not None:
        shown = transfer_splits(run.transfer)[0]
        if run.transfer.loc[run.transfer["split"] == shown, "metric"].isin(PERCENT_METRICS).any():
            plots["transfer"] = lambda: plot_transfer(run.transfer, shown)
    if run.transfer_grid is not None:
        split = transfer_splits(run.transfer_grid)[0]
        plots |= lift_plots(run.transfer_grid, split)
    if isinstance(joint, JointSection):
        at = (joint.points["n"], joint.points["s"], joint.points["loss"])
        plots["surface"] = lambda: plot_surface(joint.law, *at, frontier=joint.frontier)
        if joint.frontier is not None:
            plots["frontier"] = lambda: plot_frontier(joint.frontier, unit="seconds of this machine", resource="n")
    return {name: {theme: _data_uri(plot, theme) for theme in ("light", "dark")} for name, plot in plots.items()}


def _data_uri(plot: Callable[[], Axes], theme: style.Theme) -> str:
    with style.theme(theme), style.reproducible_svg():
        buffer = io.BytesIO()
        plot().figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
