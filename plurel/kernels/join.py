"""What several parents say to a node: vectors looked up in tables, interpolated, and joined row by row."""

from __future__ import annotations

import numpy as np

from plurel.aggregate import AGGREGATIONS
from plurel.kernels.bits import word
from plurel.kernels.compiled import kernel
from plurel.kernels.elementary import exp, log

f32, u64 = np.float32, np.uint64

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
    _interpolate(tables, starts[0], positions[slots[0]], first, out)
    largest = out.copy() if aggregation == _LOG_EXP else out  # then `out` is the sum of e^(term - largest)
    if aggregation == _LOG_EXP:
        out[:] = 1
    for p in range(1, len(starts)):
        place = positions[slots[p]]
        if aggregation == _SUM:
            _add(tables, starts[p], place, first, out)
        elif aggregation == _MAX:
            _raise(tables, starts[p], place, first, out)
        elif aggregation == _PRODUCT:
            _multiply(tables, starts[p], place, first, out)
        else:
            _add_exponentials(tables, starts[p], place, first, out, largest)
    if aggregation == _LOG_EXP:
        for r in range(out.shape[0]):
            for d in range(out.shape[1]):
                out[r, d] = largest[r, d] + log(out[r, d])


@kernel
def _neighbours(start: int, position: float) -> tuple[int, int, float]:
    """The rows below and above a position in the table that starts at `start`, and how far it lies between them."""
    knot = np.uint32(position)  # unsigned: no check for places counted from the end
    part = position - f32(knot)
    below = u64(start) + u64(knot)
    return below, below + u64(part > 0), part


@kernel
def _interpolate(tables: np.ndarray, start: int, place: np.ndarray, first: int, out: np.ndarray) -> None:
    """out[r] = the vector at place[first + r], for all rows of `out`."""
    for r in range(out.shape[0]):
        below, above, part = _neighbours(start, place[first + r])
        low, high, said = tables[below], tables[above], out[r]
        for d in range(out.shape[1]):
            said[d] = low[d] + part * (high[d] - low[d])


@kernel
def _add(tables: np.ndarray, start: int, place: np.ndarray, first: int, out: np.ndarray) -> None:
    """out[r] += the vector at place[first + r]."""
    for r in range(out.shape[0]):
        below, above, part = _neighbours(start, place[first + r])
        low, high, said = tables[below], tables[above], out[r]
        for d in range(out.shape[1]):
            said[d] += low[d] + part * (high[d] - low[d])


@kernel
def _raise(tables: np.ndarray, start: int, place: np.ndarray, first: int, out: np.ndarray) -> None:
    """out[r] = the maximum of out[r] and the vector at place[first + r]."""
    for r in range(out.shape[0]):
        below, above, part = _neighbours(start, place[first + r])
        low, high, said = tables[below], tables[above], out[r]
        for d in range(out.shape[1]):
            said[d] = max(said[d], low[d] + part * (high[d] - low[d]))


@kernel
def _multiply(tables: np.ndarray, start: int, place: np.ndarray, first: int, out: np.ndarray) -> None:
    """out[r] *= the vector at place[first + r]."""
    for r in range(out.shape[0]):
        below, above, part = _neighbours(start, place[first + r])
        low, high, said = tables[below], tables[above], out[r]
        for d in range(out.shape[1]):
            said[d] *= low[d] + part * (high[d] - low[d])


@kernel
def _add_exponentials(
    tables: np.ndarray, start: int, place: np.ndarray, first: int, out: np.ndarray, largest: np.ndarray
) -> None:
    """The vector v at place[first + r] joins the sum out[r] of e^(term - largest[r]), in one exponential a number."""
    for r in range(out.shape[0]):
        below, above, part = _neighbours(start, place[first + r])
        low, high, said, tops = tables[below], tables[above], out[r], largest[r]
        for d in range(out.shape[1]):
            term = low[d] + part * (high[d] - low[d])
            less = exp(-abs(term - tops[d]))
            said[d] = said[d] * less + f32(1) if term > tops[d] else said[d] + less
            tops[d] = max(tops[d], term)


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
            out[d, r] = min(max(said + quantiles[codes[r, d] >> np.uint16(4)], -limit), limit)
    return out
