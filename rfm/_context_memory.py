"""What the compiled walk of `rfm._context_kernel` works with: its generator, its sets of rows and its buffers.

numba's cache looks at the kernel's own file only: whoever changes a function here has to edit that file too.
"""

from __future__ import annotations

import numba
import numpy as np

from rfm._context_arrays import (
    DEEPEST,
    GROUP_SWAPS,
    GROUPS,
    KIND,
    LEVEL_SWAPS,
    NEXT,
    OFFERED,
    ROWS_LEFT,
    STACK,
    START,
    VISITED,
)
from rfm.random_keys import FACTOR_1, FACTOR_2, GOLDEN

_U27, _U30, _U31, _U32 = (np.uint64(n) for n in (27, 30, 31, 32))

# Without numba's reference counts, which took six sevenths of the time: every call counted every array of its tuples up
# and down. So nothing here may make or return an array.
jit = numba.njit(nogil=True, cache=True, _nrt=False)


@jit
def mix(z):
    """The finaliser of splitmix64 on one uint64, as `rfm.random_keys.mix64` on arrays."""
    z = (z ^ (z >> _U30)) * FACTOR_1
    z = (z ^ (z >> _U27)) * FACTOR_2
    return z ^ (z >> _U31)


@jit
def below(random, n):
    """A number in [0, n), n < 2^32; all in uint64, because numba turns uint64 with int64 into float64."""
    random[0] = random[0] + GOLDEN
    return np.int64(((mix(random[0]) >> _U32) * np.uint64(n)) >> _U32)


@jit
def first_slot(number, table):
    """Where the search for a number starts in an open-addressing table."""
    return np.int64(((np.uint64(number) * GOLDEN) >> _U32) & np.uint64(table.shape[0] - 1))


@jit
def find(table, number, generation):
    """The slot of `table` that holds `number` in this generation, or the free one where it would go."""
    slot = first_slot(number, table)
    while table[slot, 1] == generation and table[slot, 0] != number:
        slot = (slot + 1) & (table.shape[0] - 1)
    return slot


@jit
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


@jit
def has_room(scratch, on_stack, depth):
    """Whether `on_stack` more rows fit on the stack, a visit at `depth` and its groups into the levels, and a draw."""
    count = scratch.count
    return (
        count[STACK] + on_stack <= scratch.stack.shape[0]
        and count[GROUPS] + 2 <= scratch.groups.shape[0]
        and depth < scratch.levels.shape[0]
        and 2 * count[VISITED] < scratch.visited.shape[0]
        and 2 * count[LEVEL_SWAPS] < scratch.level_swaps.shape[0]
        and 2 * count[GROUP_SWAPS] < scratch.group_swaps.shape[0]
    )


@jit
def push(scratch, row, depth):
    """Puts a row on the parent stack; room must be there."""
    top = scratch.count[STACK]
    scratch.stack[top, 0] = row
    scratch.stack[top, 1] = depth
    scratch.count[STACK] = top + 1


@jit
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
