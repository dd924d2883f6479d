"""One stretch of training: equal halves of a batch, a clear stop when the loss or the memory fails."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import lightning as L
import pandas as pd
import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from lightning.pytorch.plugins.precision import MixedPrecision
from omegaconf import OmegaConf

from experiments import training
from experiments.errors import ExperimentError
from experiments.training import RunLogs, newest_checkpoint, train
from rfm.batch import Batch
from rfm.datamodule import StepDataModule
from rfm.label_history import SUMMARY_SIZE
from rfm.model import ModelConfig, RelationalTransformer
from rfm.module import OptimConfig, PretrainModule, new_model
from rfm.schedule import ScheduleConfig

TRAIN = Path(__file__).resolve().parents[2] / "conf" / "train" / "default.yaml"
SIZES = ModelConfig(num_blocks=1, d_model=16, num_heads=2, d_ff=24, d_text=6)
SIZE, LENGTH = 4, 9
LR = 1e-2


def random_batch(seed: int) -> Batch:
    """Three rows of three number cells each, the second and third pointing to the first."""
    g = torch.Generator().manual_seed(seed)
    shape = (SIZE, LENGTH)
    row = (torch.arange(LENGTH) // 3).expand(shape)
    is_target = (torch.arange(LENGTH) == 0).expand(shape)
    zeros = torch.zeros(shape, dtype=torch.int64)
    batch = Batch(
        row_idx=row.int(),
        parent_idx=torch.where(row > 0, 0, -1)[..., None].int(),
        column_idx=(torch.arange(LENGTH) % 3).expand(shape).int(),
        sem_type=zeros,
        value=torch.randn(shape, generator=g),
        is_padding=zeros.bool(),
        is_masked=is_target.clone(),
        is_target=is_target.clone(),
        name_idx=zeros,
        text_idx=zeros,
        text_embeddings=torch.randn(1, SIZES.d_text, generator=g),
        label_summary=torch.zeros(SIZE, SUMMARY_SIZE),
        seed_row=torch.arange(SIZE) + 100 * seed,
        store_idx=zeros[:, 0].clone(),
    )
    batch.validate()
    return batch


class Source:
    """Whole batches, or their halves as batches of their own; optionally with one label that is not a number."""

    def __init__(self, parts: int = 1, poisoned: int | None = None) -> None:
        self.parts, self.poisoned = parts, poisoned

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        whole = random_batch(step // self.parts)
        if step == self.poisoned:
            whole.value[2, 0] = float("nan")
        size = SIZE // self.parts
        own = slice(step % self.parts * size, (step % self.parts + 1) * size)
        names = [field.name for field in fields(Batch) if field.name != "text_embeddings"]
        return replace(whole, **{name: getattr(whole, name)[own] for name in names})


def run(
    directory: Path,
    source: Source,
    *,
    max_steps: int = 6,
    callbacks: Sequence[L.Callback] = (),
    logs: RunLogs | None = None,
    name: str = "",
    model: ModelConfig | RelationalTransformer = SIZES,
    **changes,
) -> PretrainModule:
    cfg = OmegaConf.merge(OmegaConf.load(TRAIN), {"accelerator": "cpu"}, changes)
    optim = OptimConfig(lr=LR, nonfinite=cfg.nonfinite)
    module = PretrainModule(model, optim, ScheduleConfig("wsd", max_steps), seed=1)
    how = {"directory": directory, "callbacks": callbacks, "logs": logs, "name": name}
    train(module, StepDataModule(source), cfg, max_steps=max_steps, **how)
    return module


def test_two_halves_make_the_step_of_the_whole_batch(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", Source())
    halves = run(tmp_path / "halves", Source(parts=2), accumulate=2, checkpoint_every=2)
    for (name, a), (_, b) in zip(whole.state_dict().items(), halves.state_dict().items(), strict=True):
        # a hundredth of one update: Adam divides by gradients that are almost zero
        assert (a - b).abs().max() < 1e-2 * LR, name
    assert sorted(p.name for p in (tmp_path / "halves").glob("*.ckpt")) == ["step-6.ckpt"]


def test_a_checkpoint_lies_between_steps_not_between_batches(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", Source(parts=2), accumulate=2)
    with pytest.raises(ExperimentError):
        run(tmp_path / "broken", Source(parts=2, poisoned=9), accumulate=2, checkpoint_every=2)
    assert newest_checkpoint(tmp_path / "broken", 6).name == "step-4.ckpt"
    resumed = run(tmp_path / "broken", Source(parts=2), accumulate=2, checkpoint_every=2)
    for (name, a), (_, b) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_ids_of_a_batch_with_a_diverged_loss_are_kept(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"loss is nan at step 3, from 1 of 4 contexts .*diverged\.json"):
        run(tmp_path, Source(poisoned=3))
    contexts = json.loads((tmp_path / "diverged.json").read_text())
    assert [c["seed_row"] for c in contexts] == [300, 301, 302, 303]
    assert [c["loss"] == c["loss"] for c in contexts] == [True, True, False, True]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("you tried: can't allocate memory: 9 bytes")]
)
def test_out_of_memory_names_sizes_and_remedies(tmp_path: Path, error: Exception) -> None:
    source = Source()
    source.batch = lambda *_: (_ for _ in ()).throw(error)
    with pytest.raises(ExperimentError, match=r"batch_size=32.*ctx_len=128.*train\.accumulate.*lower train\.ctx_len"):
        run(tmp_path, source)


def test_other_errors_pass(tmp_path: Path) -> None:
    source = Source()
    source.batch = lambda *_: (_ for _ in ()).throw(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        run(tmp_path, source)


def test_a_step_that_is_not_finite_is_skipped_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The weights after it are those before it, and the next steps are taken."""
    seen: list[dict[str, torch.Tensor]] = []

    class Weights(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
            seen.append({name: x.clone() for name, x in module.state_dict().items()})

    run(tmp_path, Source(poisoned=3), callbacks=[Weights()], nonfinite="skip")
    same = [all(torch.equal(a[name], b[name]) for name in a) for a, b in itertools.pairwise(seen)]
    assert same == [False, False, True, False, False]
    assert all(torch.isfinite(x).all() for x in seen[-1].values())
    (line,) = (tmp_path / "skipped.jsonl").read_text().splitlines()
    assert [c["seed_row"] for c in json.loads(line)["contexts"]] == [300, 301, 302, 303]
    assert "step skipped: loss is nan at step 3" in capsys.readouterr().err


def test_skipping_ends_when_every_step_diverges(tmp_path: Path) -> None:
    class Broken(Source):
        def batch(self, step: int, rank: int, world_size: int) -> Batch:
            whole = random_batch(step)
            whole.value[1, 0] = float("inf")
            return whole

    with pytest.raises(ExperimentError, match="loss is inf at step 9"):
        run(tmp_path, Broken(), nonfinite="skip", max_steps=30)
    assert len((tmp_path / "skipped.jsonl").read_text().splitlines()) == 9


def test_logs_hold_losses_rate_norm_speed_and_contexts(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path, None)
    run(tmp_path / "training", Source(), logs=logs, name="a")
    curves = pd.read_csv(tmp_path / "logs" / "a" / "from-0" / "metrics.csv")
    wanted = {"step", "train/loss", "lr", "grad_norm", "tokens", "tokens_per_s"}
    assert wanted | {"context/fill", "context/rows", "context/hidden"} <= set(curves.columns)
    assert curves["tokens"].dropna().tolist() == [SIZE * LENGTH * step for step in range(1, 7)]


@pytest.mark.parametrize(("mode", "runs"), [("offline", 1), ("disabled", 0)])
def test_weights_and_biases_hold_the_configuration(tmp_path: Path, mode: str, runs: int) -> None:
    cfg = OmegaConf.create({"logger": {"wandb": mode}, "train": {"lr": LR}})
    logs = RunLogs.start(tmp_path, cfg)
    run(tmp_path / "training", Source(), logs=logs, name="a")
    if logs.wandb_run is not None:
        assert logs.wandb_run.config["train"] == {"lr": LR}
        assert {"a-train/loss", "a-grad_norm", "a-tokens_per_s", "a-context/fill"} <= set(dict(logs.wandb_run.summary))
    logs.finish()
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == runs
    assert (tmp_path / "logs" / "a" / "from-0" / "metrics.csv").is_file()


@pytest.mark.parametrize(
    ("precision", "complaint"),
    [
        ("16-mixed", "16-mixed needs a GPU; bf16-mixed and 32-true"),
        ("bf16-true", "one of 32-true, bf16-mixed, 16-mixed"),
    ],
)
def test_a_precision_that_cannot_be_had_is_refused(tmp_path: Path, precision: str, complaint: str) -> None:
    with pytest.raises(ExperimentError, match=rf"train\.precision.*{complaint}"):
        run(tmp_path, Source(), precision=precision)


def test_devices_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"train\.accelerator=cpu, train\.devices=\[2\].*int > 0"):
        run(tmp_path, Source(), devices=[2])


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PretrainModule]:
    """Runs in float16 on the CPU, which Lightning leaves to GPUs: its own plugin, with torch's scaler for CPUs."""
    real = L.Trainer

    def half_run(directory: Path, source: Source, scale: float, **how) -> PretrainModule:
        def trainer(precision: str, **options) -> L.Trainer:
            scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
            return real(plugins=[MixedPrecision(precision, "cpu", scaler)], **options)

        monkeypatch.setattr(L, "Trainer", trainer)
        monkeypatch.setattr(training, "unusable_precision", lambda cfg: [])
        model = RelationalTransformer(SIZES, attention="sdpa")
        model.load_state_dict(new_model(SIZES, 1).state_dict())
        return run(directory, source, model=model, precision="16-mixed", **how)

    return half_run


def test_a_resumed_training_goes_on_with_the_scale_of_its_gradients(tmp_path: Path, half) -> None:
    whole = half(tmp_path / "whole", Source(), 1024.0)
    with pytest.raises(ExperimentError):
        half(tmp_path / "broken", Source(poisoned=4), 1024.0, checkpoint_every=3)
    assert newest_checkpoint(tmp_path / "broken", 6).name == "step-3.ckpt"  # halfway to the next doubling
    resumed = half(tmp_path / "broken", Source(), 1024.0)
    for (name, a), (_, b) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    scales = [torch.load(tmp_path / name / "step-6.ckpt", weights_only=True) for name in ("whole", "broken")]
    assert scales[0]["MixedPrecision"] == scales[1]["MixedPrecision"]
    assert scales[0]["MixedPrecision"]["scale"] == 8 * 1024.0


def test_a_step_whose_scaled_gradient_overflows_is_left_out(tmp_path: Path, half) -> None:
    """The scale is halved until it fits; such a step is no reason to stop."""
    seen: list[torch.Tensor] = []

    class Weights(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
            seen.append(module.model.norm_out.weight.clone())

    half(tmp_path, Source(), 2.0**18, callbacks=[Weights()])
    same = [torch.equal(a, b) for a, b in itertools.pairwise([torch.ones_like(seen[0]), *seen])]
    assert same[0] and not all(same)


class Shared(Source):
    """The whole batch, of which each process takes its part."""

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        return Source(world_size).batch(step * world_size + rank, 0, 1)


PROCESS = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("of_training", {test!r})
test = sys.modules["of_training"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test)
from experiments.training import RunLogs
directory = Path({directory!r})
test.run(directory, test.Shared(), logs=RunLogs(directory, None), name="a", devices={devices}, num_nodes={num_nodes})
"""


def train_with(launcher: str, directory: Path) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Weights and losses of a training in processes that a launcher starts."""
    devices, num_nodes = {"one process": (1, 1), "two machines": (1, 2)}.get(launcher, (2, 1))
    script, port = directory.parent / f"train_{directory.name}.py", str(find_free_network_port())
    script.write_text(PROCESS.format(test=__file__, directory=str(directory), devices=devices, num_nodes=num_nodes))
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    commands = {
        "one process": [[sys.executable]],
        "lightning": [[sys.executable]],
        "torchrun": [[*torchrun, "--standalone", "--nproc-per-node=2"]],
        "two machines": [
            [*torchrun, "--nnodes=2", f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}"]
            for rank in range(2)
        ],
    }[launcher]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([*c, str(script)], env=env, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
    curves = pd.read_csv(directory / "logs" / "a" / "from-0" / "metrics.csv")
    state = torch.load(directory / "step-6.ckpt", weights_only=True)["state_dict"]
    return state, curves["train/loss"].dropna().tolist()


@pytest.mark.slow
def test_two_processes_make_the_step_of_the_whole_batch(tmp_path: Path) -> None:
    """With gloo, by every launcher; gradients are means over processes, so that only the order of sums differs."""
    weights, losses = train_with("one process", tmp_path / "one")
    assert len(losses) == 6
    for launcher in ("lightning", "torchrun", "two machines"):
        other, other_losses = train_with(launcher, tmp_path / launcher.replace(" ", "-"))
        assert other_losses == pytest.approx(losses, abs=1e-5), launcher
        for name, value in weights.items():
            assert (value - other[name]).abs().max() < 1e-2 * LR, (launcher, name)
