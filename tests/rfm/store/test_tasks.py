"""Tasks of a store have relbench's rows, order and targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench
import yaml

from plurel import Config, SyntheticDataset
from plurel.exports.relbench_folder import write_folder
from rfm.errors import RfmError
from rfm.store import SemType, Store, TextTable, build_store

SPLITS = ("train", "val", "test")


def check_autocomplete(store: Store, folder: Path, task: str) -> None:
    info = store.tasks[task]
    reference = relbench.load_dataset(folder).load_task(task)
    for split in SPLITS:
        frame = reference.get_table(split, mask_input_cols=False).df
        rows = store.task_rows(task, split)
        assert (rows - store.tables[info.table].first_row).tolist() == frame[reference.entity_col].tolist()
        np.testing.assert_array_equal(store.task_targets(task, split), frame[info.target_col].to_numpy(float))


def check_label_files(store: Store, folder: Path, task: str) -> None:
    info = store.tasks[task]
    first = store.tables[info.entity_table].first_row
    for index, split in enumerate(SPLITS):
        frame = pd.read_parquet(folder / "tasks" / task / f"{split}.parquet")
        rows = store.task_rows(task, split)
        assert (store.row_split[rows] == index).all()
        assert (store.parent_row[store.parent_offset[rows]] - first).tolist() == frame[info.entity_col].tolist()
        seconds = frame[info.time_col].astype("datetime64[s]").astype("int64")
        assert store.row_time[rows].tolist() == seconds.tolist()
        known = info.target_col in frame
        expected = frame[info.target_col].to_numpy(float) if known else np.full(len(frame), np.nan)
        np.testing.assert_array_equal(store.task_targets(task, split), expected)
    offset, label_row = store.labels[task]
    every = np.concatenate([store.task_rows(task, split) for split in SPLITS])
    for entity in range(store.tables[info.entity_table].num_rows):
        mine = every[store.parent_row[store.parent_offset[every]] == first + entity]
        expected = sorted(mine.tolist(), key=lambda row: (store.row_time[row], row))
        assert label_row[offset[entity] : offset[entity + 1]].tolist() == expected


@pytest.mark.parametrize("task", ["driver-dnf", "driver-position", "driver-top3"])
def test_label_tables_of_rel_f1(task: str, shared: Path, tmp_path: Path, texts: TextTable) -> None:
    folder = shared / "data" / "rel-f1"
    check_label_files(build_store(folder, tmp_path / "root", texts), folder, task)


def test_autocomplete_of_movielens(shared: Path, tmp_path: Path, texts: TextTable) -> None:
    folder = shared / "data" / "movielens-small"
    check_autocomplete(build_store(folder, tmp_path / "root", texts), folder, "rating-value")


def test_autocomplete_of_a_generated_database(tmp_path: Path, texts: TextTable) -> None:
    folder = tmp_path / "generated"
    write_folder(SyntheticDataset(1, Config()), folder)
    store = build_store(folder, tmp_path / "root", texts)
    assert store.tasks and not store.skipped_tasks
    for task in store.tasks:
        check_autocomplete(store, folder, task)


def test_shop_tasks(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    check_label_files(store, shop, "user-spend")
    check_label_files(store, shop, "user-churn")
    check_autocomplete(store, shop, "order-score")
    assert list(store.skipped_tasks) == ["user-order"]
    assert "recommendation is not supported; binary_classification" in store.skipped_tasks["user-order"]
    assert "order-score" not in store.labels and store.tasks["order-score"].table == "orders"
    assert [store.tasks[t].timedelta_s for t in ("user-spend", "user-churn", "order-score")] == [864_000, 86_400, 1]


def test_label_rows_have_time_and_known_target_and_are_nobodys_children(
    shop: Path, tmp_path: Path, texts: TextTable
) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    churn = [list(store.cells(row)) for split in SPLITS for row in store.task_rows("user-churn", split)]
    assert churn == [["date", "churn"]] * 4 + [["date"]] * 2
    assert [list(store.cells(row)) for row in store.task_rows("user-spend", "train")][2] == ["date"]
    assert store.columns[store.tasks["user-churn"].target_column].sem_type is SemType.BOOLEAN
    assert (store.row_split[store.child_row] == -1).all()


def test_train_statistics_of_labels_are_of_the_train_split(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    stats = store.column("task:user-spend", "spend").stats
    assert stats["train"] == pytest.approx((1.5, np.std([1, 2], ddof=1)))
    assert stats["whole"] == pytest.approx((3.6, np.std([1, 2, 4, 5, 6], ddof=1)))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_autocomplete_without_key_and_with_fractions_of_seconds(
    unit: str, tmp_path: Path, texts: TextTable, folder_of: Callable[..., Path]
) -> None:
    times = [
        "2020-01-05",
        "2020-02-01",
        "2020-02-01 00:00:00.5",
        "2020-03-01",
        "2020-03-01 00:00:00.5",
        "2020-03-02",
        None,
    ]
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(times, format="mixed").astype(f"datetime64[{unit}]"),
            "on": [0, 1, 1, None, 0, 1, 1],
            "size": [1.5, 2.5, np.nan, 3.5, 4.5, 5.5, 6.5],
        }
    )
    tasks = {
        target: ({"kind": "autocomplete", "task_type": kind, "entity_table": "log", "target_col": target}, {})
        for target, kind in (("on", "binary_classification"), ("size", "regression"))
    }
    folder = folder_of(tmp_path / "log", {"log": (frame, None, "when", {})}, tasks)
    store = build_store(folder, tmp_path / "root", texts)
    for task in tasks:
        check_autocomplete(store, folder, task)
    assert store.column("log", "on").sem_type is SemType.BOOLEAN


def test_forecast_labels_are_made_from_sql_where_there_are_no_files(
    shop: Path, tmp_path: Path, texts: TextTable
) -> None:
    for split in SPLITS:
        (shop / "tasks" / "user-spend" / f"{split}.parquet").unlink()
    store = build_store(shop, tmp_path / "root", texts)
    reference = relbench.load_dataset(shop).load_task("user-spend", regenerate=True)
    for split in SPLITS:
        assert len(store.task_rows("user-spend", split)) == len(reference.get_table(split).df) > 0


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
def test_a_column_that_two_tasks_want_as_numbers_and_as_classes_is_one_of_classes(
    names: tuple[str, str], tmp_path: Path, shop: Path, texts: TextTable
) -> None:
    for name, kind in zip(names, ("multiclass_classification", "binary_classification"), strict=True):
        manifest = {"name": name, "kind": "autocomplete", "task_type": kind, "entity_table": "orders"}
        (shop / "tasks" / name).mkdir()
        (shop / "tasks" / name / "manifest.yaml").write_text(yaml.safe_dump(manifest | {"target_col": "paid"}))
    store = build_store(shop, tmp_path / "root", texts)
    assert [c.value for c in store.tasks[names[0]].classes] == ["0", "1"]
    with pytest.raises(RfmError, match="not supported: target 'paid' is a text, as a multiclass"):
        store.task(names[1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"task_type": "multilabel_classification"}, "multilabel_classification is not supported"),
        ({"task_type": "binary_classification"}, "target 'score' has values other than 0 and 1"),
        ({"entity_table": "users", "target_col": "name"}, "not a number"),
    ],
)
def test_unsupported_tasks_are_kept_with_a_reason(
    change: dict, reason: str, tmp_path: Path, shop: Path, texts: TextTable
) -> None:
    manifest = {"name": "x", "kind": "autocomplete", "task_type": "regression", "entity_table": "orders"}
    (shop / "tasks" / "x").mkdir()
    lines = (manifest | {"target_col": "score"} | change).items()
    (shop / "tasks" / "x" / "manifest.yaml").write_text("".join(f"{k}: {v}\n" for k, v in lines))
    store = build_store(shop, tmp_path / "root", texts)
    assert reason in store.skipped_tasks["x"] and "x" not in store.tasks
