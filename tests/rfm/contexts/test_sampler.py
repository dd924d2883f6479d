"""What a context promises, whatever the walk: time, labels, budget, structure; and growth, errors, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest

from rfm.errors import RfmError
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.store import NEVER, NO_TIME, SemType

SPLITS = ("train", "val", "test")
PROTOCOLS = ["paper", "temporal", "relbench"]
TASKS = [None, "alpha", "beta", "gamma"]


def assert_same(a, b) -> None:
    for field in fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


def one(contexts, b: int) -> list[tuple[int, int]]:
    """(row, column) of the cells of context b."""
    used = contexts.row_id[b] >= 0
    return list(zip(contexts.row_id[b, used].tolist(), contexts.column_idx[b, used].tolist(), strict=True))


@pytest.fixture
def draw_contexts(random_toy, draw_seeds):
    """Contexts of random databases: (database, task, split, seed row, its column, contexts, position in them)."""

    def draw(task: str | None, protocol: str, policy: str = "paper", num_databases: int = 40):
        rng = np.random.default_rng(1)
        for database_seed in range(100, 100 + num_databases):
            database = random_toy(database_seed)
            split = SPLITS[rng.integers(3)]
            options = {"protocol": protocol, "policy": policy, "max_bfs_width": int(rng.integers(1, 6))}
            sampler = ContextSampler(
                database.store, ctx_len=int(rng.integers(1, 80)), task=task, split=split, **options
            )
            rows, columns = draw_seeds(database, task, split, rng, 6)
            contexts = sampler.sample(rows, columns, item_keys(0, rows, columns))
            for b in range(len(rows)):
                yield database, database.tasks.get(task), split, int(rows[b]), int(columns[b]), contexts, b

    return draw


@pytest.mark.parametrize("policy", ["paper", "history", "mixed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_younger_than_the_seed(draw_contexts, task, protocol, policy) -> None:
    for database, info, split, seed_row, _, contexts, b in draw_contexts(task, protocol, policy):
        rows, seed = database.rows, database.rows[seed_row]
        others = {r for r, _ in one(contexts, b)} - {seed_row}
        assert all(rows[r].time != NEVER for r in others)
        if seed.time != NO_TIME:
            assert all(rows[r].time <= seed.time for r in others)
        if protocol == "relbench" and info is not None and split != "train":
            assert all(rows[r].time <= {"val": database.val_time, "test": database.test_time}[split] for r in others)


@pytest.mark.parametrize("policy", ["paper", "history", "mixed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", TASKS)
def test_labels_are_those_of_the_task_and_closed(draw_contexts, task, protocol, policy) -> None:
    for database, info, split, seed_row, column, contexts, b in draw_contexts(task, protocol, policy):
        rows, seed = database.rows, database.rows[seed_row]
        cells = one(contexts, b)
        assert cells[0] == (seed_row, column) and cells.count((seed_row, column)) == 1
        labels = {r for r, _ in cells if rows[r].split >= 0}
        if info is None:
            assert not labels
            continue
        if info.is_autocomplete:
            assert not labels
            labels = {r for r, c in cells if c == column}
        assert all(rows[r].table == info.target[0] for r in labels)
        for r in labels - {seed_row}:
            if protocol == "paper":
                continue
            window_is_closed = rows[r].time + info.timedelta_s <= seed.time
            assert window_is_closed or seed.time == NO_TIME
            assert rows[r].time != NO_TIME or seed.time == NO_TIME
            if protocol == "relbench" and rows[r].split >= 0:
                assert rows[r].split < SPLITS.index(split)
            elif protocol == "relbench" and rows[r].time != NO_TIME:
                assert split != "train"
                assert rows[r].time <= (database.val_time if split == "val" else database.test_time)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", ["alpha", "gamma"])
def test_leaking_columns_are_absent(draw_contexts, task, protocol) -> None:
    for database, info, _, seed_row, _, contexts, b in draw_contexts(task, protocol):
        for r, c in one(contexts, b)[1:]:
            at_risk = protocol != "paper" or database.rows[r].time == database.rows[seed_row].time
            named = (database.store.columns[c].table, database.store.columns[c].name) in info.remove_columns
            assert not (at_risk and named)


@pytest.mark.parametrize("task", TASKS)
def test_structure(draw_contexts, task) -> None:
    for database, _, _, _, _, contexts, b in draw_contexts(task, "temporal", "history"):
        cells, rows = one(contexts, b), database.rows
        n = len(cells)
        assert 1 <= n <= contexts.row_id.shape[1] and (contexts.row_id[b, n:] == -1).all()
        assert len(set(cells)) == n and all(c in rows[r].cells for r, c in cells[1:])
        assert contexts.is_target[b].tolist() == [True] + [False] * (contexts.row_id.shape[1] - 1)
        numbers = contexts.row_idx[b, :n]
        assert numbers[0] == 0 and np.isin(np.diff(numbers), [0, 1]).all()
        row_of = dict(zip(numbers.tolist(), contexts.row_id[b, :n].tolist(), strict=True))
        assert len(set(row_of.values())) == len(row_of)
        for i, (r, _) in enumerate(cells):
            parents = [row_of[p] for p in contexts.parent_idx[b, i].tolist() if p >= 0]
            assert parents == [p for p in rows[r].parents if p in row_of.values()]


@pytest.mark.parametrize("policy", ["paper", "history", "mixed"])
def test_everything_reachable_enters_a_large_budget(random_toy, policy) -> None:
    for database_seed in range(20):
        database = random_toy(database_seed)
        rows = database.rows
        seed_row = next(r for r, row in enumerate(rows) if row.time == NO_TIME or r == len(rows) - 1)
        number = (SemType.NUMBER, SemType.BOOLEAN, SemType.DATETIME)
        columns = [c.id for c in database.store.columns if c.table == rows[seed_row].table and c.sem_type in number]
        if rows[seed_row].split >= 0 or not columns:
            continue
        linked = {r: set() for r in range(len(rows))}
        for r, row in enumerate(rows):
            for parent in row.parents:
                if row.split < 0 and NEVER not in (row.time, rows[parent].time):
                    linked[r].add(parent)
                    linked[parent].add(r)
        reached, frontier = {seed_row}, [seed_row]
        while frontier:
            frontier = [n for r in frontier for n in linked[r] if n not in reached and not reached.add(n)]
        want = {r for r in reached if rows[r].cells} | {seed_row}
        sampler = ContextSampler(database.store, ctx_len=2000, policy=policy)
        contexts = sampler.sample(np.array([seed_row]), columns[0], np.array([1], np.uint64))
        assert {r for r, _ in one(contexts, 0)} == want


@pytest.mark.parametrize("task", TASKS)
def test_batch_composition_order_and_thread_are_inert(random_toy, draw_seeds, task) -> None:
    rng = np.random.default_rng(0)
    for database_seed in range(5):
        database = random_toy(database_seed)
        rows, columns = draw_seeds(database, task, "train", rng, 12)
        keys = rng.integers(0, 2**64, len(rows), dtype=np.uint64)
        sampler = ContextSampler(database.store, ctx_len=30, task=task, split="train", max_bfs_width=3)
        whole = sampler.sample(rows, columns, keys)
        order = rng.permutation(len(rows))[: len(rows) // 2 + 1]
        part = sampler.sample(rows[order], columns[order], keys[order])
        for field in fields(whole):
            np.testing.assert_array_equal(getattr(part, field.name), getattr(whole, field.name)[order])
        with ThreadPoolExecutor(4) as pool:
            for contexts in pool.map(lambda _, s=sampler, args=(rows, columns, keys): s.sample(*args), range(20)):
                assert_same(contexts, whole)


def test_history_shows_own_labels_most_recent_first(make_toy, toy_row, toy_task) -> None:
    columns = {
        "user": [("age", SemType.NUMBER)],
        "task:churn": [("date", SemType.DATETIME), ("target", SemType.NUMBER)],
    }
    columns["visit"] = [("spend", SemType.NUMBER)]
    columns = {name: columns[name] for name in ("user", "visit", "task:churn")}
    rows = [toy_row("user", cells={0: 1.0})] + [toy_row("visit", time=2, cells={1: 0.5}, parents=(0,))] * 30
    rows += [toy_row("task:churn", time=t, split=0, cells={2: 0.1, 3: 1.0}, parents=(0,)) for t in range(10)]
    database = make_toy(
        columns,
        {"visit": ["user"], "task:churn": ["user"]},
        rows,
        [toy_task("churn", "user", ("task:churn", "target"), 2)],
    )
    options = {"task": "churn", "split": "train", "protocol": "temporal", "ctx_len": 12}
    sampler = ContextSampler(database.store, policy="history", **options)
    seed_row = 31 + 8
    contexts = sampler.sample(np.array([seed_row]), 3, np.array([5], np.uint64))
    times = [rows[r].time for r, c in one(contexts, 0) if c == 3]
    assert times == [8, 6, 5, 4, 3]  # the seed, then the labels whose window of 2 has closed; cut by the budget
    assert [r for r, _ in one(contexts, 0)][:3] == [seed_row, seed_row, 0]


def test_mixed_shows_own_rows_then_recent_children_then_the_rest(make_toy, toy_row, toy_task) -> None:
    columns = {"user": [("age", SemType.NUMBER)], "visit": [("spend", SemType.NUMBER)]}
    columns["task:churn"] = [("target", SemType.NUMBER)]
    rows = [toy_row("user", cells={0: 1.0})]
    rows += [toy_row("visit", time=t, cells={1: 0.5}, parents=(0,)) for t in range(100)]
    rows += [toy_row("task:churn", time=t, split=0, cells={2: 1.0}, parents=(0,)) for t in range(100)]
    task = toy_task("churn", "user", ("task:churn", "target"), 1)
    database = make_toy(columns, {"visit": ["user"], "task:churn": ["user"]}, rows, [task])
    options = {"ctx_len": 40, "policy": "mixed", "max_bfs_width": 10}
    sampler = ContextSampler(database.store, task="churn", split="train", protocol="temporal", **options)
    contexts = sampler.sample(np.full(50, 101 + 80), 2, item_keys(0, np.arange(50)))
    for b in range(50):
        drawn = [(rows[r].table, rows[r].time) for r, _ in one(contexts, b)]
        assert drawn[:2] == [("task:churn", 80), ("user", NO_TIME)]
        assert drawn[2:4] == [("task:churn", t) for t in (79, 78)]  # a twentieth of 40 cells
        assert drawn[4:14] == [("visit", t) for t in range(80, 70, -1)]  # a quarter
        assert len(drawn) == 40
    older = {rows[r].time for b in range(50) for r, _ in one(contexts, b)[14:] if rows[r].table == "visit"}
    assert min(older) < 20  # the rest is drawn from all times


def test_own_rows_of_pretraining_are_siblings_of_the_same_table(make_toy, toy_row) -> None:
    """Two parents take turns; a child of another table is not an own row."""
    columns = {"user": [], "film": [], "rating": [("stars", SemType.NUMBER)], "visit": [("spend", SemType.NUMBER)]}
    rows = [toy_row("user"), toy_row("film"), toy_row("film")]
    rows += [toy_row("rating", time=t, cells={0: 1.0}, parents=(0, 2)) for t in (1, 2, 3)]
    rows += [toy_row("rating", time=t, cells={0: 1.0}, parents=(0, 1)) for t in (4, 9)]
    rows += [toy_row("visit", time=t, cells={1: 1.0}, parents=(0,)) for t in (5, 6)]
    database = make_toy(columns, {"rating": ["user", "film"], "visit": ["user"]}, rows, [])
    seed_row = 7  # time 9, user 0, film 1
    sampler = ContextSampler(database.store, ctx_len=20, policy="history")
    cells = one(sampler.sample(np.array([seed_row]), 0, np.zeros(1, np.uint64)), 0)
    assert [rows[r].time for r, _ in cells if r >= 3] == [9, 4, 3, 2, 1, *[rows[r].time for r, _ in cells[5:]]]
    assert {rows[r].table for r, _ in cells[5:]} == {"visit"}


def test_own_rows_of_pretraining_look_like_labels(make_toy, toy_row) -> None:
    """Their time and the target's column, whatever else they hold; rows of the later walk are whole."""
    columns = {"user": [("age", SemType.NUMBER)]}
    columns["rating"] = [("stars", SemType.NUMBER), ("when", SemType.DATETIME), ("note", SemType.TEXT)]
    rows = [toy_row("user", cells={0: 1.0})]
    rows += [toy_row("rating", time=t, cells={1: 1.0, 2: 1.0, 3: 1}, parents=(0,)) for t in range(9)]
    database = make_toy(columns, {"rating": ["user"]}, rows, [])
    sampler = ContextSampler(database.store, ctx_len=80, policy="mixed")  # a twentieth: two rows of two cells
    cells = one(sampler.sample(np.array([9]), 1, np.zeros(1, np.uint64)), 0)
    assert [c for r, c in cells if r == 9] == [1, 2, 3]
    assert [c for r, c in cells if r in (7, 8)] == [1, 2, 1, 2]
    assert [c for r, c in cells if r in (5, 6)] == [1, 2, 3, 1, 2, 3]


def test_buffers_grow(make_toy, toy_row, toy_task) -> None:
    """A chain deeper than the first levels, rows without cells, a hub with more children and labels than room."""
    chain, hub = 300, 9000
    columns = {"link": [], "hub": [("size", SemType.NUMBER)], "leaf": [("x", SemType.NUMBER)]}
    columns["task:t"] = [("target", SemType.NUMBER)]
    rows = [toy_row("link", parents=(r - 1,) if r else ()) for r in range(chain)]
    rows += [toy_row("hub", cells={0: 1.0}, parents=(chain - 1,))]
    rows += [toy_row("leaf", cells={1: 1.0}, parents=(0, chain))] * hub
    rows += [toy_row("task:t", time=r, split=0, cells={2: 1.0}, parents=(chain,)) for r in range(hub)]
    task = toy_task("t", "hub", ("task:t", "target"), 0)
    fkeys = {"link": ["link"], "hub": ["link"], "leaf": ["link", "hub"], "task:t": ["hub"]}
    database = make_toy(columns, fkeys, rows, [task])
    for policy in ("paper", "history", "mixed"):
        options = {"policy": policy, "max_bfs_width": 2 * hub}
        sampler = ContextSampler(database.store, ctx_len=2 * hub + 100, task="t", split="train", **options)
        contexts = sampler.sample(np.array([len(rows) - 1]), 2, np.array([0], np.uint64))
        assert {r for r, _ in one(contexts, 0)} == set(range(chain, len(rows)))
        small = ContextSampler(database.store, ctx_len=4, task="t", split="train", **options)
        cells = one(small.sample(np.array([chain + 1 + hub]), 2, np.array([0], np.uint64)), 0)
        assert [r for r, _ in cells[:2]] == [chain + 1 + hub, chain] and len(set(cells)) == 4


def test_width_draws_children_evenly(make_toy, toy_row) -> None:
    columns = {"hub": [("size", SemType.NUMBER)], "leaf": [("x", SemType.NUMBER)]}
    rows = [toy_row("hub", cells={0: 1.0})] + [toy_row("leaf", cells={1: 1.0}, parents=(0,))] * 20
    database = make_toy(columns, {"leaf": ["hub"]}, rows, [])
    sampler = ContextSampler(database.store, ctx_len=100, max_bfs_width=5)
    num_seeds = 4000
    contexts = sampler.sample(np.zeros(num_seeds, int), 0, item_keys(7, np.arange(num_seeds)))
    assert (contexts.row_id >= 0).sum(1).tolist() == [6] * num_seeds
    counts = np.bincount(contexts.row_id[:, 1:6].ravel(), minlength=21)[1:]
    expected = num_seeds * 5 / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-square, 19 degrees, 0.1 %


def test_errors_name_what_is_wrong(random_toy, draw_seeds) -> None:
    store = random_toy(0).store
    for options, words in [
        ({"task": "alfa"}, "did you mean 'alpha'"),
        ({"protocol": "temporel"}, "did you mean 'temporal'"),
        ({"policy": "x"}, "known: paper, history, mixed"),
        ({"split": "valid"}, "did you mean 'val'"),
        ({"task": "alpha", "protocol": "relbench"}, "needs the split"),
        ({"num_parents": 0}, "at least 1"),
        ({"max_bfs_width": 0}, "at least 1"),
    ]:
        with pytest.raises(RfmError, match=words):
            ContextSampler(store, **{"ctx_len": 8} | options)
    key = np.zeros(1, np.uint64)
    sampler = ContextSampler(store, ctx_len=8)
    text = next(c.id for c in store.columns if c.sem_type is SemType.TEXT)
    text_row = store.tables[store.columns[text].table].first_row
    for row, column, words in [(-1, 0, "outside"), (0, 999, "outside"), (0, 99, "outside"), (text_row, text, "text")]:
        with pytest.raises(RfmError, match=words):
            sampler.sample(np.array([row]), column, key)
    label_row = store.tables["task:alpha"].first_row
    with pytest.raises(RfmError, match="another table"):
        sampler.sample(np.array([label_row]), 0, key)
    alpha = ContextSampler(store, ctx_len=8, task="alpha", split="test", protocol="relbench")
    rows, columns = draw_seeds(random_toy(0), "alpha", "train", np.random.default_rng(0), 1)
    with pytest.raises(RfmError, match="not of split test"):
        alpha.sample(rows, columns, key)
    with pytest.raises(RfmError, match="is column id"):
        alpha.sample(rows, columns - 1, key)
    with pytest.raises(RfmError, match=r"must all be \(B,\)"):
        alpha.sample(rows, columns, np.zeros(2, np.uint64))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_of_a_built_store(two_stores, protocol) -> None:
    """De-standardised by the protocol's statistics, every cell is the store's raw cell; strings are the right ones."""
    (store, _), texts = two_stores
    sampler = ContextSampler(store, ctx_len=64, task="user-active", split="test", protocol=protocol)
    rows = store.task_rows("user-active", "test")
    contexts = sampler.sample(rows, store.tasks["user-active"].target_column, item_keys(0, rows))
    mean, std = store.column_stats("whole" if protocol == "paper" else "train")
    for b in range(len(rows)):
        for i, (r, c) in enumerate(one(contexts, b)):
            column, raw = store.columns[c], store.cells(r)[store.columns[c].name]
            assert texts.strings[contexts.name_text[b, i]] == f"{column.name} of {column.table.removeprefix('task:')}"
            if column.sem_type is SemType.TEXT:
                assert contexts.cell_text[b, i] == raw and contexts.value[b, i] == 0
            else:
                assert contexts.value[b, i] * std[c] + mean[c] == pytest.approx(raw, rel=1e-5, abs=1e-4)
