"""python -m experiments.continue_pretraining: pretraining on real databases, all but the one that is evaluated.

From a checkpoint ("synthetic then real") or, with checkpoint=null, from new weights ("real only").
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from experiments.datasets import load_model, open_datasets
from experiments.errors import ExperimentError, user_errors
from experiments.pretrain import make_schedule, pretrain, pretrain_batches
from experiments.provenance import RunRecord
from experiments.runtime import keep_memory, process_rank, quiet_libraries, set_threads
from experiments.training import RunLogs
from rfm.checkpoint import save_checkpoint
from rfm.model import ModelConfig, RelationalTransformer
from rfm.store import Store, TextTable


def other_stores(stores: Sequence[Store], left_out: str) -> list[Store]:
    """All stores but the one of this name.

    Raises:
        ExperimentError: if none has the name, or nothing is left.
    """
    names = [store.name for store in stores]
    if left_out not in names:
        raise ExperimentError(f"leave_out={left_out} is none of the databases {', '.join(names)}")
    if len(names) == 1:
        raise ExperimentError(f"{left_out} is the only database: without it nothing is left to pretrain on")
    return [store for store in stores if store.name != left_out]


def continue_pretraining(
    model: ModelConfig | RelationalTransformer,
    stores: Sequence[Store],
    texts: TextTable,
    cfg: DictConfig,
    train_cfg: DictConfig,
    *,
    seed: int,
    directory: Path,
    name: str = "continued",
    logs: RunLogs | None = None,
) -> RelationalTransformer:
    """Trains on cells and task labels of `stores`; an interrupted training in `directory` goes on.

    Args:
        model: what to start from; sizes mean new weights.
        cfg: max_steps, decay_frac, lr and label_share (`conf/continued/default.yaml`).
        train_cfg: the `train` group, for all the rest.
    """
    train_cfg = OmegaConf.merge(train_cfg, {"lr": cfg.lr, "label_share": cfg.label_share})
    schedule = make_schedule("wsd", cfg.max_steps, max(1, round(cfg.decay_frac * cfg.max_steps)), train_cfg)
    label_history = (model if isinstance(model, ModelConfig) else model.config).label_history
    batches = pretrain_batches(stores, texts, train_cfg, seed, label_history)
    module = pretrain(batches, model, schedule, train_cfg, seed=seed, directory=directory, name=name, logs=logs)
    return module.model


@hydra.main(version_base="1.3", config_path="../conf", config_name="continue_pretraining")
def main(cfg: DictConfig) -> None:
    with user_errors():
        run_dir = Path(cfg.run.dir)
        set_threads(cfg.threads)
        keep_memory()
        quiet_libraries()
        tree = OmegaConf.to_container(cfg, resolve=True)
        keys = ("checkpoint", "datasets", "leave_out", "continued", "train", "seed", "text_model")
        facts = {key: tree[key] for key in keys}
        facts |= {"model": tree["model"]} if cfg.checkpoint is None else {}
        stores, texts = open_datasets(cfg.datasets, Path(cfg.store_dir), cfg.text_model)
        chosen = stores if cfg.leave_out is None else other_stores(stores, cfg.leave_out)
        record = RunRecord(run_dir, facts, profile="continue_pretraining", seed=cfg.seed)
        start = ModelConfig.from_dict(tree["model"]) if cfg.checkpoint is None else load_model(cfg.checkpoint)
        logs = RunLogs.start(run_dir, cfg)
        how = dict(seed=cfg.seed, directory=run_dir / "training", logs=logs)
        with record.stage("pretraining"):
            model = continue_pretraining(start, chosen, texts, cfg.continued, cfg.train, **how)
        logs.finish()
        if process_rank() == 0:
            save_checkpoint(model, run_dir / "checkpoint")
            print(run_dir / "checkpoint")


if __name__ == "__main__":
    main()
