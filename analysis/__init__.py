"""From tidy results to laws, figures and a report. Imports neither torch nor lightning."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.envelope import lower_envelope
    from analysis.envelope_bootstrap import describe_envelope, fit_envelope
    from analysis.errors import AnalysisError
    from analysis.figures import plot_grid, plot_scaling, save_figure
    from analysis.floor_profile import FloorProfile, profile_floor
    from analysis.frontier import compute_frontier, required
    from analysis.joint_law import JointLawFit, fit_joint_law
    from analysis.law_figures import plot_frontier, plot_residuals, plot_surface
    from analysis.model_choice import compare_forms
    from analysis.paper_figure import plot_paper_figure
    from analysis.power_law import PowerLawFit, fit_power_law
    from analysis.published import paper_points
    from analysis.report import write_report
    from analysis.results import loss_grid, read_results, write_rows
    from analysis.transfer import compare_models, mean_lifts, read_transfer, score_intervals
    from analysis.transfer_figures import plot_lift, plot_transfer

# Loaded on first use: pandas, scipy and matplotlib together take over a second, and no caller needs all of them.
_HOME = {
    "AnalysisError": "errors",
    "FloorProfile": "floor_profile",
    "JointLawFit": "joint_law",
    "PowerLawFit": "power_law",
    "compare_forms": "model_choice",
    "compare_models": "transfer",
    "compute_frontier": "frontier",
    "describe_envelope": "envelope_bootstrap",
    "fit_envelope": "envelope_bootstrap",
    "fit_joint_law": "joint_law",
    "fit_power_law": "power_law",
    "loss_grid": "results",
    "lower_envelope": "envelope",
    "mean_lifts": "transfer",
    "paper_points": "published",
    "plot_frontier": "law_figures",
    "plot_grid": "figures",
    "plot_lift": "transfer_figures",
    "plot_paper_figure": "paper_figure",
    "plot_residuals": "law_figures",
    "plot_scaling": "figures",
    "plot_surface": "law_figures",
    "plot_transfer": "transfer_figures",
    "profile_floor": "floor_profile",
    "read_results": "results",
    "read_transfer": "transfer",
    "required": "frontier",
    "save_figure": "figures",
    "score_intervals": "transfer",
    "write_report": "report",
    "write_rows": "results",
}
__all__ = [
    "AnalysisError",
    "FloorProfile",
    "JointLawFit",
    "PowerLawFit",
    "compare_forms",
    "compare_models",
    "compute_frontier",
    "describe_envelope",
    "fit_envelope",
    "fit_joint_law",
    "fit_power_law",
    "loss_grid",
    "lower_envelope",
    "mean_lifts",
    "paper_points",
    "plot_frontier",
    "plot_grid",
    "plot_lift",
    "plot_paper_figure",
    "plot_residuals",
    "plot_scaling",
    "plot_surface",
    "plot_transfer",
    "profile_floor",
    "read_results",
    "read_transfer",
    "required",
    "save_figure",
    "score_intervals",
    "write_report",
    "write_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"analysis.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
