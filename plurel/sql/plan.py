"""How a declared table looks in a RelBench folder: keys are row numbers, one column for each foreign key."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from plurel.config import Config
from plurel.errors import PlurelError
from plurel.random_streams import stream
from plurel.sql.narrowing import narrowed
from plurel.sql.resolution import nearest
from plurel.sql.schema import Column, ForeignKey, SqlSchema, SqlTable, referred_columns

_NEVER = 9
_NO_EVENTS = ("birth", "update", "modif")  # dates that say nothing of when a row came to be


@dataclass(frozen=True)
class TablePlan:
    """A table as it is generated.

    Attributes:
        num_rows: wanted; fewer where keys leave no room and the number was drawn.
        is_fixed: whether that many are asked for.
        pkey_col, fkey_cols: names of the columns of row numbers, the latter in the order of the foreign keys.
        own_keys: key columns that no foreign key fills: of the primary key, or referred to by any table.
        features: columns that are no keys and are filled by the causal model; the time column is not among them.
        late: foreign keys to the table itself, and those that are left out of the order of tables.
    """

    table: SqlTable
    num_rows: int
    is_fixed: bool
    pkey_col: str
    fkey_cols: tuple[str, ...]
    own_keys: tuple[str, ...]
    features: tuple[Column, ...]
    time: Column | None
    late: frozenset[ForeignKey]


def plan_tables(schema: SqlSchema, config: Config, seed: int) -> list[TablePlan]:
    """Plans of all tables, parents first.

    Raises:
        PlurelError: for rows of an unknown table, or keys that cannot be filled.
    """
    names = [table.name for table in schema.tables]
    rows = dict(config.rows or ())
    for name in rows:
        if name not in names:
            raise PlurelError(
                f"{schema.source}: rows are given for table {name}, which is not there; {nearest(name, names)}"
            )
    schema = narrowed(schema)
    order, broken = _order(schema)
    params = config.database_params
    parents = {key.parent for table in schema.tables for key in table.foreign_keys if key.parent != table.name}
    plans = []
    for name in order:
        table = schema.table(name)
        choices = params.num_rows_entity_table_choices if name in parents else params.num_rows_activity_table_choices
        count = rows.get(name, choices.draw(stream(seed, "sql rows", name)))
        late = frozenset(key for key in table.foreign_keys if key.parent == name or (name, key) in broken)
        keys = key_columns(table) | referred_columns(schema, name)
        time = _time_column(table, keys)
        features = tuple(column for column in table.columns if column.name not in keys and column != time)
        own = _own_keys(table, referred_columns(schema, name))
        plans.append(TablePlan(table, count, name in rows, *_names(table), own, features, time, late))
    return plans


def _time_column(table: SqlTable, keys: set[str]) -> Column | None:
    """The first date or timestamp of an event; rather one that must not be NULL.

    One that is unique must be a timestamp: rows lie apart by seconds at least, days come twice.
    """
    in_unique = {column for key in table.unique for column in key}
    times = [
        column
        for column in table.columns
        if column.type.kind == "timestamp" or (column.type.kind == "date" and column.name not in in_unique)
    ]
    times = [c for c in times if c.name not in keys and not any(word in c.name.casefold() for word in _NO_EVENTS)]
    times = [c for c in times if c.name not in in_unique or (c.low is None and c.high is None and not c.nullable)]
    return min(times, key=lambda column: column.nullable, default=None)


def _own_keys(table: SqlTable, referred: set[str]) -> tuple[str, ...]:
    foreign = {column for key in table.foreign_keys if key.parent != table.name for column in key.columns}
    return tuple(c.name for c in table.columns if c.name in (referred | set(table.primary_key)) - foreign)


def key_columns(table: SqlTable) -> set[str]:
    """Columns of the primary key and of foreign keys."""
    return set(table.primary_key).union(*(key.columns for key in table.foreign_keys))


def may_be_null(table: SqlTable, key: ForeignKey) -> bool:
    """Whether a column that belongs to this foreign key alone may be NULL."""
    shared = {column for other in table.foreign_keys if other != key for column in other.columns}
    return any(table.column(column).nullable for column in key.columns if column not in shared)


def _order(schema: SqlSchema) -> tuple[list[str], set[tuple[str, ForeignKey]]]:
    """Tables, parents first, and the keys left out so that there is such an order, which are drawn afterwards."""
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
        keys = {
            child: [key for key in schema.table(child).foreign_keys if key.parent == parent] for parent, child in cycle
        }
        costs = {child: max(_cost(schema, child, key) for key in some) for child, some in keys.items()}
        child = min(costs, key=costs.get)
        if costs[child] == _NEVER:
            path = " -> ".join([*(child for _, child in reversed(cycle)), cycle[-1][1]])
            raise PlurelError(
                f"{schema.source}: tables refer to each other in a cycle ({path}) and no key of it can be filled last; "
                "let the columns of one of its keys be NULL"
            )
        broken |= {(child, key) for key in keys[child]}


def _cost(schema: SqlSchema, name: str, key: ForeignKey) -> int:
    """How much is lost where the key is drawn after its parent's rows: nothing where it may be NULL."""
    table = schema.table(name)
    if set(key.columns) & (set(table.primary_key) | referred_columns(schema, name)):
        return _NEVER
    if may_be_null(table, key):
        return 0
    if is_bound(table, key):
        return _NEVER
    return 2 if any(set(unique) == set(key.columns) for unique in table.keys) else 1


def is_bound(table: SqlTable, key: ForeignKey) -> bool:
    """Whether a key shares columns with others, or is a part of a larger unique key."""
    shared = {column for other in table.foreign_keys if other != key for column in other.columns}
    in_larger = any(set(key.columns) & set(unique) and set(key.columns) != set(unique) for unique in table.keys)
    return bool(shared & set(key.columns)) or in_larger


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
