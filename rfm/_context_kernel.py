"""The compiled traversal behind `rfm.sampler`: which rows and cells enter the context of one seed row.

Section 6 of the paper's facts. All choices are spelled out, here and (which row comes next) in `rfm._context_walk`, so
that another implementation can draw the same contexts from the same key:

- The generator is splitmix64 whose state starts at mix64(key); below(n) = ((next >> 32) * n) >> 32.
- Where the task has no label table, a row of the seed's table that is visited while own rows fill their cells shows
  its datetimes and its cell of the target's column alone, as a label row does.
- `visit a row` of depth d: emit its cells, then push its visible parents on the stack, in foreign key order, at depth
  d + 1; then append to level d + 1 a group of its visible database children, then one of its labels that time allows,
  both by (time, row).
- own labels: the cells of the target's column on the own rows, from the first `4 * OWN_LABELS` rounds, a row once, the
  seed's and hidden ones left out; `OWN_LABELS` at most. They do not depend on the policy, the budget or the key.
- The seed comes first, at depth 0, its target cell before its other cells; the walk ends with the budget or the graph.

Rows without an emitted cell (keys only, or all missing) are walked through but get no number in the context.
"""

from __future__ import annotations

import numpy as np

from rfm._context_arrays import (
    CELLS,
    CONTEXT,
    DEEPEST,
    GROUP_SWAPS,
    GROUPS,
    LEFT,
    LEVEL,
    LEVEL_SWAPS,
    OPEN,
    PHASE,
    ROWS,
    STACK,
    VISITED,
    Seed,
)
from rfm._context_memory import find, has_room, jit, mix
from rfm._context_walk import END, FROM_LEVELS, OWN, PASSED, STARTING, expand, next_of_phase, pop, start_phase
from rfm.contexts import OWN_LABELS
from rfm.store.format import NO_TIME

_TEXT, _DATETIME = 1, 2  # of SemType


@jit
def _shown_value(rules, column, value):
    """A stored value in the protocol's statistics."""
    return np.float32(np.float64(value) * rules.scale[column] + rules.shift[column])


@jit
def _emit(rules, out, scratch, b, row, column, value, text):
    """Writes one cell at the next position of context `b`."""
    i = scratch.count[CELLS]
    scratch.count[CELLS] = i + 1
    out.row_idx[b, i] = scratch.count[ROWS]
    out.row_id[b, i] = row
    out.column_idx[b, i] = column
    out.name_text[b, i] = rules.name_text[column]
    out.sem_type[b, i] = rules.sem_type[column]
    if rules.sem_type[column] == _TEXT:
        out.cell_text[b, i] = text
    else:
        out.value[b, i] = _shown_value(rules, column, value)


@jit
def _emit_target(graph, rules, seed, out, scratch, b):
    """The target cell, whether or not the store knows its value."""
    value, text = np.float32(0.0), np.int32(-1)
    known = False
    for i in range(graph.cell_offset[seed.row], graph.cell_offset[seed.row + 1]):
        if graph.cell_column[i] == seed.column:
            value, text = graph.cell_value[i], graph.cell_text[i]
            known = True
    out.is_target[b, 0] = True
    _emit(rules, out, scratch, b, seed.row, np.int32(seed.column), value, text)
    if not known:
        out.value[b, 0] = 0


@jit
def _hides(graph, rules, seed, row, column):
    """Whether a row's cell may not be seen though the row may: a leaking column, or a label of an autocomplete task."""
    time = graph.row_time[row]
    if rules.removed[column] and (rules.removed_everywhere or time == graph.row_time[seed.row]):
        return True
    if column != rules.label_column or row == seed.row:
        return False
    return time > seed.label_limit or (time == NO_TIME and not seed.timeless_labels)


@jit
def _emit_row(graph, rules, seed, out, scratch, b, row):
    """The cells of a row that may be seen, up to the budget; returns its number in the context, -1 without a cell."""
    is_seed = row == seed.row
    same_table = graph.row_table[row] == graph.row_table[seed.row]
    like_label = scratch.count[PHASE] == OWN and rules.siblings and same_table
    first = scratch.count[CELLS]
    scratch.row_start[scratch.count[ROWS]] = first
    if is_seed:
        _emit_target(graph, rules, seed, out, scratch, b)
    for i in range(graph.cell_offset[row], graph.cell_offset[row + 1]):
        if scratch.count[CELLS] == out.row_idx.shape[1]:
            break
        column = graph.cell_column[i]
        if is_seed and column == seed.column:
            continue
        if like_label and column != seed.column and rules.sem_type[column] != _DATETIME:
            continue
        if _hides(graph, rules, seed, row, column):
            continue
        _emit(rules, out, scratch, b, row, column, graph.cell_value[i], graph.cell_text[i])
    if scratch.count[CELLS] == first:
        return -1
    scratch.count[ROWS] += 1
    scratch.row_start[scratch.count[ROWS]] = scratch.count[CELLS]
    return scratch.count[ROWS] - 1


@jit
def _place(rows, count, row):
    """Position of a row among the first `count`; `count` where it is not there."""
    place = 0
    while place < count and rows[place] != row:
        place += 1
    return place


@jit
def _list_own_labels(graph, rules, seed, out, scratch, b):
    """Writes the own labels of context `b`, latest first."""
    start_phase(graph, rules, seed, scratch, OWN)
    found = 0
    while found < OWN_LABELS:
        row, _ = next_of_phase(graph, rules, seed, scratch, 4 * OWN_LABELS)
        if row == END:
            break
        if row == seed.row or _hides(graph, rules, seed, row, seed.column):
            continue
        if _place(scratch.own_row, found, row) < found:
            continue
        for i in range(graph.cell_offset[row], graph.cell_offset[row + 1]):
            if graph.cell_column[i] == seed.column:
                if rules.sem_type[seed.column] == _TEXT:
                    out.own_text[b, found] = graph.cell_text[i]
                else:
                    out.own_value[b, found] = _shown_value(rules, seed.column, graph.cell_value[i])
                scratch.own_row[found] = row
                found += 1
                break
    out.own_count[b] = found


@jit
def _write_parents(graph, out, scratch, b):
    """Numbers in the context of each row's parents, onto every cell of the row."""
    width = out.parent_idx.shape[2]
    for r in range(scratch.count[ROWS]):
        start, end = scratch.row_start[r], scratch.row_start[r + 1]
        row = out.row_id[b, start]
        used = 0
        for i in range(graph.parent_offset[row], graph.parent_offset[row + 1]):
            slot = find(scratch.visited, np.int64(graph.parent_row[i]), scratch.count[CONTEXT])
            if scratch.visited[slot, 1] != scratch.count[CONTEXT] or scratch.visited[slot, 2] < 0:
                continue
            if used == width:
                break
            for cell in range(start, end):
                out.parent_idx[b, cell, used] = scratch.visited[slot, 2]
            used += 1


@jit
def _reset(rules, scratch, key):
    """Forgets the previous context and seeds the generator."""
    count = scratch.count
    for level in range(count[DEEPEST] + 1):
        scratch.levels[level, 0] = -1
    for counter in (STACK, GROUPS, LEVEL, DEEPEST, OPEN, LEFT, VISITED, LEVEL_SWAPS, GROUP_SWAPS, CELLS, ROWS):
        count[counter] = 0
    count[PHASE] = STARTING if rules.own_cells + rules.recent_cells > 0 else FROM_LEVELS
    count[CONTEXT] += 1
    scratch.random[0] = mix(key)


@jit
def _fill(graph, rules, seed, key, out, scratch, b):
    """Context `b`; False where the scratch is too small for it."""
    if rules.label_history:
        _list_own_labels(graph, rules, seed, out, scratch, b)
    _reset(rules, scratch, key)
    ctx_len = out.row_idx.shape[1]
    row, depth = np.int64(seed.row), np.int64(0)
    while row != END:
        slot = find(scratch.visited, row, scratch.count[CONTEXT])
        is_new = row != PASSED and scratch.visited[slot, 1] != scratch.count[CONTEXT]
        num_parents = graph.parent_offset[row + 1] - graph.parent_offset[row] if is_new else 0
        if not has_room(scratch, num_parents, depth + 1):
            return False
        if is_new:
            scratch.visited[slot, 0] = row
            scratch.visited[slot, 1] = scratch.count[CONTEXT]
            scratch.visited[slot, 2] = _emit_row(graph, rules, seed, out, scratch, b, row)
            if scratch.count[CELLS] == ctx_len:
                break
            scratch.count[VISITED] += 1
            expand(graph, rules, seed, scratch, row, depth)
        row, depth = pop(graph, rules, seed, scratch, ctx_len)
    _write_parents(graph, out, scratch, b)
    return True


@jit
def fill_contexts(graph, rules, rows, columns, keys, cutoffs, label_limits, timeless_labels, out, scratch, first):
    """Fills `out` (already all padding) with one context per item, from item `first` on.

    Items do not influence one another. Returns the first item that needs a larger scratch, or the number of items.

    Args:
        graph, rules, out, scratch: `Graph`, `Rules`, `Output`, `Scratch`.
        rows, columns, cutoffs, label_limits: int64 (B,), see `Seed`; timeless_labels: bool (B,); keys: uint64 (B,).
    """
    for b in range(first, rows.size):
        seed = Seed(rows[b], columns[b], cutoffs[b], label_limits[b], timeless_labels[b])
        if not _fill(graph, rules, seed, keys[b], out, scratch, b):
            return b
    return rows.size


@jit
def list_own_labels(graph, rules, rows, columns, cutoffs, label_limits, timeless_labels, out, scratch):
    """Writes the own labels of every item, as `fill_contexts` does, and nothing else."""
    for b in range(rows.size):
        seed = Seed(rows[b], columns[b], cutoffs[b], label_limits[b], timeless_labels[b])
        _list_own_labels(graph, rules, seed, out, scratch, b)
