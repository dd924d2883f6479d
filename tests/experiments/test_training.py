"""One stretch of training: equal halves of a batch, a clear stop when the loss or the memory fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from experiments.errors import ExperimentError
from experiments.training import newest_checkpoint, train
from rfm.batch import Batch
from rfm.datamodule import StepDataModule
from rfm.model import ModelConfig
from rfm.module import OptimConfig, PretrainModule
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
        target_value=torch.zeros(SIZE),
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


def run(directory: Path, source: Source, **changes) -> PretrainModule:
    cfg = OmegaConf.merge(OmegaConf.load(TRAIN), {"accelerator": "cpu"}, changes)
    module = PretrainModule(SIZES, OptimConfig(lr=LR), ScheduleConfig("wsd", 6), seed=1)
    train(module, StepDataModule(source), cfg, max_steps=6, directory=directory)
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
test.run(Path({directory!r}), test.Shared(), devices={processes})
"""


@pytest.mark.slow
def test_two_processes_make_the_step_of_the_whole_batch(tmp_path: Path) -> None:
    """By torchrun with gloo; gradients are means over processes, so that the sums are in another order only."""
    weights = []
    for processes in (1, 2):
        directory, script = tmp_path / str(processes), tmp_path / f"{processes}.py"
        script.write_text(PROCESS.format(test=__file__, directory=str(directory), processes=processes))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*command, str(script)], env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
        weights.append(torch.load(directory / "step-6.ckpt", weights_only=True)["state_dict"])
    one, two = weights
    for name, value in one.items():
        assert (value - two[name]).abs().max() < 1e-2 * LR, name
