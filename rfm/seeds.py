"""Which cells are predicted in pretraining and in synthetic validation: (store, row, column) triples.

Every number and boolean column of a database table is a task (section 7 of the paper's facts); a task's rows are those
where the column has a value. Label tables are apart (`LabelSeeds`), and rows whose time is unknown are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from rfm.errors import RfmError
from rfm.store import NEVER, SemType, Store

_MAX_ROUNDS = 1000
"""Draws are repeated where the cell is missing; 1000 rounds without enough cells mean that the columns are empty."""


class PretrainSeeds:
    """Draws cells uniformly over all (feature column, row with a value) pairs of all stores.

    A draw is a function of (seed, step, rank) alone and takes memory and time of its own size: a pair is found by
    binary search over the cumulative row counts of the columns, and drawn anew when its cell is missing.
    """

    def __init__(self, stores: Sequence[Store], seed: int):
        """Lists the columns.

        Raises:
            RfmError: no store has a number or boolean column.
        """
        self.stores = list(stores)
        self.seed = seed
        columns = [
            (store_idx, column_id, table.first_row, table.num_rows)
            for store_idx, store in enumerate(self.stores)
            for table in store.tables.values()
            for column_id in _feature_columns(store, table.name)
            if table.num_rows > 0
        ]
        if not columns:
            raise RfmError(f"pretraining: none of {_names(self.stores)} has a number or boolean column with rows")
        self._store_idx, self._column, self._first_row, num_rows = np.array(columns, np.int64).T
        self._end = np.cumsum(num_rows)
        self._start = self._end - num_rows

    def draw(self, step: int, rank: int, batch_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Store index, row and column of `batch_size` cells, int64 (B,) each; the same cell may come twice.

        Raises:
            RfmError: hardly any cell of the columns has a value.
        """
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, step, rank])))
        drawn = np.zeros((3, 0), np.int64)
        for _ in range(_MAX_ROUNDS):
            pair = rng.integers(0, self._end[-1], size=batch_size)
            position = np.searchsorted(self._end, pair, side="right")
            row = self._first_row[position] + pair - self._start[position]
            cells = np.stack([self._store_idx[position], row, self._column[position]])
            drawn = np.concatenate([drawn, cells[:, self._has_value(*cells)]], axis=1)
            if drawn.shape[1] >= batch_size:
                return drawn[0, :batch_size], drawn[1, :batch_size], drawn[2, :batch_size]
        raise RfmError(f"pretraining: almost every number or boolean cell of {_names(self.stores)} is missing")

    def _has_value(self, store_idx: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        present = np.zeros(row.size, bool)
        for i in np.unique(store_idx):
            of_store = store_idx == i
            present[of_store] = _present(self.stores[i], row[of_store], column[of_store])
        return present


class LabelSeeds:
    """Draws train rows with a label uniformly over all tasks with label tables of all stores.

    `tasks` lists them as (store index, task name); a draw is a function of (seed, step, rank) alone.
    """

    def __init__(self, stores: Sequence[Store], seed: int):
        self.seed = seed
        self.tasks = [(i, name) for i, store in enumerate(stores) for name in store.labels]
        rows = [
            stores[i].task_rows(name, "train")[~np.isnan(stores[i].task_targets(name, "train"))]
            for i, name in self.tasks
        ]
        self._rows = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        self._task = np.repeat(np.arange(len(rows)), [len(part) for part in rows])

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, step: int, rank: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Position in `tasks` and row of `batch_size` labels, int64 (B,) each."""
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, step, rank, 1])))
        chosen = rng.integers(0, len(self), size=batch_size)
        return self._task[chosen], self._rows[chosen]


def validation_seeds(
    stores: Sequence[Store], tasks_per_database: int = 10, rows_per_task: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A fixed list of cells: store index, row and column, int64 (cells,) each, store by store and task by task.

    Per database up to `tasks_per_database` random columns, half boolean and half number; where one kind has too few,
    the other fills up. Per column up to `rows_per_task` distinct random rows with a value. The choice in a database
    depends on its name and `seed` alone, not on the other databases.

    Raises:
        RfmError: no cell in any store.
    """
    chosen = []
    for store_idx, store in enumerate(stores):
        name_key = int.from_bytes(hashlib.blake2b(store.name.encode(), digest_size=8).digest(), "little")
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, name_key])))
        for column_id in _validation_columns(store, tasks_per_database, rng):
            rows = _rows_with_value(store, column_id)
            rows = np.sort(rng.choice(rows, size=min(rows_per_task, rows.size), replace=False))
            chosen += [(store_idx, row, column_id) for row in rows.tolist()]
    if not chosen:
        raise RfmError(f"validation: none of {_names(stores)} has a number or boolean cell")
    store_idx, row, column = np.array(chosen, np.int64).T
    return store_idx, row, column


def _validation_columns(store: Store, limit: int, rng: np.random.Generator) -> list[int]:
    kinds: dict[SemType, list[int]] = {SemType.BOOLEAN: [], SemType.NUMBER: []}
    for table in store.tables:
        for column_id in _feature_columns(store, table):
            if _rows_with_value(store, column_id).size:
                kinds[store.columns[column_id].sem_type].append(column_id)
    boolean, number = (rng.permutation(kinds[kind]).astype(np.int64).tolist() for kind in kinds)
    num_boolean = min(len(boolean), max(limit // 2, limit - len(number)))
    return boolean[:num_boolean] + number[: limit - num_boolean]


def _feature_columns(store: Store, table: str) -> list[int]:
    """Number and boolean columns of a database table; none of a label table."""
    info = store.tables[table]
    if info.is_label:
        return []
    wanted = (SemType.NUMBER, SemType.BOOLEAN)
    return [i for i in info.column_ids if store.columns[i].sem_type in wanted]


def _present(store: Store, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """bool, whether row i has a cell of column i and a time that is not unknown."""
    start = np.asarray(store.cell_offset[rows])
    count = np.asarray(store.cell_offset[rows + 1]) - start
    item = np.repeat(np.arange(rows.size), count)
    cell = np.arange(item.size) - np.repeat(np.cumsum(count) - count, count) + start[item]
    has_cell = np.zeros(rows.size, bool)
    has_cell[item[np.asarray(store.cell_column[cell]) == columns[item]]] = True
    return has_cell & (np.asarray(store.row_time[rows]) != NEVER)


def _rows_with_value(store: Store, column_id: int) -> np.ndarray:
    table = store.tables[store.columns[column_id].table]
    rows = np.arange(table.first_row, table.first_row + table.num_rows)
    return rows[_present(store, rows, np.full(rows.size, column_id))]


def _names(stores: Sequence[Store]) -> str:
    names = [store.name for store in stores]
    return f"{len(names)} databases ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
