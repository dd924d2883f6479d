"""The compiled traversal behind `rfm.sampler`: which rows and cells enter the context of one seed row.

Section 6 of the paper's facts. All choices are spelled out here, so that another implementation can draw the same
contexts from the same key:

- The generator is splitmix64 whose state starts at mix64(key); below(n) = ((next >> 32) * n) >> 32.
- `pop a row`: from the parent stack (last in, first out) while it holds rows; else the next own row, while own rows
  have filled less than `own_cells` cells; else the next recent row, while these have filled less than
  `recent_cells`; else one drawn from the shallowest level that has candidates. Visited rows are skipped. The ancestors
  of an own or recent row count as its cells.
- own rows, at depth 2, are the visible label rows of the seed's parents or, where the task has no label table, the
  visible children with a time of the seed's parents that are of the seed's table. Recent rows are all visible children
  with a time of the seed's parents (depth 2) and of the seed itself (depth 1). Both most recent first, in rounds: the
  last row of every parent in foreign key order (then of the seed), the last but one of every parent, ...; a position
  whose row does not qualify is passed over; after `ctx_len` rounds the kind is used up.
- Where the task has no label table, a row of the seed's table that is visited while own rows fill their cells shows
  its datetimes and its cell of the target's column alone, as a label row does.
- `visit a row` of depth d: emit its cells, then push its visible parents on the stack, in foreign key order, at depth
  d + 1; then append to level d + 1 a group of its visible database children, then one of its labels that time allows,
  both by (time, row).
- A group of m children offers min(m, `max_bfs_width`) candidates, a group of m labels m. Candidates and rows are drawn
  without replacement: of n things, below(n) is taken, and the last one takes its place.
- `draw from a level`: a candidate among all that its groups still offer, counted in their order. Where the group offers
  all of its rows, the i-th candidate is the i-th row; else a row among those that the group has left. A label of a
  split that the protocol hides is passed over.
- own labels: the cells of the target's column on the own rows, from the first `4 * OWN_LABELS` rounds, a row once, the
  seed's and hidden ones left out; `OWN_LABELS` at most. They do not depend on the policy, the budget or the key.
- The seed comes first, at depth 0, its target cell before its other cells; the walk ends with the budget or the graph.

Rows without an emitted cell (keys only, or all missing) are walked through but get no number in the context.
"""

from __future__ import annotations

import numpy as np

from rfm._context_arrays import (
    CELLS,
    CELLS_BEFORE,
    CHILDREN,
    CONTEXT,
    DEEPEST,
    GROUP_SWAPS,
    GROUPS,
    KIND,
    LABELS,
    LEFT,
    LEVEL,
    LEVEL_SWAPS,
    NEXT,
    OFFERED,
    OPEN,
    OPENED,
    PHASE,
    ROUND,
    ROWS,
    ROWS_LEFT,
    SOME_CHILDREN,
    SOURCE,
    STACK,
    START,
    VISITED,
    Seed,
)
from rfm._context_memory import append, below, find, has_room, jit, mix, push, take
from rfm.contexts import OWN_LABELS

NO_TIME = np.iinfo(np.int64).min
_TEXT, _DATETIME = 1, 2  # of SemType
_START, _OWN, _RECENT, _LEVELS = range(4)  # phases of the walk
_END, _PASSED = -1, -2  # instead of a row: nothing is left; a row that may not be seen


@jit
def _open_level(scratch):
    """Lists the groups of the next level that has some; False when there is none.

    Rows reached from level d land on d + 1 or deeper, so a level is complete when it is first drawn from. Only what is
    drawn costs time: a hub's children are never listed.
    """
    count = scratch.count
    while count[LEVEL] < count[DEEPEST]:
        count[LEVEL] += 1
        count[OPEN] = 0
        group = scratch.levels[count[LEVEL], 0]
        while group >= 0:
            count[LEFT] += scratch.groups[group, OFFERED]
            scratch.open[count[OPEN], 0] = count[LEFT]
            scratch.open[count[OPEN], 1] = group
            count[OPEN] += 1
            group = scratch.groups[group, NEXT]
        if count[LEFT] > 0:
            count[OPENED] += 1
            count[LEVEL_SWAPS] = 0
            return True
    return False


@jit
def _pop_level(graph, rules, scratch):
    """A random row of the shallowest level and its depth; `_END` when nothing is left, `_PASSED` for a hidden label."""
    count = scratch.count
    if count[LEFT] == 0 and not _open_level(scratch):
        return np.int64(_END), np.int64(0)
    candidate = take(scratch.level_swaps, count[OPENED], below(scratch.random, count[LEFT]), count[LEFT] - 1)
    count[LEFT] -= 1
    count[LEVEL_SWAPS] += 1
    first, last = np.int64(0), count[OPEN] - 1
    while first < last:  # the group whose candidates end behind it
        middle = (first + last) >> 1
        if scratch.open[middle, 0] > candidate:
            last = middle
        else:
            first = middle + 1
    group = scratch.open[first, 1]
    start, kind = scratch.groups[group, START], scratch.groups[group, KIND]
    position = start + candidate - (scratch.open[first, 0] - scratch.groups[group, OFFERED])
    if kind == LABELS:
        row = np.int64(graph.label_row[position])
        return (row if graph.row_split[row] < rules.split_limit else np.int64(_PASSED)), count[LEVEL]
    if kind == SOME_CHILDREN:
        num_rows = scratch.groups[group, ROWS_LEFT]
        drawn = start + below(scratch.random, num_rows)
        position = take(scratch.group_swaps, count[CONTEXT], drawn, start + num_rows - 1)
        scratch.groups[group, ROWS_LEFT] = num_rows - 1
        count[GROUP_SWAPS] += 1
    return np.int64(graph.child_row[position]), count[LEVEL]


@jit
def _end_of_time(row_time, rows, start, end, limit):
    """First position in [start, end) of `rows` (sorted by time) whose row is later than `limit`."""
    while start < end:
        middle = (start + end) >> 1
        if row_time[rows[middle]] <= limit:
            start = middle + 1
        else:
            end = middle
    return start


@jit
def _label_range(graph, seed, entity):
    """Range [start, end) of `graph.label_row` of an entity row's labels that time allows; empty for other rows."""
    local = entity - graph.first_entity
    if local < 0 or local >= graph.label_offset.size - 1:
        return np.int64(0), np.int64(0)
    start, end = graph.label_offset[local], graph.label_offset[local + 1]
    if not seed.timeless_labels:
        start = _end_of_time(graph.row_time, graph.label_row, start, end, NO_TIME)
    return start, _end_of_time(graph.row_time, graph.label_row, start, end, seed.label_limit)


@jit
def _expand(graph, rules, seed, scratch, row, depth):
    """Neighbours of a visited row: parents on the stack, children and labels on the next level. Room must be there."""
    for i in range(graph.parent_offset[row], graph.parent_offset[row + 1]):
        parent = np.int64(graph.parent_row[i])
        if graph.row_time[parent] <= seed.cutoff:  # NO_TIME is the smallest number
            push(scratch, parent, depth + 1)
    start = graph.child_offset[row]
    end = _end_of_time(graph.row_time, graph.child_row, start, graph.child_offset[row + 1], seed.cutoff)
    if end > start:
        kind = CHILDREN if end - start <= rules.max_bfs_width else SOME_CHILDREN
        append(scratch, depth + 1, start, end - start, min(end - start, rules.max_bfs_width), kind)
    start, end = _label_range(graph, seed, row)
    if end > start:
        append(scratch, depth + 1, start, end - start, end - start, LABELS)


@jit
def _start_phase(graph, rules, seed, scratch, phase):
    """Lists the ranges of rows that the phase takes from the end on: one per parent of the seed, then its own."""
    count = scratch.count
    count[PHASE], count[CELLS_BEFORE], count[ROUND], count[SOURCE] = phase, count[CELLS], 0, 0
    first = graph.parent_offset[seed.row]
    num_parents = graph.parent_offset[seed.row + 1] - first
    for i in range(num_parents + 1):
        parent = np.int64(graph.parent_row[first + i]) if i < num_parents else np.int64(seed.row)
        start = end = np.int64(0)
        if phase == _OWN and not rules.siblings:
            start, end = _label_range(graph, seed, parent)
        elif phase == _RECENT or i < num_parents:
            start = graph.child_offset[parent]
            end = _end_of_time(graph.row_time, graph.child_row, start, graph.child_offset[parent + 1], seed.cutoff)
        scratch.source[i, 0], scratch.source[i, 1] = start, end


@jit
def _next_of_phase(graph, rules, seed, scratch, num_rounds):
    """The next own or recent row and its depth; `_END` when the phase's rows are used up."""
    count = scratch.count
    is_label = count[PHASE] == _OWN and not rules.siblings
    num_parents = graph.parent_offset[seed.row + 1] - graph.parent_offset[seed.row]
    while count[ROUND] < num_rounds:
        i, back = count[SOURCE], count[ROUND]
        if i > num_parents:
            count[SOURCE] = 0
            count[ROUND] += 1
            continue
        count[SOURCE] += 1
        position = scratch.source[i, 1] - 1 - back
        if position < scratch.source[i, 0]:
            continue
        row = np.int64(graph.label_row[position]) if is_label else np.int64(graph.child_row[position])
        if is_label:
            qualifies = graph.row_split[row] < rules.split_limit
        else:
            same_table = graph.row_table[row] == graph.row_table[seed.row]
            qualifies = graph.row_time[row] != NO_TIME and (count[PHASE] == _RECENT or same_table)
        if qualifies:
            return row, np.int64(2) if i < num_parents else np.int64(1)
    return np.int64(_END), np.int64(0)


@jit
def _pop(graph, rules, seed, scratch, ctx_len):
    """The next row and its depth; `_END` when nothing is left, `_PASSED` for one that may not be seen."""
    count = scratch.count
    if count[STACK] > 0:
        count[STACK] -= 1
        return scratch.stack[count[STACK], 0], scratch.stack[count[STACK], 1]
    while count[PHASE] < _LEVELS:
        budget = rules.own_cells if count[PHASE] == _OWN else rules.recent_cells
        if count[PHASE] != _START and count[CELLS] - count[CELLS_BEFORE] < budget:
            row, depth = _next_of_phase(graph, rules, seed, scratch, ctx_len)
            if row >= 0:
                return row, depth
        if count[PHASE] == _RECENT:
            count[PHASE] = _LEVELS
        else:
            _start_phase(graph, rules, seed, scratch, count[PHASE] + 1)
    return _pop_level(graph, rules, scratch)


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
    like_label = scratch.count[PHASE] == _OWN and rules.siblings and same_table
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
    _start_phase(graph, rules, seed, scratch, _OWN)
    found = 0
    while found < OWN_LABELS:
        row, _ = _next_of_phase(graph, rules, seed, scratch, 4 * OWN_LABELS)
        if row == _END:
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
    count[PHASE] = _START if rules.own_cells + rules.recent_cells > 0 else _LEVELS
    count[CONTEXT] += 1
    scratch.random[0] = mix(key)


@jit
def _fill(graph, rules, seed, key, out, scratch, b):
    """Context `b`; False where the scratch is too small for it."""
    _list_own_labels(graph, rules, seed, out, scratch, b)
    _reset(rules, scratch, key)
    ctx_len = out.row_idx.shape[1]
    row, depth = np.int64(seed.row), np.int64(0)
    while row != _END:
        slot = find(scratch.visited, row, scratch.count[CONTEXT])
        is_new = row != _PASSED and scratch.visited[slot, 1] != scratch.count[CONTEXT]
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
            _expand(graph, rules, seed, scratch, row, depth)
        row, depth = _pop(graph, rules, seed, scratch, ctx_len)
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
