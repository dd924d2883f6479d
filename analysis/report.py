"""report.html of a run: one self-contained page with its laws, figures, transfer table, limits and provenance.

Reads run_dir/results/*.parquet and, where they exist, run.json, fits.json, data_card.json, transfer.csv (of one
checkpoint) and transfer_grid.csv (zero-shot scores of every cell). What a run did not record
is shown as "not recorded". Figures are embedded twice, for readers with a light and a dark screen.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.axes import Axes

from analysis import style
from analysis.curves import read_curves
from analysis.data_card import DataCard
from analysis.errors import AnalysisError
from analysis.figures import plot_grid, plot_scaling
from analysis.law_figures import plot_frontier, plot_surface
from analysis.paper_figure import plot_paper_figure
from analysis.power_law import PowerLawFit
from analysis.published import PAPER_LAWS, PAPER_SCALE, PublishedLaw
from analysis.report_charts import curve_chart, grid_chart
from analysis.report_joint import JointSection, joint_section
from analysis.results import loss_grid, loss_rows, read_results
from analysis.transfer import (
    BASELINES,
    METRIC_NAMES,
    MODEL_NAMES,
    PERCENT_METRICS,
    compare_models,
    lift_metrics,
    ordered_models,
    read_transfer,
    score_intervals,
)
from analysis.transfer_figures import plot_lift, plot_transfer
from analysis.units import AXIS_NAMES, SYMBOLS, LawTerms, count, law_unit

NOT_RECORDED = "not recorded"
AXES = ("num_databases", "tokens")
RECORD_KEYS = (
    "profile",
    "prior",
    "model",
    "command",
    "git",
    "machine",
    "versions",
    "stages",
    "peak_memory_gib",
    "seed",
    "best_checkpoint",
    "identity",
)


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds, read and checked. `laws` maps an axis to its fit, or to why there is none."""

    name: str
    results: pd.DataFrame
    laws: dict[str, PowerLawFit | str]
    transfer: pd.DataFrame | None
    record: dict[str, Any]
    curves: dict[str, pd.DataFrame]
    data_card: DataCard | None = None
    transfer_grid: pd.DataFrame | None = None

    @classmethod
    def read(cls, run_dir: Path) -> RunFiles:
        fits = _read_json(run_dir / "fits.json")
        transfer, transfer_grid = run_dir / "transfer.csv", run_dir / "transfer_grid.csv"
        return cls(
            name=run_dir.resolve().name,
            results=read_results(run_dir),
            laws={axis: _read_law(run_dir / "fits.json", fits.get(axis)) for axis in AXES},
            transfer=read_transfer(transfer) if transfer.exists() else None,
            record=dict.fromkeys(RECORD_KEYS) | _read_json(run_dir / "run.json"),
            curves=read_curves(run_dir),
            data_card=DataCard.read(run_dir),
            transfer_grid=read_transfer(transfer_grid) if transfer_grid.exists() else None,
        )


def write_report(run_dir: Path | str) -> Path:
    """Writes run_dir/report.html, whole or not at all, and returns its path.

    Raises:
        AnalysisError: if there are no results, or a file of the run is damaged, naming it.
    """
    run_dir = Path(run_dir)
    return write_page(render_report(RunFiles.read(run_dir)), run_dir / "report.html")


def write_page(page: str, path: Path) -> Path:
    """Writes a page, whole or not at all, and returns its path."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
    return path


def render_report(run: RunFiles) -> str:
    """The page as text; every name from a file is escaped."""
    tables = {} if run.transfer is None else {s: transfer_rows(run.transfer, s) for s in transfer_splits(run.transfer)}
    charts = {"chart-grid": grid_chart(run.results, run.laws), "chart-curves": curve_chart(run.curves)}
    joint = joint_section(run.results, run.record)
    return template("report.html").render(
        run=run,
        facts=run_facts(run),
        grid=loss_grid(run.results),
        best=best_cell(run.results),
        laws=[law_section(run, axis) for axis in AXES],
        transfer=tables,
        verdict=transfer_verdict(run.transfer),
        figures=embedded_figures(run, joint),
        joint=None if isinstance(joint, str) else joint,
        no_joint=joint if isinstance(joint, str) else "",
        scale=scale_sentence(run.results),
        limits=limits(run),
        charts={name: chart for name, chart in charts.items() if chart},
        NOT_RECORDED=NOT_RECORDED,
    )


def template(name: str) -> Template:
    """A page of templates/; every value is escaped, and a missing one is an error."""
    environment = Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "axis_count": lambda number, axis: count(axis, number)}
    return environment.get_template(name)


def run_facts(run: RunFiles) -> dict[str, str]:
    """What ran, on what: label -> text, for the page's first table."""
    record, rows = run.record, loss_rows(run.results)
    machine, model, peak = record["machine"] or {}, record["model"] or {}, record["peak_memory_gib"]
    parts = (
        machine.get("processor"),
        f"{machine['cores']} cores" if "cores" in machine else None,
        f"{machine['memory_gib']} GiB memory" if "memory_gib" in machine else None,
        f"GPU: {machine['gpu']}" if "gpu" in machine else None,
    )
    return {
        "profile": record["profile"] or NOT_RECORDED,
        "prior": record["prior"] or NOT_RECORDED,
        "model": f"{rows['params'].max() / 1e6:.3g} M parameters"
        + (f" ({', '.join(f'{key} {value}' for key, value in model.items())})" if model else ""),
        "validation": f"{_num_validation(run.results) or NOT_RECORDED} held-out synthetic databases, "
        "the same contexts for every cell",
        "transfer protocol": ", ".join(run.transfer["protocol"].unique())
        if run.transfer is not None
        else "no transfer",
        "machine": ", ".join(part for part in parts if part) or NOT_RECORDED,
        "peak memory": f"{peak} GiB" if peak is not None else NOT_RECORDED,
        "commit": record["git"] or NOT_RECORDED,
        "seed": NOT_RECORDED if record["seed"] is None else str(record["seed"]),
    }


def best_cell(results: pd.DataFrame) -> dict[str, Any] | None:
    """N, S and loss of the best cell; None if every one diverged."""
    cells = loss_grid(results).stack().dropna()
    if cells.empty:
        return None
    num_databases, tokens = cells.idxmin()
    return {"num_databases": num_databases, "tokens": tokens, "loss": cells.min()}


def law_section(run: RunFiles, axis: str) -> dict[str, Any]:
    """One axis: the run's law (or why there is none) in a readable unit, and the paper's beside it."""
    fit, paper = run.laws[axis], PAPER_LAWS[axis]
    section: dict[str, Any] = {"axis": axis, "symbol": SYMBOLS[axis], "name": AXIS_NAMES[axis]}
    section["paper"] = {"terms": _published_terms(paper), "unit": law_unit(axis, paper.unit)[1], "law": paper}
    if isinstance(fit, str):
        return section | {"error": fit, "fit": None}
    unit, word = law_unit(axis, run.results[axis].max())
    terms = LawTerms.of(fit.coefficient_per(unit), fit.exponent, fit.floor)
    section |= {"fit": fit, "unit": word, "terms": terms, "coefficient_ci": fit.coefficient_ci_per(unit)}
    if axis == "tokens" and unit != paper.unit:  # A depends on the unit: give it in the paper's too
        section["coefficient_as_paper"] = f"{fit.coefficient_per(paper.unit):.3g}"
    return section


def transfer_rows(transfer: pd.DataFrame, split: str) -> dict[str, Any]:
    """The transfer table of a split: models in order, and per row their scores as text, lifts, and who is best."""
    table, intervals = compare_models(transfer, split), score_intervals(transfer, split)
    models = ordered_models([name for name in transfer["model"].unique() if name in table])
    rows = []
    for _, row in table.iterrows():
        key = tuple(row[["dataset", "task", "protocol", "metric"]])
        digits = score_decimals(row["metric"], row[models].to_numpy(dtype=float))
        cells = [score_cell(row, model, intervals.reindex([(*key, model)]).iloc[0], digits) for model in models]
        rows.append({**row[["dataset", "task", "protocol", "num_rows", "higher_is_better"]], "cells": cells})
        rows[-1]["metric"] = METRIC_NAMES.get(row["metric"], row["metric"])
    names = [{"key": m, "name": MODEL_NAMES.get(m, m)} for m in models]
    return {"models": names, "rows": rows, "has_intervals": bool(intervals["lower"].notna().any())}


def score_cell(row: pd.Series, model: str, ends: pd.Series, digits: int) -> dict[str, Any]:
    """One score as text, its lift over label history for a model that is no baseline, and the intervals of both."""
    lift = row.get(f"lift:{model}", np.nan)
    cell = {"value": score_text(row[model], digits), "best": row["best"] == model, "lift": "", "lift_interval": ""}
    cell["number"] = "" if np.isnan(row[model]) else float(row[model])
    cell["interval"] = interval_text(ends["lower"], ends["upper"], digits)
    if not np.isnan(lift):
        cell["lift"] = score_text(lift, digits, signed=True)
        cell["lift_interval"] = interval_text(ends["lift_lower"], ends["lift_upper"], digits, signed=True)
        cell["verdict"] = lift_verdict(lift, ends["lift_lower"], ends["lift_upper"])
    return cell


def interval_text(low: float, high: float, decimals: int, signed: bool = False) -> str:
    """Both ends as text; "" if there is no interval."""
    if np.isnan(low) or np.isnan(high):
        return ""
    return f"{score_text(low, decimals, signed)} to {score_text(high, decimals, signed)}"


def lift_verdict(lift: float, low: float, high: float) -> str:
    """ "up" or "down" where the interval leaves out 0, else "level"; without an interval the sign decides."""
    if np.isnan(low) or np.isnan(high):
        return "up" if lift > 0 else "down"
    return "up" if low > 0 else "down" if high < 0 else "level"


def transfer_verdict(transfer: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Per trained model: on how many tasks it beats label history (AUROC, R²; test where there is one).

    `up`, `level` and `down` count the tasks whose 95 % interval of the lift lies above, around and below 0; None
    without intervals.
    """
    if transfer is None:
        return []
    split = transfer_splits(transfer)[0]
    table, intervals = compare_models(transfer, split), score_intervals(transfer, split)
    table = table[table["metric"].isin(PERCENT_METRICS)].set_index(["dataset", "task", "protocol", "metric"])
    found = []
    for model in [name for name in ordered_models(transfer["model"].unique().tolist()) if name not in BASELINES]:
        lift = table[f"lift:{model}"].dropna() if f"lift:{model}" in table else pd.Series(dtype=float)
        verdict = {"model": model, "wins": int((lift > 0).sum()), "of": len(lift), "split": split}
        ends = intervals.reindex([(*key, model) for key in lift.index])[["lift_lower", "lift_upper"]].to_numpy()
        words = [lift_verdict(value, *pair) for value, pair in zip(lift, ends, strict=True)]
        has_intervals = len(lift) > 0 and not np.isnan(ends).any()
        found.append(verdict | {w: words.count(w) if has_intervals else None for w in ("up", "level", "down")})
    return found


def embedded_figures(run: RunFiles, joint: JointSection | str) -> dict[str, dict[str, str]]:
    """Name -> theme -> data URI of an SVG."""
    plots: dict[str, Callable[[], Axes]] = {"grid": lambda: plot_grid(run.results)}
    for axis in AXES:
        fit = run.laws[axis]
        plots[axis] = lambda axis=axis, fit=fit: plot_scaling(run.results, None if isinstance(fit, str) else fit, axis)
        plots[f"paper-{axis}"] = lambda axis=axis: plot_paper_figure(axis)
    if run.transfer is not None and run.transfer["metric"].isin(PERCENT_METRICS).any():
        plots["transfer"] = lambda: plot_transfer(run.transfer, transfer_splits(run.transfer)[0])
    if run.transfer_grid is not None:
        split = transfer_splits(run.transfer_grid)[0]
        for metric, axis in ((metric, axis) for metric in lift_metrics(run.transfer_grid) for axis in AXES):
            plots[f"lift-{metric}-{axis}"] = lambda axis=axis, metric=metric: plot_lift(
                run.transfer_grid, axis, metric, split=split
            )
    if isinstance(joint, JointSection):
        at = (joint.points["n"], joint.points["s"], joint.points["loss"])
        plots["surface"] = lambda: plot_surface(joint.law, *at, frontier=joint.frontier)
        if joint.frontier is not None:
            plots["frontier"] = lambda: plot_frontier(joint.frontier, unit="seconds of this machine", resource="n")
    return {name: {theme: _data_uri(plot, theme) for theme in ("light", "dark")} for name, plot in plots.items()}


def scale_sentence(results: pd.DataFrame) -> str:
    """How far this run is from the paper's scale, in numbers."""
    rows = loss_rows(results)

    def span(axis: str) -> str:
        low, high = count(axis, rows[axis].min()), count(axis, rows[axis].max())
        return low if low == high else f"{low} to {high}"

    return (
        f"This run: {rows['params'].max() / 1e6:.3g} M parameters, {span('num_databases')} databases, "
        f"{span('tokens')} tokens. The paper: {PAPER_SCALE}."
    )


def limits(run: RunFiles) -> list[str]:
    """What a reader must not conclude from this run, from its own data."""
    rows = loss_rows(run.results)
    seeds = rows["seed"].nunique()
    found = []
    if seeds == 1:
        found.append(
            "Every cell was trained once, with one seed: intervals know its noise from the residuals of the laws and "
            "from the spread of the validation databases alone, and small differences may be noise."
        )
    if any(isinstance(law, PowerLawFit) for law in run.laws.values()):
        found.append(
            "The laws are fitted to the lower envelope of one grid. R² is of the fitted points; only the held-out "
            "points test the law, and their error counts on the excess over the floor, since most of a loss is floor."
        )
        found.append("Exponent and floor are not independent: with few points, another floor gives another exponent.")
    missing = int(loss_grid(run.results).isna().to_numpy().sum())
    if missing:
        found.append(f"{missing} cells of the grid are missing or diverged.")
    for axis in (axis for axis in AXES if _overfits(run.results, axis)):
        found.append(
            f"For some cells the loss rises again before the largest {SYMBOLS[axis]}: one resource alone may overfit."
        )
    if run.transfer is None:
        found.append("No transfer to real databases was measured.")
    else:
        protocols = ", ".join(run.transfer["protocol"].unique())
        found.append(
            f"Transfer scores hold under the protocol “{protocols}” only. They say something about pretraining where "
            "they beat label history, and come from one checkpoint: an interval knows the rows that were scored, not "
            "another training."
        )
    return found


def duration(seconds: float) -> str:
    """Wall time for a reader: "4.1 s", "4 min 11 s", "2 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def score_decimals(metric: str, scores: np.ndarray) -> int:
    """Decimals of a table row: one for percent metrics, else so that the smallest score shows three digits."""
    sizes = np.abs(scores[np.isfinite(scores) & (scores != 0)])
    if metric in PERCENT_METRICS or not sizes.size:
        return 1
    return int(np.clip(2 - np.floor(np.log10(sizes.min())), 0, 4))


def score_text(score: float, decimals: int, signed: bool = False) -> str:
    """A score as text, with a real minus sign and no negative zero; "–" if undefined."""
    sign = "+" if signed else ""
    return "–" if np.isnan(score) else format(score, f"{sign}z.{decimals}f").replace("-", "−")


def _overfits(results: pd.DataFrame, axis: str) -> bool:
    """True if some line of the grid along `axis` has its lowest loss before the largest value."""
    grid = loss_grid(results).to_numpy(dtype=float)
    lines = grid if axis == "tokens" else grid.T
    return any(np.nanmin(line) < line[-1] for line in lines if not np.isnan(line).all())


def transfer_splits(transfer: pd.DataFrame) -> list[str]:
    """Test first: the split that a claim rests on."""
    return sorted(transfer["split"].unique(), key=lambda split: (split != "test", split))


def _num_validation(results: pd.DataFrame) -> int:
    per_database = results[(results["metric"] == "loss") & (results["split"] == "val") & (results["task"] == "")]
    return per_database["dataset"].nunique() - 1


def _published_terms(law: PublishedLaw) -> LawTerms:
    return LawTerms(f"{law.coefficient:g}", "", f"{law.exponent:g}", f"{law.floor:g}")


def _data_uri(plot: Callable[[], Axes], theme: style.Theme) -> str:
    with style.theme(theme), style.reproducible_svg():
        buffer = io.BytesIO()
        plot().figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnalysisError(f"{path} is damaged ({error}); delete it and run again") from error
    if not isinstance(content, dict):
        raise AnalysisError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def _read_law(path: Path, values: dict[str, Any] | None) -> PowerLawFit | str:
    if values is None:
        return "no law was fitted"
    if "error" in values:
        return str(values["error"])
    try:
        return PowerLawFit.from_dict(values)
    except AnalysisError as error:
        raise AnalysisError(f"{path}: {error}; run experiments.report again") from error
