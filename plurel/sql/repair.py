"""Rows that break a CHECK, changed as little as makes them keep it: moved into a domain, mirrored at a neighbour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd

from plurel.errors import PlurelError
from plurel.sql.cases import fitting, order_graph
from plurel.sql.numbers import COMPARABLE, as_cells, as_numbers, at_least, at_most, limits
from plurel.sql.schema import Case, Check, Column, Domain

Array = np.ndarray


def holds(check: Check, cells: pd.DataFrame, columns: Mapping[str, Column]) -> Array:
    """Which rows keep the check: in one of its cases nothing is false (what is NULL is unknown). bool (rows,)."""
    kept = np.zeros(len(cells), dtype=bool)
    for case in check.cases:
        is_met = np.ones(len(cells), dtype=bool)
        for name, domain in case.domains:
            is_met &= _is_inside(cells[name], columns[name], domain)
        for order in case.orders:
            left, right = (as_numbers(cells[n], columns[n].type.kind) for n in (order.left, order.right))
            is_met &= ~((left >= right) if order.is_strict else (left > right))
        kept |= is_met
    return kept


def repair(
    check: Check,
    cells: pd.DataFrame,
    spare: pd.DataFrame,
    columns: Mapping[str, Column],
    fixed: Collection[str],
    rng: np.random.Generator,
) -> None:
    """Changes `cells` so that every row keeps the check.

    A row takes the first case it can meet, from a random one on; one that can meet none gets NULL where it may.

    Args:
        cells: objects, the columns that the check speaks of; None for NULL.
        spare: the same with cells in place of NULL, for rows that must have one.
        fixed: columns that must stay: keys, and those that make rows distinct.

    Raises:
        PlurelError: if a row can meet no case, naming the check.
    """
    todo = np.flatnonzero(~holds(check, cells, columns))
    first = rng.integers(len(check.cases), size=len(todo))
    for shift in range(len(check.cases)):
        for number, case in enumerate(check.cases):
            rows = todo[(first + shift) % len(check.cases) == number]
            if rows.size:
                _meet(case, cells, spare, rows, columns, fixed, rng)
        is_broken = ~holds(check, cells.iloc[todo], columns)
        todo, first = todo[is_broken], first[is_broken]
        if not todo.size:
            return
    for name in sorted(check.columns - set(fixed)):
        if columns[name].nullable:
            cells.iloc[todo, cells.columns.get_loc(name)] = None
            todo = todo[~holds(check, cells.iloc[todo], columns)]
    if not todo.size:
        return
    raise PlurelError(f"CHECK ({check.sql}): {len(todo)} rows cannot keep it beside their keys (row {todo[0]} is one)")


def _is_inside(cells: pd.Series, column: Column, domain: Domain) -> Array:
    is_null = cells.isna().to_numpy()
    if domain.is_null is not None:
        return is_null == domain.is_null if domain.is_null else ~is_null & _is_inside(cells, column, _any_null(domain))
    inside = np.ones(len(cells), dtype=bool)
    if domain.values is not None:
        inside &= cells.isin(list(domain.values)).to_numpy()
    if domain.low is not None or domain.high is not None:
        kind = column.type.kind
        numbers = as_numbers(cells, kind) if kind in COMPARABLE else cells.map(len, na_action="ignore").to_numpy(float)
        low, high = (-np.inf if domain.low is None else domain.low), (np.inf if domain.high is None else domain.high)
        inside &= (numbers >= low) & (numbers <= high)
    return inside | is_null


def _any_null(domain: Domain) -> Domain:
    return replace(domain, is_null=None)


def _meet(
    case: Case,
    cells: pd.DataFrame,
    spare: pd.DataFrame,
    rows: Array,
    columns: Mapping[str, Column],
    fixed: Collection[str],
    rng: np.random.Generator,
) -> None:
    """Changes those of `rows` that can meet the case."""
    found = cells.iloc[rows].reset_index(drop=True)
    numbers = {}
    for name in sorted(case.columns):
        column, domain = columns[name], dict(case.domains).get(name, Domain())
        if domain.is_null is False and name not in fixed:
            found[name] = found[name].where(found[name].notna(), spare[name].iloc[rows].to_numpy(dtype=object))
        if column.type.kind in COMPARABLE and domain.values is None and domain.is_null is not True:
            numbers[name] = _start(found[name], column, domain, name in fixed)
        elif name not in fixed:
            found[name] = _chosen(found[name], column, domain, rng)
    _order(case, numbers, columns, {name for name in numbers if name in fixed}, rng)
    for name, (values, _, _) in numbers.items():
        if name not in fixed:
            made = as_cells(values, columns[name].type.kind)
            found[name] = pd.Series(np.where(np.isnan(values), None, made), dtype=object)
    is_met = holds(Check("", (case,)), found, columns)
    for name in case.columns - set(fixed):
        column = columns[name]
        is_met &= _is_inside(found[name], column, Domain(column.values, column.low, column.high))
    for name in case.columns:
        place = cells.columns.get_loc(name)
        cells.iloc[rows[is_met], place] = found[name].to_numpy(dtype=object)[is_met]


def _start(cells: pd.Series, column: Column, domain: Domain, is_fixed: bool) -> tuple[Array, Array, Array]:
    """Numbers as they are, and the bounds between which each may be moved; float64 (rows,) each."""
    numbers = as_numbers(cells, column.type.kind)
    if is_fixed:
        return numbers, np.where(np.isnan(numbers), -np.inf, numbers), np.where(np.isnan(numbers), np.inf, numbers)
    low, high = limits(column)
    low = low if domain.low is None else max(low, domain.low)
    high = high if domain.high is None else min(high, domain.high)
    return numbers, np.full(len(numbers), low), np.full(len(numbers), high)


def _order(
    case: Case,
    numbers: dict[str, tuple[Array, Array, Array]],
    columns: Mapping[str, Column],
    fixed: Collection[str],
    rng: np.random.Generator,
) -> None:
    """Moves numbers between their bounds so that those of smaller columns come before those of larger ones."""
    graph = order_graph([o for o in case.orders if o.left in numbers and o.right in numbers])  # others are NULL
    graph.add_nodes_from(numbers)
    names = list(nx.topological_sort(graph))
    for name in reversed(names):  # upper bounds, from what must come later
        values, low, high = numbers[name]
        for later in graph.successors(name):
            limit = at_most(numbers[later][2], columns[name], graph.edges[name, later]["is_strict"])
            high = np.where(np.isnan(numbers[later][0]), high, np.minimum(high, limit))
        numbers[name] = values, low, high
    for name in names:
        values, low, high = numbers[name]
        for earlier in graph.predecessors(name):
            limit = at_least(numbers[earlier][0], columns[name], graph.edges[earlier, name]["is_strict"])
            low = np.fmax(low, limit)
        moved = values if name in fixed else _between(values, low, high, columns[name], rng)
        numbers[name] = moved, low, high


def _between(values: Array, low: Array, high: Array, column: Column, rng: np.random.Generator) -> Array:
    """Numbers outside of [low, high] mirrored at the bound they pass; if that leads too far, anywhere near it."""
    if column.values is not None:
        return _listed(values, low, high, column, rng)
    found = np.where(values < low, 2 * low - values, np.where(values > high, 2 * high - values, values))
    is_far = (found < low) | (found > high)
    spread = np.minimum(high - low, np.maximum(1.0, np.abs(values - np.clip(values, low, high))))
    near = rng.random(len(values)) * spread
    found = np.where(is_far, np.where(values < low, low + near, high - near), found)
    snapped = at_least(at_most(found, column), column)  # onto the column's grid
    snapped = np.clip(snapped, at_least(low, column), at_most(high, column))
    if column.type.kind == "decimal":
        snapped = np.round(snapped, column.type.scale)
    return np.where(values == found, values, snapped)


def _listed(values: Array, low: Array, high: Array, column: Column, rng: np.random.Generator) -> Array:
    """Numbers outside of [low, high] replaced by any listed one inside; as they are where there is none."""
    options = np.array(column.values, dtype=float)
    is_inside = (options >= low[:, None]) & (options <= high[:, None])  # (rows, options)
    drawn = options[np.argmax(is_inside * rng.random(is_inside.shape), axis=1)]
    is_moved = ((values < low) | (values > high)) & is_inside.any(axis=1)
    return np.where(is_moved, drawn, values)


def _chosen(cells: pd.Series, column: Column, domain: Domain, rng: np.random.Generator) -> pd.Series:
    """Listed values, texts of a length, NULL."""
    if domain.is_null:
        return pd.Series([None] * len(cells), dtype=object)
    if domain.values is not None:
        values = fitting(domain.values, column, domain)
        options = np.array([bool(v) for v in values] if column.type.kind == "boolean" else values, dtype=object)
        is_outside = ~_is_inside(cells, column, _any_null(domain))
        drawn = options[rng.integers(len(options), size=len(cells))]
        return pd.Series(np.where(is_outside, drawn, cells.to_numpy(dtype=object)), dtype=object)
    return cells.map(lambda text: _fitted(text, domain), na_action="ignore")


def _fitted(text: object, domain: Domain) -> object:
    """A text or bytes cut or filled up to the lengths allowed; anything else as it is."""
    if not isinstance(text, (str, bytes)):
        return text
    longest = len(text) if domain.high is None else int(domain.high)
    return text[:longest].ljust(int(domain.low or 0), "x" if isinstance(text, str) else b"x")
