"""A seed's tree holds its visible parents and latest children, and what is younger than the seed changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.baselines.graphsage import GraphSageConfig, graphsage_predictions
from experiments.baselines.neighbours import Neighbourhoods
from experiments.baselines.seeds import task_seeds
from rfm.store import NEVER, NO_TIME

FANOUT = 4


def hoods_of(opened, task: str, protocol: str = "temporal") -> Neighbourhoods:
    _, store, texts = opened
    return Neighbourhoods(store, texts, store.tasks[task], task_seeds(store, task, protocol), fanout=FANOUT)


def test_first_hop_is_the_latest_visible_children(open_shop, shop_tables) -> None:
    hoods = hoods_of(open_shop(shop_tables), "user-spend")
    store, seeds, events = hoods.store, hoods.seeds, shop_tables["events"]
    first_user, first_event = (store.tables[name].first_row for name in ("users", "events"))
    (relation,) = [r for r in hoods.relations if (r.child, r.parent) == ("events", "users")]
    at, rows = relation.children(seeds.entity, seeds.cutoff, FANOUT)
    for i, (row, cutoff) in enumerate(zip(seeds.entity, seeds.cutoff, strict=True)):
        own = events[(events["user_id"] == row - first_user).fillna(False)]
        seen = own[own["time"] <= pd.to_datetime(cutoff, unit="s")].tail(FANOUT)
        assert sorted(rows[at == i] - first_event) == sorted(seen["event_id"])


def test_edges_join_what_the_keys_join(open_shop, shop_tables) -> None:
    hoods = hoods_of(open_shop(shop_tables), "user-spend")
    chosen = np.arange(20)
    data = hoods.graph(chosen)
    kind = ("regions", "parent", "users")
    edge = data[kind].edge_index[:, data[kind].hop == 1]
    assert edge[1].tolist() == list(range(20))  # every user has one region
    area = (
        data["regions"].number[edge[0], 0] * shop_tables["regions"]["area"].std()
        + shop_tables["regions"]["area"].mean()
    )
    region = shop_tables["users"]["region_id"].to_numpy()[
        hoods.seeds.entity[chosen] - hoods.store.tables["users"].first_row
    ]
    np.testing.assert_allclose(area, shop_tables["regions"]["area"][region], rtol=1e-5)
    assert all(data[name].text.shape[1] == hoods.inputs[name].text.shape[1] for name in hoods.node_types)


@pytest.mark.parametrize("task", ["user-spend", "event-amount"])
def test_later_rows_change_no_tree(open_shop, shop_tables, task: str) -> None:
    day = pd.Timestamp("2020-02-20")  # before the validation timestamp, whose rows set the statistics
    later_than_statistics = pd.Timestamp("2020-03-11")
    changed = {name: table.copy() for name, table in shop_tables.items()}
    for name, value in (("events", "amount"), ("notes", "length")):
        later = changed[name]["time"] > later_than_statistics
        changed[name].loc[later, value] = 77.0
    graphs = []
    for name, tables in (("a", shop_tables), ("b", changed)):
        hoods = hoods_of(open_shop(tables, name), task)
        early = np.flatnonzero(hoods.seeds.time <= day.timestamp())
        assert len(early) > 20
        graphs.append(hoods.graph(early))
    for table in graphs[0].node_types:
        torch.testing.assert_close(graphs[0][table].number, graphs[1][table].number)
    for kind in graphs[0].edge_types:
        assert torch.equal(graphs[0][kind].edge_index, graphs[1][kind].edge_index)


@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
def test_a_seed_never_sees_its_own_target(open_shop, shop_tables, protocol: str) -> None:
    """In an autocomplete task the target of other rows is an input, that of the seed is not."""
    hoods = hoods_of(open_shop(shop_tables), "event-amount", protocol)
    seeds = np.arange(len(hoods.seeds.row))
    number, _ = hoods.inputs["events"].read(hoods.seeds.entity, hoods.seeds, seeds)
    target = int(np.argmax(hoods.inputs["events"].is_target))
    known = hoods.inputs["events"].number.shape[1] + target
    assert (number[:, known] == 0).all() and (number[:, target] == 0).all()
    if protocol == "temporal":
        others = hoods.graph(seeds)["events"].number[len(seeds) :]
        assert (others[:, known] == 1).any()


@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
def test_a_seed_never_sees_its_own_class(open_shop, shop_tables, protocol: str) -> None:
    """The same of classes, which are texts."""
    hoods = hoods_of(open_shop(shop_tables), "event-mood", protocol)
    seeds, inputs = np.arange(len(hoods.seeds.row)), hoods.inputs["events"]
    (target,) = np.flatnonzero(inputs.is_text_target)
    _, text = inputs.read(hoods.seeds.entity, hoods.seeds, seeds)
    assert (text[:, target] == -1).all()
    later, first = np.full(len(seeds), seeds[-1]), np.zeros(len(seeds), int)
    shown = [inputs.read(hoods.seeds.entity, hoods.seeds, of)[1][:, target] >= 0 for of in (later, first)]
    assert shown[0].any() and shown[1].sum() < shown[0].sum()


@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
def test_rows_without_a_time_hide_the_seeds_own_target(open_shop, shop_tables, protocol: str) -> None:
    opened = open_shop(shop_tables)
    seeds = task_seeds(opened[1], "event-amount", protocol)
    untimed = replace(
        seeds, cutoff=np.full_like(seeds.time, NEVER - 1), label_cutoff=np.full_like(seeds.time, NEVER - 1)
    )
    pair, time = np.arange(len(seeds.row)), np.full_like(seeds.time, NO_TIME)
    assert not replace(untimed, sees_untimed=np.ones(len(pair), bool)).sees_target(pair, seeds.row, time).any()
    others = np.roll(seeds.row, 1)
    assert replace(untimed, sees_untimed=np.ones(len(pair), bool)).sees_target(pair, others, time).all()
    assert seeds.sees_target(pair, others, time).any() == (protocol == "paper")


def test_training_learns_and_repeats(open_shop, shop_tables) -> None:
    """The label is a function of the user's region, in a unit of its own: a graph network must find it, and keep the
    weights that do; two calls give one answer."""
    _, store, texts = open_shop(shop_tables)
    seeds = task_seeds(store, "user-spend", "temporal")
    area = 1000 + 50 * shop_tables["regions"]["area"].to_numpy()[shop_tables["users"]["region_id"]]
    target = area[seeds.entity - store.tables["users"].first_row]
    store.task_targets = lambda task, split: target[seeds.split == ("train", "val", "test").index(split)]
    cfg = GraphSageConfig(16, FANOUT, 1e-2, batch_size=32, max_steps=60, check_every=20, patience=3, validation_rows=50)
    rows = np.arange((seeds.split == 0).sum())
    runs = [graphsage_predictions(store, texts, "user-spend", "temporal", cfg, 0, train_rows=rows) for _ in range(2)]
    wanted = target[seeds.split == 2]
    assert ((runs[0]["test"] - wanted) ** 2).mean() < 0.2 * wanted.var()
    np.testing.assert_array_equal(runs[0]["test"], runs[1]["test"])
