"""Every model of the comparison applied to one task: its predictions of all validation and test rows.

| model         | what it has seen                                                                    | seeds |
|---------------|-------------------------------------------------------------------------------------|-------|
| constant, entity_mean, label_history, label_regression | labels of the task (`baselines.trivial`)    |       |
| boosting      | train labels, joined and aggregated features                                        | yes   |
| graphsage     | train labels, the database as a graph                                               | yes   |
| scratch       | train labels; the transformer with new weights                                      | yes   |
| zero-shot     | the checkpoint's synthetic databases                                                |       |
| calibrated    | the same, and the latest train labels say how far to trust it (`calibration`)       |       |
| real-only     | the other real databases; new weights                                               | yes   |
| continued     | the checkpoint's synthetic databases, then the other real ones                      | yes   |
| fine-tuned    | the checkpoint's synthetic databases, then train labels of the task                 | yes   |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from experiments.baselines.boosting import boosting_predictions
from experiments.baselines.features import Features, make_features
from experiments.baselines.graphsage import GraphSageConfig, graphsage_predictions
from experiments.baselines.trivial import baseline_predictions, label_regression
from experiments.calibration import Calibration, draw_back
from experiments.contexts import TaskContexts
from experiments.continue_pretraining import continue_pretraining, other_stores
from experiments.datasets import load_model
from experiments.finetune import finetune
from rfm.checkpoint import load_checkpoint, save_checkpoint
from rfm.datamodule import labelled_rows
from rfm.model import ModelConfig, RelationalTransformer
from rfm.module import new_model
from rfm.predict import predict_task
from rfm.store import Store, TextTable

TRIVIAL = ("constant", "entity_mean", "label_history", "label_regression")
TRAINED_ON_LABELS = ("boosting", "graphsage", "scratch", "fine-tuned")
TRAINED = (*TRAINED_ON_LABELS, "real-only", "continued")
MODELS = (
    *TRIVIAL,
    "boosting",
    "graphsage",
    "scratch",
    "zero-shot",
    "calibrated",
    "real-only",
    "continued",
    "fine-tuned",
)

Predictions = dict[str, np.ndarray]
"""{"val" | "test": float64 (rows,) in the task's row order}."""


@dataclass(frozen=True)
class Entry:
    """One row of the comparison."""

    model: str
    seed: int
    label_frac: float

    @property
    def name(self) -> str:
        part = "" if self.label_frac == 1 else f"-labels{self.label_frac:g}"
        return f"{self.model}-seed{self.seed}{part}"


@dataclass(frozen=True)
class TaskModels:
    """The models of one task; `stores` are all databases, that of the task among them."""

    run_dir: Path
    cfg: DictConfig
    stores: Sequence[Store]
    texts: TextTable
    store: Store
    folder: Path
    task: str

    def has(self, entry: Entry) -> bool:
        """Whether there is such a model of the task."""
        return entry.model not in ("label_regression", "calibrated") or not self.store.tasks[self.task].classes

    def predict(self, entry: Entry) -> Predictions:
        """Trains what the entry needs and predicts."""
        if entry.model in TRIVIAL:
            return baseline_predictions(self.store, self.task, self._protocol)[entry.model]
        if entry.model == "boosting":
            return boosting_predictions(
                self.store, self.task, self._features, entry.seed, train_rows=self._train_rows(entry)
            )
        if entry.model == "graphsage":
            sizes = GraphSageConfig(**self.cfg.graphsage)
            rows = self._train_rows(entry)
            return graphsage_predictions(
                self.store, self.texts, self.task, self._protocol, sizes, entry.seed, train_rows=rows
            )
        model, how = self._transformer(entry), self._contexts(self.cfg.seed)
        options = how.options()
        found = {s: predict_task(model, self.store, self.texts, self.task, s, **options) for s in ("val", "test")}
        if entry.model == "calibrated":
            part = Calibration.of_task(self.store, self.task, how).trust_in(model, self.texts)
            info, protocol = self.store.tasks[self.task], self._protocol
            return {s: draw_back(label_regression(self.store, info, s, protocol), found[s], part) for s in found}
        return found

    @property
    def _protocol(self) -> str:
        return self.cfg.transfer.protocol

    @cached_property
    def _features(self) -> Features:
        return make_features(self.folder, self.store, self.texts, self.task, self._protocol)

    def _train_rows(self, entry: Entry) -> np.ndarray:
        return labelled_rows(self.store, self.task, entry.label_frac, entry.seed)[0]

    def _contexts(self, seed: int) -> TaskContexts:
        return TaskContexts.from_config(self._protocol, self.cfg.transfer.policy, self.cfg.train, seed)

    def _transformer(self, entry: Entry) -> RelationalTransformer:
        if entry.model in ("real-only", "continued"):
            return self._pretrained_on_others(entry)
        if entry.model in ("zero-shot", "calibrated"):
            return load_model(self.cfg.checkpoint)
        if entry.model == "scratch":
            model, steps, lr = self._new_model(entry.seed), self.cfg.scratch_steps, self.cfg.train.lr
        else:
            model = load_model(self.cfg.checkpoint)
            steps, lr = self.cfg.transfer.finetune_steps, self.cfg.transfer.finetune_lr
        how = self._contexts(entry.seed)
        return finetune(
            model, self.store, self.texts, self.task, how, self.cfg.train,
            steps=steps, lr=lr, label_frac=entry.label_frac,
        )  # fmt: skip

    def _pretrained_on_others(self, entry: Entry) -> RelationalTransformer:
        """Trained once per database left out and seed, for all of its tasks."""
        folder = self.run_dir / "pretrained" / f"{entry.model}-without-{self.store.name}-seed{entry.seed}"
        if not (folder / "checkpoint" / "config.json").exists():
            start = self._new_model(entry.seed) if entry.model == "real-only" else load_model(self.cfg.checkpoint)
            others = other_stores(self.stores, self.store.name)
            model = continue_pretraining(
                start, others, self.texts, self.cfg.continued, self.cfg.train,
                seed=entry.seed, directory=folder / "training",
            )  # fmt: skip
            save_checkpoint(model, folder / "checkpoint")
        return load_checkpoint(folder / "checkpoint")

    def _new_model(self, seed: int) -> RelationalTransformer:
        return new_model(ModelConfig.from_dict(OmegaConf.to_container(self.cfg.model)), seed)
