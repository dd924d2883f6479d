"""Bootstrap intervals of transfer scores over the scored rows, and of their lift over a reference on the same rows.

Rows of one entity at several times count as independent, so the intervals are on the narrow side where an entity has
many rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rfm.metrics import task_metrics

LEVEL = 95.0
_AT_ONCE = 50  # replicates in memory together


def bootstrap_scores(
    task_type: str,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    train_std: float,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], np.ndarray]:
    """(model, metric) -> score in each replicate, float64 (replicates,), the same rows in a replicate for all models.

    Args:
        target, predictions: float (rows,); rows with a hidden (NaN) target are left out, and all scores are NaN where
            no other row is left.
        train_std: standard deviation (ddof=1) of the train targets, as in `rfm.metrics.score`.
    """
    known = ~np.isnan(target)
    target = target[known]
    if not len(target):
        metrics = [metric.name for metric in task_metrics(task_type, train_std)]
        return {(model, metric): np.full(replicates, np.nan) for model in predictions for metric in metrics}
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    drawn: dict[tuple[str, str], list[np.ndarray]] = {}
    for weights in _weights(len(target), replicates, rng):
        for model, prediction in predictions.items():
            for metric, values in _scores(task_type, target, prediction[known], train_std, weights).items():
                drawn.setdefault((model, metric), []).append(values)
    return {key: np.concatenate(parts) for key, parts in drawn.items()}


def lift_signs(task_type: str) -> dict[str, float]:
    """Of each metric: 1 where higher is better, else -1."""
    return {m.name: 1.0 if m.higher_is_better else -1.0 for m in task_metrics(task_type, 1.0)}


def bootstrap_intervals(
    task_type: str,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    reference: str,
    train_std: float,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], dict[str, float]]:
    """Intervals of every model's score and of its lift over `reference`; arguments as of `bootstrap_scores`.

    Returns:
        (model, metric) -> `lower`, `upper`, `lift_lower`, `lift_upper`: percentiles that hold 95 %. A lift is positive
        where the model is better, whatever the metric's direction. NaN where no replicate has both classes.
    """
    scores = bootstrap_scores(task_type, target, predictions, train_std, replicates=replicates, seed=seed)
    sign = lift_signs(task_type)
    found = {}
    for (model, metric), values in scores.items():
        lower, upper = percentiles(values)
        lift_lower, lift_upper = percentiles(sign[metric] * (values - scores[reference, metric]))
        found[model, metric] = {"lower": lower, "upper": upper, "lift_lower": lift_lower, "lift_upper": lift_upper}
    return found


def _weights(num_rows: int, replicates: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each row is drawn in each replicate, float64 (replicates of a part, rows)."""
    for start in range(0, replicates, _AT_ONCE):
        count = min(_AT_ONCE, replicates - start)
        rows = rng.integers(0, num_rows, (count, num_rows))
        flat = rows + num_rows * np.arange(count)[:, None]
        yield np.bincount(flat.ravel(), minlength=count * num_rows).reshape(count, num_rows).astype(np.float64)


def _scores(
    task_type: str, target: np.ndarray, prediction: np.ndarray, train_std: float, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of `rfm.metrics.task_metrics` of weighted rows, float64 (replicates,) each."""
    if task_type == "binary_classification":
        average_precision = _average_precision(target, prediction, weights)
        return {"auroc": 100.0 * _auroc(target, prediction, weights), "average_precision": 100.0 * average_precision}
    if task_type == "multiclass_classification":
        return _class_scores(target, prediction, weights)
    total = weights.sum(1)
    residual = weights @ (target - prediction) ** 2
    mean = weights @ target / total
    spread = weights @ target**2 - total * mean**2
    mae = weights @ np.abs(target - prediction) / total
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(spread > 0, 100.0 * (1.0 - residual / spread), np.nan)
    return {"r2": r2, "mae": mae, "nmae": mae / train_std}


def _auroc(target: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The part of (positive, negative) pairs in order, ties half; NaN without a pair."""
    order = np.argsort(prediction, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(prediction[order]) > 0])  # of each group of equal predictions
    positive = np.add.reduceat((weights * target)[:, order], first, axis=1)
    negative = np.add.reduceat((weights * (1.0 - target))[:, order], first, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(1) * negative.sum(1)
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, (positive * (below + 0.5 * negative)).sum(1) / pairs, np.nan)


def _average_precision(target: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Precision at each threshold, weighted by the positives that it adds; NaN without a positive."""
    order = np.argsort(-prediction, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(prediction[order]) < 0])  # of each group of equal predictions
    positive = np.add.reduceat((weights * target)[:, order], first, axis=1)
    every = np.add.reduceat(weights[:, order], first, axis=1)
    with np.errstate(invalid="ignore"):
        precision = np.nan_to_num(np.cumsum(positive, axis=1) / np.cumsum(every, axis=1))
        return (precision * positive).sum(1) / positive.sum(1)


def _class_scores(target: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, macro F1 and macro AUROC, the latter two over the classes that a replicate has."""
    chosen = prediction.argmax(1)
    f1, auroc = [], []
    for k in np.unique([*target, *chosen]).astype(int):
        is_class, is_chosen = (target == k).astype(float), (chosen == k).astype(float)
        hits, total = weights @ (is_class * is_chosen), weights @ (is_class + is_chosen)
        with np.errstate(invalid="ignore"):
            f1.append(2.0 * hits / total)
        auroc.append(_auroc(is_class, prediction[:, k], weights))
    accuracy = weights @ (chosen == target) / weights.sum(1)
    means = {"accuracy": accuracy, "macro_f1": _mean_of_known(f1), "macro_auroc": _mean_of_known(auroc)}
    return {metric: 100.0 * values for metric, values in means.items()}


def _mean_of_known(values: list[np.ndarray]) -> np.ndarray:
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=0) / known.sum(0)


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The two percentiles that hold 95 % of the values that are not NaN."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    lower, upper = np.percentile(values, [50.0 - LEVEL / 2, 50.0 + LEVEL / 2])
    return float(lower), float(upper)
