"""Fine-tuning ends with the weights that are best on validation, the same if it is interrupted on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig
from sklearn.metrics import r2_score

from experiments.contexts import TaskContexts
from experiments.errors import ExperimentError
from experiments.finetune import finetune, run
from experiments.selection import BestOnValidation
from experiments.training import newest_checkpoint, train
from rfm.checkpoint import save_checkpoint
from rfm.datamodule import StepDataModule, TaskBatches
from rfm.model import ModelConfig, RelationalTransformer
from rfm.module import OptimConfig, PretrainModule, new_model
from rfm.predict import predict_task
from rfm.schedule import ScheduleConfig
from rfm.store import Store, TextTable, build_stores

CONF = Path(__file__).resolve().parents[2] / "conf"
SIZES = ModelConfig(num_blocks=1, d_model=16, num_heads=2, d_ff=24, d_text=64)
TASK, STEPS = "user-spend", 16


@pytest.fixture
def shop(tmp_path: Path, write_shop: Callable[[Path, int], Path]) -> tuple[Store, TextTable]:
    (store,), texts = build_stores([write_shop(tmp_path / "shop", 0)], tmp_path / "store", text_model="hash")
    return store, texts


@pytest.fixture
def how() -> TaskContexts:
    return TaskContexts("temporal", "mixed", ctx_len=32, max_bfs_width=16, batch_size=8, seed=0)


@pytest.fixture
def cfg() -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("finetune", ["dataset=x", "task=y", "train.accelerator=cpu", "train.checkpoint_every=3"]).train


def start() -> PretrainModule:
    schedule = ScheduleConfig("wsd", max_steps=STEPS, warmup_steps=1, decay_steps=8)
    return PretrainModule(new_model(SIZES, 0), OptimConfig(1e-2, 0.1, (0.9, 0.999), "stop"), schedule)


def validation_r2(model: RelationalTransformer, shop: tuple[Store, TextTable], how: TaskContexts) -> float:
    prediction = predict_task(model, *shop, TASK, "val", progress=False, **how.options())
    return 100 * r2_score(shop[0].task_targets(TASK, "val"), prediction)


def test_the_best_of_all_looks_is_kept(tmp_path: Path, shop, how, cfg) -> None:
    module, best = start(), BestOnValidation(*shop, TASK, how)
    looks = {0: validation_r2(module.model, shop, how)}
    data = StepDataModule(TaskBatches(*shop, TASK, **how.options()))
    train(module, data, cfg, max_steps=STEPS, directory=tmp_path / "run", keep=range(2, STEPS + 1, 2), callbacks=[best])
    for step in range(2, STEPS + 1, 2):
        saved = torch.load(tmp_path / "run" / f"step-{step}.ckpt", weights_only=True)
        module.load_state_dict(saved["state_dict"])
        looks[step] = validation_r2(module.model, shop, how)
    assert len(set(looks.values())) > 2
    assert best.restore_best(module.model, newest_checkpoint(tmp_path / "run", STEPS)) == max(looks, key=looks.get)
    np.testing.assert_allclose(validation_r2(module.model, shop, how), max(looks.values()), rtol=1e-6)
    np.testing.assert_allclose(best.best["score"], max(looks.values()), rtol=1e-6)


def test_training_that_harms_leaves_the_model_as_it_was(shop, how, cfg) -> None:
    model = new_model(SIZES, 0)
    tuned = finetune(new_model(SIZES, 0), *shop, TASK, how, cfg, steps=STEPS, lr=30.0)
    for name, value in model.state_dict().items():
        assert torch.equal(tuned.state_dict()[name], value), name


class Interrupted(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("stopped")


@pytest.mark.parametrize("step", [1, 7, 15])
def test_an_interrupted_training_chooses_as_one_without_a_break(tmp_path: Path, shop, how, cfg, step: int) -> None:
    chosen = []
    for name, breaks in (("whole", []), ("broken", [Interrupted(step)])):
        directory = tmp_path / name
        if breaks:
            data = StepDataModule(TaskBatches(*shop, TASK, **how.options()))
            callbacks = [BestOnValidation(*shop, TASK, how), *breaks]
            with pytest.raises(RuntimeError, match="stopped"):
                train(start(), data, cfg, max_steps=STEPS, directory=directory, callbacks=callbacks)
            assert newest_checkpoint(directory, STEPS - 1) is not None or step < 3
        best, module = BestOnValidation(*shop, TASK, how), start()
        data = StepDataModule(TaskBatches(*shop, TASK, **how.options()))
        train(module, data, cfg, max_steps=STEPS, directory=directory, callbacks=[best])
        best.restore_best(module.model, newest_checkpoint(directory, STEPS))
        chosen.append((best.best["step"], best.best["score"], module.model.state_dict()))
    assert chosen[0][:2] == chosen[1][:2]
    for name, value in chosen[0][2].items():
        assert torch.equal(chosen[1][2][name], value), name


def test_without_validation_rows_the_last_weights_are_kept(tmp_path: Path, shop, how, cfg) -> None:
    store, texts = shop
    best, module = BestOnValidation(store, texts, TASK, how), start()
    best.rows = best.rows[:0]
    data = StepDataModule(TaskBatches(store, texts, TASK, **how.options()))
    train(module, data, cfg, max_steps=3, directory=tmp_path / "run", callbacks=[best])
    assert best.restore_best(module.model, newest_checkpoint(tmp_path / "run", 3)) == 3


def test_a_run_folder_belongs_to_one_task(tmp_path: Path, write_shop: Callable[[Path, int], Path]) -> None:
    """Or the second task would be scored with the training of the first."""
    save_checkpoint(new_model(SIZES, 0), tmp_path / "start")

    folder = write_shop(tmp_path / "shop", 0)

    def tune(task: str) -> Path:
        given = {"dataset": folder, "task": task, "checkpoint": tmp_path / "start", "max_steps": 2}
        given |= {"run.dir": tmp_path / "run", "store_dir": tmp_path / "stores", "text_model": "hash"}
        given |= {"train.accelerator": "cpu", "train.ctx_len": 32, "train.batch_size": 4, "logger.wandb": "disabled"}
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return run(compose("finetune", [f"{key}={value}" for key, value in given.items()]))

    assert tune("user-spend") == tune("user-spend") == tmp_path / "run" / "checkpoint"
    with pytest.raises(ExperimentError, match="holds a run made with task=user-spend, now task=event-amount"):
        tune("event-amount")
