"""python -m experiments.comparison: one table of all models on all tasks of several real databases.

run.dir/
  predictions/<protocol>/<dataset>/<task>/<model>-seed<k>.parquet   in row order: split, prediction_<k> (one, or one
                                                                        per class); what is there is kept
  pretrained/<model>-without-<dataset>-seed<k>/                     models trained on the other databases
  transfer.csv      every score, with its interval (`analysis/transfer.py`); models that saw all labels
  few_shot.csv      the same of parts of the labels (`label_frac`), where several are asked for
  lifts.csv         per task and model the lift over label history, mean over seeds, with its interval
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from analysis.published import paper_scores
from experiments.contexts import PROTOCOLS
from experiments.datasets import choose_tasks, dataset_folder, open_datasets
from experiments.errors import ExperimentError, user_errors
from experiments.intervals import bootstrap_scores, lift_signs, percentiles
from experiments.provenance import RunRecord
from experiments.runtime import keep_memory, quiet_libraries, set_threads, several_processes
from experiments.tables import write_csv
from experiments.task_models import MODELS, TRAINED, TRAINED_ON_LABELS, Entry, Predictions, TaskModels
from experiments.training import unusable_precision
from plurel.files import replacing
from rfm.metrics import score
from rfm.store import Store

REFERENCE = Entry("label_history", 0, 1.0)
SPLITS = ("val", "test")
FIRST_METRICS = ("auroc", "r2", "accuracy")


def check_config(cfg: DictConfig) -> None:
    """Raises ExperimentError that names every key with a wrong value."""
    complaints = several_processes(cfg.train) + unusable_precision(cfg.train)
    unknown = [name for name in cfg.models if name not in MODELS]
    if unknown or REFERENCE.model not in cfg.models:
        wrong = f"{unknown[0]!r} is unknown" if unknown else f"{REFERENCE.model} must be among them"
        complaints.append(f"models: {wrong}; known: {', '.join(MODELS)}")
    if cfg.transfer.protocol not in PROTOCOLS:
        complaints.append(f"transfer.protocol must be one of {', '.join(PROTOCOLS)}, got {cfg.transfer.protocol!r}")
    if cfg.num_seeds < 1:
        complaints.append(f"num_seeds must be at least 1, got {cfg.num_seeds}")
    if 1.0 not in cfg.label_fracs or not all(0 < part <= 1 for part in cfg.label_fracs):
        complaints.append(f"label_fracs must lie in (0, 1] and hold 1, got {list(cfg.label_fracs)}")
    for key in {"real-only", "continued"} & set(cfg.models):
        if len(cfg.transfer.datasets) < 2:
            complaints.append(f"models: {key} needs at least two of transfer.datasets, one of them left out")
    if "fine-tuned" in cfg.models and cfg.transfer.finetune_steps < 1:
        complaints.append("models: fine-tuned needs transfer.finetune_steps of at least 1")
    if complaints:
        raise ExperimentError("; ".join(complaints))


def entries(cfg: DictConfig) -> list[Entry]:
    """Rows of the comparison, cheap models first: seeds where training is involved, parts of the labels where it is
    on them."""
    found = []
    for model in sorted(cfg.models, key=MODELS.index):
        seeds = range(cfg.seed, cfg.seed + cfg.num_seeds) if model in TRAINED else (0,)
        parts = sorted(cfg.label_fracs, reverse=True) if model in TRAINED_ON_LABELS else (1.0,)
        found += [Entry(model, seed, float(part)) for part in parts for seed in seeds]
    return found


def kept_predictions(path: Path, models: TaskModels, entry: Entry) -> Predictions:
    """The predictions of an entry, from its file if there is one, else computed and written whole."""
    if not path.exists():
        found = models.predict(entry)
        tables = {split: pd.DataFrame(np.atleast_2d(p.T).T) for split, p in found.items()}
        rows = [t.set_axis([f"prediction_{k}" for k in t], axis=1).assign(split=s) for s, t in tables.items()]
        with replacing(path) as temporary:
            pd.concat(rows, ignore_index=True).to_parquet(temporary, index=False)
    table = pd.read_parquet(path)
    values, split = table.drop(columns="split").to_numpy(), table["split"]
    return {s: values[split == s].squeeze(1) if values.shape[1] == 1 else values[split == s] for s in SPLITS}


def task_rows(store: Store, task: str, found: dict[Entry, Predictions]) -> tuple[list[dict], list[dict]]:
    """Rows of transfer.csv (every entry, split and metric) and of lifts.csv (test rows, seeds together)."""
    info = store.tasks[task]
    train_std = store.target_std(task)
    sign = lift_signs(info.task_type)
    scores, lifts = [], []
    for split in SPLITS:
        target = store.task_targets(task, split)
        by_name = {entry.name: prediction[split] for entry, prediction in found.items()}
        drawn = bootstrap_scores(info.task_type, target, by_name, train_std)
        values = {name: score(info.task_type, target, prediction, train_std) for name, prediction in by_name.items()}
        common = {"dataset": store.name, "task": task, "task_type": info.task_type, "split": split}
        for entry in found:
            for metric, value in values[entry.name].items():
                lift = sign[metric] * (drawn[entry.name, metric] - drawn[REFERENCE.name, metric])
                (lower, upper), (lift_lower, lift_upper) = percentiles(drawn[entry.name, metric]), percentiles(lift)
                row = common | {"model": entry.model, "seed": entry.seed, "label_frac": entry.label_frac}
                row |= {"metric": metric, "value": value, "lower": lower, "upper": upper}
                row |= {"lift_lower": lift_lower, "lift_upper": lift_upper}
                scores.append(row | {"higher_is_better": sign[metric] > 0, "num_rows": len(target)})
        if split == "test":
            lifts = [common | row for row in _lifts(list(found), values, drawn, sign)]
    return scores, lifts


def _lifts(models: list[Entry], values: dict, drawn: dict, sign: dict[str, float]) -> Iterator[dict]:
    """Per model, part of the labels and metric: score and lift, means over seeds, with the interval of the lift."""
    for model, label_frac in dict.fromkeys((entry.model, entry.label_frac) for entry in models):
        names = [entry.name for entry in models if (entry.model, entry.label_frac) == (model, label_frac)]
        for metric, factor in sign.items():
            value = np.mean([values[name][metric] for name in names])
            replicates = np.mean([drawn[name, metric] for name in names], axis=0)
            lower, upper = percentiles(factor * (replicates - drawn[REFERENCE.name, metric]))
            yield {
                "model": model,
                "label_frac": label_frac,
                "metric": metric,
                "num_seeds": len(names),
                "value": value,
                "lift": factor * (value - values[REFERENCE.name][metric]),
                "lift_lower": lower,
                "lift_upper": upper,
            }


def published_rows(store: Store, task: str) -> list[dict]:
    """The paper's scores of the task as rows of transfer.csv, without intervals."""
    common = {"dataset": store.name, "task": task, "task_type": store.tasks[task].task_type, "split": "test"}
    common |= {"protocol": "paper", "seed": 0, "label_frac": 1.0, "higher_is_better": True, "num_rows": 0}
    return [common | row for row in paper_scores(store.name, task).to_dict("records")]


def count_wins(lifts: pd.DataFrame) -> pd.DataFrame:
    """Per model (index), over tasks by AUROC or R²: tasks, wins over label history, clear wins and losses (interval
    beyond zero), and the mean lift."""
    rows = lifts[lifts["metric"].isin(FIRST_METRICS) & (lifts["label_frac"] == 1) & (lifts["model"] != REFERENCE.model)]
    rows = rows.assign(wins=rows["lift"] > 0, clear_wins=rows["lift_lower"] > 0, clear_losses=rows["lift_upper"] < 0)
    by_model = rows.groupby("model", sort=False)
    counts = by_model[["wins", "clear_wins", "clear_losses"]].sum()
    return pd.concat([by_model.size().rename("tasks"), counts, by_model["lift"].mean().rename("mean_lift")], axis=1)


def run(cfg: DictConfig) -> Path:
    """Computes what is missing, writes the tables anew and returns the run folder."""
    check_config(cfg)
    run_dir = Path(cfg.run.dir)
    tree = OmegaConf.to_container(cfg, resolve=True)
    free = ("models", "num_seeds", "label_fracs", "run", "store_dir", "threads", "workers", "logger", "hydra")
    identity = {key: value for key, value in tree.items() if key not in free}
    identity["transfer"] = {k: v for k, v in tree["transfer"].items() if k not in ("tasks", "protocol")}
    record = RunRecord(run_dir, identity, profile="comparison", protocol=cfg.transfer.protocol, seed=cfg.seed)
    stores, texts = open_datasets(cfg.transfer.datasets, Path(cfg.store_dir), cfg.text_model)
    scores, lifts = [], []
    with record.stage("models"):
        for name, store in zip(cfg.transfer.datasets, stores, strict=True):
            folder = dataset_folder(name, Path(cfg.store_dir))
            for task in choose_tasks(store, cfg.transfer.tasks):
                models = TaskModels(run_dir, cfg, stores, texts, store, folder, task)
                place = run_dir / "predictions" / cfg.transfer.protocol / store.name / task
                known = [entry for entry in entries(cfg) if models.has(entry)]
                bar = tqdm(known, desc=f"{store.name} {task}", unit="model", leave=False)
                found = {entry: kept_predictions(place / f"{entry.name}.parquet", models, entry) for entry in bar}
                of_task, lifts_of_task = task_rows(store, task, found)
                protocol = {"protocol": cfg.transfer.protocol, "policy": cfg.transfer.policy}
                scores += [row | protocol for row in of_task] + published_rows(store, task)
                lifts += [row | protocol for row in lifts_of_task]
    table, lifts = pd.DataFrame(scores), pd.DataFrame(lifts)
    write_csv(table[table["label_frac"] == 1].drop(columns="label_frac"), run_dir / "transfer.csv")
    if len(cfg.label_fracs) > 1:
        write_csv(table[table["model"].isin(TRAINED_ON_LABELS)], run_dir / "few_shot.csv")
    write_csv(lifts, run_dir / "lifts.csv")
    print_summary(lifts)
    return run_dir


def print_summary(lifts: pd.DataFrame) -> None:
    """Test scores, one line per task and one column per model, then the wins."""
    first = lifts[lifts["metric"].isin(FIRST_METRICS) & (lifts["label_frac"] == 1)]
    wide = first.pivot_table(index=["dataset", "task", "metric"], columns="model", values="value", sort=False)
    print(wide.round(1).to_string())
    print("\nAgainst label history; clear: the 95 % interval of the lift, bootstrap over rows, leaves out zero")
    print(count_wins(lifts).round(2).to_string())


@hydra.main(version_base="1.3", config_path="../conf", config_name="comparison")
def main(cfg: DictConfig) -> None:
    with user_errors():
        set_threads(cfg.threads)
        keep_memory()
        quiet_libraries()
        print(f"\n{run(cfg)}")


if __name__ == "__main__":
    main()
