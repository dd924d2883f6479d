"""A database's schema as a networkx graph."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
from relbench.base import Database

from plurel.column_kinds import column_kind
from plurel.keys import foreign_keys, open_database, parent_rows


def to_networkx(db: Database | str | Path) -> nx.MultiDiGraph:
    """The schema: a node for each table, an edge parent -> child for each foreign key, keyed by its column.

    Node attributes: rows; columns, their kinds by name; pkey_col and time_col, None where there is none.
    Edge attributes: fkey_col; num_missing, the rows without a parent; num_childless, the parents without a child.
    All are plain Python values.

    Raises:
        PlurelError: if keys do not hold.
    """
    db = open_database(db)
    graph = nx.MultiDiGraph()
    for name, table in db.table_dict.items():
        kinds = {str(column): column_kind(table.df[column]) for column in table.df.columns}
        graph.add_node(name, rows=len(table), columns=kinds, pkey_col=table.pkey_col, time_col=table.time_col)
    for key in foreign_keys(db):
        parents = parent_rows(db, key)
        has_child = len(set(parents[parents >= 0].tolist()))
        graph.add_edge(
            key.parent,
            key.child,
            key=key.column,
            fkey_col=key.column,
            num_missing=int((parents < 0).sum()),
            num_childless=len(db.table_dict[key.parent]) - has_child,
        )
    return graph
