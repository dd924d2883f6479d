"""The summary of a database says what pandas says, and names what was made to look wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments.data import format_summary
from experiments.database_summary import DatabaseSummary, summarise
from experiments.leaks import column_values, find_leaks
from rfm.store import SemType, Store
from rfm.store.source import open_source


def summary_of(folder: Path, root: Path) -> tuple[Store, DatabaseSummary]:
    store = Store.build(folder, root / "store", "hash", progress=False)
    return store, summarise(store, open_source(folder), store.texts)


def write_shop(path: Path, orders: pd.DataFrame, tasks: dict[str, dict] | None = None) -> Path:
    """users <- orders, two years of them."""
    (path / "db").mkdir(parents=True)
    pd.DataFrame({"user_id": range(40)}).to_parquet(path / "db" / "users.parquet")
    orders.to_parquet(path / "db" / "orders.parquet")
    specs = {"users": {"pkey": "user_id"}, "orders": {"time_col": "time", "fkeys": {"user_id": "users"}}}
    manifest = {"name": path.name, "val_timestamp": "2020-10-01", "test_timestamp": "2021-04-01", "tables": specs}
    (path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    for task, entries in (tasks or {}).items():
        (path / "tasks" / task).mkdir(parents=True)
        content = {"name": task, "kind": "autocomplete", "entity_table": "orders"} | entries
        (path / "tasks" / task / "manifest.yaml").write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def orders() -> pd.DataFrame:
    """`rebate` and `reason` give `returned` away, `net` and `weight_g` give `price`; the others say nothing."""
    rng = np.random.default_rng(0)
    n = 2000
    returned = rng.random(n) < 0.2
    price = rng.normal(50, 10, n)
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, 40, n),
            "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 730 * 24, n)), unit="h"),
            "returned": returned,
            "rebate": np.where(returned, rng.uniform(1, 9, n), np.nan),
            "reason": np.where(returned, rng.choice(["broken", "late"], n), "none"),
            "price": price,
            "net": price / 1.19,
            "weight_g": np.exp(price / 10),
            "size": rng.choice(["S", "M", "L"], n),
            "code": [f"order {i}" for i in range(n)],
            "noise": rng.normal(size=n),
        }
    )


TASKS = {
    "order-returned": {"task_type": "binary_classification", "target_col": "returned"},
    "order-price": {"task_type": "regression", "target_col": "price", "remove_columns": [["orders", "net"]]},
    "order-reason": {"task_type": "multiclass_classification", "target_col": "reason"},
}


def test_columns_that_give_the_label_away_are_named_and_no_others(orders: pd.DataFrame, tmp_path: Path) -> None:
    store, summary = summary_of(write_shop(tmp_path / "shop", orders, TASKS), tmp_path / "root")
    found = {task: [leak.column for leak in find_leaks(store, task)] for task in TASKS}
    assert found == {"order-returned": ["rebate", "reason"], "order-price": ["weight_g"], "order-reason": []}
    leaks = [warning for warning in summary.warnings if "likely leak" in warning]
    assert len(leaks) == 3
    assert leaks[0].startswith("task order-price: orders.weight_g alone predicts the target (R² 9")


def test_labels_of_real_tasks_are_not_given_away(rel_f1_store: Store) -> None:
    assert [leak for task in rel_f1_store.tasks for leak in find_leaks(rel_f1_store, task)] == []


def test_a_static_column_of_the_entity_can_leak(shop_with_leak: Path, tmp_path: Path) -> None:
    store, _ = summary_of(shop_with_leak, tmp_path / "root")
    assert [(leak.table, leak.column) for leak in find_leaks(store, "user-vip")] == [("users", "discount")]


@pytest.fixture
def shop_with_leak(orders: pd.DataFrame, tmp_path: Path) -> Path:
    """A label of users that a column of the same users repeats."""
    folder = write_shop(tmp_path / "vip", orders)
    rng = np.random.default_rng(1)
    vip = rng.random(40) < 0.5
    users = pd.DataFrame({"user_id": range(40), "discount": vip * rng.uniform(1, 2, 40), "age": rng.normal(size=40)})
    users.to_parquet(folder / "db" / "users.parquet")
    entries = {"name": "user-vip", "kind": "external", "task_type": "binary_classification", "entity_table": "users"}
    entries |= {"entity_col": "user_id", "target_col": "vip", "time_col": "date", "timedelta": "10 days"}
    (folder / "tasks" / "user-vip").mkdir(parents=True)
    (folder / "tasks" / "user-vip" / "manifest.yaml").write_text(yaml.safe_dump(entries))
    for split, date in (("train", "2020-05-01"), ("val", "2020-10-01"), ("test", "2021-04-01")):
        labels = pd.DataFrame({"date": pd.Timestamp(date), "user_id": range(40), "vip": vip.astype(int)})
        labels.to_parquet(folder / "tasks" / "user-vip" / f"{split}.parquet")
    return folder


def test_tables_columns_and_tasks_are_those_of_pandas(orders: pd.DataFrame, tmp_path: Path) -> None:
    orders.loc[:199, "user_id"] = 99
    folder = write_shop(tmp_path / "shop", orders, TASKS)
    store, summary = summary_of(folder, tmp_path / "root")
    assert summary.tables.set_index("table")["rows"].to_dict() == {"users": 40, "orders": 2000}
    (key,) = summary.keys.to_dict("records")
    assert key == {"table": "orders", "column": "user_id", "names": "users", "missing": 0, "dangling": 200}
    columns = summary.columns.set_index("column")
    for name in ("returned", "rebate", "reason", "price", "size", "code"):
        assert columns.missing[name] == pytest.approx(orders[name].isna().mean())
        assert columns.distinct[name] == orders[name].nunique()
    assert columns.type["returned"] == "boolean" and columns.type["size"] == "text"
    train = orders[orders.time <= "2020-10-01"]
    task = summary.tasks.set_index("task").loc["order-returned"]
    assert task.train == f"{len(train):,}" and task["train labels"] == f"{train.returned.mean():.1%} true"
    values = column_values(store, store.column("orders", "price"), store.task_rows("order-price", "train"))
    mean, std = store.column("orders", "price").stats["whole"]
    np.testing.assert_allclose(values * std + mean, train.price, rtol=1e-5)
    text = format_summary(store, summary)
    assert "orders.user_id: 200 keys name no row of users; they link nothing" in text
    assert max(map(len, text.splitlines())) < 200


def test_odd_columns_are_named(orders: pd.DataFrame, tmp_path: Path) -> None:
    orders = orders[["user_id", "time", "noise"]].assign(
        nothing=None,
        always=3.5,
        status=np.arange(2000) % 4,
        flag=np.arange(2000) % 2,
        typo=np.where(np.arange(2000) == 7, 1e9, np.arange(2000) / 7),
    )
    orders.loc[5, "time"] = pd.NaT
    folder = write_shop(tmp_path / "shop", orders, {"flag": {"task_type": "regression", "target_col": "noise"}})
    store, summary = summary_of(folder, tmp_path / "root")
    found = "\n".join(summary.warnings)
    for words in (
        "orders: 1 rows have no time; they are never visible",
        "orders.nothing: no value at all",
        "orders.always: the same value in every row",
        "orders.status: 4 different whole numbers; if they are codes",
        "orders.typo: 1e+09 is 45 standard deviations from the mean 5.001e+05",
    ):
        assert words in found
    assert "orders.flag" not in found and "orders.noise" not in found
    assert store.column("orders", "flag").sem_type is SemType.BOOLEAN
