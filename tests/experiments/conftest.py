"""Stores of real databases, built once for the tests of this folder, and a small shop written anew for each test.

The shop: regions <- users <- events <- notes, two tasks on users and two that complete events.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from rfm.store import Store, TextTable, build_stores

START = pd.Timestamp("2020-01-01")
NUM_USERS, NUM_EVENTS, NUM_NOTES = 15, 200, 150


def make_tables(seed: int = 0) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)

    def times(count: int) -> pd.Series:
        return START + pd.to_timedelta(pd.Series(np.sort(rng.integers(0, 100 * 24, count))), unit="h")

    events = pd.DataFrame({"event_id": range(NUM_EVENTS), "user_id": rng.integers(0, NUM_USERS, NUM_EVENTS)})
    events["user_id"] = events["user_id"].astype("Int64").mask(rng.random(NUM_EVENTS) < 0.05)
    events = events.assign(time=times(NUM_EVENTS), amount=rng.normal(5, 2, NUM_EVENTS))
    events.loc[rng.random(NUM_EVENTS) < 0.2, "amount"] = np.nan
    events["is_large"] = events["amount"] > 5
    events["mood"] = rng.choice(["glad", "calm", "sad"], NUM_EVENTS)
    return {
        "regions": pd.DataFrame({"region_id": range(3), "area": rng.normal(size=3)}),
        "users": pd.DataFrame(
            {
                "user_id": range(NUM_USERS),
                "region_id": rng.integers(0, 3, NUM_USERS),
                "age": rng.normal(40, 10, NUM_USERS),
                "city": rng.choice(["Bern", "Oslo"], NUM_USERS),
            }
        ),
        "events": events,
        "notes": pd.DataFrame(
            {
                "note_id": range(NUM_NOTES),
                "event_id": rng.integers(0, NUM_EVENTS, NUM_NOTES),
                "time": times(NUM_NOTES),
                "length": rng.normal(10, 3, NUM_NOTES),
            }
        ),
    }


SPECS = {
    "regions": {"pkey": "region_id", "time_col": None, "fkeys": {}},
    "users": {"pkey": "user_id", "time_col": None, "fkeys": {"region_id": "regions"}},
    "events": {"pkey": "event_id", "time_col": "time", "fkeys": {"user_id": "users"}},
    "notes": {"pkey": "note_id", "time_col": "time", "fkeys": {"event_id": "events"}},
}


def write_folder(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    (folder / "db").mkdir(parents=True)
    for name, table in tables.items():
        table.to_parquet(folder / "db" / f"{name}.parquet", index=False)
    stamps = {"val_timestamp": "2020-03-11", "test_timestamp": "2020-03-26"}
    _write_yaml(folder / "manifest.yaml", {"name": folder.name, "manifest_version": 1, "tables": SPECS} | stamps)
    spend = {"name": "user-spend", "kind": "external", "task_type": "regression", "entity_table": "users"}
    spend |= {"entity_col": "user_id", "target_col": "spend", "time_col": "date", "timedelta": "10 days"}
    _write_yaml(folder / "tasks" / "user-spend" / "manifest.yaml", spend | {"num_eval_timestamps": 1})
    rng = np.random.default_rng(1)
    days = {"train": ["2020-01-20", "2020-02-01", "2020-02-20"], "val": ["2020-03-11"], "test": ["2020-03-26"]}
    for split, dates in days.items():
        time, user = np.repeat(pd.to_datetime(dates), NUM_USERS), np.tile(np.arange(NUM_USERS), len(dates))
        labels = pd.DataFrame({"date": time, "user_id": user, "spend": rng.normal(size=len(user))})
        labels.to_parquet(folder / "tasks" / "user-spend" / f"{split}.parquet", index=False)
    kind = spend | {"name": "user-kind", "task_type": "multiclass_classification", "target_col": "kind"}
    _write_yaml(folder / "tasks" / "user-kind" / "manifest.yaml", kind | {"num_eval_timestamps": 1})
    for split, dates in days.items():  # the kind of a user is its region
        user = np.tile(np.arange(NUM_USERS), len(dates))
        names = np.array(["inland", "coast", "hills"])[tables["users"]["region_id"].to_numpy()[user]]
        labels = pd.DataFrame({"date": np.repeat(pd.to_datetime(dates), NUM_USERS), "user_id": user, "kind": names})
        labels.to_parquet(folder / "tasks" / "user-kind" / f"{split}.parquet", index=False)
    amount = {"name": "event-amount", "kind": "autocomplete", "task_type": "regression", "entity_table": "events"}
    amount |= {"entity_col": "event_id", "target_col": "amount", "time_col": "time"}
    _write_yaml(
        folder / "tasks" / "event-amount" / "manifest.yaml", amount | {"remove_columns": [["events", "is_large"]]}
    )
    mood = amount | {"name": "event-mood", "task_type": "multiclass_classification", "target_col": "mood"}
    _write_yaml(folder / "tasks" / "event-mood" / "manifest.yaml", mood | {"remove_columns": []})
    return folder


def _write_yaml(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def open_shop(tmp_path: Path) -> Callable[..., tuple[Path, Store, TextTable]]:
    """Writes tables as a database and builds its store: (folder, store, texts)."""

    def build(tables: dict[str, pd.DataFrame], name: str = "a") -> tuple[Path, Store, TextTable]:
        folder = write_folder(tmp_path / name / "shop", tables)
        stores, texts = build_stores([folder], tmp_path / name / "stores", text_model="hash", progress=False)
        return folder, stores[0], texts

    return build


@pytest.fixture
def shop_tables() -> dict[str, pd.DataFrame]:
    return make_tables()


@pytest.fixture
def write_shop() -> Callable[[Path, int], Path]:
    """Writes a shop of this seed to a folder; its name is the folder's."""
    return lambda folder, seed: write_folder(folder, make_tables(seed))


@pytest.fixture(scope="session")
def rel_f1_store(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = shared / "data" / "rel-f1"
    return Store.build(folder, tmp_path_factory.mktemp("stores") / "rel-f1", "hash", progress=False)
