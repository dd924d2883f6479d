"""python -m experiments.finetune: a checkpoint trained on the train labels of one task, scored and saved."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from tqdm.auto import tqdm

from experiments.contexts import TaskContexts
from experiments.datasets import choose_tasks, load_model, open_dataset
from experiments.errors import ExperimentError, user_errors
from experiments.provenance import RunRecord
from experiments.runtime import keep_memory, process_rank, quiet_libraries, set_threads
from experiments.selection import BestOnValidation
from experiments.training import RunLogs, newest_checkpoint, train
from rfm.checkpoint import save_checkpoint
from rfm.datamodule import StepDataModule, TaskBatches
from rfm.metrics import score
from rfm.model import RelationalTransformer
from rfm.module import OptimConfig, PretrainModule
from rfm.predict import predict_task
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
    label_frac: float = 1.0,
    last_blocks: int | None = None,
    directory: Path | None = None,
    logs: RunLogs | None = None,
) -> RelationalTransformer:
    """Trains `model` in place for `steps` batches of train seeds (half of them in decay) and returns it.

    It ends with the weights that were best on validation (`experiments.selection`), maybe those it came with. Contexts
    follow the protocol and policy of the evaluation; validation and test labels are never targets.

    Args:
        cfg: the `train` configuration group.
        label_frac: the part of the train labels that is used, see `TaskBatches`.
        last_blocks: trains that many blocks at the end, the final norm and the decoders alone; None: every parameter.
        directory: of resumable checkpoints; None: none are kept.
    """
    choose_trained(model, last_blocks)
    schedule = ScheduleConfig("wsd", max_steps=steps, warmup_steps=max(1, steps // 10), decay_steps=max(1, steps // 2))
    optim = OptimConfig(lr, cfg.weight_decay, tuple(cfg.betas), cfg.nonfinite)
    module = PretrainModule(model, optim, schedule)
    options = how.options() | {"label_frac": label_frac, "label_history": model.config.label_history}
    batches = TaskBatches(store, texts, task, **options)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) if directory is None else directory
        best = BestOnValidation(store, texts, task, how)
        train(
            module, StepDataModule(batches), cfg,
            max_steps=steps, directory=place, name="finetune", logs=logs, callbacks=[best],
        )  # fmt: skip
        step = best.restore_best(module.model, newest_checkpoint(place, steps))
        tqdm.write(f"{store.name} {task}: best on validation after {step} of {steps} steps", file=sys.stderr)
    return module.model


def choose_trained(model: RelationalTransformer, last_blocks: int | None) -> None:
    """Marks the parameters that training may change.

    Raises:
        ExperimentError: if the model has fewer blocks.
    """
    num_blocks = len(model.blocks)
    if last_blocks is not None and not 0 <= last_blocks <= num_blocks:
        raise ExperimentError(f"last_blocks={last_blocks}; this model has {num_blocks} blocks")
    model.requires_grad_(last_blocks is None)
    if last_blocks is not None:
        trained = [*model.blocks[num_blocks - last_blocks :], model.norm_out, model.dec_dict]
        for module in trained:
            module.requires_grad_(True)


def run(cfg: DictConfig) -> Path:
    """Fine-tunes, prints the scores and returns the folder of the checkpoint; an interrupted training goes on."""
    run_dir = Path(cfg.run.dir)
    set_threads(cfg.threads)
    keep_memory()
    quiet_libraries()
    store, texts = open_dataset(cfg.dataset, Path(cfg.store_dir), cfg.text_model)
    (task,) = choose_tasks(store, [cfg.task])
    tree = OmegaConf.to_container(cfg, resolve=True)
    keys = ("checkpoint", "dataset", "task", "protocol", "policy", "train", "max_steps", "lr", "last_blocks")
    facts = {key: tree[key] for key in (*keys, "label_frac", "seed", "text_model")}
    record = RunRecord(run_dir, facts, profile="finetune", protocol=cfg.protocol, seed=cfg.seed)
    how = TaskContexts.from_config(cfg.protocol, cfg.policy, cfg.train, cfg.seed)
    logs = RunLogs.start(run_dir, cfg)
    with record.stage("fine-tuning"):
        model = finetune(
            load_model(cfg.checkpoint),
            store,
            texts,
            task,
            how,
            cfg.train,
            steps=cfg.max_steps,
            lr=cfg.lr,
            label_frac=cfg.label_frac,
            last_blocks=cfg.last_blocks,
            directory=run_dir / "training",
            logs=logs,
        )
    logs.finish()
    if process_rank() == 0:
        save_checkpoint(model, run_dir / "checkpoint")
        for split in ("val", "test"):
            prediction = predict_task(model, store, texts, task, split, **how.options())
            target, train_std = store.task_targets(task, split), store.target_std(task)
            found = score(store.tasks[task].task_type, target, prediction, train_std)
            print(f"{store.name} {task} {split}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
        print(run_dir / "checkpoint")
    return run_dir / "checkpoint"


@hydra.main(version_base="1.3", config_path="../conf", config_name="finetune")
def main(cfg: DictConfig) -> None:
    with user_errors():
        run(cfg)


if __name__ == "__main__":
    main()
