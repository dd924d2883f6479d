"""Two runs side by side: what ran, their laws with intervals, whether they differ, and transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.power_law import PowerLawFit
from analysis.report.charts import AXES, comparison_chart
from analysis.report.page import template, write_page
from analysis.report.run_files import RunFiles
from analysis.report.run_report import best_cell, law_section, run_facts
from analysis.report.transfer_table import score_decimals, score_text, transfer_splits
from analysis.transfer import METRIC_NAMES, TRAINED, compare_models
from analysis.units import AXIS_NAMES


def write_comparison(one: Path | str, other: Path | str) -> Path:
    """Writes compare-<one>-<other>.html beside the first run's folder and returns its path.

    The laws are those of the runs' fits.json, which experiments.report writes.

    Raises:
        AnalysisError: if the runs have the same name, or a file of either is missing or damaged.
    """
    runs = [RunFiles.read(Path(run)) for run in (one, other)]
    if runs[0].name == runs[1].name:
        raise AnalysisError(
            f"both runs are named {runs[0].name!r}; rename one folder, so that a reader can tell them apart"
        )
    page = render_comparison(*runs)
    return write_page(page, Path(one).resolve().parent / f"compare-{runs[0].name}-{runs[1].name}.html")


def render_comparison(one: RunFiles, other: RunFiles) -> str:
    """The page as text; every name from a file is escaped."""
    runs = (one, other)
    facts = [run_facts(run) for run in runs]
    results, laws = ({run.name: getattr(run, part) for run in runs} for part in ("results", "laws"))
    return template("compare.html").render(
        runs=runs,
        facts=[(name, facts[0][name], facts[1][name]) for name in facts[0]],
        best=[best_cell(run.results) for run in runs],
        laws=[
            {
                "name": AXIS_NAMES[axis],
                "sections": [law_section(run, axis) for run in runs],
                "differences": law_differences(one.laws[axis], other.laws[axis]),
            }
            for axis in AXES
        ],
        transfer=transfer_table(one, other),
        comparable=one.record["identity"] is not None and _validation(one) == _validation(other),
        charts={"chart-laws": comparison_chart(results, laws)},
    )


def law_differences(one: PowerLawFit | str, other: PowerLawFit | str) -> list[dict[str, Any]]:
    """Exponent and floor: second minus first with a 95 % interval, taking the runs as independent.

    Empty unless both have a law with an interval.
    """
    if isinstance(one, str) or isinstance(other, str) or not len(one.draws) or not len(other.draws):
        return []
    rng = np.random.default_rng(0)  # pairs of replicates, as independent runs would give
    pairs = rng.integers(len(one.draws), size=4000), rng.integers(len(other.draws), size=4000)
    found = []
    for column, name in ((1, "exponent"), (2, "floor")):
        spread = other.draws[pairs[1], column] - one.draws[pairs[0], column]
        low, high = np.quantile(spread, [0.025, 0.975])
        found.append(
            {
                "name": name,
                "difference": getattr(other, name) - getattr(one, name),
                "interval": (float(low), float(high)),
                "differs": not low <= 0 <= high,
            }
        )
    return found


def transfer_table(one: RunFiles, other: RunFiles) -> list[dict[str, Any]]:
    """Scores of the trained models on the tasks that both runs measured under one protocol; test where there is one."""
    if one.transfer is None or other.transfer is None:
        return []
    split = transfer_splits(one.transfer)[0]
    if split not in set(other.transfer["split"]):
        return []
    key = ["dataset", "task", "protocol", "metric"]
    tables = [compare_models(run.transfer, split).set_index(key) for run in (one, other)]
    rows = []
    for index in tables[0].index.intersection(tables[1].index):
        first, second = (table.loc[index] for table in tables)
        for model in TRAINED:
            if model not in first or model not in second:
                continue
            scores = np.array([first[model], second[model], first.get("label_history", np.nan)], dtype=float)
            digits = score_decimals(index[3], scores)
            gain = (second[model] - first[model]) * (1 if first["higher_is_better"] else -1)
            rows.append(
                dict(zip(key, index, strict=True))
                | {
                    "metric": METRIC_NAMES.get(index[3], index[3]),
                    "arrow": "↑" if first["higher_is_better"] else "↓",
                    "model": model,
                    "scores": [(float(score), score_text(score, digits)) for score in scores],
                    "gain": float(gain),
                    "gain_text": score_text(gain, digits, signed=True),
                }
            )
    return [row for row in rows if not pd.isna(row["gain"])]


def _validation(run: RunFiles) -> list[Any]:
    """What the validation losses depend on beside the model: where it differs, losses do not compare."""
    identity = run.record["identity"] or {}
    return [identity.get(part) for part in ("prior", "validation")] + [
        {k: v for k, v in (identity.get("corpus") or {}).items() if "validation" in k}
    ]
