"""Columns that tell a label almost by themselves, which is what a leak looks like from outside.

For every task, each column that a model may see on the seed's own row (autocomplete) or on its entity's row (forecast
and external tasks, tables without a time only) is given to a small decision tree, alone. The tree learns from every
second row and is scored on the others. Texts enter as the mean label of the rows that share them, learnt from the same
half, so that names which never come back tell nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rfm.metrics import score
from rfm.store import NO_TIME, Column, SemType, Store

MAX_ROWS = 20_000
MIN_ROWS = 50
THRESHOLDS = {
    "binary_classification": ("auroc", 99.0),
    "multiclass_classification": ("macro_auroc", 99.0),
    "regression": ("r2", 98.0),
}
_LEAVES = 64


@dataclass(frozen=True)
class Leak:
    """A column that predicts a task's target alone; `value` is the score on rows that the tree has not seen."""

    task: str
    table: str
    column: str
    metric: str
    value: float


def find_leaks(store: Store, task: str, seed: int = 0) -> list[Leak]:
    """The suspicious columns of a task, on at most 20,000 of its train and validation rows."""
    info = store.tasks[task]
    rows = np.concatenate([store.task_rows(task, split) for split in ("train", "val")])
    target = np.concatenate([store.task_targets(task, split) for split in ("train", "val")])
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.flatnonzero(~np.isnan(target)))[:MAX_ROWS]
    rows, target = rows[chosen], target[chosen]
    if len(rows) < MIN_ROWS or np.unique(target).size < 2:
        return []
    if task in store.labels:
        rows = store.parent_row[store.parent_offset[rows]].astype(np.int64)
        if (np.asarray(store.row_time[rows]) != NO_TIME).any():
            return []  # the entity may be younger than the label
    metric, threshold = THRESHOLDS[info.task_type]
    leaks = []
    for column_id in store.tables[info.entity_table].column_ids:
        column = store.columns[column_id]
        if column.id == info.target_column or (column.table, column.name) in info.remove_columns:
            continue
        value = _score_alone(info.task_type, metric, column, column_values(store, column, rows), target)
        if value >= threshold:
            leaks.append(Leak(task, column.table, column.name, metric, value))
    return leaks


def column_values(store: Store, column: Column, rows: np.ndarray) -> np.ndarray:
    """float64 stored values (text ids for text) of one column on rows of its table, NaN where missing."""
    table = store.tables[column.table]
    first_cell, end = store.cell_offset[table.first_row], store.cell_offset[table.first_row + table.num_rows]
    cells = first_cell + np.flatnonzero(np.asarray(store.cell_column[first_cell:end]) == column.id)
    values = np.full(table.num_rows, np.nan)
    row = np.searchsorted(store.cell_offset, cells, side="right") - 1 - table.first_row
    values[row] = store.cell_text[cells] if column.sem_type is SemType.TEXT else store.cell_value[cells]
    return values[rows - table.first_row]


def _score_alone(task_type: str, metric: str, column: Column, values: np.ndarray, target: np.ndarray) -> float:
    train = np.arange(len(target)) % 2 == 0
    if np.unique(target[train]).size < 2:
        return float("nan")
    features = values[:, None]
    if column.sem_type is SemType.TEXT:
        features = _mean_labels(task_type, values, target, train)
    if task_type == "regression":
        tree = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, random_state=0).fit(features[train], target[train])
        prediction = tree.predict(features[~train])
    else:
        tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, random_state=0).fit(features[train], target[train])
        prediction = np.zeros(((~train).sum(), int(target.max()) + 1))
        prediction[:, tree.classes_.astype(int)] = tree.predict_proba(features[~train])
        if task_type == "binary_classification":
            prediction = prediction[:, 1]
    return score(task_type, target[~train], prediction, 1.0)[metric]


def _mean_labels(task_type: str, values: np.ndarray, target: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Mean label (of each class, for a multiclass task) of the train rows with the same text, float64 (rows, k)."""
    is_class = task_type == "multiclass_classification"
    labels = (target[:, None] == np.unique(target)).astype(float) if is_class else target[:, None]
    _, group = np.unique(values, return_inverse=True)
    count = np.bincount(group[train], minlength=group.max() + 1)
    known = np.maximum(count, 1)
    means = [np.bincount(group[train], label[train], group.max() + 1) / known for label in labels.T]
    return np.where(count > 0, np.array(means), labels[train].mean(0)[:, None]).T[group]
