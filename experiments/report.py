"""python -m experiments.report: fits, figures and report.html of a run, or of two runs side by side."""

from __future__ import annotations

import json
import os
from pathlib import Path

import hydra
import pandas as pd
from omegaconf import DictConfig, ListConfig

from analysis.envelope_bootstrap import fit_envelope
from analysis.errors import AnalysisError
from analysis.figures import plot_grid, plot_scaling, save_figure
from analysis.power_law import PowerLawFit
from analysis.report import write_comparison, write_report
from analysis.results import read_results
from analysis.transfer import read_transfer
from analysis.transfer_figures import lift_plots, plot_transfer
from experiments.data_card import write_data_card
from experiments.errors import ExperimentError, user_errors

AXES = ("num_databases", "tokens")


def fit_laws(results: pd.DataFrame) -> dict[str, PowerLawFit | str]:
    """Per axis, the power law of the lower envelope with its last point held out, or why there is none."""
    laws: dict[str, PowerLawFit | str] = {}
    for axis in AXES:
        try:
            laws[axis] = fit_envelope(results, over=axis)
        except AnalysisError as error:
            laws[axis] = str(error)
    return laws


def make_report(run_dir: Path) -> Path:
    """Writes results.parquet, fits.json, data_card.json, figures/ and report.html of a run; returns the report.

    Raises:
        ExperimentError: if the folder holds no finished cell.
    """
    if not any((run_dir / "results").glob("*.parquet")):
        raise ExperimentError(f"{run_dir} holds no finished cell (results/*.parquet); run experiments.scaling first")
    results = read_results(run_dir)
    _replace(run_dir / "results.parquet", lambda path: results.to_parquet(path, index=False))

    laws = fit_laws(results)
    fits = {axis: law if isinstance(law, str) else law.to_dict() for axis, law in laws.items()}
    fits = {axis: {"error": fit} if isinstance(fit, str) else fit for axis, fit in fits.items()}
    _replace(run_dir / "fits.json", lambda path: path.write_text(json.dumps(fits)))

    figures = run_dir / "figures"
    figures.mkdir(exist_ok=True)
    for axis, law in laws.items():
        fit = None if isinstance(law, str) else law
        save_figure(plot_scaling(results, fit, axis=axis).figure, figures / f"scaling_{axis}")
    save_figure(plot_grid(results).figure, figures / "grid")
    if (run_dir / "transfer.csv").exists():
        save_figure(plot_transfer(read_transfer(run_dir / "transfer.csv")).figure, figures / "transfer")
    if (run_dir / "transfer_grid.csv").exists():
        for name, plot in lift_plots(read_transfer(run_dir / "transfer_grid.csv")).items():
            save_figure(plot().figure, figures / name)
    write_data_card(run_dir)
    return write_report(run_dir)


def make_comparison(cfg: DictConfig) -> Path:
    """Both runs' reports anew, then the page that sets them side by side; returns the latter.

    Raises:
        ExperimentError: unless compare names two runs and run none.
    """
    if cfg.run is not None or not isinstance(cfg.compare, ListConfig) or len(cfg.compare) != 2:
        raise ExperimentError(f"compare={cfg.compare} must be two run folders, compare=[runs/a,runs/b], without run=")
    one, other = (Path(run) for run in cfg.compare)
    for run_dir in (one, other):
        make_report(run_dir)
    return write_comparison(one, other)


def chosen_run(cfg: DictConfig) -> Path:
    """The folder of run=; ExperimentError without one."""
    if cfg.run is None:
        raise ExperimentError("name a run: run=runs/demo, or two: compare=[runs/a,runs/b]")
    return Path(cfg.run)


def _replace(path: Path, write) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    os.replace(temporary, path)


@hydra.main(version_base="1.3", config_path="../conf", config_name="report")
def main(cfg: DictConfig) -> None:
    with user_errors():
        print(make_comparison(cfg) if cfg.compare else make_report(chosen_run(cfg)))


if __name__ == "__main__":
    main()
