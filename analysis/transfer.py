"""transfer.csv: scores of pretrained models and of baselines on real tasks, and how they compare.

| column                  | meaning                                                                     |
|-------------------------|-----------------------------------------------------------------------------|
| dataset, task, task_type| which task                                                                  |
| protocol                | what a context and a baseline may see (paper, temporal, relbench)           |
| split                   | val, test                                                                   |
| model                   | one of BASELINES or TRAINED, or any other name                              |
| metric, value           | mae in the target's unit, nmae = mae / train std, the others in percent;    |
|                         | NaN where undefined                                                         |
| higher_is_better        | direction of the metric                                                     |
| lower, upper            | 95 % interval of the value, by bootstrap over the scored rows; may be absent |
| lift_lower, lift_upper  | the same of its lift over label history, positive = better; may be absent   |
| num_rows                | rows scored                                                                 |
| num_databases, tokens, seed | the checkpoint; may be absent or null where the model's training is not known |
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError

COLUMNS = (
    "dataset",
    "task",
    "task_type",
    "protocol",
    "split",
    "model",
    "metric",
    "value",
    "higher_is_better",
    "num_rows",
)
INTERVALS = ("lower", "upper", "lift_lower", "lift_upper")
REFERENCE = "label_history"
BASELINES = (REFERENCE, "label_regression", "entity_mean", "constant", "boosting", "graphsage", "scratch")
"""Models without pretraining."""
TRAINED = ("zero-shot", "calibrated", "real-only", "continued", "fine-tuned")
"""Pretrained models."""
METRIC_NAMES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "r2": "R²",
    "mae": "MAE",
    "nmae": "NMAE",
}
PERCENT_METRICS = ("auroc", "accuracy", "r2")
"""The first metric of each task type, which figures show."""
MODEL_NAMES = {
    "label_history": "label history",
    "label_regression": "label regression",
    "entity_mean": "entity mean",
    "graphsage": "GraphSAGE",
}


def read_transfer(path: Path | str) -> pd.DataFrame:
    """The rows of a transfer.csv.

    Raises:
        AnalysisError: naming the file and column, if it cannot be read or lacks one.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} is not a readable csv file: {str(error).splitlines()[0]}") from error
    check_transfer(table, str(path))
    return table


def check_transfer(table: pd.DataFrame, where: str = "transfer table") -> None:
    """Raises AnalysisError if a column is missing, has another type, or the table is empty."""
    for name in COLUMNS:
        if name not in table:
            raise AnalysisError(f"{where}: no column {name!r}; it needs {', '.join(COLUMNS)}")
    for name, kind, wanted in (
        ("value", "iuf", "numbers"),
        ("num_rows", "iu", "integers"),
        ("higher_is_better", "b", "true or false"),
        *((name, "iuf", "numbers") for name in INTERVALS if name in table),
    ):
        if table[name].dtype.kind not in kind:
            raise AnalysisError(f"{where}: column {name!r} must hold {wanted}, not {table[name].dtype}")
    if table.empty:
        raise AnalysisError(f"{where}: no rows")


def compare_models(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """One row per dataset, task, protocol and metric of a split: every model's score, and the lift of the trained ones.

    Args:
        table: rows as in the module's table; values are averaged over seeds.

    Returns:
        Index-free frame in the table's order: dataset, task, protocol, metric, higher_is_better, num_rows, one column
        per model (label history first, then the other baselines, then trained models), `lift:<model>` for every model
        that is no baseline (the score's distance to label history, positive = better whatever the metric's direction;
        NaN without a label history), and `best` (the model with the best score of the row, a baseline on a tie).

    Raises:
        AnalysisError: if the split has no row, or one model has scores of several checkpoints, whose mean would mean
            nothing.
    """
    check_transfer(table)
    rows = table[table["split"] == split]
    if rows.empty:
        raise AnalysisError(
            f"transfer table: no row of split {split!r}; it has {', '.join(map(str, table['split'].unique()))}"
        )
    checkpoints = rows.filter(["num_databases", "tokens"]).dropna().drop_duplicates()
    if len(checkpoints.columns) and len(checkpoints) > 1:
        raise AnalysisError(
            f"transfer table: scores of {len(checkpoints)} checkpoints; select one (num_databases, tokens)"
        )
    key = ["dataset", "task", "protocol", "metric"]
    facts = rows.groupby(key, sort=False)[["higher_is_better", "num_rows"]].first()
    # Means by hand: a NaN score (a diverged model, an undefined metric) must stay one.
    scores = rows.groupby([*key, "model"], sort=False)["value"].agg(lambda v: v.mean(skipna=False)).unstack("model")
    models = ordered_models(scores.columns)
    wide = facts.join(scores[models])
    sign = np.where(wide["higher_is_better"], 1.0, -1.0)
    for model in models:
        if model not in BASELINES:
            wide[f"lift:{model}"] = sign * (wide[model] - wide[REFERENCE]) if REFERENCE in models else np.nan
    signed = wide[models].mul(sign, axis=0).fillna(-np.inf)
    wide["best"] = [None if row.max() == -np.inf else row.idxmax() for _, row in signed.iterrows()]
    return wide.reset_index()


def score_intervals(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """95 % intervals of the scores of a split and of their lift over label history.

    Returns:
        Columns INTERVALS, index dataset, task, protocol, metric, model. NaN where none was recorded, and where a model
        has several seeds: the interval of one is not that of their mean.
    """
    check_transfer(table)
    rows = table[table["split"] == split]
    rows = rows.reindex(columns=[*rows.columns, *(name for name in INTERVALS if name not in rows)])
    groups = rows.groupby(["dataset", "task", "protocol", "metric", "model"], sort=False)[list(INTERVALS)]
    found = groups.first()
    found[groups.size() > 1] = np.nan
    return found


def mean_lifts(
    scores: pd.DataFrame, metric: str = "auroc", *, model: str = "zero-shot", split: str = "test"
) -> pd.DataFrame:
    """Lift over label history of each checkpoint of a grid, in mean over tasks and seeds.

    Args:
        scores: rows as in the module's table, of any number of checkpoints (num_databases, tokens, seed); label history
            needs no checkpoint, and may be there once or with every one.

    Returns:
        One row per checkpoint, N and then S rising: num_databases, tokens, lift (positive = better), low, high (95 %
        interval, tasks taken as independent, NaN where the rows have none), num_tasks. NaN where a checkpoint lacks the
        score of a task that others have.

    Raises:
        AnalysisError: if there is no such score, no label history beside it, or no checkpoint is named.
    """
    rows = _checkpoint_lifts(scores, metric, model, split)
    tasks = ["dataset", "task", "protocol"]
    # Seeds are scored on the same rows, so their sampling errors are one error: widths average, they do not shrink.
    groups = rows.groupby(["num_databases", "tokens", *tasks])[["lift", "below", "above"]]
    by_task = groups.agg(lambda values: values.mean(skipna=False)).unstack(tasks)
    num_tasks = by_task["lift"].shape[1]
    mean = by_task["lift"].mean(axis=1, skipna=False)
    below, above = (np.sqrt((by_task[side] ** 2).sum(axis=1, skipna=False)) / num_tasks for side in ("below", "above"))
    found = pd.DataFrame({"lift": mean, "low": mean - below, "high": mean + above, "num_tasks": num_tasks})
    return found.reset_index().astype({"num_databases": int, "tokens": int})


def lift_metrics(scores: pd.DataFrame, model: str = "zero-shot") -> list[str]:
    """Which of AUROC, accuracy and R² a table scores the model with; none if it lacks the model."""
    return [metric for metric in PERCENT_METRICS if metric in set(scores.loc[scores["model"] == model, "metric"])]


def _checkpoint_lifts(scores: pd.DataFrame, metric: str, model: str, split: str) -> pd.DataFrame:
    """Rows of a model's checkpoints with their lift, and how far its interval reaches below and above."""
    check_transfer(scores)
    for name in ("num_databases", "tokens"):
        if name not in scores:
            raise AnalysisError(f"transfer table: no column {name!r}, so its checkpoints cannot be told apart")
    task = ["dataset", "task", "protocol"]
    rows = scores[(scores["split"] == split) & (scores["metric"] == metric)]
    reference = rows[rows["model"] == REFERENCE].groupby(task, sort=False)["value"].first()
    rows = rows[(rows["model"] == model) & rows["num_databases"].notna() & rows["tokens"].notna()]
    if rows.empty or reference.empty:
        missing = model if rows.empty else REFERENCE
        raise AnalysisError(f"transfer table: no {metric} of {missing!r} on {split!r} rows")
    rows = rows.join(reference.rename("reference"), on=task)
    rows = rows.reindex(columns=[*rows.columns, *(name for name in INTERVALS if name not in rows)])
    lift = np.where(rows["higher_is_better"], 1.0, -1.0) * (rows["value"] - rows["reference"])
    return rows.assign(lift=lift, below=lift - rows["lift_lower"], above=rows["lift_upper"] - lift)


def ordered_models(names: pd.Index | list[str]) -> list[str]:
    """BASELINES, TRAINED, then any other model by name."""
    known = [name for name in (*BASELINES, *TRAINED) if name in names]
    return known + sorted(set(names) - set(known))
