"""One Lightning module for pretraining, continued pretraining and fine-tuning: loss, optimiser, rate, logging."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from rfm.batch import Batch
from rfm.errors import RfmError
from rfm.model import ModelConfig, RelationalTransformer, sequence_losses
from rfm.schedule import ScheduleConfig


@dataclass(frozen=True)
class OptimConfig:
    """AdamW (paper, section 7). `lr` is the peak rate; weight decay acts on matrices, not on norms, biases and masks.

    Gradient clipping and precision belong to the Trainer. `nonfinite` says what becomes of a step whose loss or
    gradient is not finite: "stop" ends the training, "skip" leaves weights and moments as they were.

    Raises:
        RfmError: for a number out of range.
    """

    lr: float = 5e-4
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    nonfinite: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise RfmError(f"optimiser: lr is {self.lr}; it must be positive")
        if not self.weight_decay >= 0:
            raise RfmError(f"optimiser: weight_decay is {self.weight_decay}; it must be at least 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise RfmError(f"optimiser: betas are {self.betas}; they must be two numbers in [0, 1)")
        if self.nonfinite not in ("stop", "skip"):
            raise RfmError(f"optimiser: nonfinite is {self.nonfinite!r}; known: stop, skip")


class DivergedError(RfmError):
    """Loss or gradient of a step is not finite. `contexts` holds store, seed row and loss of each context, as read."""

    def __init__(self, message: str, contexts: list[dict[str, float]]) -> None:
        super().__init__(message)
        self.contexts = contexts


MAX_SKIPPED = 10
"""So many steps in a row without a finite gradient stop the training all the same: no batch is to blame any more."""


class PretrainModule(L.LightningModule):
    """Trains a relational transformer on batches of contexts.

    Logs `train/loss`, `lr`, `grad_norm` (before clipping), `tokens` (context positions since step 0, over all devices),
    `tokens_per_s`, and of the contexts `context/fill` (the part of positions that hold a cell), `context/rows` and
    `context/hidden` (means over the batch's contexts). `skipped` lists the steps that were left out.

    Args:
        model: sizes of a new model, or a model to continue from (transfer, fine-tuning).
        seed: of a new model's weights; they depend on nothing else.
    """

    def __init__(
        self,
        model: ModelConfig | RelationalTransformer,
        optim: OptimConfig,
        schedule: ScheduleConfig,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(model, ModelConfig):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = RelationalTransformer(model)
        self.model = model.train()
        self.optim, self.schedule = optim, schedule
        self.skipped: list[DivergedError] = []
        self._suspect: DivergedError | None = None  # of this step
        self._skipped_in_a_row = 0
        self._clock = 0.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over all parameters; its rate is set at each step from the schedule."""
        matrices = [p for p in self.parameters() if p.ndim > 1]
        vectors = [p for p in self.parameters() if p.ndim < 2]
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": self.optim.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=self.optim.lr,
            betas=tuple(self.optim.betas),
            # Lightning refuses to clip the gradients of a fused optimiser under automatic mixed precision
            fused=self.trainer.precision == "32-true",
        )

    def on_train_start(self) -> None:
        """Starts the clock of `tokens_per_s`."""
        self._clock = time.perf_counter()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Sets the rate of this step."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        for group in optimizer.param_groups:
            group["lr"] = self.optim.lr * self.schedule.factor(self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss over the sequences of the batch.

        Raises:
            DivergedError: if it is not finite and the step is not to be skipped, naming the step and the seed rows.
        """
        losses = sequence_losses(self.model, batch)
        loss = losses.mean()
        self._last = batch, losses.detach()
        if not torch.isfinite(loss):
            self._suspect = self._suspect or self._diverged(f"loss is {loss.item()}", batch, losses.detach())
            if self.optim.nonfinite == "stop":
                raise self._suspect
            loss = loss * float("nan")  # an infinite loss may have a gradient that is not
        positions = batch.row_idx.numel() * self.trainer.world_size
        now = time.perf_counter()
        self.log("train/loss", loss.detach(), sync_dist=True)
        self.log_dict(
            {
                "lr": self.optim.lr * self.schedule.factor(self.global_step),
                "tokens": float((self.global_step + 1) * positions * self.trainer.accumulate_grad_batches),
                "context/fill": (~batch.is_padding).float().mean(),
                "context/rows": batch.row_idx.amax(1).float().mean() + 1,
                "context/hidden": batch.is_masked.sum(1).float().mean(),
            }
        )
        if self.global_step > 0 and now > self._clock:
            self.log("tokens_per_s", positions / (now - self._clock), prog_bar=True)
        self._clock = now
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Logs the norm of all gradients, before they are clipped; drops them where it is not finite.

        They are the same on all devices by now, so that all skip the same steps.

        Raises:
            DivergedError: if it is not finite, unless the step is to be skipped.
        """
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters() if p.grad is not None])
        self.log("grad_norm", norm)
        if torch.isfinite(norm):
            self._skipped_in_a_row = 0
            return
        if self._suspect is None and self.trainer.precision == "16-mixed":
            return  # its scaler skips such a step by itself and goes on with a smaller factor
        error = self._suspect or self._diverged(f"gradient is {norm.item()}", *self._last)
        self._suspect, self._skipped_in_a_row = None, self._skipped_in_a_row + 1
        if self.optim.nonfinite == "stop" or self._skipped_in_a_row == MAX_SKIPPED:
            raise error
        self.skipped.append(error)
        for p in self.parameters():
            p.grad = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the model's sizes to a resumable checkpoint."""
        checkpoint["model_config"] = self.model.config.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of a model of other sizes.

        Raises:
            RfmError: naming the sizes that differ.
        """
        saved, own = checkpoint.get("model_config", {}), self.model.config.to_dict()
        differing = [f"{key} {saved.get(key)} (here {own[key]})" for key in own if saved.get(key) != own[key]]
        if differing:
            raise RfmError(f"the checkpoint holds a model with {', '.join(differing)}; resume it with its own sizes")

    def _diverged(self, what: str, batch: Batch, losses: Tensor) -> DivergedError:
        bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        seeds = ", ".join(f"{batch.store_idx[i].item()}:{batch.seed_row[i].item()}" for i in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        named = f" (store:seed row {seeds}{more})" if bad else ""
        message = (
            f"{what} at step {self.global_step}, from {len(bad)} of {len(losses)} contexts{named}; "
            "lower lr, or look at these rows' values"
        )
        ids = zip(batch.store_idx.tolist(), batch.seed_row.tolist(), losses.tolist(), strict=True)
        return DivergedError(message, [{"store_idx": s, "seed_row": r, "loss": x} for s, r, x in ids])
