"""The weights of a fine-tuning that are best on validation; those that it starts from are among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from experiments.contexts import TaskContexts
from rfm.metrics import task_metrics
from rfm.predict import predict_task
from rfm.store import Store, TextTable

LOOKS = 8
"""Times that validation is looked at, evenly over the steps, beside the start."""
MAX_ROWS = 1000
"""Validation rows of a look, at most; the same ones each time."""


class BestOnValidation(Callback):
    """Scores the model at its start and `LOOKS` times after, by the first metric of the task, and keeps the best.

    Its state is part of every checkpoint, so that a resumed training chooses among all looks.
    """

    def __init__(self, store: Store, texts: TextTable, task: str, how: TaskContexts) -> None:
        self.store, self.texts, self.task, self.how = store, texts, task, how
        info, target = store.tasks[task], store.task_targets(task, "val")
        self.metric = task_metrics(info.task_type, store.target_std(task))[0]
        known = np.flatnonzero(~np.isnan(target))
        if len(known) > MAX_ROWS:
            known = np.sort(np.random.default_rng(how.seed).choice(known, MAX_ROWS, replace=False))
        self.rows, self.target = known, target[known]
        self.best: dict[str, Any] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not self.best:
            self._look(0, module)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
        step, every = trainer.global_step, max(1, trainer.max_steps // LOOKS)
        is_new = step > self.best["last_look"]  # a batch whose gradients wait for others ends no step
        if is_new and (step % every == 0 or step == trainer.max_steps):
            self._look(step, module)

    def _look(self, step: int, module: L.LightningModule) -> None:
        score = float("nan")
        if len(self.rows):
            options = self.how.options() | {"chosen": self.rows, "progress": False}
            prediction = predict_task(module.model, self.store, self.texts, self.task, "val", **options)
            score = self.metric.compute(self.target, prediction)
        unknown = not self.best or np.isnan(self.best["score"])  # without a score the last weights are kept
        if unknown or self.metric.better(score, self.best["score"]):
            weights = {name: value.detach().cpu().clone() for name, value in module.model.state_dict().items()}
            self.best = {"step": step, "score": score, "weights": weights}
        self.best["last_look"] = step

    def state_dict(self) -> dict[str, Any]:
        """Step, score and weights of the best look, and the step of the last one."""
        return self.best

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict

    def restore_best(self, model: torch.nn.Module, checkpoint: Path) -> int:
        """Loads the best weights that a checkpoint of the training knows into `model`; returns their step."""
        self.best = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"][self.state_key]
        model.load_state_dict(self.best["weights"])
        return self.best["step"]
