"""How far a model may leave the forecast that it starts from, as a task's latest train labels say (not in the paper).

Zero-shot, what a transformer adds to label regression is right on some tasks and noise on others. One number per
task, fitted to labels that its contexts show anyway, tells which: prediction = forecast + trust (answer - forecast).
No weight of the model changes.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """The ridge regression of what the forecast missed on what the model adds to it, within 0 and 1; (rows,) each.

    Args:
        variance: of the target; where it is 0 or unknown and the model adds nothing, trust is `PRIOR_TRUST`.
    """
    added, missed = answer - forecast, label - forecast
    prior = PRIOR_LABELS * np.nan_to_num(variance)
    total = added @ added + prior
    return float(np.clip((added @ missed + prior * PRIOR_TRUST) / total, 0, 1)) if total > 0 else PRIOR_TRUST


def draw_back(forecast: np.ndarray, answer: np.ndarray, part: float) -> np.ndarray:
    """A model's answers, trusted in part; (rows,) each."""
    return forecast + part * (answer - forecast)


@dataclass(frozen=True)
class Calibration:
    """What trust in any model is fitted to, on one binary or regression task.

    Train labels close before the first seed of validation, so each of them is known to every seed.
    """

    store: Store
    task: str
    how: TaskContexts
    latest: np.ndarray  # int64 (labels,), positions in the train split of the latest rows with a label, rising
    forecast: np.ndarray  # float64 (labels,), label regression's

    @classmethod
    def of_task(cls, store: Store, task: str, how: TaskContexts) -> Calibration:
        known, rows = labelled_rows(store, task, 1.0, how.seed)
        latest = np.sort(known[np.argsort(store.row_time[rows], kind="stable")][-NUM_LABELS:])
        return cls(store, task, how, latest, label_regression(store, store.tasks[task], "train", how.protocol, latest))

    def trust_in(self, model: RelationalTransformer, texts: TextTable, *, progress: bool = True) -> float:
        """Trust in the model's answers to the latest train labels."""
        options = self.how.options() | {"chosen": self.latest, "progress": progress}
        answer = predict_task(model, self.store, texts, self.task, "train", **options)
        label = self.store.task_targets(self.task, "train")[self.latest]
        return trust(self.forecast, answer, label, self.store.target_std(self.task) ** 2)
