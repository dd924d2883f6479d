"""transfer.csv: scores of a model and of the trivial baselines on real tasks, and how they compare.

| column                  | meaning                                                                     |
|-------------------------|-----------------------------------------------------------------------------|
| dataset, task, task_type| which task                                                                  |
| protocol                | what a context and a baseline may see (paper, temporal, relbench)           |
| split                   | val, test                                                                   |
| model                   | constant, entity_mean, label_history, zero-shot, fine-tuned                 |
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
REFERENCE = "label_history"
BASELINES = (REFERENCE, "entity_mean", "constant")
TRAINED = ("zero-shot", "fine-tuned")
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
MODEL_NAMES = {"label_history": "label history", "entity_mean": "entity mean"}


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
    checkpoints = rows.filter(["num_databases", "tokens"]).drop_duplicates()
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


def ordered_models(names: pd.Index | list[str]) -> list[str]:
    """Label history, the other baselines, zero-shot, fine-tuned, then any other model by name."""
    known = [name for name in (*BASELINES, *TRAINED) if name in names]
    return known + sorted(set(names) - set(known))
