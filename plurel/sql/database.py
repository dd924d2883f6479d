"""A database for a declared schema, by the causal models and links of the random ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from relbench.base import Database, Table

from plurel.config import Config
from plurel.edges import Values
from plurel.errors import PlurelError
from plurel.random_streams import stream
from plurel.schema import Schema, TableSchema
from plurel.sql.cases import groups
from plurel.sql.cells import time_cells, to_cells, typed
from plurel.sql.columns import column_values
from plurel.sql.keys import capacity_of, key_frame
from plurel.sql.links import Links, draw_late, draw_links
from plurel.sql.plan import TablePlan, key_columns, plan_tables
from plurel.sql.repair import repair
from plurel.sql.schema import Column, ForeignKey, SqlSchema

Array = np.ndarray
LinkDraw = Callable[[str, TableSchema, TableSchema, Array], Array]
_LEAST_WEIGHT = 1e-6  # of a parent that comes to be at the end of the window


def make_sql_database(seed: int, config: Config, sql: SqlSchema, window: Schema, draw: LinkDraw) -> Database:
    """The tables of `sql` in a RelBench database, in the order of their declaration.

    Args:
        window: its dates.
        draw: draws the parent rows of (foreign key, child, parent, weights of its rows), as for a random schema.

    Raises:
        PlurelError: if the schema cannot be satisfied.
    """
    plans = plan_tables(sql, config, seed)
    links, frames, parts = _linked(plans, seed, draw)
    sizes = {name: len(frame) for name, frame in frames.items()}
    values = column_values(plans, links, sizes, seed, config)
    tables = {
        plan.table.name: _table(
            plan, links[plan.table.name], frames, values[plan.table.name], parts[plan.table.name], seed, config, window
        )
        for plan in plans
    }
    return Database({table.name: tables[table.name] for table in sql.tables})


def _linked(
    plans: list[TablePlan], seed: int, draw: LinkDraw
) -> tuple[dict[str, Links], dict[str, pd.DataFrame], dict[str, Array]]:
    """Parent rows of every foreign key, declared key columns without those of late keys, and when rows come to be."""
    sizes: dict[str, int] = {}
    parts: dict[str, Array] = {}
    frames: dict[str, pd.DataFrame] = {}
    links: dict[str, Links] = {}

    def of(plan: TablePlan) -> Callable[[ForeignKey, int, int], Array]:
        return lambda key, parents, children: draw(
            "_".join(key.columns),
            TableSchema(plan.table.name, children, 0, {}, False),
            TableSchema(key.parent, parents, 0, {}, False),
            np.maximum(1 - parts[key.parent], _LEAST_WEIGHT),  # the sooner, the more time for children
        )

    for plan in plans:
        name = plan.table.name
        links[name], sizes[name] = draw_links(plan, sizes, frames, of(plan), seed)
        parts[name] = _parts(plan, links[name], parts, sizes[name], stream(seed, "sql times", name))
        if plan.time is not None:
            order = np.argsort(parts[name], kind="stable")
            links[name], parts[name] = {key: rows[order] for key, rows in links[name].items()}, parts[name][order]
        frames[name] = key_frame(plan.table, links[name], frames, plan.own_keys, sizes[name])
    for plan in plans:
        links[plan.table.name] |= draw_late(plan, sizes, of(plan), stream(seed, "sql late links", plan.table.name))
    return links, frames, parts


def _parts(plan: TablePlan, links: Links, parts: dict[str, Array], count: int, rng: np.random.Generator) -> Array:
    """When rows come to be, as parts of the window in [0, 1]: after all that they point to, or else at even steps.

    A table without a time holds the latest time of what it points to. Times that are unique keep even steps, so that no
    two are the same second.
    """
    born = np.zeros(count)
    for key, rows in links.items():
        np.maximum(born, np.append(parts[key.parent], 0)[rows], out=born)  # the last one where there is no parent
    if plan.time is None:
        return born
    if not born.any() or any(plan.time.name in unique for unique in plan.table.unique):
        return np.linspace(0, 1, count)
    return born + (1 - born) * rng.random(count)


def _table(
    plan: TablePlan,
    links: Links,
    frames: dict[str, pd.DataFrame],
    values: list[Values],
    parts: Array,
    seed: int,
    config: Config,
    window: Schema,
) -> Table:
    table, rng = plan.table, stream(seed, "missing", plan.table.name)
    keys = key_frame(table, links, frames, plan.own_keys, len(frames[table.name]))
    missing_rate = config.database_params.column_nan_perc_choices.draw(rng)
    whole = _cells(plan, frames[table.name], values, window, rng)
    cells = {name: _with_missing(table.column(name), some, missing_rate, rng) for name, some in whole.items()}
    if plan.time is not None:
        times = time_cells(plan.time, parts, (window.start, window.end))
        cells[plan.time.name] = whole[plan.time.name] = times
    fixed = _counters(plan, frames[table.name]).keys() | {plan.time.name if plan.time else ""}
    _keep_checks(plan, cells, whole, keys, fixed | set(keys), rng)
    data: dict[str, object] = {plan.pkey_col: np.arange(len(keys))}
    for key, column in zip(table.foreign_keys, plan.fkey_cols, strict=True):
        rows = links[key]
        data[column] = pd.arrays.IntegerArray(rows.astype(np.int64), rows < 0) if (rows < 0).any() else rows
    data |= {column.name: cells[column.name] for column in table.columns if column.name in cells}
    fkeys = {column: key.parent for key, column in zip(table.foreign_keys, plan.fkey_cols, strict=True)}
    return Table(pd.DataFrame(data), fkeys, plan.pkey_col, None if plan.time is None else plan.time.name)


def _cells(
    plan: TablePlan,
    keys: pd.DataFrame,
    values: list[Values],
    window: Schema,
    rng: np.random.Generator,
) -> dict[str, pd.Series]:
    """Feature columns, each within its own domain."""
    counters, span = _counters(plan, keys), (window.start, window.end)
    cells = {}
    for column, node in zip(plan.features, values, strict=False):
        distinct = counters.get(column.name)
        cells[column.name] = to_cells(column, node, span, distinct, plan.table.name, rng)
    return cells


def _with_missing(column: Column, cells: pd.Series, rate: float, rng: np.random.Generator) -> pd.Series:
    is_missing = rng.random(len(cells)) < rate
    return typed(cells.astype(object).where(~is_missing, None), column.type.kind) if column.nullable else cells


def _keep_checks(
    plan: TablePlan,
    cells: dict[str, pd.Series],
    whole: dict[str, pd.Series],
    keys: pd.DataFrame,
    fixed: set[str],
    rng: np.random.Generator,
) -> None:
    """Changes `cells` so that every row keeps the table's checks; what must not be missing comes from `whole`."""
    columns = {column.name: column for column in plan.table.columns}
    for check in groups(plan.table.checks, columns):
        names = sorted(check.columns)
        frame = pd.DataFrame({n: _as_objects(cells[n] if n in cells else keys[n]) for n in names})
        spare = pd.DataFrame({n: _as_objects(whole[n] if n in whole else keys[n]) for n in names})
        try:
            repair(check, frame, spare, columns, fixed, rng)
        except PlurelError as error:
            raise PlurelError(f"table {plan.table.name}, {error}") from None
        for name in set(names) & cells.keys():
            cells[name] = typed(frame[name], columns[name].type.kind)


def _as_objects(cells: pd.Series) -> pd.Series:
    return cells.astype(object).where(cells.notna(), None)


def _counters(plan: TablePlan, keys: pd.DataFrame) -> dict[str, np.ndarray]:
    """Of each unique key that has feature columns, the one with the most values, and its numbers."""
    found: dict[str, np.ndarray] = {}
    features = {column.name: column for column in plan.features}
    for unique in plan.table.unique:
        own = [features[column] for column in unique if column in features]
        is_dated = plan.time is not None and plan.time.name in unique  # its times are distinct
        if not own or is_dated or any(column.name in found for column in own):
            continue
        column = max(own, key=capacity_of)
        told = [name for name in unique if name in keys and name in key_columns(plan.table)]
        numbers = np.arange(len(keys))
        if capacity_of(column) < len(keys) and told:
            numbers = keys[told].groupby(told, dropna=False).cumcount().to_numpy()
        found[column.name] = numbers
    return found
