"""Tasks of several classes: trained baselines give each row a probability per class, in the order of the classes."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.baselines.boosting import boosting_predictions
from experiments.baselines.features import make_features
from experiments.baselines.graphsage import GraphSageConfig, graphsage_predictions

TASK = "user-kind"


@pytest.mark.parametrize("model", ["boosting", "graphsage"])
def test_a_class_that_the_database_tells_is_found(open_shop, shop_tables, model: str) -> None:
    folder, store, texts = open_shop(shop_tables)
    rows = np.arange(len(store.task_rows(TASK, "train")))
    if model == "boosting":
        features = make_features(folder, store, texts, TASK, "temporal")
        found = boosting_predictions(store, TASK, features, 0, train_rows=rows)
    else:
        cfg = GraphSageConfig(16, 4, 1e-2, batch_size=32, max_steps=40, check_every=20, patience=3, validation_rows=50)
        found = graphsage_predictions(store, texts, TASK, "temporal", cfg, 0, train_rows=rows)
    for split in ("val", "test"):
        target = store.task_targets(TASK, split)
        assert found[split].shape == (len(target), len(store.tasks[TASK].classes)) and len(target) == 15
        np.testing.assert_allclose(found[split].sum(1), 1.0, rtol=1e-5)
        assert (found[split].argmax(1) == target).mean() > 0.8


def test_a_class_without_train_rows_keeps_its_place(open_shop, shop_tables) -> None:
    folder, store, texts = open_shop(shop_tables)
    rows = np.flatnonzero(store.task_targets(TASK, "train") != 1)
    features = make_features(folder, store, texts, TASK, "temporal")
    found = boosting_predictions(store, TASK, features, 0, train_rows=rows)["test"]
    assert found.shape[1] == 3 and (found[:, 1] == 0).all()
