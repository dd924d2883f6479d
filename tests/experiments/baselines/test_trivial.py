"""Label history must be what the protocol shows, no more: checked against a plain loop and published figures."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.baselines.trivial import LabelPool, baseline_predictions, class_history, history_mean
from rfm.metrics import score
from rfm.store import NO_TIME


def loop_history(
    pool: LabelPool, split: int, last_k: int | None, protocol: str, delta: int, prior: float
) -> list[float]:
    out = []
    for i in np.flatnonzero(pool.split == split):
        seen = []
        for j in range(len(pool.time)):
            if j == i or pool.group[i] < 0 or pool.group[j] != pool.group[i] or np.isnan(pool.value[j]):
                continue
            if pool.time[i] == NO_TIME or pool.time[j] == NO_TIME:
                closed = pool.time[i] == NO_TIME or protocol == "paper"
            else:
                closed = pool.time[j] < pool.time[i] if protocol == "paper" else pool.time[j] + delta <= pool.time[i]
            if closed and (protocol != "relbench" or pool.split[j] < split):
                seen.append(j)
        seen.sort(key=lambda j: pool.time[j])
        chosen = seen if last_k is None else seen[-last_k:]
        out.append((sum(pool.value[j] for j in chosen) + prior) / (len(chosen) + 1))
    return out


@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
@pytest.mark.parametrize("last_k", [1, 3, None])
@pytest.mark.parametrize("untimed", [0.0, 0.3, 1.0])
def test_history_mean_equals_a_loop(protocol: str, last_k: int | None, untimed: float) -> None:
    """Also where seeds or labels have no time: such a seed sees all labels but its own."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        n = 60
        # Times are distinct within a group: which of two labels of one instant is "last" is not defined.
        pool = LabelPool(
            group=rng.integers(-1, 5, n),
            time=np.where(rng.random(n) < untimed, NO_TIME, rng.permutation(3 * n)[:n]),
            value=np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            split=rng.integers(0, 3, n).astype(np.int8),
        )
        for split in (1, 2):
            got = history_mean(pool, split, last_k, protocol, 10, 0.3)
            np.testing.assert_allclose(got, loop_history(pool, split, last_k, protocol, 10, 0.3))


@pytest.mark.parametrize("last_k", [2, None])
def test_class_history_counts_classes(last_k: int | None) -> None:
    """Shares of the visible labels, one label of the prior among them; a row without history has the prior."""
    pool = LabelPool(
        group=np.array([0, 0, 0, 0, 1, 0, 2]),
        time=np.arange(7) * 10,
        value=np.array([2.0, 0, 0, np.nan, 1, 1, 1]),
        split=np.array([0, 0, 0, 0, 0, 2, 2], dtype=np.int8),
    )
    prior = np.array([0.5, 0.25, 0.25])
    got = class_history(pool, 2, last_k, "temporal", 1, prior)
    counts = np.array([2, 0, 0 if last_k else 1])
    np.testing.assert_allclose(got, [(counts + prior) / (counts.sum() + 1), prior])


@pytest.mark.parametrize(
    ("task", "metric", "published"),
    [("driver-position", "r2", 55.6), ("driver-dnf", "auroc", 82.2), ("driver-top3", "auroc", 87.9)],
)
def test_label_history_on_rel_f1_reaches_the_recorded_figure(
    rel_f1_store, task: str, metric: str, published: float
) -> None:
    """Section 6 of the paper's facts, `temporal`, test split, to the decimal that is given there."""
    prediction = baseline_predictions(rel_f1_store, task, "temporal")["label_history"]["test"]
    target = rel_f1_store.task_targets(task, "test")
    train = rel_f1_store.task_targets(task, "train")
    value = score(rel_f1_store.tasks[task].task_type, target, prediction, float(np.nanstd(train, ddof=1)))[metric]
    assert value == pytest.approx(published, abs=0.05)


def test_constant_has_no_skill(rel_f1_store) -> None:
    prediction = baseline_predictions(rel_f1_store, "driver-dnf", "temporal")["constant"]["test"]
    target = rel_f1_store.task_targets("driver-dnf", "test")
    found = score("binary_classification", target, prediction, 1.0)
    assert found == {"auroc": 50.0, "average_precision": pytest.approx(100 * target.mean())}


def test_label_regression_learns_from_labels_before_the_seed(rel_f1_store) -> None:
    """It beats the mean of all labels where recent ones say more, and stays a probability."""
    found = baseline_predictions(rel_f1_store, "driver-dnf", "temporal")
    target = rel_f1_store.task_targets("driver-dnf", "test")
    prediction = found["label_regression"]["test"]
    assert prediction.shape == target.shape and 0 <= prediction.min() < prediction.max() <= 1
    own = score("binary_classification", target, prediction, 1.0)["auroc"]
    assert own > score("binary_classification", target, found["entity_mean"]["test"], 1.0)["auroc"]


def test_a_multiclass_task_has_no_label_regression(open_shop, shop_tables) -> None:
    _, store, _ = open_shop(shop_tables)
    assert "label_regression" in baseline_predictions(store, "user-spend", "temporal")
    assert set(baseline_predictions(store, "user-kind", "temporal")) == {"constant", "entity_mean", "label_history"}
