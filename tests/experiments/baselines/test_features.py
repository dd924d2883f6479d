"""Features tell what pandas finds in the rows up to the seed's time, and no later row changes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.baselines.features import make_features
from experiments.baselines.seeds import SPLITS, task_seeds

DAY = pd.Timedelta(days=1)


def frames(features) -> dict[str, pd.DataFrame]:
    return {split: pd.DataFrame(values, columns=features.names) for split, values in features.splits.items()}


def seeds_of(store, task: str, split: str) -> list[tuple[int, pd.Timestamp]]:
    seeds = task_seeds(store, task, "temporal")
    own = seeds.split == SPLITS.index(split)
    entity = seeds.entity[own] - store.tables[store.tasks[task].entity_table].first_row
    return list(zip(entity, pd.to_datetime(seeds.time[own], unit="s"), strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_children_equal_a_loop_in_pandas(open_shop, shop_tables, split: str) -> None:
    folder, store, texts = open_shop(shop_tables)
    found = frames(make_features(folder, store, texts, "user-spend", "temporal"))[split]
    events = shop_tables["events"]
    for i, (user, time) in enumerate(seeds_of(store, "user-spend", split)):
        seen = events[(events["user_id"] == user).fillna(False) & (events["time"] <= time)]
        row = found.iloc[i]
        amount = seen["amount"]
        assert row["events.user_id.count"] == len(seen)
        for name, value in {
            "mean": amount.mean(), "std": amount.std(ddof=0), "min": amount.min(), "max": amount.max()
        }.items():  # fmt: skip
            np.testing.assert_allclose(row[f"events.user_id.amount.{name}"], value, atol=1e-6)
        recent = seen[seen["time"] > time - 30 * DAY]
        assert row["events.user_id.count_30d"] == len(recent)
        np.testing.assert_allclose(row["events.user_id.amount.mean_30d"], recent["amount"].mean(), atol=1e-6)
        if len(seen):
            last = seen[seen["time"] == seen["time"].max()]
            assert row["events.user_id.days_since_last"] == pytest.approx((time - last["time"].iloc[0]) / DAY)


def test_second_hops_equal_a_join_in_pandas(open_shop, shop_tables) -> None:
    folder, store, texts = open_shop(shop_tables)
    found = frames(make_features(folder, store, texts, "user-spend", "temporal"))["val"]
    joined = shop_tables["notes"].merge(shop_tables["events"], on="event_id", suffixes=("", "_event"))
    joined["time"] = joined[["time", "time_event"]].max(axis=1)
    users = shop_tables["users"]
    for i, (user, time) in enumerate(seeds_of(store, "user-spend", "val")):
        seen = joined[(joined["user_id"] == user).fillna(False) & (joined["time"] <= time)]
        assert found["events.user_id<-notes.event_id.count"][i] == len(seen)
        np.testing.assert_allclose(
            found["events.user_id<-notes.event_id.length.mean"][i], seen["length"].mean(), atol=1e-6
        )
        region = users["region_id"][user]
        assert found["entity.region_id.area"][i] == pytest.approx(shop_tables["regions"]["area"][region])
        siblings = users[users["region_id"] == region]
        assert found["region_id<-users.region_id.age.mean"][i] == pytest.approx(siblings["age"].mean())


@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
@pytest.mark.parametrize("task", ["user-spend", "event-amount"])
def test_what_lies_after_a_seed_changes_no_feature(open_shop, shop_tables, task: str, protocol: str) -> None:
    """Values, keys and times of all rows after the day are others, and rows are added."""
    day = pd.Timestamp("2020-02-20")
    changed = {name: table.copy() for name, table in shop_tables.items()}
    rng = np.random.default_rng(5)
    for name, value, parent in (("events", "amount", "user_id"), ("notes", "length", "event_id")):
        table = changed[name]
        later = table["time"] > day
        table.loc[later, value] = rng.normal(100, 50, later.sum())
        table.loc[later, parent] = rng.integers(0, 15, later.sum())
        more = table[later].head(20).assign(**{f"{name[:-1]}_id": range(len(table), len(table) + 20)})
        changed[name] = pd.concat([table, more], ignore_index=True)
    changed["events"]["is_large"] = changed["events"]["amount"] > 5
    rows = []
    for name, tables in (("a", shop_tables), ("b", changed)):
        folder, store, texts = open_shop(tables, name)
        features = frames(make_features(folder, store, texts, task, protocol))["train"]
        early = np.array([time <= day for _, time in seeds_of(store, task, "train")])
        # an added seed of a later time lies behind the early ones, which keep their order
        rows.append(features[early].reset_index(drop=True))
    shared = [name for name in rows[0] if name in rows[1]]
    assert len(rows[0]) > 30 and len(shared) > 15
    history = [name for name in shared if name.startswith("labels")]
    assert history or task == "event-amount" or protocol == "relbench"  # where train seeds see no label
    drop = history if task == "event-amount" else []  # shrunk by the train mean, a statistic of all train rows
    pd.testing.assert_frame_equal(rows[0][shared].drop(columns=drop), rows[1][shared].drop(columns=drop))


def test_targets_and_leaking_columns_are_no_features(open_shop, shop_tables) -> None:
    folder, store, texts = open_shop(shop_tables)
    names = make_features(folder, store, texts, "event-amount", "temporal").names
    assert not [name for name in names if "amount" in name or "is_large" in name]
    assert "labels0.mean_last_all" in names


def test_texts_become_categories_of_train_seeds(open_shop, shop_tables) -> None:
    folder, store, texts = open_shop(shop_tables)
    features = make_features(folder, store, texts, "user-spend", "temporal")
    column = features.names.index("entity.city")
    assert features.is_categorical[column] and features.is_categorical.sum() == 1
    for split in SPLITS:
        cities = shop_tables["users"]["city"].to_numpy()[[user for user, _ in seeds_of(store, "user-spend", split)]]
        assert len({*zip(cities, features.splits[split][:, column], strict=True)}) == 2
