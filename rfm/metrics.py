"""Metrics of a prediction task, each with its direction, so that model selection cannot guess it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from rfm.errors import RfmError


@dataclass(frozen=True)
class Metric:
    """One number of a prediction against its target; `higher_is_better` says how to compare two of them."""

    name: str
    higher_is_better: bool
    compute: Callable[[np.ndarray, np.ndarray], float]

    def better(self, a: float, b: float) -> bool:
        """True if score `a` is strictly better than score `b`; a NaN is never better."""
        return bool(a > b if self.higher_is_better else a < b) or bool(np.isnan(b) and not np.isnan(a))


def _auroc(target: np.ndarray, prediction: np.ndarray) -> float:
    if np.unique(target).size < 2:
        return float("nan")  # one class only: the area is undefined
    return 100.0 * float(roc_auc_score(target, prediction))


def _average_precision(target: np.ndarray, prediction: np.ndarray) -> float:
    return 100.0 * float(average_precision_score(target, prediction)) if target.any() else float("nan")


def _macro_auroc(target: np.ndarray, prediction: np.ndarray) -> float:
    """Mean over the classes that occur, but for one that every row has."""
    areas = [_auroc(target == k, prediction[:, k]) for k in np.unique(target).astype(int)]
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")


def _macro_f1(target: np.ndarray, prediction: np.ndarray) -> float:
    """Mean over the classes that occur among targets or predictions."""
    return 100.0 * float(f1_score(target, prediction.argmax(1), average="macro", zero_division=0.0))


def _normalised_error(target: np.ndarray, prediction: np.ndarray, train_std: float) -> float:
    if not train_std > 0:
        return float("nan")  # the train targets are all alike, or too few: no unit
    return float(mean_absolute_error(target, prediction) / train_std)


def task_metrics(task_type: str, train_std: float) -> tuple[Metric, ...]:
    """The metrics of a task type; the first selects models.

    All but MAE and NMAE are in percent, as in the paper's tables. NMAE is MAE / `train_std`, the standard deviation
    (ddof=1) of the train targets, as relbench defines it. relbench (3.0) has no metrics of multiclass tasks.

    Raises:
        RfmError: for a task type without metrics.
    """
    if task_type == "binary_classification":
        return (Metric("auroc", True, _auroc), Metric("average_precision", True, _average_precision))
    if task_type == "multiclass_classification":
        return (
            Metric("accuracy", True, lambda y, p: 100.0 * float(accuracy_score(y, p.argmax(1)))),
            Metric("macro_f1", True, _macro_f1),
            Metric("macro_auroc", True, _macro_auroc),
        )
    if task_type == "regression":
        return (
            Metric("r2", True, lambda y, p: 100.0 * float(r2_score(y, p))),
            Metric("mae", False, lambda y, p: float(mean_absolute_error(y, p))),
            Metric("nmae", False, lambda y, p: _normalised_error(y, p, train_std)),
        )
    raise RfmError(
        f"task type {task_type!r} has no metrics here; supported: binary_classification, multiclass_classification, "
        "regression"
    )


def score(task_type: str, target: np.ndarray, prediction: np.ndarray, train_std: float) -> dict[str, float]:
    """Every metric of the task type over all rows; NaN where it is undefined, as all are without a known target.

    Args:
        target, prediction: float (rows,), or a prediction (rows, classes) for targets that are positions of classes;
            rows with a hidden (NaN) target are left out.
        train_std: standard deviation (ddof=1) of the train targets; NMAE needs a positive one.

    Raises:
        RfmError: if lengths differ, or a prediction is not finite.
    """
    if len(target) != len(prediction):
        raise RfmError(f"{prediction.shape[0]} predictions for {target.shape[0]} rows; one for each row is needed")
    if not np.isfinite(prediction).all():
        raise RfmError(f"{int((~np.isfinite(prediction)).sum())} predictions are not finite")
    known, metrics = ~np.isnan(target), task_metrics(task_type, train_std)
    if not known.any():
        return {m.name: float("nan") for m in metrics}
    return {m.name: m.compute(target[known], prediction[known]) for m in metrics}
