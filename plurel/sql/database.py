"""A database for a declared schema, by the causal models and links of the random ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from relbench.base import Database, Table

from plurel.config import Config
from plurel.edges import ForeignMessages, Values
from plurel.random_streams import stream
from plurel.schema import Schema, TableSchema
from plurel.scm import TableSCM
from plurel.sql.cells import num_categories, to_cells, typed
from plurel.sql.keys import capacity_of, key_frame
from plurel.sql.links import Links, draw_late, draw_links
from plurel.sql.plan import TablePlan, key_columns, plan_tables
from plurel.sql.schema import SqlSchema

LinkDraw = Callable[[str, TableSchema, TableSchema], np.ndarray]


def make_sql_database(seed: int, config: Config, sql: SqlSchema, window: Schema, draw: LinkDraw) -> Database:
    """The tables of `sql` in a RelBench database, in the order of their declaration.

    Keys that point to their own table, or close a cycle of tables, contribute nothing to the columns.

    Args:
        window: its dates.
        draw: draws the parent rows of (foreign key, child, parent), as for a random schema.

    Raises:
        PlurelError: if the schema cannot be satisfied.
    """
    plans = plan_tables(sql, config, seed)
    sizes: dict[str, int] = {}
    frames: dict[str, pd.DataFrame] = {}
    links: dict[str, Links] = {}
    for plan in plans:
        name = plan.table.name

        def drawn(key, parents, children, name=name):
            sides = (TableSchema(name, children, 0, {}, False), TableSchema(key.parent, parents, 0, {}, False))
            return draw("_".join(key.columns), *sides)

        links[name], sizes[name] = draw_links(plan, sizes, frames, drawn, seed)
        frames[name] = key_frame(plan.table, links[name], frames, own_keys(plan, sql), sizes[name])
    values: dict[str, list[Values]] = {}
    tables: dict[str, Table] = {}
    for plan in plans:
        name = plan.table.name
        foreign = [
            ForeignMessages(seed, key.parent, name, "_".join(key.columns), values[key.parent], rows, config.scm_params)
            for key, rows in links[name].items()
        ]
        values[name] = TableSCM(seed, _table_schema(plan, sizes[name], seed, config), config).propagate(foreign)
        late = draw_late(plan, links[name], sizes, stream(seed, "sql late links", name))
        tables[name] = _table(plan, links[name] | late, frames[name], values[name], sizes[name], seed, config, window)
    return Database({table.name: tables[table.name] for table in sql.tables})


def own_keys(plan: TablePlan, sql: SqlSchema) -> list[str]:
    """Key columns that no foreign key fills: of the primary key, or referred to by any table."""
    name, foreign = plan.table.name, {column for key in plan.table.foreign_keys for column in key.columns}
    referred = {c for t in sql.tables for key in t.foreign_keys if key.parent == name for c in key.parent_columns}
    return [
        c.name for c in plan.table.columns if c.name in referred | set(plan.table.primary_key) and c.name not in foreign
    ]


def _table_schema(plan: TablePlan, num_rows: int, seed: int, config: Config) -> TableSchema:
    rng = stream(seed, "sql categories", plan.table.name)
    drawn = [config.scm_params.num_categories_choices.draw(rng) for _ in plan.features]
    counts = tuple(num_categories(c, n) for c, n in zip(plan.features, drawn, strict=True))
    # a table of keys alone has one hidden number, so that it passes on what its parents say
    return TableSchema(plan.table.name, num_rows, max(len(counts), 1), {}, plan.time is not None, counts or (0,))


def _table(
    plan: TablePlan,
    links: Links,
    keys: pd.DataFrame,
    values: list[Values],
    num_rows: int,
    seed: int,
    config: Config,
    window: Schema,
) -> Table:
    table, rng = plan.table, stream(seed, "missing", plan.table.name)
    missing_rate = config.database_params.column_nan_perc_choices.draw(rng)
    cells: dict[str, object] = {}
    counters = _counters(plan, keys, num_rows)
    for column, column_values in zip(plan.features, values, strict=False):
        distinct = counters.get(column.name)
        span = (window.start, window.end)
        cells[column.name] = to_cells(column, column_values, span, missing_rate, distinct, table.name, rng)
    if plan.time is not None:
        times = pd.Series(pd.date_range(window.start, window.end, periods=num_rows).floor("s"))
        cells[plan.time.name] = typed(times, plan.time.type.kind)
    data: dict[str, object] = {plan.pkey_col: np.arange(num_rows)}
    for key, column in zip(table.foreign_keys, plan.fkey_cols, strict=True):
        rows = links[key]
        data[column] = pd.arrays.IntegerArray(rows.astype(np.int64), rows < 0) if (rows < 0).any() else rows
    data |= {column.name: cells[column.name] for column in table.columns if column.name in cells}
    fkeys = {column: key.parent for key, column in zip(table.foreign_keys, plan.fkey_cols, strict=True)}
    return Table(pd.DataFrame(data), fkeys, plan.pkey_col, None if plan.time is None else plan.time.name)


def _counters(plan: TablePlan, keys: pd.DataFrame, num_rows: int) -> dict[str, np.ndarray]:
    """Of each unique key that has feature columns, the one with the most values, and its numbers."""
    found: dict[str, np.ndarray] = {}
    features = {column.name: column for column in plan.features}
    for unique in plan.table.unique:
        own = [features[column] for column in unique if column in features]
        if not own or any(column.name in found for column in own):
            continue
        column = max(own, key=capacity_of)
        told = [name for name in unique if name in keys and name in key_columns(plan.table)]
        numbers = np.arange(num_rows)
        if capacity_of(column) < num_rows and told:
            numbers = keys[told].groupby(told, dropna=False).cumcount().to_numpy()
        found[column.name] = numbers
    return found
