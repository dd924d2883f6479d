"""report.html of a run: one self-contained page with its laws, figures, transfer table, limits and provenance.

Reads run_dir/results/*.parquet and, where they exist, run.json, fits.json, data_card.json, transfer.csv (of one
checkpoint) and transfer_grid.csv (scores of every cell). What a run did not record is shown as "not recorded". Figures
are embedded twice, for readers with a light and a dark screen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.power_law import PowerLawFit
from analysis.published import PAPER_LAWS, PAPER_SCALE, PublishedLaw
from analysis.report.charts import curve_chart, grid_chart
from analysis.report.joint import joint_section
from analysis.report.page import duration, template, write_page
from analysis.report.pictures import embedded_figures
from analysis.report.run_files import AXES, RunFiles
from analysis.report.transfer_table import transfer_rows, transfer_splits, transfer_verdict
from analysis.results import database_loss_rows, loss_grid, loss_rows
from analysis.units import AXIS_NAMES, SYMBOLS, LawTerms, count, law_unit

NOT_RECORDED = "not recorded"


def write_report(run_dir: Path | str) -> Path:
    """Writes run_dir/report.html, whole or not at all, and returns its path.

    Raises:
        AnalysisError: if there are no results, or a file of the run is damaged, naming it.
    """
    run_dir = Path(run_dir)
    return write_page(render_report(RunFiles.read(run_dir)), run_dir / "report.html")


def render_report(run: RunFiles) -> str:
    """The page as text; every name from a file is escaped."""
    tables = {} if run.transfer is None else {s: transfer_rows(run.transfer, s) for s in transfer_splits(run.transfer)}
    charts = {"chart-grid": grid_chart(run.results, run.laws), "chart-curves": curve_chart(run.curves)}
    joint = joint_section(run.results, run.record)
    figures = embedded_figures(run, joint)
    return template("report.html").render(
        run=run,
        facts=run_facts(run),
        grid=loss_grid(run.results),
        best=best_cell(run.results),
        laws=[law_section(run, axis) for axis in AXES],
        transfer=tables,
        verdict=transfer_verdict(run.transfer),
        figures=figures,
        lifts=[n.removesuffix("_tokens") for n in figures if n.startswith("lift_") and n.endswith("_tokens")],
        joint=None if isinstance(joint, str) else joint,
        no_joint=joint if isinstance(joint, str) else "",
        scale=scale_sentence(run.results),
        limits=limits(run),
        charts={name: chart for name, chart in charts.items() if chart},
        NOT_RECORDED=NOT_RECORDED,
    )


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
        "training": f"{len(rows)} cells, {duration(rows['wall_s'].sum())} one after another",  # stages know no jobs
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


def _overfits(results: pd.DataFrame, axis: str) -> bool:
    """True if some line of the grid along `axis` has its lowest loss before its last measured value."""
    grid = loss_grid(results)
    lines = [line.dropna() for _, line in (grid if axis == "tokens" else grid.T).iterrows()]
    return any(line.min() < line.iloc[-1] for line in lines if len(line))


def _num_validation(results: pd.DataFrame) -> int:
    return database_loss_rows(results)["dataset"].nunique()


def _published_terms(law: PublishedLaw) -> LawTerms:
    return LawTerms(f"{law.coefficient:g}", "", f"{law.exponent:g}", f"{law.floor:g}")
