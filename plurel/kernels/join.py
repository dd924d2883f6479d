"""What several parents say to a node: vectors looked up in tables, interpolated, and joined row by row."""

from __future__ import annotations

import numpy as np

from plurel.aggregate import AGGREGATIONS
from plurel.kernels.bits import word
from plurel.kernels.compiled import kernel
from plurel.kernels.elementary import exp, log

f32 = np.float32

_SUM, _MAX, _PRODUCT, _LOG_EXP = (AGGREGATIONS.index(name) for name in ("sum", "max", "product", "logexp"))


@kernel
def join(
    tables: np.ndarray,
    starts: np.ndarray,
    positions: np.ndarray,
    slots: np.ndarray,
    first: int,
    aggregation: int,
    out: np.ndarray,
) -> None:
    """out[r] = the joint vector of the rows starts[p] + positions[slots[p], first + r] of `tables`, over p.

    A fractional position lies between two rows of its table.

    Args:
        tables: float32 (rows of all tables, width).
        starts, slots: int64 (parents,).
        positions: float32 (slots, rows).
        aggregation: its place in AGGREGATIONS.
        out: float32 (rows, width).
    """
    num_rows, width = out.shape
    largest = np.empty((num_rows, width), dtype=np.float32)  # of logexp, whose `out` is the sum of e^(term - largest)
    for p in range(len(starts)):
        place = positions[slots[p]]
        for r in range(num_rows):
            knot = int(place[first + r])
            part = place[first + r] - f32(knot)
            low = tables[starts[p] + knot]
            high = tables[starts[p] + knot + (part > 0)]
            sums = out[r]
            if p == 0:
                for d in range(width):
                    sums[d] = low[d] + part * (high[d] - low[d])
            elif aggregation == _SUM:
                for d in range(width):
                    sums[d] += low[d] + part * (high[d] - low[d])
            elif aggregation == _MAX:
                for d in range(width):
                    sums[d] = max(sums[d], low[d] + part * (high[d] - low[d]))
            elif aggregation == _PRODUCT:
                for d in range(width):
                    sums[d] *= low[d] + part * (high[d] - low[d])
            else:
                tops = largest[r]
                for d in range(width):
                    term = low[d] + part * (high[d] - low[d])
                    less = exp(-abs(term - tops[d]))
                    sums[d] = sums[d] * less + f32(1) if term > tops[d] else sums[d] + less
                    tops[d] = max(tops[d], term)
        if p == 0 and aggregation == _LOG_EXP:
            largest[:] = out
            out[:] = 1
    if aggregation == _LOG_EXP:
        for r in range(num_rows):
            for d in range(width):
                out[r, d] = largest[r, d] + log(out[r, d])


@kernel
def add_noise(h: np.ndarray, quantiles: np.ndarray, stream: np.ndarray, first: int, limit: float) -> np.ndarray:
    """h plus independent draws of the 4,096 quantiles, within ±limit, turned: float32 (rows, width) -> (width, rows).

    Sixteen bits a number; those of row `first` + r depend on that and the stream alone. NaN, which is an overflow
    times 0, becomes 0.
    """
    num_rows, width = h.shape
    words_a_row = (width + 3) // 4
    words = np.empty(num_rows * words_a_row, dtype=np.uint64)
    for i in range(words.size):
        words[i] = word(stream, first * words_a_row + i)
    codes = words.view(np.uint16).reshape(num_rows, 4 * words_a_row)
    out = np.empty((width, num_rows), dtype=np.float32)
    for r in range(num_rows):
        for d in range(width):
            said = h[r, d] if h[r, d] == h[r, d] else f32(0)
            out[d, r] = min(max(said + quantiles[codes[r, d] >> 4], -limit), limit)
    return out
