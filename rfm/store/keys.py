"""The key graph: which rows a row points to, and which rows point to it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rfm.errors import RfmError
from rfm.store.columns import is_number_type, to_float

_REINDEX = "`rfm.reindex_database(source, new_folder)` writes a copy with such keys"


def check_pkey(array: pa.ChunkedArray, table: str, column: str) -> None:
    """Raises RfmError unless the primary key is 0, 1, ..., n - 1 in row order, as RelBench 3 wants it."""
    key = _whole_numbers(array, table, column)
    wrong = np.flatnonzero(key != np.arange(len(key)))
    if len(wrong):
        row = int(wrong[0])
        got = "null" if np.isnan(key[row]) else f"{key[row]:.17g}"
        raise RfmError(
            f"table {table!r}: primary key {column!r} must be 0..n-1 in row order, but row {row} has {got}; {_REINDEX}"
        )


def read_fkey(array: pa.ChunkedArray, num_parents: int, table: str, column: str) -> np.ndarray:
    """int64 (n,) position in the parent table; -1 where the key is null or dangling (names no row)."""
    key = _whole_numbers(array, table, column)
    inside = (key >= 0) & (key < num_parents)  # False for NaN
    return np.where(inside, key, -1).astype(np.int64)


def parents(fkeys: list[np.ndarray], num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR pieces of one table: (number of parents int64 (num_rows,), parent rows in row then key order).

    `fkeys` holds one int64 (num_rows,) array per foreign key: store row ids, -1 where there is none.
    """
    if not fkeys:
        return np.zeros(num_rows, dtype=np.int64), np.zeros(0, dtype=np.int64)
    rows = np.stack(fkeys, axis=1)
    has = rows >= 0
    return has.sum(axis=1), rows[has]


def children(parent_offset: np.ndarray, parent_row: np.ndarray, row_time: np.ndarray, num_database: int) -> tuple:
    """The reverse graph of the database rows: (child_offset int64 (R+1,), child_row int32 (E,)).

    Children of a row are sorted by (time, row); label rows, the ids from `num_database` on, are nobody's children.
    """
    num_edges = int(parent_offset[num_database])
    child = np.repeat(np.arange(num_database), np.diff(parent_offset[: num_database + 1]))
    return group_by_time(parent_row[:num_edges], child, row_time, len(row_time))


def group_by_time(group: np.ndarray, row: np.ndarray, row_time: np.ndarray, num_groups: int) -> tuple:
    """CSR of `row` by `group` in [0, num_groups): (offset int64 (num_groups+1,), rows int32 by (time, row))."""
    offset = np.zeros(num_groups + 1, dtype=np.int64)
    np.cumsum(np.bincount(group, minlength=num_groups), out=offset[1:])
    order = np.lexsort((row, row_time[row], group))
    return offset, row[order].astype(np.int32)


def _whole_numbers(array: pa.ChunkedArray, table: str, column: str) -> np.ndarray:
    """float64 (n,), NaN where null: exact, as row numbers stay far below 2**53."""
    if not (is_number_type(array.type) or pa.types.is_null(array.type)):
        first = f" ({array[0].as_py()!r} in row 0)" if len(array) else ""
        raise RfmError(
            f"table {table!r}: key {column!r} must hold integers 0..n-1, got {array.type}{first}; {_REINDEX}"
        )
    key = to_float(array)
    fractions = np.isfinite(key) & (key != np.floor(key))
    if fractions.any():
        row = int(np.argmax(fractions))
        raise RfmError(f"table {table!r}: key {column!r} must hold integers, but row {row} has {key[row]:.17g}")
    return key
