"""How far a model may leave the forecast that it starts from, as a task's latest train labels say (not in the paper).

Zero-shot, what a transformer adds to label regression is right on some tasks and noise on others. One number per
task, fitted to labels that its contexts show anyway, tells which: prediction = forecast + trust (answer - forecast).
No weight of the model changes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.baselines.trivial import label_regression
from experiments.contexts import TaskContexts
from rfm.datamodule import labelled_rows
from rfm.model import RelationalTransformer
from rfm.predict import predict_task
from rfm.store import Store, TextTable

NUM_LABELS = 500
"""The latest train labels, which trust is fitted to."""
PRIOR_TRUST, PRIOR_LABELS = 0.5, 10.0
"""Trust without a label, and the squared differences (in the target's variances) that weigh as much as it does."""


def trust(forecast: np.ndarray, answer: np.ndarray, label: np.ndarray, variance: float) -> float:
    """The ridge regression of what the forecast missed on what the model adds to it, within 0 and 1; (rows,) each."""
    added, missed = answer - forecast, label - forecast
    prior = PRIOR_LABELS * variance
    return float(np.clip((added @ missed + prior * PRIOR_TRUST) / (added @ added + prior), 0, 1))


def calibrated_predictions(
    model: RelationalTransformer,
    store: Store,
    texts: TextTable,
    task: str,
    how: TaskContexts,
    answers: Mapping[str, np.ndarray],
    *,
    progress: bool = True,
) -> dict[str, np.ndarray]:
    """{split: predictions} of a binary or regression task from the model's own, `answers`, of these splits.

    Train labels close before the first seed of validation, so each of them is known to every seed.
    """
    info = store.tasks[task]
    label = store.task_targets(task, "train")
    known, rows = labelled_rows(store, task, 1.0, how.seed)
    latest = np.sort(known[np.argsort(store.row_time[rows], kind="stable")][-NUM_LABELS:])
    shown = predict_task(model, store, texts, task, "train", **how.options(), chosen=latest, progress=progress)
    forecast = {split: label_regression(store, info, split, how.protocol) for split in ("train", *answers)}
    part = trust(forecast["train"][latest], shown, label[latest], store.target_std(task) ** 2)
    return {split: forecast[split] + part * (answer - forecast[split]) for split, answer in answers.items()}
