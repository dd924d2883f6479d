"""Gradient boosting on the joined and aggregated features of a task's seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from experiments.baselines.features import Features
from rfm.metrics import Metric, task_metrics
from rfm.store import Store

LEAVES = (8, 31)
"""Sizes of a tree that validation chooses from, with the number of trees."""
_ROUNDS, _EVERY = 300, 5
_OPTIONS = dict(learning_rate=0.05, max_iter=_ROUNDS, min_samples_leaf=20, max_features=0.5, early_stopping=False)


def boosting_predictions(
    store: Store, task: str, features: Features, seed: int, *, train_rows: np.ndarray
) -> dict[str, np.ndarray]:
    """{"val" | "test": predictions in the task's row order} of the trees that are best on validation.

    Of a multiclass task each prediction is (rows, classes).

    Args:
        seed: draws which features each split of a tree may use.
        train_rows: positions in the train split that are trained on; each has a target.
    """
    info = store.tasks[task]
    target = store.task_targets(task, "train")
    select = task_metrics(info.task_type, store.target_std(task))[0]
    val_target = store.task_targets(task, "val")
    best, best_score = None, float("nan")
    for leaves in LEAVES:
        model = _fit(info.task_type, features, target, train_rows, leaves, seed)
        rounds, value = _best_rounds(model, features.splits["val"], val_target, select, len(info.classes))
        if best is None or select.better(value, best_score):
            best, best_score = (model, rounds), value
    model, rounds = best
    return {split: _after(model, features.splits[split], rounds, len(info.classes)) for split in ("val", "test")}


def _fit(task_type: str, features: Features, target: np.ndarray, rows: np.ndarray, leaves: int, seed: int):
    kind = HistGradientBoostingRegressor if task_type == "regression" else HistGradientBoostingClassifier
    model = kind(max_leaf_nodes=leaves, categorical_features=features.is_categorical, random_state=seed, **_OPTIONS)
    return model.fit(features.splits["train"][rows], target[rows])


def _best_rounds(model, values: np.ndarray, target: np.ndarray, select: Metric, num_classes: int) -> tuple[int, float]:
    """The number of trees with the best score, and that score; all of them where no target is known."""
    known = ~np.isnan(target)
    if not known.any():
        return _ROUNDS, float("nan")
    best, best_score = _EVERY, float("nan")
    for rounds, prediction in enumerate(_staged(model, values[known], num_classes), 1):
        if rounds % _EVERY == 0:
            value = select.compute(target[known], prediction)
            if select.better(value, best_score):
                best, best_score = rounds, value
    return best, best_score


def _after(model, values: np.ndarray, rounds: int, num_classes: int) -> np.ndarray:
    """Predictions of the first `rounds` trees."""
    return next(p for number, p in enumerate(_staged(model, values, num_classes), 1) if number == rounds)


def _staged(model, values: np.ndarray, num_classes: int) -> Iterator[np.ndarray]:
    """Predictions after each further tree: float64 (rows,), of a multiclass task (rows, classes)."""
    if not hasattr(model, "staged_predict_proba"):
        yield from model.staged_predict(values)
        return
    for probability in model.staged_predict_proba(values):
        if num_classes:
            every = np.zeros((len(values), num_classes))
            every[:, model.classes_.astype(int)] = probability  # train rows may lack a class
            yield every
        else:
            yield probability[:, -1]
