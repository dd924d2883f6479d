"""Compiled loops that list, for the `segment` backend, groups of cells that attend to one list of keys.

Groups of one sequence are numbered one after another; cells are flat positions b·L + i.
"""

from __future__ import annotations

import numba
import numpy as np

_jit = numba.njit(nogil=True, cache=True)


@_jit
def runs(sequence, label, order):
    """Runs of equal (sequence, label) along `order`: where each starts, the end included, and its first position."""
    start = np.empty(order.size + 1, np.int64)
    count = 0
    for i in range(order.size):
        cell = order[i]
        if i == 0 or sequence[cell] != sequence[order[i - 1]] or label[cell] != label[order[i - 1]]:
            start[count] = i
            count += 1
    start[count] = order.size
    return start[: count + 1]


@_jit
def row_edges(row_idx, parent_idx, start, order, length):
    """The distinct pairs (child group, parent group) of rows of one sequence, in the order of the children."""
    num_groups = start.size - 1
    num_sequences = row_idx.size // length
    of_row = np.full((num_sequences, length), -1, np.int64)  # group of a row; a sequence has at most `length` rows
    for g in range(num_groups):
        cell = order[start[g]]
        of_row[cell // length, row_idx[cell]] = g
    child = np.empty(num_groups * parent_idx.shape[1], np.int64)
    parent = np.empty_like(child)
    count = 0
    for g in range(num_groups):
        cell, first = order[start[g]], count
        for slot in range(parent_idx.shape[1]):
            row = parent_idx[cell, slot]
            target = of_row[cell // length, row] if 0 <= row < length else -1
            known = target < 0
            for e in range(first, count):
                known |= parent[e] == target
            if not known:
                child[count], parent[count] = g, target
                count += 1
    return child[:count], parent[:count]


@_jit
def gather_keys(start, order, query_group, key_group, with_own):
    """Keys of each group: its own cells if asked, then those of the key groups of its edges (query, key), once each."""
    num_groups = start.size - 1
    size = start[1:] - start[:-1]
    num_keys = np.zeros(num_groups + 1, np.int64)
    for g in range(num_groups):
        num_keys[g + 1] = size[g] if with_own else 0
    for e in range(query_group.size):
        if not (with_own and query_group[e] == key_group[e]):
            num_keys[query_group[e] + 1] += size[key_group[e]]
    offset = np.cumsum(num_keys)
    keys = np.empty(offset[num_groups], np.int64)
    fill = offset[:-1].copy()
    if with_own:
        for g in range(num_groups):
            keys[fill[g] : fill[g] + size[g]] = order[start[g] : start[g + 1]]
            fill[g] += size[g]
    for e in range(query_group.size):
        g, k = query_group[e], key_group[e]
        if not (with_own and g == k):
            keys[fill[g] : fill[g] + size[k]] = order[start[k] : start[k + 1]]
            fill[g] += size[k]
    return offset, keys
