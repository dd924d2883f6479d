"""python -m experiments.pretrain: one pretraining run over a corpus, resumable, ending in a checkpoint to share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from filelock import FileLock
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

import plurel
from experiments.errors import ExperimentError, user_errors
from experiments.provenance import RunRecord
from experiments.runtime import keep_memory, process_rank, quiet_libraries, set_threads
from experiments.training import RunLogs, train
from rfm.checkpoint import save_checkpoint
from rfm.datamodule import BatchSource, PretrainBatches, StepDataModule
from rfm.model import ModelConfig, RelationalTransformer
from rfm.module import OptimConfig, PretrainModule
from rfm.objective import Objective
from rfm.schedule import ScheduleConfig
from rfm.store import Store, TextTable, build_stores


def make_schedule(name: str, max_steps: int, decay_steps: int, cfg: DictConfig) -> ScheduleConfig:
    """The learning-rate schedule of one training; `cfg` is the `train` group."""
    if name == "one_cycle":
        return ScheduleConfig("one_cycle", max_steps=max_steps)
    return ScheduleConfig("wsd", max_steps=max_steps, warmup_steps=cfg.warmup_steps, decay_steps=decay_steps)


def pretrain_batches(
    stores: Sequence[Store], texts: TextTable, cfg: DictConfig, seed: int, label_history: bool = True
) -> PretrainBatches:
    """Batches of cells (and labels) of `stores`, with or without past labels; `cfg` is the `train` group."""
    return PretrainBatches(
        stores,
        texts,
        ctx_len=cfg.ctx_len,
        batch_size=cfg.batch_size,
        label_share=cfg.label_share,
        policy=cfg.policy,
        max_bfs_width=cfg.max_bfs_width,
        objective=Objective(cfg.objective, cfg.mask_rate),
        label_history=label_history,
        seed=seed,
    )


def pretrain(
    batches: BatchSource,
    model: ModelConfig | RelationalTransformer,
    schedule: ScheduleConfig,
    cfg: DictConfig,
    *,
    seed: int,
    directory: Path,
    name: str,
    logs: RunLogs | None = None,
    keep: Sequence[int] = (),
    start: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> PretrainModule:
    """Trains from the newest checkpoint in `directory` (or from `start`, or from `model`) to schedule.max_steps.

    Args:
        model: sizes of a model with new weights, or a model that is trained on, in place.
        cfg: the `train` configuration group.
        seed: of new weights.
        name: of this training in `logs`.
        keep: steps whose resumable checkpoints stay.
        callbacks: of Lightning's, such as a live curve.
    """
    optim = OptimConfig(cfg.lr, cfg.weight_decay, tuple(cfg.betas), cfg.nonfinite)
    module = PretrainModule(model, optim, schedule, seed=seed)
    train(
        module,
        StepDataModule(batches),
        cfg,
        max_steps=schedule.max_steps,
        directory=directory,
        name=name,
        logs=logs,
        keep=keep,
        start=start,
        callbacks=callbacks,
    )
    return module


def run(cfg: DictConfig, callbacks: Sequence[Callback] = ()) -> Path:
    """Builds the corpus' stores, pretrains, and returns the folder of the checkpoint; what is complete is kept."""
    run_dir = Path(cfg.run.dir)
    set_threads(cfg.threads)
    keep_memory()
    quiet_libraries()
    folders = plurel.load_corpus(Path(cfg.corpus.path))
    if cfg.corpus.num_databases is not None and cfg.corpus.num_databases > len(folders):
        raise ExperimentError(
            f"corpus.num_databases={cfg.corpus.num_databases}, but {cfg.corpus.path} holds {len(folders)}; "
            "extend it with experiments.generate"
        )
    prior, seeds = plurel.corpus_recipe(Path(cfg.corpus.path))
    tree = OmegaConf.to_container(cfg, resolve=True)
    keys = ("model", "train", "schedule", "max_steps", "decay_frac", "seed", "text_model")
    facts = {key: tree[key] for key in keys}
    facts["corpus"] = tree["corpus"] | {"prior_hash": prior.hash(), "seeds": seeds[: cfg.corpus.num_databases]}
    record = RunRecord(run_dir, facts, profile="pretrain", prior=prior.name, seed=cfg.seed, model=tree["model"])
    with (
        record.stage("stores"),
        FileLock(run_dir / "store.lock"),
    ):  # one process builds, others find all there
        stores, texts = build_stores(folders[: cfg.corpus.num_databases], run_dir / "store", text_model=cfg.text_model)
    schedule = make_schedule(cfg.schedule, cfg.max_steps, max(1, round(cfg.decay_frac * cfg.max_steps)), cfg.train)
    logs, model = RunLogs.start(run_dir, cfg), ModelConfig.from_dict(tree["model"])
    with record.stage("pretraining"):
        module = pretrain(
            pretrain_batches(stores, texts, cfg.train, cfg.seed, model.label_history),
            model,
            schedule,
            cfg.train,
            seed=cfg.seed,
            directory=run_dir / "training",
            name="pretrain",
            logs=logs,
            callbacks=callbacks,
        )
    logs.finish()
    if process_rank() == 0:
        save_checkpoint(module.model, run_dir / "checkpoint")
    return run_dir / "checkpoint"


@hydra.main(version_base="1.3", config_path="../conf", config_name="pretrain")
def main(cfg: DictConfig) -> None:
    with user_errors():
        print(run(cfg))


if __name__ == "__main__":
    main()
