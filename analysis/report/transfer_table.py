"""The transfer table of a report: scores and lifts as text, their intervals, and the tasks that are won."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.transfer import (
    BASELINES,
    METRIC_NAMES,
    MODEL_NAMES,
    PERCENT_METRICS,
    compare_models,
    ordered_models,
    score_intervals,
)


def transfer_splits(transfer: pd.DataFrame) -> list[str]:
    """Test first: the split that a claim rests on."""
    return sorted(transfer["split"].unique(), key=lambda split: (split != "test", split))


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


def transfer_verdict(transfer: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Per trained model: on how many tasks it beats label history by the first metric (test where there is one).

    `up`, `level` and `down` count the tasks whose 95 % interval of the lift lies above, around and below 0; None
    without intervals. `metrics` names the metrics of these tasks.
    """
    if transfer is None:
        return []
    split = transfer_splits(transfer)[0]
    table, intervals = compare_models(transfer, split), score_intervals(transfer, split)
    table = table[table["metric"].isin(PERCENT_METRICS)].set_index(["dataset", "task", "protocol", "metric"])
    found = []
    for model in [name for name in ordered_models(transfer["model"].unique().tolist()) if name not in BASELINES]:
        lift = table[f"lift:{model}"].dropna() if f"lift:{model}" in table else pd.Series(dtype=float)
        if lift.empty:  # published scores, under a protocol of which there is no label history
            continue
        metrics = ", ".join(METRIC_NAMES[metric] for metric in lift.index.unique("metric"))
        verdict = {"model": model, "wins": int((lift > 0).sum()), "of": len(lift), "split": split, "metrics": metrics}
        ends = intervals.reindex([(*key, model) for key in lift.index])[["lift_lower", "lift_upper"]].to_numpy()
        words = [lift_verdict(value, *pair) for value, pair in zip(lift, ends, strict=True)]
        has_intervals = len(lift) > 0 and not np.isnan(ends).any()
        found.append(verdict | {w: words.count(w) if has_intervals else None for w in ("up", "level", "down")})
    return found


def lift_verdict(lift: float, low: float, high: float) -> str:
    """ "up" or "down" where the interval leaves out 0, else "level"; without an interval the sign decides."""
    if np.isnan(low) or np.isnan(high):
        return "up" if lift > 0 else "down"
    return "up" if low > 0 else "down" if high < 0 else "level"


def interval_text(low: float, high: float, decimals: int, signed: bool = False) -> str:
    """Both ends as text; "" if there is no interval."""
    if np.isnan(low) or np.isnan(high):
        return ""
    return f"{score_text(low, decimals, signed)} to {score_text(high, decimals, signed)}"


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
