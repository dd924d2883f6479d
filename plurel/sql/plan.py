"""How a declared table looks in a RelBench folder: keys are row numbers, one column for each foreign key."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from plurel.config import Config
from plurel.errors import PlurelError
from plurel.random_streams import stream
from plurel.sql.schema import Column, ForeignKey, SqlSchema, SqlTable, nearest


@dataclass(frozen=True)
class TablePlan:
    """A table as it is generated.

    Attributes:
        num_rows: wanted; fewer where keys leave no room and the number was drawn.
        is_fixed: whether that many are asked for.
        pkey_col, fkey_cols: names of the columns of row numbers, the latter in the order of the foreign keys.
        features: columns that are no keys and are filled by the causal model; the time column is not among them.
        late: foreign keys to the table itself, and those that are left out of the order of tables.
    """

    table: SqlTable
    num_rows: int
    is_fixed: bool
    pkey_col: str
    fkey_cols: tuple[str, ...]
    features: tuple[Column, ...]
    time: Column | None
    late: frozenset[ForeignKey]


def plan_tables(schema: SqlSchema, config: Config, seed: int) -> list[TablePlan]:
    """Plans of all tables, parents first.

    Raises:
        PlurelError: for rows of an unknown table, or a cycle of keys none of which may be NULL.
    """
    names = [table.name for table in schema.tables]
    rows = dict(config.rows or ())
    for name in rows:
        if name not in names:
            raise PlurelError(
                f"{schema.source}: rows are given for table {name}, which is not there; {nearest(name, names)}"
            )
    referred = {(key.parent, column) for t in schema.tables for key in t.foreign_keys for column in key.parent_columns}
    order, broken = _order(schema)
    plans = []
    params = config.database_params
    parents = {key.parent for table in schema.tables for key in table.foreign_keys if key.parent != table.name}
    for name in order:
        table = schema.table(name)
        choices = params.num_rows_entity_table_choices if name in parents else params.num_rows_activity_table_choices
        count = rows.get(name, choices.draw(stream(seed, "sql rows", name)))
        in_keys = key_columns(table) | {column for parent, column in referred if parent == name}
        others = [column for column in table.columns if column.name not in in_keys]
        times = [c for c in others if c.type.kind in ("timestamp", "date") and "birth" not in c.name.casefold()]
        in_unique = {column for key in table.unique for column in key}
        times = sorted((c for c in times if c.name not in in_unique), key=lambda c: c.nullable)
        late = frozenset(key for key in table.foreign_keys if key.parent == name or (name, key) in broken)
        pkey_col, fkey_cols = _names(table)
        time = times[0] if times else None
        features = tuple(column for column in others if column != time)
        plans.append(TablePlan(table, count, name in rows, pkey_col, fkey_cols, features, time, late))
    return plans


def key_columns(table: SqlTable) -> set[str]:
    """Columns of the primary key and of foreign keys."""
    return set(table.primary_key).union(*(key.columns for key in table.foreign_keys))


def may_be_null(table: SqlTable, key: ForeignKey) -> bool:
    """Whether a column that belongs to this foreign key alone may be NULL."""
    shared = {column for other in table.foreign_keys if other != key for column in other.columns}
    return any(table.column(column).nullable for column in key.columns if column not in shared)


def _order(schema: SqlSchema) -> tuple[list[str], set[tuple[str, ForeignKey]]]:
    """Tables, parents first, and the keys left out so that there is such an order: each may be NULL."""
    broken: set[tuple[str, ForeignKey]] = set()
    while True:
        graph = nx.DiGraph()
        graph.add_nodes_from(table.name for table in schema.tables)
        for table in schema.tables:
            graph.add_edges_from(
                (key.parent, table.name)
                for key in table.foreign_keys
                if key.parent != table.name and (table.name, key) not in broken
            )
        if nx.is_directed_acyclic_graph(graph):
            return list(nx.topological_sort(graph)), broken
        cycle = nx.find_cycle(graph)
        for parent, child in cycle:
            table = schema.table(child)
            keys = [key for key in table.foreign_keys if key.parent == parent]
            if all(may_be_null(table, key) for key in keys):
                broken |= {(child, key) for key in keys}
                break
        else:
            path = " -> ".join([*(child for _, child in reversed(cycle)), cycle[-1][1]])
            raise PlurelError(
                f"{schema.source}: tables refer to each other in a cycle ({path}) and no key of it may be NULL; let "
                "the columns of one of its keys be NULL"
            )


def _names(table: SqlTable) -> tuple[str, tuple[str, ...]]:
    taken = {column.name for column in table.columns}
    foreign = {column for key in table.foreign_keys for column in key.columns}
    pkey = table.primary_key
    is_number = len(pkey) == 1 and pkey[0] not in foreign and table.column(pkey[0]).type.kind == "integer"
    pkey_col = pkey[0] if is_number else "row_idx"
    while not is_number and pkey_col in taken:
        pkey_col += "_"
    found: list[str] = []
    for key in table.foreign_keys:
        name = "_".join(key.columns)
        while name in found or name == pkey_col or (len(key.columns) > 1 and name in taken):
            name += f"_{key.parent}"
        found.append(name)
    return pkey_col, tuple(found)
