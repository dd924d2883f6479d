"""Attention on a CPU by groups: cells of one column, or of one row, share one short list of keys.

A cell of a context attends to some 5 to 50 of its 256 to 1024 cells, and all cells of a row (or column) to the same
ones. So the groups are listed once per batch, and no score is computed that a mask would throw away.
Axes: B sequences, L cells, H heads, D head width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from rfm.batch import Batch
from rfm.model import _segment_groups as groups
from rfm.model import _segment_kernel as kernel
from rfm.model._narrow import to_array
from rfm.model.norm import NORM_EPS


@dataclass(frozen=True)
class Segments:
    """Groups of query cells and the keys of each group; cells are flat positions b·L + i.

    Attributes:
        first_group: int64 (B + 1,), the groups of sequence b are first_group[b] .. first_group[b + 1] - 1.
        query_start, queries: int64 (G + 1,) and (cells,), the query cells of group g.
        key_start, keys: the same for its keys; a group may have none.
    """

    first_group: np.ndarray
    query_start: np.ndarray
    queries: np.ndarray
    key_start: np.ndarray
    keys: np.ndarray

    @classmethod
    def from_batch(cls, batch: Batch) -> dict[str, Segments]:
        """Segments of the attentions "col", "feat" and "nbr" (paper, section 5); the batch lies on the CPU.

        The cells of one row have to agree on its parents.
        """
        size, length = batch.row_idx.shape
        cells = np.flatnonzero(~batch.is_padding.numpy().ravel())
        sequence = np.repeat(np.arange(size), length)
        column, row = (tensor.numpy().ravel().astype(np.int64) for tensor in (batch.column_idx, batch.row_idx))

        def grouped(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            key = sequence[cells] * (label.max(initial=0) + 1) + label[cells]
            order = cells[np.argsort(key, kind="stable")]
            start = groups.runs(sequence, label, order)
            first_group = np.searchsorted(sequence[order[start[:-1]]], np.arange(size + 1))
            return first_group, start, order

        first_column, column_start, by_column = grouped(column)
        first_row, row_start, by_row = grouped(row)
        parents = batch.parent_idx.numpy().reshape(size * length, -1)
        child, parent = groups.row_edges(row, parents, row_start, by_row, length)
        feat = groups.gather_keys(row_start, by_row, child, parent, True)
        nbr = groups.gather_keys(row_start, by_row, parent, child, False)
        return {
            "col": cls(first_column, column_start, by_column, column_start, by_column),
            "feat": cls(first_row, row_start, by_row, *feat),
            "nbr": cls(first_row, row_start, by_row, *nbr),
        }

    def attend(self, heads: Tensor, gain: Tensor) -> Tensor:
        """Normalised attention of heads (B, L, 3, H, D) with a gain (D,) on the queries -> (B, L, H, D).

        bfloat16 is read and written as such, and computed on in float32.
        """
        return _Attend.apply(heads, gain, self)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, heads: Tensor, gain: Tensor, segments: Segments) -> Tensor:
        heads, wide = heads.contiguous(), torch.promote_types(heads.dtype, torch.float32)
        scaled = gain.to(wide) * heads.shape[-1] ** -0.5
        size, length, _, num_heads, width = heads.shape
        out = torch.zeros(size, length, num_heads, width, dtype=heads.dtype)
        log_sum = torch.zeros(size, length, num_heads, dtype=wide)
        _run(kernel.forward, heads, scaled, segments, [out, log_sum])
        ctx.save_for_backward(heads, gain, scaled, out, log_sum)
        ctx.segments = segments
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor) -> tuple[Tensor | None, ...]:
        heads, gain, scaled, out, log_sum = ctx.saved_tensors
        d_heads = torch.empty_like(heads)
        d_gain = torch.zeros(heads.shape[0] * heads.shape[3], heads.shape[4], dtype=scaled.dtype)
        _run(kernel.backward, heads, scaled, ctx.segments, [out, log_sum, d_out.to(heads.dtype)], [d_heads, d_gain])
        d_gain = d_gain.sum(0) * heads.shape[-1] ** -0.5
        return d_heads, d_gain.to(gain.dtype), None


def _run(
    loops: Callable[..., None],
    heads: Tensor,
    gain: Tensor,
    segments: Segments,
    of_cells: list[Tensor],
    gradients: Sequence[Tensor] = (),
) -> None:
    """All tasks of a kernel on as many threads as torch uses; its loops run without Python's lock."""
    s, (size, length, _, num_heads, _) = segments, heads.shape
    eps = np.float64(NORM_EPS) if gain.dtype == torch.float64 else np.float32(NORM_EPS)
    lists = (length, s.first_group, s.query_start, s.queries, s.key_start, s.keys)
    arrays = [to_array(x.flatten(0, 1)) for x in of_cells]
    if gradients:
        arrays += [to_array(gradients[0].flatten(0, 1)), to_array(gradients[1])]
    arguments = (to_array(heads.flatten(0, 1)), to_array(gain), eps, *lists, *arrays)
    num_tasks, threads = size * num_heads, torch.get_num_threads()
    if threads == 1:
        return loops((0, num_tasks), *arguments)
    ends = [num_tasks * i // threads for i in range(threads + 1)]
    jobs = [_pool(threads).submit(loops, span, *arguments) for span in itertools.pairwise(ends)]
    for job in jobs:
        job.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "segments")
