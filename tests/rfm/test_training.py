"""Rates follow their closed form, a batch depends on (seed, step, rank) alone, a resumed run is the same run."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from rfm.batch import Batch
from rfm.datamodule import PretrainBatches, StepDataModule, StepDataset, TaskBatches
from rfm.errors import RfmError
from rfm.model import ModelConfig, RelationalTransformer
from rfm.module import OptimConfig, PretrainModule
from rfm.objective import Objective
from rfm.sampler import ContextSampler
from rfm.schedule import ScheduleConfig

CTX_LEN = 24
BATCH_SIZE = 4


class Recorder(L.Callback):
    """Loss and rate of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.metrics: dict[str, float] = {}

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.losses.append(outputs["loss"].item())
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}


def fit(
    module: PretrainModule,
    source,
    max_steps: int,
    resume: Path | None = None,
    workers: int = 0,
    precision: str = "32-true",
):
    recorder = Recorder()
    trainer = L.Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        precision=precision,
        gradient_clip_val=1.0,
        logger=False,
        callbacks=[recorder],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=StepDataModule(source, workers), ckpt_path=resume, weights_only=True)
    return trainer, recorder


def make_source(two_stores, kind: str, **options):
    stores, texts = two_stores
    options = {"ctx_len": CTX_LEN, "batch_size": BATCH_SIZE, "seed": 3} | options
    if kind == "pretrain":
        return PretrainBatches(stores, texts, objective=Objective("dense", 0.2), **options)
    return TaskBatches(stores[0], texts, kind, **options)


def make_module(two_stores, schedule: ScheduleConfig, lr: float = 1e-2, **sizes: int) -> PretrainModule:
    sizes = {"num_blocks": 2, "d_model": 16, "num_heads": 2, "d_ff": 24, "d_text": two_stores[1].d_text} | sizes
    return PretrainModule(ModelConfig(**sizes), OptimConfig(lr=lr), schedule, seed=1)


def assert_equal_batches(a: Batch, b: Batch) -> None:
    for field in fields(Batch):
        assert torch.equal(getattr(a, field.name), getattr(b, field.name)), field.name


@pytest.mark.parametrize("max_steps", [6, 7, 100, 1234])
def test_one_cycle_is_that_of_torch(max_steps: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = ScheduleConfig("one_cycle", max_steps)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.5, total_steps=max_steps, pct_start=0.2, anneal_strategy="linear", cycle_momentum=False
    )
    for step in range(max_steps):
        assert 0.5 * schedule.factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < max_steps - 1:
            reference.step()
    assert schedule.factor(max_steps - 1) == pytest.approx(1 / 25 / 1e4)


@pytest.mark.parametrize("max_steps", [2, 3, 4, 5])
def test_one_cycle_of_a_few_steps_starts_at_the_peak(max_steps: int) -> None:
    """Too short for a warm-up; torch's own phases have no or a negative length here."""
    factors = [ScheduleConfig("one_cycle", max_steps).factor(step) for step in range(max_steps)]
    assert factors[0] == 1.0 and factors[-1] == pytest.approx(4e-6)
    assert factors == sorted(factors, reverse=True)


def test_wsd_closed_form() -> None:
    schedule = ScheduleConfig("wsd", max_steps=20, warmup_steps=4, decay_steps=5)
    want = [0.25, 0.5, 0.75, 1.0] + [1.0] * 12 + [0.8, 0.6, 0.4, 0.2]
    assert [schedule.factor(step) for step in range(20)] == pytest.approx(want)
    assert schedule.factor(20) == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "cosine"}, "known: one_cycle, wsd"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"decay_steps": 11}, r"decay_steps is 11; it must lie in \[0, max_steps = 10\]"),
        ({"warmup_frac": 1.0}, "warmup_frac is 1.0"),
    ],
)
def test_impossible_schedules(options: dict, words: str) -> None:
    with pytest.raises(RfmError, match=words):
        ScheduleConfig(**{"name": "wsd", "max_steps": 10} | options)


@pytest.mark.parametrize(
    "options", [{"lr": 0.0}, {"weight_decay": -1.0}, {"betas": (0.9, 1.0)}, {"lr": float("nan")}, {"nonfinite": "hope"}]
)
def test_impossible_optimiser(options: dict) -> None:
    with pytest.raises(RfmError, match=f"optimiser: {next(iter(options))}"):
        OptimConfig(**options)


@pytest.mark.parametrize("kind", ["pretrain", "user-active", "event-amount"])
def test_batch_is_a_function_of_seed_step_and_rank(two_stores, kind: str) -> None:
    source = make_source(two_stores, kind)
    batch = source.batch(5, 1, 2)
    batch.validate()
    source.batch(0, 0, 2)
    assert_equal_batches(batch, source.batch(5, 1, 2))
    assert_equal_batches(batch, make_source(two_stores, kind).batch(5, 1, 2))
    for other in (source.batch(6, 1, 2), source.batch(5, 0, 2), make_source(two_stores, kind, seed=4).batch(5, 1, 2)):
        assert not torch.equal(batch.seed_row, other.seed_row)


@pytest.mark.parametrize("kind", ["pretrain", "user-active"])
def test_a_source_survives_pickling(two_stores, kind: str) -> None:
    """As workers that are spawned, not forked, get it: without the store's arrays."""
    source = make_source(two_stores, kind)
    source.batch(0, 0, 1)
    content = pickle.dumps(source)
    assert_equal_batches(pickle.loads(content).batch(5, 1, 2), source.batch(5, 1, 2))
    assert len(pickle.dumps(ContextSampler(two_stores[0][0], ctx_len=8, task="user-active", split="val"))) < 1000


def test_sources_refuse_a_batch_of_nothing(two_stores) -> None:
    for kind in ("pretrain", "user-active"):
        with pytest.raises(RfmError, match="batch_size is 0; it must be at least 1"):
            make_source(two_stores, kind, batch_size=0)


@pytest.mark.parametrize(("device", "non_blocking"), [("cuda", True), ("cpu", False)])
def test_batches_move_to_a_gpu_without_waiting(two_stores, monkeypatch, device: str, non_blocking: bool) -> None:
    asked = []
    monkeypatch.setattr(Batch, "to", lambda batch, device, non_blocking=False: asked.append((device, non_blocking)))
    source = make_source(two_stores, "pretrain")
    StepDataModule(source).transfer_batch_to_device(source.batch(0, 0, 1), torch.device(device), 0)
    assert asked == [(torch.device(device), non_blocking)]


@pytest.mark.parametrize("kind", ["pretrain", "user-active"])
def test_batches_without_label_history_differ_in_nothing_else(two_stores, kind: str) -> None:
    options = {"label_share": 0.5} if kind == "pretrain" else {}
    with_history = make_source(two_stores, kind, **options).batch(2, 0, 1)
    without = make_source(two_stores, kind, label_history=False, **options).batch(2, 0, 1)
    assert not torch.equal(without.label_summary, with_history.label_summary)
    assert torch.equal(without.label_summary[:, :-1], torch.zeros_like(without.label_summary[:, :-1]))
    assert_equal_batches(replace(without, label_summary=with_history.label_summary), with_history)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_of_the_loader_whatever_the_workers(two_stores, workers: int) -> None:
    source = make_source(two_stores, "pretrain")
    loader = torch.utils.data.DataLoader(StepDataset(source, first_step=7), batch_size=None, num_workers=workers)
    for step, batch in zip(range(7, 13), loader, strict=False):
        assert_equal_batches(batch, source.batch(step, 0, 1))


@pytest.mark.parametrize("world_size", [1, 3])
def test_an_epoch_of_a_task_visits_every_labelled_train_row_once(two_stores, world_size: int) -> None:
    (store, _), _ = two_stores
    source = make_source(two_stores, "user-spend")
    rows = store.task_rows("user-spend", "train")
    steps = 2 * len(rows) // (BATCH_SIZE * world_size)
    seen = [source.batch(s, r, world_size).seed_row.tolist() for s in range(steps) for r in range(world_size)]
    flat = np.concatenate(seen)
    first, second = flat[: len(rows)], flat[len(rows) : 2 * len(rows)]
    assert sorted(first) == sorted(second) == sorted(rows)
    assert (first != second).any() and (first != rows).any()


def test_pretraining_mixes_databases_and_hides_further_cells(two_stores) -> None:
    source = make_source(two_stores, "pretrain", batch_size=32)
    batch = source.batch(0, 0, 1)
    assert set(batch.store_idx.tolist()) == {0, 1}
    assert (batch.is_masked & ~batch.is_target).any()


def test_resumed_run_is_the_same_run(two_stores, tmp_path: Path) -> None:
    schedule = ScheduleConfig("one_cycle", 12)
    whole = make_module(two_stores, schedule)
    _, want = fit(whole, make_source(two_stores, "pretrain"), 12)
    trainer, first = fit(make_module(two_stores, schedule), make_source(two_stores, "pretrain"), 6)
    trainer.save_checkpoint(tmp_path / "step-6.ckpt")
    torch.manual_seed(99)  # no global generator may matter
    resumed = make_module(two_stores, schedule)
    _, rest = fit(resumed, make_source(two_stores, "pretrain"), 12, tmp_path / "step-6.ckpt", workers=1)
    assert first.losses + rest.losses == want.losses
    assert first.rates + rest.rates == want.rates
    assert want.rates == pytest.approx([1e-2 * schedule.factor(step) for step in range(12)])
    for (name, x), (_, y) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize(("branch_steps", "decay_steps"), [(6, 2), (8, 3), (16, 12)])
def test_branches_of_a_trunk(two_stores, tmp_path: Path, branch_steps: int, decay_steps: int) -> None:
    """A branch from the trunk's checkpoint equals the run of that length from the start."""
    source, start = make_source(two_stores, "pretrain"), branch_steps - decay_steps
    trainer, trunk = fit(make_module(two_stores, ScheduleConfig("wsd", 10, warmup_steps=2)), source, start)
    trainer.save_checkpoint(tmp_path / "trunk.ckpt")
    schedule = ScheduleConfig("wsd", branch_steps, warmup_steps=2, decay_steps=decay_steps)
    branch = make_module(two_stores, schedule)
    _, decayed = fit(branch, source, branch_steps, tmp_path / "trunk.ckpt")
    whole = make_module(two_stores, schedule)
    _, want = fit(whole, source, branch_steps)
    assert trunk.losses + decayed.losses == want.losses
    assert want.rates == pytest.approx([1e-2 * schedule.factor(step) for step in range(branch_steps)])
    assert decayed.rates[-1] == pytest.approx(1e-2 / decay_steps)


def test_pretraining_learns_and_logs(two_stores) -> None:
    source = make_source(two_stores, "pretrain", batch_size=16)
    _, recorder = fit(make_module(two_stores, ScheduleConfig("wsd", 60), lr=5e-3), source, 60)
    assert np.mean(recorder.losses[-10:]) < 0.9 * np.mean(recorder.losses[:5])
    assert recorder.metrics["tokens"] == 60 * 16 * CTX_LEN
    assert recorder.metrics["lr"] == pytest.approx(5e-3)
    assert recorder.metrics["tokens_per_s"] > 0 and np.isfinite(recorder.metrics["train/loss"])


def test_mixed_precision_trains_with_clipping_and_stays_near_float32(two_stores) -> None:
    """The paper's precision; weights stay float32."""
    source = make_source(two_stores, "pretrain", batch_size=16)
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        module = make_module(two_stores, ScheduleConfig("wsd", 8), lr=1e-3)
        _, recorder = fit(module, source, 8, precision=precision)
        losses[precision] = recorder.losses
        assert {p.dtype for p in module.parameters()} == {torch.float32}
    np.testing.assert_allclose(losses["bf16-mixed"], losses["32-true"], rtol=0.05)


def test_fine_tuning_starts_from_the_given_model(two_stores) -> None:
    start = make_module(two_stores, ScheduleConfig("wsd", 3)).model.eval()
    before = {name: value.clone() for name, value in start.state_dict().items()}
    module = PretrainModule(start, OptimConfig(lr=1e-3), ScheduleConfig("wsd", 3))
    assert module.model is start and start.training
    fit(module, make_source(two_stores, "user-active"), 3)
    assert any(not torch.equal(before[name], value) for name, value in start.state_dict().items())


def test_weight_decay_acts_on_matrices_alone(two_stores) -> None:
    """Two runs of one step from the same gradients, with and without decay."""
    states = []
    for decay in (0.0, 0.5):
        module = make_module(two_stores, ScheduleConfig("wsd", 1))
        module.optim = OptimConfig(lr=1e-2, weight_decay=decay)
        before = {name: p.detach().clone() for name, p in module.named_parameters()}
        fit(module, make_source(two_stores, "pretrain"), 1)
        states.append(dict(module.named_parameters()))
    for name, start in before.items():
        shrunk = states[0][name] - 1e-2 * 0.5 * start if start.ndim > 1 else states[0][name]
        assert torch.allclose(states[1][name], shrunk, atol=1e-7), name


def test_initial_weights_depend_on_the_seed_alone(two_stores) -> None:
    def weights(seed: int, noise: int) -> RelationalTransformer:
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        module = PretrainModule(ModelConfig(1, 8, 2, 8, 8), OptimConfig(), ScheduleConfig("wsd", 1), seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return module.model.blocks[0].ffn.w1.weight

    assert torch.equal(weights(1, 0), weights(1, 5))
    assert not torch.equal(weights(1, 0), weights(2, 0))


class Poisoned:
    """Batches with one value that is not a number, at one step."""

    def __init__(self, source, step: int) -> None:
        self.source, self.step = source, step

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        batch = self.source.batch(step, rank, world_size)
        if step != self.step:
            return batch
        value = batch.value.clone()
        value[2, 0] = float("nan")  # a label; float32 targets of booleans compare as false, so take a number
        return replace(batch, value=value, sem_type=torch.where(batch.is_target, 0, batch.sem_type))


def test_a_loss_that_is_not_finite_stops_the_run(two_stores) -> None:
    source = make_source(two_stores, "pretrain")
    bad = source.batch(2, 0, 1)
    with pytest.raises(RfmError) as caught:
        fit(make_module(two_stores, ScheduleConfig("wsd", 5)), Poisoned(source, 2), 5)
    message = str(caught.value)
    assert "loss is nan at step 2, from 1 of 4 contexts" in message
    assert f"{bad.store_idx[2]}:{bad.seed_row[2]}" in message and "\n" not in message


def test_checkpoint_of_another_size_is_refused(two_stores, tmp_path: Path) -> None:
    schedule = ScheduleConfig("wsd", 2)
    trainer, _ = fit(make_module(two_stores, schedule), make_source(two_stores, "pretrain"), 1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(RfmError, match=r"d_ff 24 \(here 32\)"):
        fit(make_module(two_stores, schedule, d_ff=32), make_source(two_stores, "pretrain"), 2, tmp_path / "a.ckpt")


def test_task_without_labels_cannot_be_trained(two_stores, monkeypatch) -> None:
    (store, _), _ = two_stores
    hidden = np.full(len(store.task_rows("user-spend", "train")), np.nan)
    monkeypatch.setattr(type(store), "task_targets", lambda *_: hidden)
    with pytest.raises(RfmError, match="user-spend.*no train row with a target"):
        make_source(two_stores, "user-spend")
