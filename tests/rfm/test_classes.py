"""A multiclass task is one boolean question per class, and its answers are scored as scikit-learn scores them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench
import torch
import yaml
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from rfm.batch import make_batch
from rfm.classes import ask_class
from rfm.datamodule import PretrainBatches, TaskBatches
from rfm.errors import RfmError
from rfm.metrics import score, task_metrics
from rfm.model import ModelConfig, RelationalTransformer
from rfm.predict import predict_task
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.store import SemType, Store, TextTable, build_stores

CITIES = ("Bern", "Oslo", "Rome")
TASKS = {
    "user-next": {"kind": "external", "entity_table": "users", "entity_col": "user_id", "target_col": "next_city"},
    "event-grade": {"kind": "autocomplete", "entity_table": "events", "target_col": "grade"},
}


@pytest.fixture(scope="module")
def graded(write_shop: Callable[[Path, int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with a task of city names and a task of numbers 10, 2 and 3.0, both with missing labels."""
    folder = write_shop(tmp_path_factory.mktemp("graded") / "graded", 0)
    rng = np.random.default_rng(3)
    events = pd.read_parquet(folder / "db" / "events.parquet")
    events["grade"] = rng.choice([10.0, 2.0, 3.0, np.nan], len(events))
    events.to_parquet(folder / "db" / "events.parquet")
    labels = folder / "tasks" / "user-active"
    for task, entries in TASKS.items():
        manifest = {"name": task, "task_type": "multiclass_classification"} | entries
        if entries["kind"] == "external":
            manifest |= {"time_col": "date", "timedelta": "10 days"}
            for split in ("train", "val", "test"):
                frame = pd.read_parquet(labels / f"{split}.parquet").drop(columns="is_active")
                frame["next_city"] = rng.choice([*CITIES, None], len(frame))
                (folder / "tasks" / task).mkdir(exist_ok=True)
                frame.to_parquet(folder / "tasks" / task / f"{split}.parquet")
        (folder / "tasks" / task).mkdir(exist_ok=True)
        (folder / "tasks" / task / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return folder


@pytest.fixture(scope="module")
def graded_store(graded: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, TextTable]:
    (store,), texts = build_stores([graded], tmp_path_factory.mktemp("stores"), text_model="hash", progress=False)
    return store, texts


@pytest.fixture(scope="module")
def model(graded_store) -> RelationalTransformer:
    torch.manual_seed(0)
    sizes = {"num_blocks": 2, "d_model": 16, "num_heads": 2, "d_ff": 24}
    return RelationalTransformer(ModelConfig(d_text=graded_store[1].d_text, **sizes))


@pytest.mark.parametrize("task", TASKS)
def test_targets_are_the_positions_of_relbenchs_labels(graded: Path, graded_store, task: str) -> None:
    store, texts = graded_store
    info = store.tasks[task]
    assert [c.value for c in info.classes] == (list(CITIES) if task == "user-next" else ["2", "3", "10"])
    reference = relbench.load_dataset(graded).load_task(task)
    value = {i: (c.value if task == "user-next" else float(c.value)) for i, c in enumerate(info.classes)}
    for split in ("train", "val", "test"):
        want = reference.get_table(split, mask_input_cols=False).df[info.target_col]
        got = pd.Series(store.task_targets(task, split))
        assert got.isna().tolist() == want.isna().tolist()
        assert [value[i] for i in got.dropna()] == want.dropna().tolist()
    for c in info.classes:
        assert texts.strings[c.text] == c.value
        assert texts.strings[c.name_text].startswith(f"{info.target_col} is {c.value} of ")
    train = store.task_targets(task, "train")
    shares = [c.stats["train"][0] for c in info.classes]
    assert shares == pytest.approx([np.mean(train[~np.isnan(train)] == k) for k in range(3)])


@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
@pytest.mark.parametrize("task", TASKS)
def test_a_question_turns_every_label_into_a_boolean_and_nothing_else(graded_store, task: str, protocol: str) -> None:
    store, texts = graded_store
    info = store.tasks[task]
    rows = store.task_rows(task, "test")
    sampler = ContextSampler(store, ctx_len=40, task=task, split="test", protocol=protocol, policy="history")
    contexts = sampler.sample(rows, info.target_column, item_keys(0, rows))
    of_target = contexts.column_idx == info.target_column
    for k, c in enumerate(info.classes):
        asked = ask_class(contexts, info, k, protocol)
        make_batch(asked, texts).validate()
        mean, std = c.stats["whole" if protocol == "paper" else "train"]
        for b, i in zip(*np.nonzero(of_target), strict=True):
            is_class = contexts.cell_text[b, i] == c.text
            assert asked.value[b, i] == pytest.approx((is_class - mean) / std, rel=1e-5)
            assert (asked.sem_type[b, i], asked.cell_text[b, i]) == (SemType.BOOLEAN, -1)
            assert asked.name_text[b, i] == c.name_text
        for name in ("value", "sem_type", "cell_text", "name_text", "row_id", "parent_idx"):
            np.testing.assert_array_equal(getattr(asked, name)[~of_target], getattr(contexts, name)[~of_target])


@pytest.mark.parametrize("task", TASKS)
def test_probabilities_do_not_depend_on_the_hidden_label_or_the_batch(graded_store, model, task: str) -> None:
    store, texts = graded_store
    options = {"protocol": "temporal", "policy": "mixed", "ctx_len": 24, "progress": False}
    got = predict_task(model, store, texts, task, "test", batch_size=7, **options)
    rows = store.task_rows(task, "test")
    assert got.shape == (len(rows), 3) and (got > 0).all()
    np.testing.assert_allclose(got.sum(1), 1.0)
    sampler = ContextSampler(store, ctx_len=24, task=task, split="test", protocol="temporal", policy="mixed")
    info = store.tasks[task]
    for i in (0, len(rows) - 1):
        contexts = sampler.sample(rows[[i]], info.target_column, item_keys(0, np.array([i])))
        contexts.cell_text[0, 0] = info.classes[2].text  # another label changes nothing
        logits = []
        for k in range(3):
            with torch.no_grad():
                hidden = model(make_batch(ask_class(contexts, info, k, "temporal"), texts))
                logits.append(model.decode(hidden)["boolean"][0, 0, 0])
        want = torch.sigmoid(torch.stack(logits))
        np.testing.assert_allclose(got[i], want / want.sum(), rtol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_training_asks_about_the_own_class_in_about_half_of_the_cases(graded_store, task: str) -> None:
    store, texts = graded_store
    batches = TaskBatches(store, texts, task, ctx_len=8, batch_size=64, seed=0)
    own = np.concatenate([(batches.batch(step, 0, 1).value[:, 0] > 0).numpy() for step in range(20)])
    expected = 0.5 + 0.5 / 3
    assert own.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(own)))


def test_pretraining_on_labels_asks_about_classes(graded_store) -> None:
    """A class's name and a boolean target, as in fine-tuning; never the text itself."""
    store, texts = graded_store
    source = PretrainBatches([store], texts, ctx_len=24, batch_size=64, seed=0, label_share=1.0)
    info, own = store.tasks["user-next"], []
    for step in range(20):
        batch = source.batch(step, 0, 1)
        batch.validate()
        of_task = batch.column_idx[:, 0] == info.target_column
        assert (batch.sem_type[of_task, 0] == SemType.BOOLEAN).all()
        own += (batch.value[of_task, 0] > 0).tolist()
    expected = 0.5 + 0.5 / 3
    assert np.mean(own) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(own)))


def test_a_text_target_without_classes_is_refused(graded_store) -> None:
    store, _ = graded_store
    sampler = ContextSampler(store, ctx_len=8)
    row, column = store.tables["users"].first_row, store.column("users", "city").id
    with pytest.raises(RfmError, match="is text, which cannot be a target"):
        sampler.sample(np.array([row]), column, np.zeros(1, np.uint64))


def test_scores_are_scikit_learns_and_fit_relbenchs_evaluate(graded: Path, graded_store) -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 200).astype(float)
    prediction = rng.dirichlet(np.ones(3), 200)
    hidden = np.r_[target, np.nan]
    found = score("multiclass_classification", hidden, np.r_[prediction, prediction[:1]], 1.0)
    chosen = prediction.argmax(1)
    areas = [roc_auc_score(target == k, prediction[:, k]) for k in range(3)]
    f1 = f1_score(target, chosen, average="macro")
    want = {"accuracy": accuracy_score(target, chosen), "macro_f1": f1, "macro_auroc": np.mean(areas)}
    assert found == pytest.approx({name: 100 * value for name, value in want.items()})
    store, _ = graded_store
    split = store.task_targets("event-grade", "test")
    prediction = rng.dirichlet(np.ones(3), len(split))
    value = np.array([float(c.value) for c in store.tasks["event-grade"].classes])

    def accuracy(true: np.ndarray, chosen: np.ndarray) -> float:
        return float((true == chosen).mean())

    reference = relbench.load_dataset(graded).load_task("event-grade")
    theirs = reference.evaluate(value[prediction.argmax(1)], metrics=[accuracy])["accuracy"]
    assert score("multiclass_classification", split, prediction, 1.0)["accuracy"] == pytest.approx(100 * theirs)


@pytest.mark.parametrize("task_type", ["binary_classification", "multiclass_classification", "regression"])
def test_without_a_known_target_every_score_is_nan(task_type: str) -> None:
    prediction = np.full((4, 3), 1 / 3) if task_type.startswith("multiclass") else np.full(4, 0.5)
    found = score(task_type, np.full(4, np.nan), prediction, 1.0)
    assert list(found) == [metric.name for metric in task_metrics(task_type, 1.0)]
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize("train_std", [0.0, np.nan])
def test_without_a_unit_the_normalised_error_alone_is_nan(train_std: float) -> None:
    found = score("regression", np.array([1.0, 2.0]), np.array([1.0, 1.0]), train_std)
    assert np.isnan(found["nmae"]) and (found["mae"], found["r2"]) == (0.5, -100.0)


def test_every_metric_has_a_direction_and_unknown_types_are_named() -> None:
    assert all(metric.higher_is_better for metric in task_metrics("multiclass_classification", 1.0))
    with pytest.raises(RfmError, match="'recommendation' has no metrics here; supported: binary"):
        task_metrics("recommendation", 1.0)
