"""Attention on a CPU by groups: cells of one column, or of one row, share one short list of keys.

A cell of a context attends to some 5 to 50 of its 256 to 1024 cells, and all cells of a row (or column) to the same
ones. So the groups are listed once per batch, and no score is computed that a mask would throw away.
Axes: B sequences, L cells, H heads, D head width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from rfm.batch import Batch
from rfm.model import _segment_kernel as kernel


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
            start = kernel.runs(sequence, label, order)
            first_group = np.searchsorted(sequence[order[start[:-1]]], np.arange(size + 1))
            return first_group, start, order

        first_column, column_start, by_column = grouped(column)
        first_row, row_start, by_row = grouped(row)
        parents = batch.parent_idx.numpy().reshape(size * length, -1)
        child, parent = kernel.row_edges(row, parents, row_start, by_row, length)
        feat = kernel.gather_keys(row_start, by_row, child, parent, True)
        nbr = kernel.gather_keys(row_start, by_row, parent, child, False)
        return {
            "col": cls(first_column, column_start, by_column, column_start, by_column),
            "feat": cls(first_row, row_start, by_row, *feat),
            "nbr": cls(first_row, row_start, by_row, *nbr),
        }

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of q to k and v, all (B, L, H, D); zeros where a query has no key.

        Narrow floats are widened to float32 and the result narrowed again.
        """
        dtype = torch.promote_types(q.dtype, torch.float32)
        return _Attend.apply(q.to(dtype), k.to(dtype), v.to(dtype), self).to(q.dtype)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
        out, log_sum = torch.zeros(q.shape, dtype=q.dtype), torch.zeros(q.shape[:-1], dtype=q.dtype)
        _run(kernel.forward, q, [*map(_flat, (q, k, v)), *_lists(segments, q), *map(_flat, (out, log_sum))])
        ctx.save_for_backward(q, k, v, out, log_sum)
        ctx.segments = segments
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, log_sum = ctx.saved_tensors
        grads = [torch.zeros(q.shape, dtype=q.dtype) for _ in range(3)]
        rest = map(_flat, (out, log_sum, d_out, *grads))
        _run(kernel.backward, q, [*map(_flat, (q, k, v)), *_lists(ctx.segments, q), *rest])
        return *grads, None


def _run(loops: Callable[..., None], q: Tensor, arguments: list) -> None:
    """All tasks of a kernel on as many threads as torch uses; its loops run without Python's lock."""
    num_tasks, threads = q.shape[0] * q.shape[2], torch.get_num_threads()
    if threads == 1:
        return loops((0, num_tasks), *arguments)
    ends = [num_tasks * i // threads for i in range(threads + 1)]
    jobs = [_pool(threads).submit(loops, span, *arguments) for span in itertools.pairwise(ends)]
    for job in jobs:
        job.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "segments")


def _lists(segments: Segments, q: Tensor) -> tuple:
    """The kernel's arguments between the inputs and the outputs."""
    s, scale = segments, np.float64(q.shape[-1] ** -0.5)
    scale = scale.astype(np.float32) if q.dtype == torch.float32 else scale
    return q.shape[2], s.first_group, s.query_start, s.queries, s.key_start, s.keys, scale


def _flat(x: Tensor) -> np.ndarray:
    """(B, L, H, D) -> (B·L·H, D), (B, L, H) -> (B·L·H,), sharing memory where x is contiguous."""
    return x.detach().contiguous().flatten(0, 2).numpy()
