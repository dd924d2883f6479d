"""What the rows around a seed's parents were like before it: how many, how recent, and their mean values.

Of each parent and each table that points to it: log(1 + number of rows), the log of the ages in days of the latest row
and of the eighth latest, and means over the latest eight of every number and boolean column, shrunk by one value of 0;
and the parent's own such values. The seed's target column, and columns that the task names as leaking, are left out.
A context of a few hundred cells holds too few rows to count and average them well; `rfm.label_regression` reads these.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rfm._context_arrays import Graph, Rules
from rfm._context_memory import jit
from rfm._context_walk import end_of_time
from rfm.store import NO_TIME, SemType, Store

LATEST_ROWS = 8
MAX_CHILDREN = 256
"""Rows of a parent that are looked at, latest first: counts end there."""
MAX_FEATURES = 64
"""Of wide tables the first columns are taken, equally many of each."""
VALUES, ACTIVITY = 1, 2
"""Kinds of features: means over rows; numbers and ages of rows, and a parent's own values."""
_COUNT, _LATEST_AGE, _EIGHTH_AGE, _MEANS = range(4)  # positions from the first feature of a link on
_DAY = 24 * 60 * 60
_LIMIT = 10.0  # of values, in standard deviations


class _Places(NamedTuple):
    """Where each feature stands. A slot is one parent of a seed, a link a slot with a table that points to it."""

    slot: np.ndarray  # int64 (tables, slots), slot of a row's k-th parent in a table, -1 without
    own: np.ndarray  # int64 (slots,), first feature of the parent's own values
    link: np.ndarray  # int64 (slots, tables), first feature of the link, -1 without
    column: np.ndarray  # int64 (columns,), place among the values of a row of its table, -1 if it is none
    links: np.ndarray  # int64 (links, 2), first feature and number of means of each link


class ParentFeatures:
    """The features of seeds of one table whose cell of one column is hidden.

    Attributes:
        kinds: int8 (F,), `VALUES` or `ACTIVITY`.
    """

    def __init__(self, store: Store, graph: Graph, rules: Rules, target_column: int) -> None:
        self._graph, self._rules = graph, rules
        self._origin = store.first_time
        self._places, self.kinds = _places(store, rules, target_column)

    def before(self, rows: np.ndarray, until: np.ndarray) -> np.ndarray:
        """Features of seeds, from rows that are not later than a time.

        Args:
            rows: int64 (B,), of the store.
            until: int64 (B,), seconds.

        Returns:
            float64 (B, F). A missing parent has no rows; rows that there are not are as old as the database.
        """
        found = np.zeros((len(rows), len(self.kinds)))
        seen, known = np.zeros(len(self._places.slot), np.int64), np.zeros(len(self.kinds), np.int64)
        _fill(self._graph, self._rules, self._places, rows, until, self._origin, seen, known, found)
        return found


def _places(store: Store, rules: Rules, target_column: int) -> tuple[_Places, np.ndarray]:
    """Where each feature stands and its kind: first the own values of all parents, then link by link."""
    names, tables = list(store.tables), list(store.tables.values())
    parents = list(store.tables[store.columns[target_column].table].fkeys.values())
    slots = [names.index(name) for name in dict.fromkeys(parents) for _ in range(parents.count(name))]
    links = [
        (slot, child)
        for slot, parent in enumerate(slots)
        for child, table in enumerate(tables)
        if names[parent] in table.fkeys.values() and not table.is_label
    ][: MAX_FEATURES // (2 * _MEANS)]
    is_shown = np.isin(rules.sem_type, (SemType.NUMBER, SemType.BOOLEAN)) & ~rules.removed
    is_shown[target_column] = False
    shown = [[column for column in table.column_ids if is_shown[column]] for table in tables]
    width = _widths([len(columns) for columns in shown], slots + [child for _, child in links], len(links))
    places = _Places(
        slot=np.full((len(tables), len(slots)), -1),
        own=np.zeros(len(slots), np.int64),
        link=np.full((len(slots), len(tables)), -1),
        column=np.full(len(store.columns), -1),
        links=np.zeros((len(links), 2), np.int64),
    )
    for columns, number in zip(shown, width, strict=True):
        places.column[columns[:number]] = np.arange(number)
    kinds: list[int] = []
    for slot, parent in enumerate(slots):
        places.slot[parent, slots[:slot].count(parent)], places.own[slot] = slot, len(kinds)
        kinds += [ACTIVITY] * width[parent]
    for link, (slot, child) in enumerate(links):
        places.link[slot, child] = len(kinds)
        places.links[link] = len(kinds), width[child]
        kinds += [ACTIVITY] * _MEANS + [VALUES] * width[child]
    return places, np.array(kinds, np.int8)


def _widths(num_columns: list[int], read: list[int], num_links: int) -> np.ndarray:
    """How many columns of each table are taken so that all features fit; `read`: tables whose values are features."""
    width = np.array(num_columns)
    while _MEANS * num_links + width[read].sum() > MAX_FEATURES:
        width = np.minimum(width, width[read].max() - 1)
    return width


@jit
def _fill(graph, rules, places, rows, until, origin, seen, known, out):
    """Writes the features of every row into `out`, which is all 0.

    Work space: `seen`, parents so far in each table; `known`, values so far of each feature.
    """
    for b in range(rows.size):
        seen[:] = 0
        known[:] = 0
        _start(places, max(until[b] - origin, 0), out, b)
        for i in range(graph.parent_offset[rows[b]], graph.parent_offset[rows[b] + 1]):
            parent = np.int64(graph.parent_row[i])
            table = graph.row_table[parent]
            slot = places.slot[table, seen[table]] if seen[table] < places.slot.shape[1] else np.int64(-1)
            seen[table] += 1
            if slot >= 0 and graph.row_time[parent] <= until[b]:
                _add_values(graph, rules, places, parent, places.own[slot], known, out, b)
                _add_children(graph, rules, places, parent, until[b], slot, known, out, b)
        _finish(places, known, out, b)


@jit
def _start(places, longest, out, b):
    """Gives every link the ages of rows that there are not."""
    for link in range(places.links.shape[0]):
        first = places.links[link, 0]
        out[b, first + _LATEST_AGE] = out[b, first + _EIGHTH_AGE] = _log_days(longest)


@jit
def _add_children(graph, rules, places, parent, until, slot, known, out, b):
    """Counts, ages and sums over the parent's latest rows."""
    start = graph.child_offset[parent]
    end = end_of_time(graph.row_time, graph.child_row, start, graph.child_offset[parent + 1], until)
    for position in range(end - 1, max(start, end - MAX_CHILDREN) - 1, -1):
        row = np.int64(graph.child_row[position])
        first = places.link[slot, graph.row_table[row]]
        if first < 0:
            continue
        out[b, first + _COUNT] += 1
        count, time = out[b, first + _COUNT], graph.row_time[row]
        if count == 1 and time != NO_TIME:
            out[b, first + _LATEST_AGE] = _log_days(until - time)
        if count == LATEST_ROWS and time != NO_TIME:
            out[b, first + _EIGHTH_AGE] = _log_days(until - time)
        if count <= LATEST_ROWS:
            _add_values(graph, rules, places, row, first + _MEANS, known, out, b)


@jit
def _add_values(graph, rules, places, row, first, known, out, b):
    """Adds a row's values to the features from `first` on."""
    for cell in range(graph.cell_offset[row], graph.cell_offset[row + 1]):
        column = graph.cell_column[cell]
        if places.column[column] >= 0:
            value = np.float64(graph.cell_value[cell]) * rules.scale[column] + rules.shift[column]
            known[first + places.column[column]] += 1
            out[b, first + places.column[column]] += min(max(value, -_LIMIT), _LIMIT)


@jit
def _finish(places, known, out, b):
    """Turns sums into means and numbers into logs."""
    for link in range(places.links.shape[0]):
        first = places.links[link, 0]
        for i in range(first + _MEANS, first + _MEANS + places.links[link, 1]):
            out[b, i] /= known[i] + 1
        out[b, first + _COUNT] = math.log(1 + out[b, first + _COUNT])


@jit
def _log_days(seconds):
    """Log of an age in days; of less than a second that of a second."""
    return math.log(max(seconds, 1) / _DAY)
