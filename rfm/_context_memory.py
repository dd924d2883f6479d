"""What the compiled walk of `rfm._context_kernel` works with: its generator, its sets of rows and its growing buffers.

numba's cache looks at the kernel's own file only: whoever changes a function here has to edit that file too.
"""

from __future__ import annotations

import numba
import numpy as np

from rfm._context_arrays import (
    CONTEXT,
    DEEPEST,
    GROUP_SWAPS,
    GROUPS,
    KIND,
    LEVEL_SWAPS,
    NEXT,
    OFFERED,
    OPENED,
    ROWS_LEFT,
    STACK,
    START,
    VISITED,
    Scratch,
)
from rfm.random_keys import FACTOR_1, FACTOR_2, GOLDEN

_U27, _U30, _U31, _U32 = (np.uint64(n) for n in (27, 30, 31, 32))

_jit = numba.njit(nogil=True, cache=True)


@_jit
def mix(z):
    """The finaliser of splitmix64 on one uint64, as `rfm.random_keys.mix64` on arrays."""
    z = (z ^ (z >> _U30)) * FACTOR_1
    z = (z ^ (z >> _U27)) * FACTOR_2
    return z ^ (z >> _U31)


@_jit
def below(random, n):
    """A number in [0, n), n < 2^32; all in uint64, because numba turns uint64 with int64 into float64."""
    random[0] = random[0] + GOLDEN
    return np.int64(((mix(random[0]) >> _U32) * np.uint64(n)) >> _U32)


@_jit
def first_slot(number, table):
    """Where the search for a number starts in an open-addressing table."""
    return np.int64(((np.uint64(number) * GOLDEN) >> _U32) & np.uint64(table.shape[0] - 1))


@_jit
def find(table, number, generation):
    """The slot of `table` that holds `number` in this generation, or the free one where it would go."""
    slot = first_slot(number, table)
    while table[slot, 1] == generation and table[slot, 0] != number:
        slot = (slot + 1) & (table.shape[0] - 1)
    return slot


@_jit
def grown(array, size):
    """A copy of a 2-d `array` with room for `size` rows or more, at least doubled; new elements are -1.

    Loops over elements, here and below: slices and np.full take numba seconds longer to compile.
    """
    new = np.empty((max(size, 2 * array.shape[0]), array.shape[1]), np.int64)
    for i in range(new.shape[0]):
        for k in range(new.shape[1]):
            new[i, k] = array[i, k] if i < array.shape[0] else -1
    return new


@_jit
def rehashed(table, generation):
    """The entries of this generation in a table twice as long."""
    new = np.zeros((2 * table.shape[0], 3), np.int64)
    for i in range(table.shape[0]):
        if table[i, 1] == generation:
            slot = find(new, table[i, 0], generation)
            for k in range(3):
                new[slot, k] = table[i, k]
    return new


@_jit
def take(table, generation, position, last):
    """Takes `position` out of the numbers up to `last`, each in its own place until swaps say otherwise.

    Returns the number found there; the number at `last` moves into its place. Writes one entry of `table`.
    """
    slot = find(table, last, generation)
    moved = table[slot, 2] if table[slot, 1] == generation else last
    slot = find(table, position, generation)
    taken = table[slot, 2] if table[slot, 1] == generation else position
    table[slot, 0] = position
    table[slot, 1] = generation
    table[slot, 2] = moved
    return taken


@_jit
def with_room(scratch, on_stack, depth):
    """The scratch with room for `on_stack` more rows on the stack, a visit at `depth` and its groups, and a draw."""
    count = scratch.count
    stack, groups, levels, opened = scratch.stack, scratch.groups, scratch.levels, scratch.open
    visited, level_swaps, group_swaps = scratch.visited, scratch.level_swaps, scratch.group_swaps
    if count[STACK] + on_stack > stack.shape[0]:
        stack = grown(stack, count[STACK] + on_stack)
    if count[GROUPS] + 2 > groups.shape[0]:
        groups = grown(groups, count[GROUPS] + 2)
        opened = grown(opened, groups.shape[0])  # one level may hold all groups
    if depth >= levels.shape[0]:
        levels = grown(levels, depth + 1)
    if 2 * count[VISITED] >= visited.shape[0]:
        visited = rehashed(visited, count[CONTEXT])
    if 2 * count[LEVEL_SWAPS] >= level_swaps.shape[0]:
        level_swaps = rehashed(level_swaps, count[OPENED])
    if 2 * count[GROUP_SWAPS] >= group_swaps.shape[0]:
        group_swaps = rehashed(group_swaps, count[CONTEXT])
    return Scratch(
        count,
        scratch.random,
        visited,
        stack,
        groups,
        levels,
        opened,
        level_swaps,
        group_swaps,
        scratch.row_start,
        scratch.source,
    )


@_jit
def push(scratch, row, depth):
    """Puts a row on the parent stack; room must be there."""
    top = scratch.count[STACK]
    scratch.stack[top, 0] = row
    scratch.stack[top, 1] = depth
    scratch.count[STACK] = top + 1


@_jit
def append(scratch, depth, start, num_rows, offered, kind):
    """Adds a group to the end of level `depth`; room must be there."""
    group = scratch.count[GROUPS]
    scratch.count[GROUPS] = group + 1
    scratch.count[DEEPEST] = max(scratch.count[DEEPEST], depth)
    scratch.groups[group, START] = start
    scratch.groups[group, ROWS_LEFT] = num_rows
    scratch.groups[group, OFFERED] = offered
    scratch.groups[group, KIND] = kind
    scratch.groups[group, NEXT] = -1
    if scratch.levels[depth, 0] < 0:
        scratch.levels[depth, 0] = group
    else:
        scratch.groups[scratch.levels[depth, 1], NEXT] = group
    scratch.levels[depth, 1] = group
