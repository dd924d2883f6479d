"""A short supervised training of a checkpoint on the train labels of one task."""

from __future__ import annotations

import tempfile
from pathlib import Path

from omegaconf import DictConfig

from experiments.contexts import TaskContexts
from experiments.training import train
from rfm.datamodule import StepDataModule, TaskBatches
from rfm.model import RelationalTransformer
from rfm.module import OptimConfig, PretrainModule
from rfm.schedule import ScheduleConfig
from rfm.store import Store, TextTable


def finetune(
    model: RelationalTransformer,
    store: Store,
    texts: TextTable,
    task: str,
    how: TaskContexts,
    cfg: DictConfig,
    *,
    steps: int,
    lr: float,
) -> RelationalTransformer:
    """Trains `model` in place for `steps` batches of train seeds (half of them in decay) and returns it.

    Contexts follow the protocol and policy of the evaluation; validation and test labels are never targets.
    """
    schedule = ScheduleConfig("wsd", max_steps=steps, warmup_steps=max(1, steps // 10), decay_steps=max(1, steps // 2))
    module = PretrainModule(model, OptimConfig(lr, cfg.weight_decay, tuple(cfg.betas)), schedule)
    batches = TaskBatches(store, texts, task, **how.options())
    with tempfile.TemporaryDirectory() as scratch:
        train(module, StepDataModule(batches), cfg, max_steps=steps, directory=Path(scratch))
    return module.model
