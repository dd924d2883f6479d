"""A plain Python walk, written from the rules, draws exactly the contexts of the compiled one.

It knows rows with lists of parents, not the store's arrays, and shares no code with the kernel.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from rfm.contexts import LATEST_WINDOWS, OWN_LABELS
from rfm.label_regression import LabelRegression
from rfm.sampler import ContextSampler
from rfm.store import NEVER, NO_TIME, SemType

MASK = 2**64 - 1


class SplitMix64:
    """Python integers, reduced by hand."""

    def __init__(self, key: int) -> None:
        self.state = self.mix(key)

    @staticmethod
    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        return ((self.mix(self.state) >> 32) * n) >> 32


class Reference:
    """The context of one seed, cell by cell."""

    def __init__(self, database, task, split, protocol, policy, ctx_len, width, num_parents, parent_features) -> None:
        self.parent_features = parent_features
        self.rows, self.columns = database.rows, database.store.columns
        self.database, self.protocol, self.policy = database, protocol, policy
        self.task = None if task is None else database.tasks[task]
        self.split = ("train", "val", "test").index(split)
        self.ctx_len, self.width, self.num_parents = ctx_len, width, num_parents
        self.known_before: dict[tuple[int, int], list[float]] = {}

    def is_visible(self, row) -> bool:
        if row.time == NEVER:
            return False
        if row.time == NO_TIME:
            return True
        if self.seed.time not in (NO_TIME, NEVER) and row.time > self.seed.time:
            return False
        if self.protocol == "relbench" and self.task is not None:
            return self.split == 0 or row.time <= (self.database.val_time, self.database.test_time)[self.split - 1]
        return True

    def split_of(self, row) -> int:
        if row.split >= 0:
            return row.split
        return int(row.time > self.database.val_time) + int(row.time > self.database.test_time)

    def is_label_known(self, row, any_split: bool = False) -> bool:
        if self.protocol == "paper":
            return self.is_visible(row)
        if row.time == NO_TIME and self.seed.time != NO_TIME:
            return False
        if row.time != NO_TIME and self.seed.time != NO_TIME and row.time + self.task.timedelta_s > self.seed.time:
            return False
        if self.protocol == "relbench" and not (row.split < 0 and row.time == NO_TIME):
            return self.is_visible(row) and (any_split or self.split_of(row) < self.split)
        return self.is_visible(row)

    def by_time(self, rows) -> list[int]:
        return sorted(rows, key=lambda r: (self.rows[r].time, r))

    def children(self, parent: int) -> list[int]:
        """All visible ones, in time order, those without a time first."""
        found = [r for r, row in enumerate(self.rows) if row.split < 0 for p in row.parents if p == parent]
        return [r for r in self.by_time(found) if self.is_visible(self.rows[r])]

    def labels(self, entity: int) -> list[int]:
        """Those that time allows."""
        if self.task is None or self.task.is_autocomplete:
            return []
        found = [r for r, row in enumerate(self.rows) if row.table == self.task.target[0] and row.parents == (entity,)]
        return [r for r in self.by_time(found) if self.is_label_known(self.rows[r], any_split=True)]

    def take(self, things: list) -> object:
        """A random one, whose place the last one takes."""
        drawn = self.random.below(len(things))
        things[drawn], things[-1] = things[-1], things[drawn]
        return things.pop()

    def draw(self, level: list) -> int | None:
        """A row of the level; None for a label that is hidden."""
        r, group = self.take(level)
        if r is None:
            return self.take(group)
        is_label = self.rows[r].split >= 0
        return r if not is_label or self.is_label_known(self.rows[r]) else None

    def candidates(self, r: int) -> list[tuple[int | None, list[int]]]:
        """What a visited row adds to the next level: its rows, or as many blanks as rows may be drawn from a group."""
        group = self.children(r)
        few = len(group) <= self.width
        return [(child if few else None, group) for child in group[: None if few else self.width]] + [
            (label, []) for label in self.labels(r)
        ]

    def cells(self, r: int, like_label: bool) -> list[int]:
        """Column ids that may be shown; of an own row without a label table, those that a label row would have."""
        row, shown = self.rows[r], []
        for column in row.cells:
            name = (self.columns[column].table, self.columns[column].name)
            if r == self.seed_row and column == self.target:
                continue
            everywhere = self.protocol != "paper" or r == self.seed_row or row.time == self.seed.time
            if self.task is not None and name in self.task.remove_columns and everywhere:
                continue
            if like_label and column != self.target and self.columns[column].sem_type is not SemType.DATETIME:
                continue
            is_other_label = self.task is not None and name == self.task.target and r != self.seed_row
            if is_other_label and self.task.is_autocomplete and not self.is_label_known(row):
                continue
            shown.append(column)
        return [self.target, *shown] if r == self.seed_row else shown

    def rounds(self, sources: list[list[int]], num_rounds: int) -> list[int | None]:
        """Every source from its end on, one row of each in turn."""
        return [rows[-1 - k] if k < len(rows) else None for k in range(num_rounds) for rows in sources]

    @property
    def takes_siblings(self) -> bool:
        return self.policy != "paper" and (self.task is None or self.task.is_autocomplete)

    def own_rows(self, num_rounds: int) -> list[int]:
        """Most recent first; a row that shares two parents with the seed comes twice."""
        if self.task is not None and not self.task.is_autocomplete:
            found = self.rounds([self.labels(p) for p in self.seed.parents], num_rounds)
            return [r for r in found if r is not None and self.is_label_known(self.rows[r])]
        found = self.rounds([self.children(p) for p in self.seed.parents], num_rounds)
        same_table = [r for r in found if r is not None and self.rows[r].table == self.seed.table]
        return [r for r in same_table if self.rows[r].time != NO_TIME]

    def own_labels(self) -> list[int]:
        """Rows whose target cell may be seen."""
        found = [r for r in dict.fromkeys(self.own_rows(4 * OWN_LABELS)) if r != self.seed_row]
        return [r for r in found if self.target in self.cells(r, like_label=False)][:OWN_LABELS]

    def latest_labels(self) -> list[int]:
        """Rows of the seed's table, older than it, whose target cell may be seen, oldest first."""
        table = self.columns[self.target].table
        if self.seed.time in (NO_TIME, NEVER) or self.columns[self.target].sem_type is SemType.TEXT:
            return []
        older = [r for r, row in enumerate(self.rows) if row.table == table and NO_TIME < row.time < self.seed.time]
        known = [r for r in older if self.task is None or self.is_label_known(self.rows[r])]
        return [r for r in self.by_time(known) if self.target in self.cells(r, like_label=False)]

    def features(self, seed_row: int) -> list[tuple[float, int]]:
        """(value, kind): what is known of past labels, and around its parents, before a row of the target's table."""
        if (seed_row, self.target) not in self.known_before:
            seed = self.seed_row
            self.seed_row, self.seed = seed_row, self.rows[seed_row]
            own, latest = self.own_labels(), self.latest_labels()
            task = None if self.task is None else self.task.name
            around = self.parent_features(
                self.database, task, self.protocol, seed_row, self.target, self.last_seen(self.rows[seed_row])
            )
            self.seed_row, self.seed = seed, self.rows[seed]
            means = [self.shrunk_mean(own[:window]) for window in (1, 2, 4, 8, 16, 32)]
            means += [self.shrunk_mean(latest[-window:]) for window in LATEST_WINDOWS]
            counts = [len(own), min(len(latest), LATEST_WINDOWS[-1])]
            means += [n / (n + 1) for n in counts]
            self.known_before[seed_row, self.target] = [*((mean, 0) for mean in means), *around]
        return self.known_before[seed_row, self.target]

    def last_seen(self, row) -> int:
        """Time of the last rows that are older than this one and that the protocol shows."""
        if self.protocol != "relbench" or self.task is None or self.split == 0:
            return row.time - 1
        return min(row.time - 1, (self.database.val_time, self.database.test_time)[self.split - 1])

    def shrunk_mean(self, rows: list[int]) -> float:
        return sum(self.value(r, self.target) for r in rows) / (len(rows) + 1)

    def forecast(self) -> np.ndarray:
        """By the regression on the labels that are visible, as of the last time that it was due; with its error."""
        if self.seed.time in (NO_TIME, NEVER) or self.columns[self.target].sem_type is SemType.TEXT:
            return np.array([0, 1])
        table, last_split = self.columns[self.target].table, self.split if self.protocol == "relbench" else 3
        all_labels = self.by_time([
            r
            for r, row in enumerate(self.rows)
            if row.table == table and NO_TIME < row.time < NEVER and self.target in row.cells and row.split < last_split
        ])  # fmt: skip
        time = np.array([self.rows[r].time for r in all_labels], np.int64)
        value = np.array([self.value(r, self.target) for r in all_labels])
        own, kinds = np.array(self.features(self.seed_row)).T
        features = np.array([self.features(r) for r in all_labels]).reshape(len(all_labels), len(own), 2)[:, :, 0]
        visible = self.latest_labels()
        until = self.rows[visible[-1]].time if visible else -1
        return LabelRegression(time, value, features, kinds).forecast(np.array([until]), own[None])[0]

    def recent_rows(self) -> list[tuple[int, int]]:
        """(row, depth), most recent first; the children of the seed itself are one hop away."""
        sources = [self.children(p) for p in self.seed.parents] + [self.children(self.seed_row)]
        depths = [2] * len(self.seed.parents) + [1]
        found = zip(self.rounds(sources, self.ctx_len), depths * self.ctx_len, strict=True)
        return [(r, depth) for r, depth in found if r is not None and self.rows[r].time != NO_TIME]

    def walk(self, seed_row: int, target: int, key: int) -> tuple[list[tuple[int, int]], dict[int, int]]:
        """(row, column) of every cell in order, and the numbers of the rows that have one."""
        self.seed_row, self.seed, self.target = seed_row, self.rows[seed_row], target
        self.random = SplitMix64(key)
        stack, levels = [(seed_row, 0)], defaultdict(list)
        visited, cells, numbers = set(), [], {}
        phases = [(share * self.ctx_len, rows) for share, rows in self.phases()]
        num_phases = len(phases)
        while len(cells) < self.ctx_len:
            if not stack:
                while phases and (not phases[0][1] or len(cells) - self.phase_start >= round(phases[0][0])):
                    phases.pop(0)
                    self.phase_start = len(cells)
                if phases:
                    stack.append(phases[0][1].pop(0))
            if stack:
                r, depth = stack.pop()
            elif any(levels.values()):
                depth = min(d for d, level in levels.items() if level)
                r = self.draw(levels[depth])
            else:
                break
            if r is None or r in visited:
                continue
            visited.add(r)
            is_own = self.takes_siblings and len(phases) == num_phases - 1 and self.rows[r].table == self.seed.table
            shown = self.cells(r, is_own)[: self.ctx_len - len(cells)]
            if shown:
                numbers[r] = len(numbers)
            cells += [(r, column) for column in shown]
            stack += [(parent, depth + 1) for parent in self.rows[r].parents if self.is_visible(self.rows[parent])]
            levels[depth + 1] += self.candidates(r)
        return cells, numbers

    def phases(self) -> list[tuple[float, list[tuple[int, int]]]]:
        """Part of the budget and rows of what comes between the seed's ancestors and the rest; the first is empty."""
        self.phase_start = 0
        shares = {"paper": [], "history": [1.0], "mixed": [0.05, 0.25]}[self.policy]
        own = [(r, 2) for r in self.own_rows(self.ctx_len)]
        return [(0.0, []), *zip(shares, [own, self.recent_rows()], strict=False)]

    def value(self, r: int, column: int) -> float:
        """In the protocol's statistics."""
        info = self.columns[column]
        if info.sem_type is SemType.TEXT or column not in self.rows[r].cells:
            return 0.0
        mean, std = info.stats["whole"]
        raw = self.rows[r].cells[column] * std + mean
        mean, std = info.stats["whole" if self.protocol == "paper" else "train"]
        return (raw - mean) / std

    def assert_equal(self, contexts, b: int, row: int, column: int, key: int) -> None:
        cells, numbers = self.walk(row, column, key)
        n = len(cells)
        want = [(numbers[r], r, c, self.columns[c].name_text, self.columns[c].sem_type) for r, c in cells]
        arrays = (contexts.row_idx, contexts.row_id, contexts.column_idx, contexts.name_text, contexts.sem_type)
        got = [tuple(int(a[b, i]) for a in arrays) for i in range(n)]
        assert got == want
        assert (contexts.row_idx[b, n:] == -1).all() and (contexts.parent_idx[b, n:] == -1).all()
        np.testing.assert_allclose(contexts.value[b, :n], [self.value(r, c) for r, c in cells], rtol=1e-5, atol=1e-6)
        texts = [self.rows[r].cells[c] if self.columns[c].sem_type is SemType.TEXT else -1 for r, c in cells]
        assert contexts.cell_text[b, :n].tolist() == texts
        for i, (r, _) in enumerate(cells):
            parents = [numbers[p] for p in self.rows[r].parents if p in numbers][: self.num_parents]
            assert contexts.parent_idx[b, i].tolist() == parents + [-1] * (self.num_parents - len(parents))
        own = self.own_labels()
        assert contexts.own_count[b] == len(own)
        np.testing.assert_allclose(
            contexts.own_value[b], self.padded([self.value(r, column) for r in own], 0), 1e-5, 1e-6
        )
        is_text = self.columns[column].sem_type is SemType.TEXT
        texts = [self.rows[r].cells[column] if is_text else -1 for r in own]
        assert contexts.own_text[b].tolist() == self.padded(texts, -1)

        latest = self.latest_labels()
        values = [self.shrunk_mean(latest[-w:]) for w in LATEST_WINDOWS]
        np.testing.assert_allclose(contexts.latest_mean[b], values, rtol=1e-5, atol=1e-6)
        assert contexts.latest_count[b] == min(len(latest), LATEST_WINDOWS[-1])
        np.testing.assert_allclose(contexts.forecast[b], self.forecast(), rtol=1e-4, atol=1e-4)

    @staticmethod
    def padded(items: list, filler: float) -> list:
        return items + [filler] * (OWN_LABELS - len(items))


@pytest.mark.parametrize("policy", ["paper", "history", "mixed"])
@pytest.mark.parametrize("protocol", ["paper", "temporal", "relbench"])
@pytest.mark.parametrize("task", [None, "alpha", "beta", "gamma"])
def test_same_contexts_as_the_plain_walk(
    random_toy, draw_seeds, plain_parent_features, monkeypatch, task, protocol, policy
) -> None:
    """The regression is fitted after every label here; by itself it is held against another in its own test."""
    monkeypatch.setattr("rfm.label_regression._FIRST_LABELS", 1)
    rng = np.random.default_rng(0)
    num_contexts = 0
    for database_seed in range(80):
        database = random_toy(database_seed)
        ctx_len, width, num_parents = int(rng.integers(1, 60)), int(rng.integers(1, 8)), int(rng.integers(1, 4))
        split = ("train", "val", "test")[rng.integers(3)]
        sizes = (ctx_len, width, num_parents)
        reference = Reference(database, task, split, protocol, policy, *sizes, plain_parent_features)
        options = {"protocol": protocol, "policy": policy, "max_bfs_width": width, "num_parents": num_parents}
        sampler = ContextSampler(database.store, ctx_len=ctx_len, task=task, split=split, **options)
        rows, columns = draw_seeds(database, task, split, rng, 8)
        keys = rng.integers(0, 2**64, len(rows), dtype=np.uint64)
        contexts = sampler.sample(rows, columns, keys)
        for b in range(len(rows)):
            reference.assert_equal(contexts, b, int(rows[b]), int(columns[b]), int(keys[b]))
        num_contexts += len(rows)
    assert num_contexts > 100
