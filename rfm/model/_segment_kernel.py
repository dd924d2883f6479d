"""Compiled loops behind the `segment` backend: groups of cells that attend to one list of keys, and their attention.

Groups of one sequence are numbered one after another. Axes: N = B·L flat positions, G groups, H heads, D head width.
One task is one head of one sequence, sequence by sequence: tasks write to disjoint memory, so that threads may share
them and the sums do not depend on how.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_jit = numba.njit(nogil=True, cache=True)
_jit_fast = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"})  # infinities stay


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


@_jit_fast
def forward(tasks, q, k, v, num_heads, first_group, query_start, queries, key_start, keys, scale, out, log_sum):
    """Softmax attention of every group; q, k, v, out (N·H, D), log_sum (N·H,). Cells without a key stay as they are.

    Whole indices and plain loops: a slice for each pair of cells would cost more than the arithmetic.
    """
    zero, width = scale - scale, q.shape[1]
    for task in range(tasks[0], tasks[1]):
        b, h = task // num_heads, task % num_heads
        score = np.empty(_widest(first_group, key_start, b), q.dtype)
        for g in range(first_group[b], first_group[b + 1]):
            first, m = key_start[g], key_start[g + 1] - key_start[g]
            if m == 0:
                continue
            for i in range(query_start[g], query_start[g + 1]):
                query = queries[i] * num_heads + h
                highest = zero - np.float32(np.inf)
                for c in range(m):
                    key = keys[first + c] * num_heads + h
                    dot = zero
                    for d in range(width):
                        dot += q[query, d] * k[key, d]
                    score[c] = dot * scale
                    highest = max(highest, score[c])
                total = zero
                for c in range(m):
                    score[c] = math.exp(score[c] - highest)
                    total += score[c]
                for c in range(m):
                    key = keys[first + c] * num_heads + h
                    weight = score[c] / total
                    for d in range(width):
                        out[query, d] += weight * v[key, d]
                log_sum[query] = highest + math.log(total)


@_jit_fast
def backward(
    tasks,
    q,
    k,
    v,
    num_heads,
    first_group,
    query_start,
    queries,
    key_start,
    keys,
    scale,
    out,
    log_sum,
    d_out,
    d_q,
    d_k,
    d_v,
):
    """Adds the gradients to d_q, d_k, d_v (N·H, D), from d_out and what `forward` left."""
    zero, width = scale - scale, q.shape[1]
    for task in range(tasks[0], tasks[1]):
        b, h = task // num_heads, task % num_heads
        for g in range(first_group[b], first_group[b + 1]):
            if key_start[g + 1] == key_start[g]:
                continue
            for i in range(query_start[g], query_start[g + 1]):
                query = queries[i] * num_heads + h
                mean = zero  # of the slopes, by their weights: read off the output
                for d in range(width):
                    mean += d_out[query, d] * out[query, d]
                for c in range(key_start[g], key_start[g + 1]):
                    key = keys[c] * num_heads + h
                    dot = zero
                    for d in range(width):
                        dot += q[query, d] * k[key, d]
                    slope = zero
                    for d in range(width):
                        slope += d_out[query, d] * v[key, d]
                    weight = math.exp(dot * scale - log_sum[query])
                    slope = weight * (slope - mean) * scale
                    for d in range(width):
                        d_q[query, d] += slope * k[key, d]
                    for d in range(width):
                        d_k[key, d] += slope * q[query, d]
                    for d in range(width):
                        d_v[key, d] += weight * d_out[query, d]


@_jit
def _widest(first_group, key_start, b):
    """The longest list of keys in sequence b; at least 1."""
    widest = 1
    for g in range(first_group[b], first_group[b + 1]):
        widest = max(widest, key_start[g + 1] - key_start[g])
    return widest
