"""What the interactive charts of a report draw, as plain lists for templates/charts.js."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.envelope import OTHER_AXIS, lower_envelope
from analysis.power_law import PowerLawFit
from analysis.results import loss_grid
from analysis.units import AXIS_NAMES, SYMBOLS, count

AXES = ("num_databases", "tokens")


def grid_chart(results: pd.DataFrame, laws: Mapping[str, PowerLawFit | str]) -> dict[str, Any]:
    """Validation loss over N and over S: the cells, the lower envelope, the law with its interval."""
    grid = loss_grid(results)
    views = []
    for axis in AXES:
        other = OTHER_AXIS[axis]
        series = []
        for level, losses in (grid if axis == "tokens" else grid.T).iterrows():
            name = f"{SYMBOLS[other]} = {count(other, level)}"
            series.append(_series(name, losses.index, losses, kind="cells"))
        envelope = lower_envelope(results, over=axis)
        series += law_series(f"law in {SYMBOLS[axis]}", laws[axis], float(envelope["x"].max()))
        series.append(_series("lower envelope", envelope["x"], envelope["loss"], kind="best"))
        views.append({"name": f"over {SYMBOLS[axis]}", "x": AXIS_NAMES[axis], "series": series})
    return {"x": "", "y": "validation loss", "logx": True, "views": views}


def law_series(name: str, law: PowerLawFit | str, largest: float) -> list[dict[str, Any]]:
    """The law over the fitted range, and dashed up to the largest x, with its 95 % interval; nothing without a law."""
    if isinstance(law, str):
        return []
    found = []
    for dashed, ends in ((False, law.x_range), (True, (law.x_range[1], largest))):
        if ends[1] <= ends[0]:
            continue
        x = np.geomspace(*ends, 40)
        one = _series(name, x, law.predict(x), kind="law") | {"dashed": dashed}
        if len(law.draws):
            _, low, high = law.predict(x, interval=0.95)
            one |= {"low": _plain(low), "high": _plain(high)}
        found.append(one)
    return found


def comparison_chart(
    results: Mapping[str, pd.DataFrame], laws: Mapping[str, Mapping[str, PowerLawFit | str]]
) -> dict[str, Any]:
    """Lower envelopes of several runs over N and over S with their laws; names of runs to results and to laws."""
    views = []
    for axis in AXES:
        series = []
        for run, rows in results.items():
            envelope = lower_envelope(rows, over=axis)
            law = law_series(f"law of {run}", laws[run][axis], float(envelope["x"].max()))
            series += [one | {"group": run, "kind": "band"} for one in law]
            series.append(_series(run, envelope["x"], envelope["loss"], kind="points"))
        views.append({"name": f"over {SYMBOLS[axis]}", "x": AXIS_NAMES[axis], "series": series})
    return {"x": "", "y": "best validation loss", "logx": True, "views": views}


def curve_chart(curves: Mapping[str, pd.DataFrame]) -> dict[str, Any] | None:
    """Training loss over tokens, trainings of one N in one colour; None without curves."""
    if not curves:
        return None
    series = []
    for name, curve in curves.items():
        group = name.split("-")[0]
        group = f"N = {group[1:]}" if group[:1] == "n" and group[1:].isdigit() else name
        series.append(_series(name, curve["tokens"], curve["loss"], kind="curve") | {"group": group})
    return {"x": "training tokens", "y": "training loss", "logx": False, "views": [{"name": "", "series": series}]}


def _series(name: str, x: Any, y: Any, kind: str) -> dict[str, Any]:
    return {"name": name, "group": name, "kind": kind, "x": _plain(x), "y": _plain(y)}


def _plain(values: Any) -> list[float | None]:
    """Six digits are more than a screen shows; a loss that is not finite is left out."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=float)]
