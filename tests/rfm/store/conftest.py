"""Writers of small RelBench-3 folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from rfm.store import TextTable


def write_folder(path: Path, tables: dict, tasks: dict | None = None) -> Path:
    """A database of {table: (pandas or arrow table, primary key, time column, foreign keys)}.

    `tasks` is {task: (manifest entries, {split: label frame})}.
    """
    (path / "db").mkdir(parents=True)
    specs = {}
    for name, (table, pkey, time_col, fkeys) in tables.items():
        table = pa.Table.from_pandas(table, preserve_index=False) if isinstance(table, pd.DataFrame) else table
        pq.write_table(table, path / "db" / f"{name}.parquet")
        specs[name] = {"pkey": pkey, "time_col": time_col, "fkeys": fkeys}
    manifest = {"name": path.name, "val_timestamp": "2020-02-01", "test_timestamp": "2020-03-01", "tables": specs}
    (path / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    for name, (entries, labels) in (tasks or {}).items():
        (path / "tasks" / name).mkdir(parents=True)
        (path / "tasks" / name / "manifest.yaml").write_text(yaml.safe_dump({"name": name, **entries}))
        for split, frame in labels.items():
            frame.to_parquet(path / "tasks" / name / f"{split}.parquet", index=False)
    return path


def shop_tables() -> dict:
    """users <- orders, over three months; the first column of `orders` is a key, `score` and `paid` can be targets."""
    rng = np.random.default_rng(0)
    users = pd.DataFrame({"user_id": range(5), "name": ["Ada", "Bo", "Cy", "Bo", None]})
    time = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 90 * 24, 60)), unit="h")
    orders = pd.DataFrame(
        {
            "order_id": range(60),
            "user_id": rng.integers(0, 5, 60),
            "time": time,
            "score": np.where(rng.random(60) < 0.2, np.nan, rng.normal(size=60)),
            "paid": rng.integers(0, 2, 60),
        }
    )
    return {"users": (users, "user_id", None, {}), "orders": (orders, "order_id", "time", {"user_id": "users"})}


def shop_tasks() -> dict:
    """A forecast regression, an external classification with a hidden test split, an autocomplete and a link task."""
    labels = {
        split: pd.DataFrame({"date": pd.to_datetime(dates), "user": users, "spend": spend})
        for split, dates, users, spend in (
            ("train", ["2020-01-20", "2020-01-10", "2020-01-10"], [3, 1, 3], [1.0, 2.0, np.nan]),
            ("val", ["2020-02-01"], [3], [4.0]),
            ("test", ["2020-03-01", "2020-03-01"], [0, 3], [5.0, 6.0]),
        )
    }
    churn = {split: frame.assign(churn=[1, 0, 1][: len(frame)]) for split, frame in labels.items()}
    churn["test"] = churn["test"].drop(columns="churn")
    entity = {"entity_table": "users", "entity_col": "user", "time_col": "date"}
    sql = "SELECT timestamp AS date, 0 AS user, 1.0 AS spend FROM timestamps"
    return {
        "user-spend": (
            dict(kind="forecast", task_type="regression", target_col="spend", timedelta="10 days", sql=sql, **entity),
            labels,
        ),
        "user-churn": (
            dict(kind="external", task_type="binary_classification", target_col="churn", **entity),
            churn,
        ),
        "order-score": (
            dict(kind="autocomplete", task_type="regression", entity_table="orders", target_col="score"),
            {},
        ),
        "user-order": (
            dict(
                kind="external",
                task_type="recommendation",
                src_entity_table="users",
                src_entity_col="user",
                dst_entity_table="orders",
                dst_entity_col="order",
                eval_k=3,
            ),
            {},
        ),
    }


@pytest.fixture
def folder_of() -> Callable[..., Path]:
    return write_folder


@pytest.fixture
def fuzz_shop() -> Callable[[Path], Path]:
    """Writes the shop with a multiclass task, at the given path."""

    def write(path: Path) -> Path:
        tasks = shop_tasks()
        entries, labels = tasks["user-spend"]
        frames = {
            s: f.rename(columns={"spend": "tier"}).assign(tier=["a", "b", None][: len(f)]) for s, f in labels.items()
        }
        entries = entries | {"kind": "external", "task_type": "multiclass_classification", "target_col": "tier"}
        tasks["user-tier"] = ({key: value for key, value in entries.items() if key != "sql"}, frames)
        return write_folder(path, shop_tables(), tasks)

    return write


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "shop", shop_tables(), shop_tasks())


@pytest.fixture
def texts(tmp_path: Path) -> TextTable:
    return TextTable.open_or_create(tmp_path / "root", "hash")
