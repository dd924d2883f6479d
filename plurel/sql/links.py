"""The rows that foreign keys of a declared schema point to, such that primary and unique keys can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from plurel.errors import PlurelError
from plurel.random_streams import stream
from plurel.sql.keys import capacity_of, key_frame
from plurel.sql.plan import TablePlan, is_bound, may_be_null
from plurel.sql.repair import holds
from plurel.sql.schema import ForeignKey, SqlTable

_SURPLUS = (1, 2, 4, 8, 16)
_NO_PARENT = 0.2  # chance of a late key that may be NULL

Links = dict[ForeignKey, np.ndarray]
LinkDraw = Callable[[ForeignKey, int, int], np.ndarray]


def draw_links(
    plan: TablePlan,
    sizes: Mapping[str, int],
    frames: Mapping[str, pd.DataFrame],
    draw: LinkDraw,
    seed: int,
) -> tuple[Links, int]:
    """Parent rows of each foreign key whose parents exist already, and the number of rows.

    Rows that break a key are thrown away, so more are drawn than wanted; then a random part of the good ones is kept.

    Args:
        sizes: rows of the tables made so far; frames: their key columns.
        draw: (foreign key, parents, children) to int64 (children,), -1 for none.

    Raises:
        PlurelError: where fewer rows are possible than are asked for.
    """
    table, links, good = plan.table, {}, np.arange(0)
    rng = stream(seed, "sql links", table.name)
    for surplus in _SURPLUS:
        count = plan.num_rows * surplus
        links, told = {}, {}
        # the widest first: it settles the columns that others share with it
        for key in sorted(table.foreign_keys, key=lambda key: -len(key.columns)):
            if key not in plan.late:
                rows = _drawn(table, key, sizes, count, draw, rng)
                links[key] = _agreeing(key, rows, told, frames[key.parent], may_be_null(table, key), rng)
                for column, referred in zip(key.columns, key.parent_columns, strict=True):
                    told[column] = np.append(frames[key.parent][referred].to_numpy(dtype=object), None)[links[key]]
        good = np.flatnonzero(_is_good(plan, links, frames, count))
        if good.size >= plan.num_rows or not links:
            break
    if good.size < plan.num_rows and (plan.is_fixed or not good.size):
        raise PlurelError(f"table {table.name}: its keys leave room for about {good.size} rows, not {plan.num_rows}")
    kept = np.sort(rng.choice(good, min(plan.num_rows, good.size), replace=False))
    return {key: rows[kept] for key, rows in links.items()}, len(kept)


def draw_late(plan: TablePlan, sizes: Mapping[str, int], draw: LinkDraw, rng: np.random.Generator) -> Links:
    """Parent rows of keys to the table itself and of those that close a cycle of tables.

    To itself: an earlier row, or none (or the row itself where it must not be NULL). A key that shares columns with
    others, or is a part of a unique key, is NULL or the row's own.

    Raises:
        PlurelError: where a key must be unique and not NULL, and there are too few parents.
    """
    table, late, count = plan.table, {}, sizes[plan.table.name]
    for key in (key for key in table.foreign_keys if key in plan.late):
        is_unique = any(set(unique) == set(key.columns) for unique in table.keys)
        is_rootless = not may_be_null(table, key)
        if key.parent == table.name:
            is_told = is_bound(table, key) or bool(set(key.columns) & set(plan.own_keys))
            late[key] = _to_itself(count, is_unique, is_rootless, is_told, rng)
            continue
        parents = sizes[key.parent]
        rows = rng.permutation(max(parents, count))[:count] if is_unique else draw(key, parents, count)
        rows = np.where(rows < parents, rows, -1)
        if is_rootless and is_unique and (rows < 0).any():
            raise PlurelError(
                f"table {table.name}: its key ({', '.join(key.columns)}) is unique and not NULL, but there are {count} "
                f"rows and {parents} of {key.parent}; ask for fewer"
            )
        is_none = (rng.random(count) < _NO_PARENT) | is_bound(table, key)
        late[key] = np.maximum(rows, 0) if is_rootless else np.where(is_none, -1, rows)
    return late


def _to_itself(count: int, is_unique: bool, is_rootless: bool, is_told: bool, rng: np.random.Generator) -> np.ndarray:
    numbers = np.arange(count)
    roots = numbers if is_rootless else np.full(count, -1)
    if is_told or (is_unique and is_rootless):
        return roots
    earlier = numbers - 1 if is_unique else (rng.random(count) * numbers).astype(np.int64)
    return np.where((rng.random(count) < _NO_PARENT) | (numbers == 0), roots, earlier)


def _agreeing(
    key: ForeignKey,
    rows: np.ndarray,
    told: Mapping[str, np.ndarray],
    parent: pd.DataFrame,
    may_be_none: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Any parent whose values are those told by earlier keys; `rows` where nothing is told or no parent agrees."""
    pairs = [pair for pair in zip(key.columns, key.parent_columns, strict=True) if pair[0] in told]
    if not pairs:
        return rows
    groups = parent.groupby([referred for _, referred in pairs]).indices
    values = [told[column].tolist() for column, _ in pairs]
    found = rows.copy()
    for i, value in enumerate(values[0] if len(values) == 1 else zip(*values, strict=True)):
        group = groups.get(value)
        if group is not None:
            found[i] = group[int(rng.random() * len(group))]
        elif may_be_none:
            found[i] = -1
    return found


def _drawn(
    table: SqlTable,
    key: ForeignKey,
    sizes: Mapping[str, int],
    count: int,
    draw: LinkDraw,
    rng: np.random.Generator,
) -> np.ndarray:
    parents = sizes[key.parent]
    if any(set(unique) == set(key.columns) for unique in table.keys):  # each parent once: a random order has them all
        return np.resize(rng.permutation(parents), count)
    rows = draw(key, parents, count)
    if not may_be_null(table, key):
        return np.where(rows < 0, 0, rows)
    return rows


def _is_good(plan: TablePlan, links: Links, frames: Mapping[str, pd.DataFrame], count: int) -> np.ndarray:
    """Which rows agree in the columns that several keys share, and may stand beside the rows before them."""
    table = plan.table
    good = np.ones(count, dtype=bool)
    seen: dict[str, np.ndarray] = {}
    for key, rows in links.items():
        for column, referred in zip(key.columns, key.parent_columns, strict=True):
            values = np.append(frames[key.parent][referred].to_numpy(dtype=object), None)[rows]
            if column in seen:
                good &= pd.isna(values) | pd.isna(seen[column]) | (values == seen[column])
                values = np.where(pd.isna(seen[column]), values, seen[column])
            seen[column] = values
    values = key_frame(table, links, frames, (), count)
    columns = {column.name: column for column in table.columns}
    for check in table.checks:
        if check.columns <= set(values):
            good &= holds(check, values, columns)
    for unique in table.keys:
        told = [column for column in unique if column in values]
        own = [table.column(column) for column in unique if column not in values]
        room = max((capacity_of(column) for column in own), default=1)
        if not told:
            good &= np.arange(count) < room
            continue
        is_null = values[told].isna().any(axis=1).to_numpy()
        rank = values[told].where(pd.Series(good), None).groupby(told, dropna=False).cumcount().to_numpy()
        good &= is_null | (rank < room)
    return good
