"""Two tiny databases in the RelBench-3 format, with tasks, as stores of one text table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from rfm.store import Store, TextTable, build_stores

TASK_KINDS = {
    "user-active": {"task_type": "binary_classification", "target_col": "is_active"},
    "user-spend": {"task_type": "regression", "target_col": "spend"},
}


def write_database(folder: Path, seed: int, num_users: int = 12, num_events: int = 150) -> Path:
    """users <- events over 100 days, two forecast tasks on users and an autocomplete task on events."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2020-01-01")
    users = pd.DataFrame(
        {
            "user_id": np.arange(num_users),
            "age": rng.normal(40, 10, num_users),
            "city": rng.choice(["Bern", "Oslo", "Rome"], num_users),
            "is_member": rng.random(num_users) < 0.5,
        }
    )
    events = pd.DataFrame(
        {
            "event_id": np.arange(num_events),
            "user_id": rng.integers(0, num_users, num_events),
            "time": start + pd.to_timedelta(np.sort(rng.integers(0, 100 * 24, num_events)), unit="h"),
            "amount": rng.normal(5, 2, num_events),
        }
    )
    events["is_large"] = events.amount > 5
    (folder / "db").mkdir(parents=True)
    users.to_parquet(folder / "db" / "users.parquet")
    events.to_parquet(folder / "db" / "events.parquet")
    tables = {
        "users": {"pkey": "user_id", "time_col": None, "fkeys": {}},
        "events": {"pkey": "event_id", "time_col": "time", "fkeys": {"user_id": "users"}},
    }
    _write_yaml(
        folder / "manifest.yaml",
        {
            "name": folder.name,
            "manifest_version": 1,
            "val_timestamp": "2020-03-11",
            "test_timestamp": "2020-03-26",
            "tables": tables,
        },
    )
    for task, entries in TASK_KINDS.items():
        _write_task(folder / "tasks" / task, entries, rng, num_users)
    autocomplete = {"kind": "autocomplete", "task_type": "regression", "target_col": "amount", "time_col": "time"}
    autocomplete |= {"entity_table": "events", "entity_col": "event_id", "remove_columns": [["events", "is_large"]]}
    _write_yaml(folder / "tasks" / "event-amount" / "manifest.yaml", {"name": "event-amount"} | autocomplete)
    return folder


def _write_task(folder: Path, entries: dict[str, str], rng: np.random.Generator, num_users: int) -> None:
    manifest = {"name": folder.name, "kind": "external", "entity_table": "users", "entity_col": "user_id"}
    manifest |= {"time_col": "date", "timedelta": "10 days", "num_eval_timestamps": 1, "manifest_version": 1}
    _write_yaml(folder / "manifest.yaml", manifest | entries)
    for split, days in {
        "train": ["2020-02-01", "2020-02-15", "2020-03-01"],
        "val": ["2020-03-11"],
        "test": ["2020-03-26"],
    }.items():
        labels = pd.DataFrame(
            {"date": np.repeat(pd.to_datetime(days), num_users), "user_id": np.tile(np.arange(num_users), len(days))}
        ).sample(frac=1, random_state=int(rng.integers(100)))
        is_boolean = entries["task_type"] == "binary_classification"
        labels[entries["target_col"]] = (
            rng.integers(0, 2, len(labels)) if is_boolean else rng.normal(50, 20, len(labels))
        )
        labels.reset_index(drop=True).to_parquet(folder / f"{split}.parquet")


def _write_yaml(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="session")
def write_shop() -> Callable[[Path, int], Path]:
    return write_database


@pytest.fixture(scope="session")
def two_stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Store], TextTable]:
    """Stores of two small databases and their text table (hash embeddings)."""
    root = tmp_path_factory.mktemp("two_stores")
    folders = [write_database(root / "source" / f"shop-{seed}", seed) for seed in range(2)]
    return build_stores(folders, root / "stores", text_model="hash", progress=False)
