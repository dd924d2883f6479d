"""Compiled loops of the `segment` backend: normalised, masked attention of every group of cells, and its gradients.

Axes: N = B·L flat positions, L cells of a sequence, G groups, H heads, D head width, m keys of a group.
One task is one head of one sequence, sequence by sequence: tasks write to disjoint memory, so that threads may share
them and the sums do not depend on how. A task first normalises its head into memory of its own, which stays in the
cache. Whole indices and plain loops: a slice for each pair of cells would cost more than the arithmetic. Gathering the
keys of a group side by side, or filling lists up to whole vectors, was slower.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types
from numba.extending import overload

from rfm.model._narrow import narrow, widen

_jit = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"})  # infinities stay


C1, C2, C3, C4, C5, C6, C7 = (np.float32(1 / math.factorial(k)) for k in range(1, 8))  # of e^r


def exp(x):
    """e to the power of x <= 0; float32 by a polynomial, in loops of many numbers five times as fast as libm's."""


@overload(exp)
def _exp(x):
    if x != types.float32:
        return lambda x: math.exp(x)

    def polynomial(x):
        if x < np.float32(-87.0):  # float32 has no normal numbers below e^-87; NaN stays
            x = np.float32(-87.0)
        n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
        r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)  # ln 2 in two parts: |r| <= ln 2 / 2
        p = C7
        p = p * r + C6
        p = p * r + C5
        p = p * r + C4
        p = p * r + C3
        p = p * r + C2
        p = p * r + C1
        p = p * r + C1
        return p * np.int32(np.int32(np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)

    return polynomial


@_jit
def _load(task, heads, gain, eps, length, local, scale):
    """Queries, keys and values of a task into local (3, L, D); queries and keys normalised, queries times the gain.

    scale (2, L) is what normalised them.
    """
    num_heads, width = heads.shape[2], heads.shape[3]
    first, h = task // num_heads * length, task % num_heads
    for i in range(length):
        for part in range(2):
            total = eps - eps
            for d in range(width):
                x = widen(heads[first + i, part, h, d])
                total += x * x
            scale[part, i] = 1 / math.sqrt(total / width + eps)
        for d in range(width):
            local[0, i, d] = widen(heads[first + i, 0, h, d]) * scale[0, i] * gain[d]
            local[1, i, d] = widen(heads[first + i, 1, h, d]) * scale[1, i]
            local[2, i, d] = widen(heads[first + i, 2, h, d])


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"})
def _highest(score, m):
    """The largest of the first m; without a thought for NaN, which would keep the loop from being vectorised."""
    highest = score[0]
    for c in range(1, m):
        highest = max(highest, score[c])
    return highest


@_jit
def _scores(vector, rows, keys, first, start, end, out):
    """out[c] = vector · row of key c."""
    for c in range(start, end):
        row, dot = keys[c] - first, vector[0] - vector[0]
        for d in range(vector.size):
            dot += vector[d] * rows[row, d]
        out[c - start] = dot


@_jit
def _mix(weight, rows, keys, first, start, end, out):
    """out = sum of weight[c] times the row of key c, four at a time: the sum stays in registers longer."""
    for d in range(out.size):
        out[d] = 0
    whole = start + (end - start) // 4 * 4
    for c in range(start, whole, 4):
        i, j, k, n = keys[c] - first, keys[c + 1] - first, keys[c + 2] - first, keys[c + 3] - first
        w, x, y, z = weight[c - start], weight[c + 1 - start], weight[c + 2 - start], weight[c + 3 - start]
        for d in range(out.size):
            out[d] += w * rows[i, d] + x * rows[j, d] + y * rows[k, d] + z * rows[n, d]
    for c in range(whole, end):
        i, w = keys[c] - first, weight[c - start]
        for d in range(out.size):
            out[d] += w * rows[i, d]


@_jit
def _add_outer(weight, vector, keys, first, start, end, rows):
    """Adds weight[c] · vector to the row of key c."""
    for c in range(start, end):
        row, w = keys[c] - first, weight[c - start]
        for d in range(vector.size):
            rows[row, d] += w * vector[d]


@_jit
def _exponentials(score, m, origin):
    """score[c] = e^(score[c] - origin) for m keys; their sum."""
    total = origin - origin
    for c in range(m):
        score[c] = exp(score[c] - origin)
        total += score[c]
    return total


@_jit
def forward(tasks, heads, gain, eps, length, first_group, query_start, queries, key_start, keys, out, log_sum):
    """Softmax attention of every group: heads (N, 3, H, D), gain (D,) -> out (N, H, D), log_sum (N, H).

    The gain holds the scale of the scores. Cells without a key stay as they are.
    """
    num_heads, width = heads.shape[2], heads.shape[3]
    local, scale = np.empty((3, length, width), gain.dtype), np.empty((2, length), gain.dtype)
    weight, mixed = np.empty(_longest(key_start), gain.dtype), np.empty(width, gain.dtype)
    for task in range(tasks[0], tasks[1]):
        b, h = task // num_heads, task % num_heads
        first = b * length
        _load(task, heads, gain, eps, length, local, scale)
        for g in range(first_group[b], first_group[b + 1]):
            start, end = key_start[g], key_start[g + 1]
            if start == end:
                continue
            for i in range(query_start[g], query_start[g + 1]):
                query = queries[i]
                _scores(local[0, query - first], local[1], keys, first, start, end, weight)
                highest = _highest(weight, end - start)
                total = _exponentials(weight, end - start, highest)
                _mix(weight, local[2], keys, first, start, end, mixed)
                for d in range(width):
                    out[query, h, d] = narrow(mixed[d] / total, out[query, h, d])
                log_sum[query, h] = highest + math.log(total)


@_jit
def backward(
    tasks,
    heads,
    gain,
    eps,
    length,
    first_group,
    query_start,
    queries,
    key_start,
    keys,
    out,
    log_sum,
    d_out,
    d_heads,
    d_gain,
):
    """Writes the gradients d_heads (N, 3, H, D) and, of each task alone, d_gain (B·H, D), from d_out (N, H, D)."""
    num_heads, width = heads.shape[2], heads.shape[3]
    local, scale = np.empty((3, length, width), gain.dtype), np.empty((2, length), gain.dtype)
    d_local, d_query = np.empty_like(local), np.empty(width, gain.dtype)
    weight, slope = np.empty((2, _longest(key_start)), gain.dtype)
    for task in range(tasks[0], tasks[1]):
        b, h = task // num_heads, task % num_heads
        first = b * length
        _load(task, heads, gain, eps, length, local, scale)
        d_local[:] = 0
        for g in range(first_group[b], first_group[b + 1]):
            start, end = key_start[g], key_start[g + 1]
            if start == end:
                continue
            for i in range(query_start[g], query_start[g + 1]):
                row, mean = queries[i] - first, eps - eps  # of the slopes, by their weights: read off the output
                for d in range(width):
                    d_query[d] = widen(d_out[queries[i], h, d])
                    mean += d_query[d] * widen(out[queries[i], h, d])
                _scores(local[0, row], local[1], keys, first, start, end, weight)
                _exponentials(weight, end - start, log_sum[queries[i], h])
                _scores(d_query, local[2], keys, first, start, end, slope)
                for c in range(end - start):
                    slope[c] = weight[c] * (slope[c] - mean)
                _add_outer(slope, local[0, row], keys, first, start, end, d_local[1])
                _add_outer(weight, d_query, keys, first, start, end, d_local[2])
                _mix(slope, local[1], keys, first, start, end, d_local[0, row])
        _store_gradients(task, heads, gain, length, scale, d_local, d_heads, d_gain)


@_jit
def _store_gradients(task, heads, gain, length, scale, d_local, d_heads, d_gain):
    """Through the norms, from d_local (3, L, D') to d_heads and d_gain."""
    num_heads, width = heads.shape[2], heads.shape[3]
    first, h = task // num_heads * length, task % num_heads
    for i in range(length):
        for d in range(width):
            d_gain[task, d] += d_local[0, i, d] * widen(heads[first + i, 0, h, d]) * scale[0, i]
            d_local[0, i, d] *= gain[d]
        for part in range(2):
            r, mean = scale[part, i], scale[part, i] - scale[part, i]
            for d in range(width):
                mean += d_local[part, i, d] * widen(heads[first + i, part, h, d])
            mean *= r * r / width
            for d in range(width):
                slope = (d_local[part, i, d] - widen(heads[first + i, part, h, d]) * mean) * r
                d_heads[first + i, part, h, d] = narrow(slope, d_heads[first + i, part, h, d])
        for d in range(width):
            d_heads[first + i, 2, h, d] = narrow(d_local[2, i, d], d_heads[first + i, 2, h, d])


@_jit
def _longest(key_start):
    """Keys of the longest list; at least 1."""
    longest = 1
    for g in range(key_start.size - 1):
        longest = max(longest, key_start[g + 1] - key_start[g])
    return longest
