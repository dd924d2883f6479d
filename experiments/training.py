"""One stretch of Lightning training that can be interrupted at any moment and continues where it stopped.

Data parallel: every process trains on a batch of its own, and gradients are averaged, so that P processes make the
step of one with P times the batch, but for rounding: losses within 1e-5 and weights within a hundredth of an update, as
tested (Adam divides by gradients that are almost zero). Every launcher needs train.devices, the processes of a machine,
and train.num_nodes, the machines:

    python -m experiments.pretrain ... train.devices=8                                        # Lightning's, one machine
    torchrun --nproc-per-node=8 -m experiments.pretrain ... train.devices=8                   # one machine
    torchrun --nnodes=2 --node-rank=R --nproc-per-node=8 --master-addr=HOST --master-port=29500 \\
        -m experiments.pretrain ... train.devices=8 train.num_nodes=2                         # on each machine R
    srun --nodes=2 --ntasks-per-node=8 python -m experiments.pretrain ... train.devices=8 train.num_nodes=2  # SLURM

run.dir lies on a file system that all machines see. Called again, the same command continues. So do
experiments.continue_pretraining and finetune; a grid trains each cell in one process, the cells side by side.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
import wandb
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from tqdm.auto import tqdm

from experiments.errors import ExperimentError
from experiments.runtime import process_rank
from rfm.module import DivergedError


class StepCheckpoints(Callback):
    """Keeps `step-<n>.ckpt` at each of `keep` and, in between, the newest at a multiple of `every`.

    A file appears under its name only when it is complete.
    """

    def __init__(self, directory: Path, keep: Sequence[int], every: int) -> None:
        self.directory, self.keep, self.every = directory, frozenset(keep), every

    def on_train_start(self, trainer: L.Trainer, *_: object) -> None:
        self._last = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        step = trainer.global_step
        if step == self._last:  # a batch whose gradients wait for others
            return
        self._last = step
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


class SkippedSteps(Callback):
    """Says which steps the module left out, and keeps the ids of their contexts as lines of `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
        while module.skipped:
            error = module.skipped.pop(0)
            with self.path.open("a") as file:
                file.write(json.dumps({"message": str(error), "contexts": error.contexts}) + "\n")
            tqdm.write(f"step skipped: {error}; all contexts of the batch: {self.path}", file=sys.stderr)


class StepProgressBar(Callback):
    """Optimizer steps, tokens, tokens per second, loss, rate and time left.

    Lightning's own bar knows no total of an endless loader.
    """

    def __init__(self, every: int = 10) -> None:
        self.every = every

    def on_train_start(self, trainer: L.Trainer, *_: object) -> None:
        hidden = not trainer.is_global_zero
        first = trainer.global_step
        self._bar = tqdm(total=trainer.max_steps, initial=first, unit="step", leave=False, disable=hidden)

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        step = trainer.global_step
        if step % self.every and step < trainer.max_steps:
            return
        shown = {"loss": "train/loss", "tokens/s": "tokens_per_s", "tokens": "tokens", "lr": "lr"}
        metrics = trainer.callback_metrics
        self._bar.set_postfix({k: f"{metrics[v].item():.4g}" for k, v in shown.items() if v in metrics}, refresh=False)
        self._bar.update(step - self._bar.n)

    def on_train_end(self, *_: object) -> None:
        self._bar.close()

    def on_exception(self, *_: object) -> None:
        if hasattr(self, "_bar"):
            self._bar.close()


@dataclass(frozen=True)
class RunLogs:
    """Where trainings of one run write their curves.

    CSV always: run_dir/logs/<training>/from-<first step>/metrics.csv, so that a resumed training adds a file.
    Weights & Biases as one run for all trainings, each under its own prefix, unless `wandb_run` is None.
    """

    run_dir: Path
    wandb_run: wandb.Run | None

    @classmethod
    def start(cls, run_dir: Path, cfg: DictConfig) -> RunLogs:
        """Opens the logs; cfg.logger.wandb is online, offline (files in run_dir/wandb, to sync later) or disabled."""
        if cfg.logger.wandb == "disabled" or process_rank() > 0:
            return cls(run_dir, None)
        run_dir.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project="relational-scaling",
            name=run_dir.name,
            dir=run_dir,
            mode=cfg.logger.wandb,
            config=OmegaConf.to_container(cfg, resolve=True),
        )
        return cls(run_dir, run)

    def loggers(self, training: str, first_step: int) -> list[Logger]:
        """Lightning's loggers for one training."""
        found: list[Logger] = [CSVLogger(self.run_dir / "logs", name=training, version=f"from-{first_step}")]
        if self.wandb_run is not None:
            found.append(WandbLogger(experiment=self.wandb_run, prefix=training))
        return found

    def log(self, values: dict[str, float]) -> None:
        """Adds single numbers, such as a cell's validation loss, to Weights & Biases."""
        if self.wandb_run is not None:
            self.wandb_run.log(values)

    def finish(self) -> None:
        """Closes the Weights & Biases run."""
        if self.wandb_run is not None:
            self.wandb_run.finish()


PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""Weights are always float32, so that small steps count; `mixed` multiplies matrices in 16 bits."""


def unusable_precision(cfg: DictConfig) -> list[str]:
    """A complaint if train.precision is none of PRECISIONS, or float16 without a GPU; `cfg` is the `train` group."""
    if cfg.precision not in PRECISIONS:
        return [f"train.precision must be one of {', '.join(PRECISIONS)}, got {cfg.precision!r}"]
    has_gpu = cfg.accelerator != "cpu" and torch.accelerator.is_available()
    if cfg.precision == "16-mixed" and not has_gpu:
        return ["train.precision=16-mixed needs a GPU; bf16-mixed and 32-true also train on a CPU"]
    return []


def train(
    module: L.LightningModule,
    data: L.LightningDataModule,
    cfg: DictConfig,
    *,
    max_steps: int,
    directory: Path,
    name: str = "",
    logs: RunLogs | None = None,
    keep: Sequence[int] = (),
    start: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Trains until `max_steps` and leaves `directory`/step-<max_steps>.ckpt.

    Continues from the newest checkpoint in `directory`; if there is none, from the checkpoint `start`; else from
    the module's own weights.

    Args:
        cfg: the `train` configuration group.
        name: of this training in `logs`; without logs it leaves no curves.
        keep: steps whose checkpoints stay (max_steps always does).
        callbacks: of the caller's, such as a live curve.

    Raises:
        ExperimentError: if precision or devices cannot be had, memory ran out, or loss or gradient is not finite and
            train.nonfinite is "stop" (the batch's ids are in `directory`/diverged.json).
    """
    resume = newest_checkpoint(directory, max_steps) or start
    first_step = 0 if resume is None else checkpoint_step(resume)
    if first_step == max_steps:
        module.load_state_dict(torch.load(resume, map_location="cpu", weights_only=True)["state_dict"])
        return
    if complaints := unusable_precision(cfg):
        raise ExperimentError(complaints[0])
    if cfg.checkpoint_every < 1:
        raise ExperimentError(f"train.checkpoint_every must be at least 1 step, got {cfg.checkpoint_every}")
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32, also for what mixed precision leaves in float32
    trainer = _make_trainer(
        cfg,
        max_steps=max_steps,
        logger=logs.loggers(name, first_step) if logs else False,
        log_every_n_steps=min(10, max(1, (max_steps - first_step) // 10)),
        callbacks=[
            *callbacks,  # first, so that checkpoints hold what they know of the step
            StepCheckpoints(directory, [*keep, max_steps], cfg.checkpoint_every),
            StepProgressBar(),
            SkippedSteps(_of_process(directory / "skipped.jsonl")),
        ],
    )
    directory.mkdir(parents=True, exist_ok=True)
    with _explained(cfg, directory):
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    if trainer.global_step < max_steps:
        raise KeyboardInterrupt  # Lightning ends quietly when interrupted


def _make_trainer(cfg: DictConfig, **how: Any) -> L.Trainer:
    """Lightning's trainer without its own checkpoints, bar and summary.

    Raises:
        ExperimentError: if this machine lacks the accelerator or the devices.
    """
    try:
        return L.Trainer(
            accelerator=cfg.accelerator,
            devices=cfg.devices,
            num_nodes=cfg.num_nodes,
            precision=cfg.precision,
            gradient_clip_val=cfg.gradient_clip,
            accumulate_grad_batches=cfg.accumulate,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **how,
        )
    except (MisconfigurationException, TypeError, ValueError) as error:
        given = ", ".join(f"train.{key}={cfg[key]}" for key in ("accelerator", "devices", "num_nodes"))
        raise ExperimentError(f"{given}: {error}") from error


def _of_process(path: Path) -> Path:
    """The path, with the number of this process in its name if it is not the first."""
    return path.with_stem(f"{path.stem}-{process_rank()}") if process_rank() else path


@contextmanager
def _explained(cfg: DictConfig, directory: Path) -> Iterator[None]:
    """Says what to do about a loss that is not finite and about too little memory."""
    try:
        yield
    except DivergedError as error:
        path = _of_process(directory / "diverged.json")
        path.write_text(json.dumps(error.contexts, indent=1))
        raise ExperimentError(f"{error}; all contexts of the batch: {path}") from error
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # torch's CPU allocator has no error class of its own
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
        if not known:
            raise
        raise ExperimentError(
            f"out of memory with train.batch_size={cfg.batch_size}, train.ctx_len={cfg.ctx_len}, "
            f"train.precision={cfg.precision}; halve train.batch_size and double train.accumulate, which trains the "
            "same, or lower train.ctx_len; a smaller model= also fits"
        ) from error
