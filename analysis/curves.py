"""Training curves of a run: logs/<training>/from-<first step>/metrics.csv."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError

MAX_POINTS = 160  # per training; more cannot be told apart on a screen


def read_curves(run_dir: Path) -> dict[str, pd.DataFrame]:
    """Training -> `tokens` and `loss` (mean training loss of a stretch of steps), N rising, trunks first.

    Where an interrupted training went over a step again, the later file counts.

    Raises:
        AnalysisError: naming the file, if it cannot be read or lacks a column.
    """
    curves = {}
    for folder in sorted((run_dir / "logs").glob("*"), key=lambda path: _order(path.name)):
        parts = [_read(path) for path in sorted(folder.glob("from-*/metrics.csv"), key=_first_step)]
        if not parts:
            continue
        steps = pd.concat(parts).drop_duplicates("step", keep="last").sort_values("step")
        stretch = np.arange(len(steps)) * min(MAX_POINTS, len(steps)) // max(1, len(steps))
        means = steps.groupby(stretch)[["tokens", "train/loss"]].agg({"tokens": "max", "train/loss": "mean"})
        curves[folder.name] = means.rename(columns={"train/loss": "loss"}).reset_index(drop=True)
    return curves


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
        return table[["step", "tokens", "train/loss"]].dropna()
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} is not a readable csv file: {str(error).splitlines()[0]}") from error
    except KeyError as error:
        raise AnalysisError(
            f"{path}: no column step, tokens or train/loss; delete the folder to leave it out"
        ) from error


def _first_step(path: Path) -> int:
    digits = re.search(r"\d+$", path.parent.name)
    return int(digits.group()) if digits else 0


def _order(name: str) -> tuple[int, int, str]:
    numbers = [int(number) for number in re.findall(r"\d+", name)]
    return (numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else -1, name)
