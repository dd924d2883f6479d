"""What an explanation says of a context is what a plain look at the rows gives."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rfm.errors import RfmError
from rfm.explain import explain_context
from rfm.sampler import ContextSampler
from rfm.store import SemType, Store


@pytest.mark.parametrize("task", [None, "alpha", "gamma"])
@pytest.mark.parametrize("policy", ["paper", "mixed"])
def test_rows_hops_and_counts(random_toy, draw_seeds, task, policy) -> None:
    rng = np.random.default_rng(0)
    for database_seed in range(30):
        database = random_toy(database_seed)
        options = {"protocol": "temporal", "policy": policy, "ctx_len": int(rng.integers(1, 60))}
        sampler = ContextSampler(database.store, task=task, split="test", **options)
        for row, column in zip(*draw_seeds(database, task, "test", rng, 3), strict=True):
            found = explain_context(sampler, int(row), int(column), key=5)
            contexts = sampler.sample(np.array([row]), int(column), np.array([5], np.uint64))
            assert found.num_cells == sum(len(r.cells) for r in found.rows) == contexts.num_tokens
            graph = nx.Graph((r.number, p) for r in found.rows for p in r.parents)
            graph.add_nodes_from(r.number for r in found.rows)
            assert {r.number: r.hops for r in found.rows if r.hops is not None} == dict(
                nx.single_source_shortest_path_length(graph, 0)
            )
            assert 0 <= found.shown_labels <= found.visible_labels
            assert 0 <= found.shown_children <= found.visible_children
            assert list(found.rows[0].cells.values())[0] == "?"
            assert [list(r.cells.values()).count("?") for r in found.rows[1:]] == [0] * (len(found.rows) - 1)


def test_a_large_budget_shows_all_that_is_visible(random_toy, draw_seeds) -> None:
    rng = np.random.default_rng(1)
    for database_seed in range(30):
        database = random_toy(database_seed)
        options = {"protocol": "temporal", "policy": "mixed", "max_bfs_width": 1000, "ctx_len": 2000}
        sampler = ContextSampler(database.store, task="alpha", split="test", **options)
        for row in draw_seeds(database, "alpha", "test", rng, 3)[0].tolist():
            found = explain_context(sampler, row)
            in_context = {r.row + database.store.tables[r.table].first_row for r in found.rows}
            labels, children = sampler.visible_labels(row), sampler.visible_children(row)
            assert found.visible_labels == len(labels) and found.visible_children == len(children)
            removed = database.tasks["alpha"].remove_columns
            names = [(c.table, c.name) for c in database.store.columns]
            target = sampler.task.target_column
            known = [r for r in labels if r != row and target in database.rows[r].cells]
            assert found.own_labels == (0 if names[target] in removed else len(known))
            # only rows that have nothing to show are missing
            for r in {*labels.tolist(), *children.tolist()} - in_context:
                assert all(names[c] in removed for c in database.rows[r].cells)
            entity = database.rows[row].parents
            for r in in_context - {row}:
                if database.rows[r].split >= 0 and database.rows[r].parents == entity:
                    assert r in labels


def test_values_are_in_the_unit_of_their_column(two_stores) -> None:
    (store, _), texts = two_stores
    sampler = ContextSampler(store, ctx_len=60, task="user-active", split="test", protocol="temporal", policy="mixed")
    found = explain_context(sampler, store.task_rows("user-active", "test")[0], texts=texts)
    for row in found.rows[1:]:
        raw = store.cells(store.tables[row.table].first_row + row.row)
        types = {c.name: c.sem_type for c in store.columns if c.table == row.table}
        for column, shown in row.cells.items():
            if types[column] is SemType.NUMBER:
                assert float(shown) == pytest.approx(raw[column], rel=1e-4, abs=1e-3)
            elif types[column] is SemType.BOOLEAN:
                assert shown == ("true" if raw[column] > 0.5 else "false")
            elif types[column] is SemType.TEXT:
                assert shown == texts.strings[raw[column]]
    page = found.to_html()
    assert page.count("<tr") == len(found.rows) + 1 and "http" not in page.replace("http-equiv", "")
    assert str(found).count("\n#") == len(found.rows)


def test_days_that_pandas_cannot_hold_are_shown(write_shop, tmp_path) -> None:
    folder = write_shop(tmp_path / "shop", 0)
    users = pd.read_parquet(folder / "db" / "users.parquet")
    born = np.array(["0001-01-01", "9999-12-31"], "datetime64[D]")[np.arange(len(users)) % 2]
    users = pa.Table.from_pandas(users).append_column("born", pa.array(born))
    pq.write_table(users, folder / "db" / "users.parquet")
    store = Store.build(folder, tmp_path / "root" / "shop", "hash", progress=False)
    sampler = ContextSampler(store, ctx_len=8)
    for row in range(2):
        found = explain_context(sampler, store.tables["users"].first_row + row, store.column("users", "age").id)
        shown = np.datetime64(found.rows[0].cells["born"])
        assert abs(shown - born[row]) <= np.timedelta64(1, "D")  # a float32 of millennia


def test_pretraining_needs_a_column(random_toy) -> None:
    sampler = ContextSampler(random_toy(0).store, ctx_len=8)
    with pytest.raises(RfmError, match="give the target column"):
        explain_context(sampler, 0)


def test_forecast_of_past_labels_is_in_their_unit(two_stores) -> None:
    (store, _), _ = two_stores
    sampler = ContextSampler(store, ctx_len=60, task="user-spend", split="test", protocol="temporal", policy="mixed")
    past = np.concatenate([store.task_targets("user-spend", split) for split in ("train", "val")])
    low, high, spread = np.nanmin(past), np.nanmax(past), np.nanstd(past)
    for row in store.task_rows("user-spend", "test")[:5].tolist():
        found = explain_context(sampler, row)
        assert low < found.forecast < high and 0.3 * spread < found.forecast_error < 3 * spread
        assert f"{found.forecast:.4g} ± " in str(found)
    rows = store.task_rows("user-spend", "train")
    first = int(rows[np.argmin(store.row_time[rows])])
    assert explain_context(sampler, first).forecast is None
