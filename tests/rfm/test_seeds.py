"""Seeds of pretraining are uniform over cells and a function of (seed, step, rank); validation seeds are fixed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chisquare

from rfm.errors import RfmError
from rfm.seeds import PretrainSeeds, validation_seeds
from rfm.store import NEVER, NO_TIME, SemType


def toy_store(name: str, seed: int, missing: float = 0.3, num_rows: tuple[int, ...] = (9, 25)) -> SimpleNamespace:
    """Tables of number, text, boolean and datetime columns with missing cells, then a label table."""
    rng = np.random.default_rng(seed)
    types = (SemType.NUMBER, SemType.TEXT, SemType.BOOLEAN, SemType.DATETIME, SemType.NUMBER)
    columns, tables, cells, first = [], {}, [], 0
    for t, size in enumerate((*num_rows, 10)):
        ids = tuple(range(len(columns), len(columns) + len(types)))
        table = f"table_{t}"
        columns += [SimpleNamespace(id=i, table=table, sem_type=types[k]) for k, i in enumerate(ids)]
        tables[table] = SimpleNamespace(
            name=table, first_row=first, num_rows=size, column_ids=ids, is_label=t == len(num_rows)
        )
        cells += [[i for i in ids if rng.random() >= missing] for _ in range(size)]
        first += size
    return SimpleNamespace(
        name=name,
        columns=columns,
        tables=tables,
        cell_offset=np.cumsum([0, *map(len, cells)]),
        cell_column=np.array([column for row in cells for column in row], np.int32),
        row_time=np.where(rng.random(first) < 0.1, NEVER, NO_TIME),
    )


def allowed_cells(stores) -> set[tuple[int, int, int]]:
    """(store, row, column) of every number and boolean cell of a database row of known time, by plain loops."""
    found = set()
    for s, store in enumerate(stores):
        for table in store.tables.values():
            for row in range(table.first_row, table.first_row + table.num_rows):
                for cell in range(store.cell_offset[row], store.cell_offset[row + 1]):
                    column = int(store.cell_column[cell])
                    is_feature = store.columns[column].sem_type in (SemType.NUMBER, SemType.BOOLEAN)
                    if is_feature and not table.is_label and store.row_time[row] != NEVER:
                        found.add((s, row, column))
    return found


@pytest.fixture
def stores() -> list[SimpleNamespace]:
    return [toy_store("a", 0), toy_store("b", 1, num_rows=(40, 3, 12)), toy_store("c", 2, missing=0.9)]


def test_draws_are_uniform_over_cells_with_a_value(stores) -> None:
    allowed = sorted(allowed_cells(stores))
    seeds = PretrainSeeds(stores, seed=0)
    cells = np.concatenate([np.stack(seeds.draw(step, 0, 128), 1) for step in range(300)])
    drawn, counts = np.unique(cells, axis=0, return_counts=True)
    assert [tuple(cell) for cell in drawn.tolist()] == allowed
    assert chisquare(counts).pvalue > 1e-3
    by_column = np.unique(cells[:, [0, 2]], axis=0, return_counts=True)
    cells_of_column = np.unique(np.array(allowed)[:, [0, 2]], axis=0, return_counts=True)
    np.testing.assert_array_equal(by_column[0], cells_of_column[0])
    assert chisquare(by_column[1], len(cells) * cells_of_column[1] / len(allowed)).pvalue > 1e-3


def test_draws_depend_on_seed_step_and_rank_alone(stores) -> None:
    seeds = PretrainSeeds(stores, seed=4)
    first = seeds.draw(7, 1, 32)
    seeds.draw(8, 1, 32)
    for a, b in zip(first, PretrainSeeds(stores, seed=4).draw(7, 1, 32), strict=True):
        assert a.dtype == np.int64 and a.shape == (32,)
        np.testing.assert_array_equal(a, b)
    others = [PretrainSeeds(stores, seed=5).draw(7, 1, 32), seeds.draw(8, 1, 32), seeds.draw(7, 0, 32)]
    assert all(not np.array_equal(first[1], other[1]) for other in others)
    assert seeds.draw(0, 0, 0)[0].shape == (0,)


def test_no_column_or_no_cell_is_an_error() -> None:
    empty = toy_store("empty", 0, missing=1.0)
    with pytest.raises(RfmError, match=r"almost every .* of 1 databases \(empty\) is missing"):
        PretrainSeeds([empty], seed=0).draw(0, 0, 4)
    with pytest.raises(RfmError, match="has a number or boolean cell"):
        validation_seeds([empty])
    with pytest.raises(RfmError, match="has a number or boolean column"):
        PretrainSeeds([toy_store("none", 0, num_rows=())], seed=0)


def test_validation_seeds_are_half_boolean_and_fixed(stores) -> None:
    store_idx, row, column = validation_seeds(stores, tasks_per_database=4, rows_per_task=5)
    cells = list(zip(store_idx.tolist(), row.tolist(), column.tolist(), strict=True))
    assert set(cells) <= allowed_cells(stores) and len(set(cells)) == len(cells)
    for s, store in enumerate(stores[:2]):
        kinds = [store.columns[c].sem_type for c in dict.fromkeys(column[store_idx == s].tolist())]
        assert kinds == [SemType.BOOLEAN] * 2 + [SemType.NUMBER] * 2
    tasks, counts = np.unique(np.stack([store_idx, column]), axis=1, return_counts=True)
    full = [sum(cell[::2] == tuple(task) for cell in allowed_cells(stores)) for task in tasks.T.tolist()]
    assert counts.tolist() == [min(5, n) for n in full]
    again = validation_seeds(stores[1:], tasks_per_database=4, rows_per_task=5)
    for a, b in zip((row[store_idx > 0], column[store_idx > 0]), again[1:], strict=True):
        np.testing.assert_array_equal(a, b)  # a database's cells do not depend on the others
    other = validation_seeds(stores, tasks_per_database=4, rows_per_task=5, seed=1)
    assert not np.array_equal(other[1], row)


def test_validation_fills_up_with_the_other_kind(stores) -> None:
    number = SemType.NUMBER
    _, _, column = validation_seeds(stores[:1], tasks_per_database=5, rows_per_task=1)
    kinds = [stores[0].columns[c].sem_type for c in column.tolist()]
    assert kinds.count(SemType.BOOLEAN) == 2 and kinds.count(number) == 3  # the two tables have 2 and 4
    _, _, column = validation_seeds(stores[:1], tasks_per_database=100, rows_per_task=1)
    assert len(column) == 6


def test_seeds_of_built_stores(two_stores) -> None:
    stores, _ = two_stores
    allowed = allowed_cells(stores)
    for cells in (PretrainSeeds(stores, seed=0).draw(0, 0, 500), validation_seeds(stores)):
        assert set(zip(*(part.tolist() for part in cells), strict=True)) <= allowed
