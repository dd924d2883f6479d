"""Small random databases, kept twice: as plain Python rows for references, and as the store that the sampler reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from rfm.store import NEVER, NO_TIME, Column, SemType, Store, TableInfo, TaskInfo
from rfm.store.format import StoreMeta

VAL_TIME, TEST_TIME = 4, 8
COLUMN_TYPES = (SemType.NUMBER, SemType.TEXT, SemType.DATETIME, SemType.BOOLEAN)


@dataclass(frozen=True)
class ToyRow:
    """`cells` maps a column id to the stored value (a text id for text); `parents` are row numbers."""

    table: str
    time: int = NO_TIME
    split: int = -1
    cells: dict[int, float] = field(default_factory=dict)
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class ToyTask:
    name: str
    entity_table: str
    target: tuple[str, str]
    timedelta_s: int
    remove_columns: tuple[tuple[str, str], ...] = ()

    @property
    def is_autocomplete(self) -> bool:
        return self.target[0] == self.entity_table


@dataclass(frozen=True)
class ToyDatabase:
    """`columns`: table -> [(name, type)], label tables (`task:*`) last; `rows` in the order of the tables.

    `fkeys`: table -> the table that each of its foreign keys names.
    """

    columns: dict[str, list[tuple[str, SemType]]]
    fkeys: dict[str, list[str]]
    rows: list[ToyRow]
    tasks: dict[str, ToyTask]
    store: Store
    val_time: int = VAL_TIME
    test_time: int = TEST_TIME


def csr(lists: list[list[int]], dtype: type = np.int32) -> tuple[np.ndarray, np.ndarray]:
    offset = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    return offset, np.array([item for items in lists for item in items], dtype)


def make_database(
    columns: dict[str, list[tuple[str, SemType]]],
    fkeys: dict[str, list[str]],
    rows: list[ToyRow],
    tasks: list[ToyTask],
    seed: int = 0,
) -> ToyDatabase:
    rng = np.random.default_rng(seed)
    flat = [(table, name, sem_type) for table, listed in columns.items() for name, sem_type in listed]
    infos = []
    for i, (table, name, sem_type) in enumerate(flat):
        stats = {which: (float(rng.normal()), float(rng.uniform(0.5, 2))) for which in ("whole", "train")}
        infos.append(Column(i, name, table, sem_type, 100 + i, stats))
    ids = {(c.table, c.name): c.id for c in infos}
    table_rows = {table: [r for r, row in enumerate(rows) if row.table == table] for table in columns}
    tables, first = [], 0
    for table in columns:
        of_table = tuple(c.id for c in infos if c.table == table)
        keys = {f"key_{k}": parent for k, parent in enumerate(fkeys.get(table, []))}
        size = len(table_rows[table])
        tables.append(TableInfo(table, first, size, "id", None, keys, of_table, table.startswith("task:")))
        first += size
    children: list[list[int]] = [[] for _ in rows]
    for r in sorted(range(len(rows)), key=lambda r: (rows[r].time, r)):
        for parent in rows[r].parents:
            if rows[r].split < 0:
                children[parent].append(r)
    is_text = {c.id: c.sem_type is SemType.TEXT for c in infos}
    cells = [(column, value) for row in rows for column, value in row.cells.items()]
    arrays = {
        "row_table": np.array([list(columns).index(row.table) for row in rows], np.int32),
        "row_time": np.array([row.time for row in rows], np.int64),
        "row_split": np.array([row.split for row in rows], np.int8),
        "cell_offset": np.cumsum([0, *(len(row.cells) for row in rows)]).astype(np.int64),
        "cell_column": np.array([c for c, _ in cells], np.int32),
        "cell_value": np.array([0 if is_text[c] else v for c, v in cells], np.float32),
        "cell_text": np.array([v if is_text[c] else -1 for c, v in cells], np.int32),
    }
    arrays["parent_offset"], arrays["parent_row"] = csr([list(row.parents) for row in rows])
    arrays["child_offset"], arrays["child_row"] = csr(children)
    task_infos = []
    for i, task in enumerate(tasks):
        seeds = table_rows[task.target[0]]
        arrays[f"task{i}_row"], arrays[f"task{i}_target"] = np.array(seeds, np.int64), np.zeros(len(seeds))
        if not task.is_autocomplete:
            of_entity = [
                sorted((r for r in seeds if rows[r].parents == (entity,)), key=lambda r: (rows[r].time, r))
                for entity in table_rows[task.entity_table]
            ]
            arrays[f"task{i}_offset"], arrays[f"task{i}_label"] = csr(of_entity)
        sizes = tuple(sum(rows[r].split == s for r in seeds) for s in range(3))
        names = (task.target[1], "time", task.timedelta_s, task.remove_columns, task.target[0], ids[task.target], sizes)
        kind = "autocomplete" if task.is_autocomplete else "external"
        task_infos.append(TaskInfo(task.name, kind, "regression", task.entity_table, "id", *names))
    meta = StoreMeta("toy", "", "", "", VAL_TIME, TEST_TIME, tuple(tables), tuple(infos), tuple(task_infos), {}, {})
    store = Store(Path("toy"), meta, arrays)
    return ToyDatabase(columns, fkeys, rows, {task.name: task for task in tasks}, store)


def random_database(seed: int) -> ToyDatabase:
    """2 to 5 tables of up to 10 rows, cycles and double keys included, two label tasks and an autocomplete task."""
    rng = np.random.default_rng(seed)
    names = [f"t{i}" for i in range(rng.integers(2, 6))]
    columns = {
        name: [(f"c{k}", COLUMN_TYPES[rng.integers(4)]) for k in range(rng.integers(0 if i else 1, 5))]
        for i, name in enumerate(names)
    }
    columns["t0"][0] = ("c0", SemType.NUMBER)
    fkeys = {name: [names[i] for i in rng.integers(0, len(names), rng.integers(0, 4))] for name in names}
    has_time = {name: rng.random() < 0.7 for name in names}
    entity_of = {f"task:{task}": names[rng.integers(len(names))] for task in ("alpha", "beta")}
    for label_table, entity_table in entity_of.items():
        columns[label_table] = [("date", SemType.DATETIME), ("target", COLUMN_TYPES[3 * rng.integers(2)])]
        fkeys[label_table], has_time[label_table] = [entity_table], rng.random() < 0.9
    num_rows = {name: int(rng.integers(1, 11)) for name in names} | {
        name: int(rng.integers(1, 16)) for name in entity_of
    }
    first = dict(zip(num_rows, np.cumsum([0, *num_rows.values()]).tolist(), strict=False))
    column_id = {key: i for i, key in enumerate((t, name) for t, listed in columns.items() for name, _ in listed)}
    rows = []
    for table, count in num_rows.items():
        for _ in range(count):
            time = int(rng.integers(0, 12)) if has_time[table] else NO_TIME
            if has_time[table] and rng.random() < 0.1:
                time = NEVER if rng.random() < 0.5 else NO_TIME
            cells = {
                column_id[table, name]: int(rng.integers(50)) if t is SemType.TEXT else float(np.float32(rng.normal()))
                for name, t in columns[table]
                if rng.random() < 0.8
            }
            is_label = table in entity_of
            parents = tuple(
                int(first[parent] + rng.integers(num_rows[parent]))
                for parent in fkeys[table]
                if is_label or rng.random() < 0.8
            )
            rows.append(ToyRow(table, time, int(rng.integers(3)) if is_label else -1, cells, parents))
    leaking = tuple((table, name) for table, name in column_id if rng.random() < 0.1)
    tasks = [ToyTask(t[5:], e, (t, "target"), int(rng.integers(0, 5)), leaking) for t, e in entity_of.items()]
    tasks.append(ToyTask("gamma", "t0", ("t0", "c0"), 1, leaking))
    return make_database(columns, fkeys, rows, tasks, seed)


def log_days(seconds: int) -> float:
    return math.log(max(seconds, 1) / 86400)


def parent_features(
    database: ToyDatabase, task: str | None, protocol: str, row: int, column: int, until: int
) -> list[tuple[float, int]]:
    """(value, kind) of the features of `rfm.parent_features`: parents' own values, then each parent's child tables."""
    store, rows = database.store, database.rows
    removed = () if task is None else database.tasks[task].remove_columns
    stats = [(c.stats["whole"], c.stats["whole" if protocol == "paper" else "train"]) for c in store.columns]

    def shown(table: str) -> list[int]:
        own = [c for c in store.columns if c.table == table and (c.table, c.name) not in removed and c.id != column]
        return [c.id for c in own if c.sem_type in (SemType.NUMBER, SemType.BOOLEAN)]

    def value(r: int | None, c: int) -> float | None:
        if r is None or c not in rows[r].cells:
            return None
        (mean, std), (shown_mean, shown_std) = stats[c]
        return float(np.clip((rows[r].cells[c] * std + mean - shown_mean) / shown_std, -10, 10))

    def shrunk_mean(values: list[float | None]) -> float:
        known = [v for v in values if v is not None]
        return sum(known) / (len(known) + 1)

    keys = database.fkeys.get(rows[row].table, [])
    found, links, origin = [], [], min((r.time for r in rows if r.time not in (NO_TIME, NEVER)), default=NEVER)
    for table in dict.fromkeys(keys):
        parents: list[int | None] = [p for p in rows[row].parents if rows[p].table == table]
        for parent in (parents + [None] * keys.count(table))[: keys.count(table)]:
            parent = None if parent is None or rows[parent].time > until else parent
            found += [(value(parent, c) or 0.0, 2) for c in shown(table)]
            links += [(parent, child) for child in database.columns if table in database.fkeys.get(child, [])]
    for parent, child in links:
        if child.startswith("task:"):
            continue
        pointing = [(r.time, i) for i, r in enumerate(rows) if r.table == child for p in r.parents if p == parent]
        seen = sorted(((time, i) for time, i in pointing if time <= until), reverse=True)
        found.append((math.log(1 + len(seen)), 2))
        for k in (1, 8):
            is_dated = len(seen) >= k and seen[k - 1][0] != NO_TIME
            found.append((log_days(until - seen[k - 1][0] if is_dated else until - origin), 2))
        found += [(shrunk_mean([value(i, c) for _, i in seen[:8]]), 1) for c in shown(child)]
    return found


@pytest.fixture(scope="session")
def plain_parent_features() -> Callable[..., list[tuple[float, int]]]:
    return parent_features


@pytest.fixture(scope="session")
def make_toy() -> Callable[..., ToyDatabase]:
    return make_database


@pytest.fixture(scope="session")
def random_toy() -> Callable[[int], ToyDatabase]:
    return random_database


@pytest.fixture(scope="session")
def toy_row() -> type[ToyRow]:
    return ToyRow


@pytest.fixture(scope="session")
def toy_task() -> type[ToyTask]:
    return ToyTask


def random_seeds(database: ToyDatabase, task: str | None, split: str, rng: np.random.Generator, size: int):
    """Up to `size` (row, column) pairs whose cell can be a target."""
    store = database.store
    if task is None:
        pairs = [
            (r, c.id)
            for r, row in enumerate(database.rows)
            for c in store.columns
            if row.split < 0 and c.table == row.table and c.sem_type is not SemType.TEXT
        ]
    else:
        target = database.tasks[task].target
        column = next(c.id for c in store.columns if (c.table, c.name) == target)
        in_split = ("train", "val", "test").index(split)
        pairs = [
            (r, column) for r, row in enumerate(database.rows) if row.table == target[0] and row.split in (-1, in_split)
        ]
    chosen = rng.permutation(len(pairs))[:size]
    return np.array([pairs[i][0] for i in chosen], np.int64), np.array([pairs[i][1] for i in chosen], np.int64)


@pytest.fixture(scope="session")
def draw_seeds() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return random_seeds
