"""One stretch of Lightning training that can be interrupted at any moment and continues where it stopped."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from omegaconf import DictConfig


class StepCheckpoints(Callback):
    """Keeps `step-<n>.ckpt` at each of `keep` and, in between, the newest at a multiple of `every`.

    A file appears under its name only when it is complete.
    """

    def __init__(self, directory: Path, keep: Sequence[int], every: int) -> None:
        self.directory, self.keep, self.every = directory, frozenset(keep), every

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        step = trainer.global_step
        if step not in self.keep and step % self.every:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        temporary = self.directory / ".step.ckpt"
        trainer.save_checkpoint(temporary)
        if not trainer.is_global_zero:
            return
        os.replace(temporary, self.directory / f"step-{step}.ckpt")
        for path in self.directory.glob("step-*.ckpt"):
            if checkpoint_step(path) < step and checkpoint_step(path) not in self.keep:
                path.unlink()


def checkpoint_step(path: Path) -> int:
    """The optimizer step of a `step-<n>.ckpt` file."""
    return int(path.stem.removeprefix("step-"))


def newest_checkpoint(directory: Path, upto: int) -> Path | None:
    """The complete checkpoint with the largest step <= `upto`, or None."""
    return max(
        (p for p in directory.glob("step-*.ckpt") if checkpoint_step(p) <= upto), key=checkpoint_step, default=None
    )


def make_loggers(run_dir: Path, name: str, wandb: str) -> list[Logger]:
    """CSV always; Weights & Biases unless `disabled`. Offline runs lie in the run folder, for `wandb sync`."""
    loggers: list[Logger] = [CSVLogger(run_dir / "logs", name=name, version="")]
    if wandb != "disabled":
        loggers.append(
            WandbLogger(name=name, project="relational-scaling", save_dir=run_dir, offline=wandb == "offline")
        )
    return loggers


def train(
    module: L.LightningModule,
    data: L.LightningDataModule,
    cfg: DictConfig,
    *,
    max_steps: int,
    directory: Path,
    keep: Sequence[int] = (),
    start: Path | None = None,
    loggers: Sequence[Logger] = (),
) -> None:
    """Trains until `max_steps` and leaves `directory`/step-<max_steps>.ckpt.

    Continues from the newest checkpoint in `directory`; if there is none, from the checkpoint `start`; else from
    the module's own weights.

    Args:
        cfg: the `train` configuration group.
        keep: steps whose checkpoints stay (max_steps always does).
    """
    resume = newest_checkpoint(directory, max_steps) or start
    if resume is not None and checkpoint_step(resume) == max_steps:
        return
    warnings.filterwarnings("ignore", message=".*(does not have many workers|num_workers|srun|litlogger).*")
    trainer = L.Trainer(
        max_steps=max_steps,
        accelerator=cfg.accelerator,
        devices=cfg.devices,
        precision=cfg.precision,
        gradient_clip_val=cfg.gradient_clip,
        logger=list(loggers) or False,
        log_every_n_steps=10,
        callbacks=[StepCheckpoints(directory, [*keep, max_steps], cfg.checkpoint_every), TQDMProgressBar(10)],
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=False)
    if trainer.global_step < max_steps:
        raise KeyboardInterrupt  # Lightning ends quietly when interrupted
