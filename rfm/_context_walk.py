"""Which row the compiled walk of `rfm._context_kernel` visits next.

- `pop a row`: from the parent stack (last in, first out) while it holds rows; else the next own row, while own rows
  have filled less than `own_cells` cells; else the next recent row, while these have filled less than
  `recent_cells`; else one drawn from the shallowest level that has candidates. Visited rows are skipped. The ancestors
  of an own or recent row count as its cells.
- own rows, at depth 2, are the visible label rows of the seed's parents or, where the task has no label table, the
  visible children with a time of the seed's parents that are of the seed's table. Recent rows are all visible children
  with a time of the seed's parents (depth 2) and of the seed itself (depth 1). Both most recent first, in rounds: the
  last row of every parent in foreign key order (then of the seed), the last but one of every parent, ...; a position
  whose row does not qualify is passed over; after `ctx_len` rounds the kind is used up.
- A group of m children offers min(m, `max_bfs_width`) candidates, a group of m labels m. Candidates and rows are drawn
  without replacement: of n things, below(n) is taken, and the last one takes its place.
- `draw from a level`: a candidate among all that its groups still offer, counted in their order. Where the group offers
  all of its rows, the i-th candidate is the i-th row; else a row among those that the group has left. A label of a
  split that the protocol hides is passed over.

numba's cache looks at the kernel's own file only: whoever changes a function here has to edit that file too.
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
    ROWS_LEFT,
    SOME_CHILDREN,
    SOURCE,
    STACK,
    START,
)
from rfm._context_memory import append, below, jit, push, take
from rfm.store.format import NO_TIME

STARTING, OWN, RECENT, FROM_LEVELS = range(4)  # phases of the walk
END, PASSED = -1, -2  # instead of a row: nothing is left; a row that may not be seen


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
    """A random row of the shallowest level and its depth; `END` when nothing is left, `PASSED` for a hidden label."""
    count = scratch.count
    if count[LEFT] == 0 and not _open_level(scratch):
        return np.int64(END), np.int64(0)
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
        return (row if graph.row_split[row] < rules.split_limit else np.int64(PASSED)), count[LEVEL]
    if kind == SOME_CHILDREN:
        num_rows = scratch.groups[group, ROWS_LEFT]
        drawn = start + below(scratch.random, num_rows)
        position = take(scratch.group_swaps, count[CONTEXT], drawn, start + num_rows - 1)
        scratch.groups[group, ROWS_LEFT] = num_rows - 1
        count[GROUP_SWAPS] += 1
    return np.int64(graph.child_row[position]), count[LEVEL]


@jit
def end_of_time(row_time, rows, start, end, limit):
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
        start = end_of_time(graph.row_time, graph.label_row, start, end, NO_TIME)
    return start, end_of_time(graph.row_time, graph.label_row, start, end, seed.label_limit)


@jit
def expand(graph, rules, seed, scratch, row, depth):
    """Neighbours of a visited row: parents on the stack, children and labels on the next level. Room must be there."""
    for i in range(graph.parent_offset[row], graph.parent_offset[row + 1]):
        parent = np.int64(graph.parent_row[i])
        if graph.row_time[parent] <= seed.cutoff:  # NO_TIME is the smallest number
            push(scratch, parent, depth + 1)
    start = graph.child_offset[row]
    end = end_of_time(graph.row_time, graph.child_row, start, graph.child_offset[row + 1], seed.cutoff)
    if end > start:
        kind = CHILDREN if end - start <= rules.max_bfs_width else SOME_CHILDREN
        append(scratch, depth + 1, start, end - start, min(end - start, rules.max_bfs_width), kind)
    start, end = _label_range(graph, seed, row)
    if end > start:
        append(scratch, depth + 1, start, end - start, end - start, LABELS)


@jit
def start_phase(graph, rules, seed, scratch, phase):
    """Lists the ranges of rows that the phase takes from the end on: one per parent of the seed, then its own."""
    count = scratch.count
    count[PHASE], count[CELLS_BEFORE], count[ROUND], count[SOURCE] = phase, count[CELLS], 0, 0
    first = graph.parent_offset[seed.row]
    num_parents = graph.parent_offset[seed.row + 1] - first
    for i in range(num_parents + 1):
        parent = np.int64(graph.parent_row[first + i]) if i < num_parents else np.int64(seed.row)
        start = end = np.int64(0)
        if phase == OWN and not rules.siblings:
            start, end = _label_range(graph, seed, parent)
        elif phase == RECENT or i < num_parents:
            start = graph.child_offset[parent]
            end = end_of_time(graph.row_time, graph.child_row, start, graph.child_offset[parent + 1], seed.cutoff)
        scratch.source[i, 0], scratch.source[i, 1] = start, end


@jit
def next_of_phase(graph, rules, seed, scratch, num_rounds):
    """The next own or recent row and its depth; `END` when the phase's rows are used up."""
    count = scratch.count
    is_label = count[PHASE] == OWN and not rules.siblings
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
            qualifies = graph.row_time[row] != NO_TIME and (count[PHASE] == RECENT or same_table)
        if qualifies:
            return row, np.int64(2) if i < num_parents else np.int64(1)
    return np.int64(END), np.int64(0)


@jit
def pop(graph, rules, seed, scratch, ctx_len):
    """The next row and its depth; `END` when nothing is left, `PASSED` for one that may not be seen."""
    count = scratch.count
    if count[STACK] > 0:
        count[STACK] -= 1
        return scratch.stack[count[STACK], 0], scratch.stack[count[STACK], 1]
    while count[PHASE] < FROM_LEVELS:
        budget = rules.own_cells if count[PHASE] == OWN else rules.recent_cells
        if count[PHASE] != STARTING and count[CELLS] - count[CELLS_BEFORE] < budget:
            row, depth = next_of_phase(graph, rules, seed, scratch, ctx_len)
            if row >= 0:
                return row, depth
        if count[PHASE] == RECENT:
            count[PHASE] = FROM_LEVELS
        else:
            start_phase(graph, rules, seed, scratch, count[PHASE] + 1)
    return _pop_level(graph, rules, scratch)
