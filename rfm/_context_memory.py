"""What the compiled walk of `rfm._context_kernel` works with: its generator, its sets of rows and its growing buffers.

numba's cache looks at the kernel's own file only: whoever changes a function here has to edit that file too.
"""

from __future__ import annotations

import numba
import numpy as np

from rfm._context_arrays import CONTEXT, DEEPEST, PENDING, STACK, VISITED, Scratch
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
def rehashed(visited, generation):
    """The set of visited rows in a table twice as long."""
    new = np.zeros((2 * visited.shape[0], 3), np.int64)
    for i in range(visited.shape[0]):
        if visited[i, 1] == generation:
            slot = find(new, visited[i, 0], generation)
            for k in range(3):
                new[slot, k] = visited[i, k]
    return new


@_jit
def longer(array, size):
    """A copy of a 1-d `array` with room for `size` elements; new ones are not set."""
    new = np.empty(size, np.int64)
    for i in range(array.size):
        new[i] = array[i]
    return new


@_jit
def with_room(scratch, on_stack, in_levels, depth):
    """The scratch with room for that many more rows on the stack and in levels up to `depth`, and one more visit."""
    count = scratch.count
    stack, pending, levels = scratch.stack, scratch.pending, scratch.levels
    current, visited = scratch.current, scratch.visited
    chosen, row_start, source = scratch.chosen, scratch.row_start, scratch.source
    if count[STACK] + on_stack > stack.shape[0]:
        stack = grown(stack, count[STACK] + on_stack)
    if count[PENDING] + in_levels > pending.shape[0]:
        pending = grown(pending, count[PENDING] + in_levels)
        current = longer(current, pending.shape[0])  # one level may hold the whole arena
    if depth >= levels.shape[0]:
        levels = grown(levels, depth + 1)
    if 2 * count[VISITED] >= visited.shape[0]:
        visited = rehashed(visited, count[CONTEXT])
    return Scratch(count, scratch.random, visited, stack, pending, levels, current, chosen, row_start, source)


@_jit
def push(scratch, row, depth):
    """Puts a row on the parent stack; room must be there."""
    top = scratch.count[STACK]
    scratch.stack[top, 0] = row
    scratch.stack[top, 1] = depth
    scratch.count[STACK] = top + 1


@_jit
def append(scratch, row, depth):
    """Adds a row to the end of level `depth`; room must be there."""
    entry = scratch.count[PENDING]
    scratch.count[PENDING] = entry + 1
    scratch.count[DEEPEST] = max(scratch.count[DEEPEST], depth)
    scratch.pending[entry, 0] = row
    scratch.pending[entry, 1] = -1
    if scratch.levels[depth, 0] < 0:
        scratch.levels[depth, 0] = entry
    else:
        scratch.pending[scratch.levels[depth, 1], 1] = entry
    scratch.levels[depth, 1] = entry
