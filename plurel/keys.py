"""Keys of a relbench database: which rows its foreign keys point to, and tables ordered by their references."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
from relbench import load_dataset
from relbench.base import Database

from plurel.errors import PlurelError


@dataclass(frozen=True)
class ForeignKey:
    """Column `column` of table `child` holds primary keys of table `parent`, or nothing."""

    child: str
    column: str
    parent: str


def open_database(source: Database | str | Path) -> Database:
    """A database as it is, or the whole one of a RelBench-3 folder (rows after the test timestamp included).

    Raises:
        PlurelError: if the folder is no RelBench-3 dataset.
    """
    if isinstance(source, Database):
        return source
    if not isinstance(source, (str, Path)):
        kind = type(source).__name__
        raise PlurelError(f"a database or the path of a RelBench-3 folder is needed, not {kind}; has it a get_db()?")
    if not (Path(source) / "manifest.yaml").is_file():
        raise PlurelError(f"{source} is no RelBench-3 folder: it has no manifest.yaml")
    return load_dataset(str(source)).get_db(upto_test_timestamp=False)


def foreign_keys(db: Database) -> Iterator[ForeignKey]:
    """Every foreign key, in the order of tables and columns."""
    for name, table in db.table_dict.items():
        for column, parent in table.fkey_col_to_pkey_table.items():
            yield ForeignKey(name, column, parent)


def parent_rows(db: Database, key: ForeignKey) -> np.ndarray:
    """The position of the row that each row points to, -1 for none; int64 (child rows,).

    Raises:
        PlurelError: if the key cannot be followed: an unknown table or column, a parent whose primary key is missing,
            empty in a row or not unique, or a value that no parent has (such as after rows were cut by time).
    """
    where = f"foreign key {key.child}.{key.column}"
    if key.parent not in db.table_dict:
        raise PlurelError(f"{where} points to table {key.parent!r}, which is not there")
    parent, child = db.table_dict[key.parent], db.table_dict[key.child].df
    if key.column not in child:
        raise PlurelError(f"{where}: the table has no such column")
    index = primary_key(db, key.parent)
    if index is None:
        raise PlurelError(f"{where} points to table {key.parent}, which has no primary key")
    values = child[key.column]
    is_null = values.isna().to_numpy(dtype=bool)
    rows = np.full(len(values), -1, dtype=np.int64)
    rows[~is_null] = index.get_indexer(pd.Index(values[~is_null]))
    stray = np.flatnonzero((rows < 0) & ~is_null)
    if stray.size:
        raise PlurelError(
            f"{where}: {stray.size} rows point to no row of {key.parent}.{parent.pkey_col} (row {stray[0]} to "
            f"{values.iloc[stray[0]]!r}); add those parents or set the keys to missing"
        )
    return rows


def primary_key(db: Database, name: str) -> pd.Index | None:
    """The primary key of a table, in row order; None if it has none.

    Raises:
        PlurelError: if it is no column, or empty or not unique in some row.
    """
    table = db.table_dict[name]
    if table.pkey_col is None:
        return None
    where = f"primary key {name}.{table.pkey_col}"
    if table.pkey_col not in table.df:
        raise PlurelError(f"{where}: the table has no such column")
    index = pd.Index(table.df[table.pkey_col])
    if index.hasnans:
        raise PlurelError(f"{where} is missing in {int(index.isna().sum())} rows; every row needs one")
    if not index.is_unique:
        raise PlurelError(f"{where} is not unique: {index[index.duplicated()][0]!r} is there more than once")
    return index


def reference_graph(db: Database) -> nx.DiGraph:
    """Tables, with an edge parent -> child for each pair that keys join; self-references are left out."""
    graph = nx.DiGraph()
    graph.add_nodes_from(db.table_dict)
    graph.add_edges_from((key.parent, key.child) for key in foreign_keys(db) if key.parent != key.child)
    return graph
