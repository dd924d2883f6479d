"""What the compiled walk of `rfm._context_kernel` reads, works in and writes, as tuples of arrays.

numba's cache looks at the kernel's own file only: whoever reorders fields here has to edit that file too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Graph(NamedTuple):
    """The arrays of a store; `label_*` are those of the task in question, with no entity where there are none."""

    row_table: np.ndarray
    row_time: np.ndarray
    row_split: np.ndarray
    cell_offset: np.ndarray
    cell_column: np.ndarray
    cell_value: np.ndarray
    cell_text: np.ndarray
    parent_offset: np.ndarray
    parent_row: np.ndarray
    child_offset: np.ndarray
    child_row: np.ndarray
    label_offset: np.ndarray
    label_row: np.ndarray
    first_entity: int


class Rules(NamedTuple):
    """What holds for every seed of a sampler."""

    scale: np.ndarray  # float64 (columns,), value in the protocol's statistics = scale * stored + shift
    shift: np.ndarray  # float64 (columns,)
    sem_type: np.ndarray  # int8 (columns,)
    name_text: np.ndarray  # int32 (columns,)
    removed: np.ndarray  # bool (columns,)
    removed_everywhere: bool  # False: on the seed row and rows of its timestamp
    label_column: int  # autocomplete: other rows' cells of it are labels; else -1
    split_limit: int  # label rows of this split or later are hidden
    max_bfs_width: int
    own_cells: int  # cells for the history of the seed's own entity, before anything else but the seed's ancestors
    recent_cells: int  # then cells for the latest children of the seed and of its parents
    siblings: bool  # the history is the earlier rows of the seed's table, not label rows


class Seed(NamedTuple):
    """One item: what to hide and how far to see."""

    row: int
    column: int
    cutoff: int  # rows of later time are invisible
    label_limit: int  # labels of later time are hidden
    timeless_labels: bool  # whether labels without a time are shown


class Output(NamedTuple):
    """The arrays of `rfm.contexts.Contexts` that the kernel fills."""

    row_idx: np.ndarray
    row_id: np.ndarray
    parent_idx: np.ndarray
    column_idx: np.ndarray
    name_text: np.ndarray
    cell_text: np.ndarray
    sem_type: np.ndarray
    value: np.ndarray
    is_target: np.ndarray


# Positions in Scratch.count: fill of the buffers, the level being drawn from and the deepest one with rows, number of
# the context and of the choice (which make old slots of the hash tables free), cells and rows written; the phase of
# the walk, the cells written before it, the round in it and the next parent of that round.
STACK, PENDING, CURRENT, LEVEL, DEEPEST, VISITED, CONTEXT, CHOICE, CELLS, ROWS = range(10)
PHASE, CELLS_BEFORE, ROUND, SOURCE = range(10, 14)


class Scratch(NamedTuple):
    """Work space, reused from one context to the next; int64 but for the generator."""

    count: np.ndarray  # (14,), see the positions above
    random: np.ndarray  # uint64 (1,), state of the generator
    visited: (
        np.ndarray
    )  # (slots, 3), open addressing: row, number of its context, row number in it or -1 without a cell
    stack: np.ndarray  # (rows, 2): row, depth
    pending: np.ndarray  # (rows, 2), arena of level entries: row, next entry of its level or -1
    levels: np.ndarray  # (depths, 2): first entry of a level or -1, last entry
    current: np.ndarray  # (rows,), what is left of the level being drawn from; as long as `pending`
    chosen: np.ndarray  # (slots, 2), open addressing: position taken, number of its choice
    row_start: np.ndarray  # (ctx_len + 1,), first cell of each row of the context
    source: np.ndarray  # (foreign keys + 1, 2), start and end of the rows that a phase takes from each parent


def new_scratch(ctx_len: int, max_bfs_width: int, num_fkeys: int) -> Scratch:
    """Work space for contexts of `ctx_len` cells; small, the kernel grows it. `num_fkeys`: the most of any row."""
    return Scratch(
        count=np.zeros(14, np.int64),
        random=np.zeros(1, np.uint64),
        visited=np.zeros((1 << int(4 * ctx_len).bit_length(), 3), np.int64),
        stack=np.zeros((64, 2), np.int64),
        pending=np.zeros((4096, 2), np.int64),
        levels=np.full((32, 2), -1, np.int64),
        current=np.zeros(4096, np.int64),
        chosen=np.zeros((1 << int(2 * max_bfs_width + 1).bit_length(), 2), np.int64),
        row_start=np.zeros(ctx_len + 1, np.int64),
        source=np.zeros((num_fkeys + 1, 2), np.int64),
    )
