"""python -m experiments.transfer: scores of a checkpoint on real tasks, always beside the trivial baselines."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import hydra
import pandas as pd
from omegaconf import DictConfig

from experiments.baselines.trivial import baseline_predictions
from experiments.calibration import Calibration, draw_back
from experiments.contexts import TaskContexts
from experiments.datasets import choose_tasks, load_model, open_dataset
from experiments.errors import ExperimentError, user_errors
from experiments.finetune import finetune
from experiments.predictions import save_predictions
from experiments.runtime import keep_memory, set_threads, several_processes
from experiments.score_rows import score_rows
from rfm.model import RelationalTransformer
from rfm.predict import predict_task
from rfm.store import Store, TextTable

EVAL_SPLITS = ("val", "test")


def transfer_table(
    model: RelationalTransformer,
    store: Store,
    texts: TextTable,
    tasks: Sequence[str],
    how: TaskContexts,
    *,
    train_cfg: DictConfig,
    finetune_steps: int = 0,
    finetune_lr: float = 0.0,
    predictions_dir: Path | None = None,
    **facts: object,
) -> pd.DataFrame:
    """Baselines, zero-shot, calibrated and (if `finetune_steps`) fine-tuned scores of every task; a tidy row a number.

    `facts` are columns that say where the model comes from (num_databases, tokens, seed). The predictions themselves go
    to `predictions_dir`, if one is given.
    """
    rows: list[dict] = []
    contexts = how.options()
    for task in tasks:
        predictions = baseline_predictions(store, task, how.protocol)
        predictions["zero-shot"] = {s: predict_task(model, store, texts, task, s, **contexts) for s in EVAL_SPLITS}
        if "label_regression" in predictions:
            part = Calibration.of_task(store, task, how).trust_in(model, texts)
            forecast, answer = predictions["label_regression"], predictions["zero-shot"]
            predictions["calibrated"] = {s: draw_back(forecast[s], answer[s], part) for s in EVAL_SPLITS}
        if finetune_steps:
            tuned = finetune(
                copy.deepcopy(model), store, texts, task, how, train_cfg, steps=finetune_steps, lr=finetune_lr
            )
            predictions["fine-tuned"] = {s: predict_task(tuned, store, texts, task, s, **contexts) for s in EVAL_SPLITS}
        if predictions_dir is not None:
            save_predictions(predictions_dir, store, task, predictions)
        for split in EVAL_SPLITS:
            of_split = {name: by_split[split] for name, by_split in predictions.items()}
            rows += score_rows(store, task, split, of_split, protocol=how.protocol, policy=how.policy, **facts)
    return pd.DataFrame(rows)


def print_table(table: pd.DataFrame) -> None:
    """One line per task, split and metric, one column per model; then the lift of each model over label history."""
    trained = ["zero-shot", "calibrated", "fine-tuned"]
    models = ["constant", "entity_mean", "label_history", "label_regression", *trained]
    wide = table.pivot_table(index=["dataset", "task", "metric", "split"], columns="model", values="value", sort=False)
    print(wide[[m for m in models if m in wide]].round(2).to_string())
    first = (
        table["metric"].isin(("auroc", "r2", "accuracy")) & (table["split"] == "test") & table["model"].isin(trained)
    )
    lifts = table[first]
    if len(lifts):
        print("\nLift over label history on test rows, 95 % of the bootstrap over rows")
        for row in lifts.itertuples():
            verdict = "better" if row.lift_lower > 0 else "worse" if row.lift_upper < 0 else "level"
            print(f"{row.dataset} {row.task} {row.model}: {row.lift_lower:+.2f} to {row.lift_upper:+.2f}, {verdict}")


@hydra.main(version_base="1.3", config_path="../conf", config_name="transfer")
def main(cfg: DictConfig) -> None:
    with user_errors():
        if complaints := several_processes(cfg.train):
            raise ExperimentError(complaints[0])
        set_threads(cfg.threads)
        keep_memory()
        model = load_model(cfg.checkpoint)
        store, texts = open_dataset(cfg.dataset, Path(cfg.store_dir), cfg.text_model)
        how = TaskContexts.from_config(cfg.protocol, cfg.policy, cfg.train, cfg.seed)
        table = transfer_table(
            model,
            store,
            texts,
            choose_tasks(store, None if cfg.task is None else [cfg.task]),
            how,
            train_cfg=cfg.train,
            finetune_steps=cfg.finetune_steps,
            finetune_lr=cfg.finetune_lr,
            predictions_dir=None if cfg.output is None else Path(cfg.output).with_suffix(".predictions"),
        )
        print(f"protocol {cfg.protocol}, contexts {cfg.policy} of {cfg.train.ctx_len} cells; AUROC and R² in percent")
        print_table(table)
        if cfg.output is not None:
            table.to_csv(cfg.output, index=False)


if __name__ == "__main__":
    main()
