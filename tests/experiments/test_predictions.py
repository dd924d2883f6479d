"""Saved predictions line up with the task's own label files, and scores with relbench's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench

from experiments.baselines import baseline_predictions
from experiments.predictions import save_predictions
from rfm.metrics import score
from rfm.store import Store


def test_saved_rows_are_the_label_files_beside_the_predictions(
    rel_f1_store: Store, shared: Path, tmp_path: Path
) -> None:
    predictions = baseline_predictions(rel_f1_store, "driver-dnf", "temporal")
    save_predictions(tmp_path / "out", rel_f1_store, "driver-dnf", predictions)
    saved = pd.read_parquet(tmp_path / "out" / "driver-dnf.parquet")
    labels = shared / "data" / "rel-f1" / "tasks" / "driver-dnf"
    for split in ("val", "test"):
        frame, of_split = pd.read_parquet(labels / f"{split}.parquet"), saved[saved.split == split]
        assert of_split.position.tolist() == list(range(len(frame)))
        assert of_split.entity.tolist() == frame.driverId.tolist()
        assert (of_split.time.to_numpy() == frame.date.to_numpy()).all()
        assert of_split.target.tolist() == frame.did_not_finish.tolist()
        for model, by_split in predictions.items():
            np.testing.assert_array_equal(of_split[model], by_split[split])


@pytest.mark.parametrize(
    ("task", "theirs", "ours", "unit"),
    [("driver-dnf", "roc_auc", "auroc", 100), ("driver-position", "nmae", "nmae", 1)],
)
def test_scores_are_those_of_relbenchs_evaluate(
    rel_f1_store: Store, shared: Path, task: str, theirs: str, ours: str, unit: float
) -> None:
    reference = relbench.load_dataset(shared / "data" / "rel-f1").load_task(task)
    target = rel_f1_store.task_targets(task, "test")
    prediction = np.random.default_rng(0).normal(size=len(target)) + target
    train_std = float(np.nanstd(rel_f1_store.task_targets(task, "train"), ddof=1))
    found = score(rel_f1_store.tasks[task].task_type, target, prediction, train_std)[ours]
    assert found == pytest.approx(unit * reference.evaluate(prediction)[theirs])
