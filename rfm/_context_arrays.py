"""What the compiled walk of `rfm._context_kernel` reads, works in and writes, as tuples of arrays.

numba's cache looks at the kernel's own file only: whoever reorders fields here has to edit that file too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rfm.contexts import OWN_LABELS, Contexts


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
    label_history: bool  # whether own labels are listed
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
    own_value: np.ndarray
    own_text: np.ndarray
    own_count: np.ndarray

    @classmethod
    def of(cls, contexts: Contexts) -> Output:
        """The arrays themselves: what the kernel writes is in `contexts`."""
        return cls(*(getattr(contexts, name) for name in cls._fields))


# Positions in Scratch.count: fill of the buffers; the level being drawn from, the deepest one with rows, the groups of
# the former and its candidates that are left; number of the context and of the level (which make old slots of the hash
# tables free); entries of the two swap tables; cells and rows written; the phase of the walk, the cells written before
# it, the round in it and the next parent of that round.
STACK, GROUPS, LEVEL, DEEPEST, OPEN, LEFT, VISITED, CONTEXT, OPENED, LEVEL_SWAPS, GROUP_SWAPS, CELLS, ROWS = range(13)
PHASE, CELLS_BEFORE, ROUND, SOURCE = range(13, 17)

# Columns of Scratch.groups: first position of the rows, rows that are left, candidates that the group offers, what they
# are, next group of the level or -1.
START, ROWS_LEFT, OFFERED, KIND, NEXT = range(5)
CHILDREN, SOME_CHILDREN, LABELS = range(3)


class Scratch(NamedTuple):
    """Work space, reused from one context to the next; int64 but for the generator.

    `visited` and the `*_swaps` are hash tables with open addressing: number, the context or level in which it was
    written, value.
    """

    count: np.ndarray  # (17,), see the positions above
    random: np.ndarray  # uint64 (1,), state of the generator
    visited: np.ndarray  # (slots, 3): row -> its number in the context, or -1 without a cell
    stack: np.ndarray  # (rows, 2): row, depth
    groups: np.ndarray  # (groups, 5): children or labels of one visited row, see the columns above
    levels: np.ndarray  # (depths, 2): first group of a level or -1, last group
    open: np.ndarray  # (groups, 2): of the level being drawn from: candidates up to the group's last, group
    level_swaps: np.ndarray  # (slots, 3): candidate of the open level -> the one in its place
    group_swaps: np.ndarray  # (slots, 3): position in a group's rows -> the one in its place
    own_row: np.ndarray  # (OWN_LABELS,), rows of the own labels that were found
    row_start: np.ndarray  # (ctx_len + 1,), first cell of each row of the context
    source: np.ndarray  # (foreign keys + 1, 2), start and end of the rows that a phase takes from each parent


def new_scratch(ctx_len: int, num_fkeys: int, scale: int) -> Scratch:
    """Work space for contexts of `ctx_len` cells; enough for most at scale 1. `num_fkeys`: the most of any row.

    `scale` is a power of 2, as the hash tables need it.
    """
    slots = scale << int(2 * ctx_len).bit_length()
    return Scratch(
        count=np.zeros(17, np.int64),
        random=np.zeros(1, np.uint64),
        visited=np.zeros((slots, 3), np.int64),
        stack=np.zeros((64 * scale, 2), np.int64),
        groups=np.zeros((512 * scale, 5), np.int64),
        levels=np.full((32 * scale, 2), -1, np.int64),
        open=np.zeros((512 * scale, 2), np.int64),
        level_swaps=np.zeros((slots, 3), np.int64),
        group_swaps=np.zeros((slots, 3), np.int64),
        own_row=np.zeros(OWN_LABELS, np.int64),
        row_start=np.zeros(ctx_len + 1, np.int64),
        source=np.zeros((num_fkeys + 1, 2), np.int64),
    )
