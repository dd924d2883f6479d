"""What a run folder holds for its report, read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.curves import read_curves
from analysis.errors import AnalysisError
from analysis.power_law import PowerLawFit
from analysis.report.data_card import DataCard
from analysis.results import read_results
from analysis.transfer import read_transfer

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
