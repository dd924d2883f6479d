"""Contexts of seed rows: which cells a model may look at to predict one hidden cell, under a named protocol.

Section 6 of the paper's facts; `rfm._context_kernel` and `rfm._context_walk` spell out the walk. Time t is the seed's,
t' another row's.

| protocol | rows | label rows of the seed's task | statistics |
|---|---|---|---|
| paper | no time, or t' <= t | t' <= t, any split | whole table |
| temporal | no time, or t' <= t | t' + timedelta <= t, any split | rows up to the validation timestamp |
| relbench | no time, or t' <= t and <= the split's timestamp (val, test) | as temporal, earlier splits | as temporal |

These hold for parents as for children; a seed without a time sees all times. Label rows of other tasks are never shown.
In an autocomplete task the target column of other rows is the label: those rows stay, the cell is shown only
where the label rule allows it, with the split of a row told by its time. A label without a time is
shown under `paper`, else only to seeds that have no time either.
Columns that the task names as leaking are dropped on the seed row and on rows of the seed's timestamp under
`paper`, on all rows otherwise.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import Literal, get_args

import numpy as np

from rfm._context_arrays import Graph, Output, Rules, new_scratch
from rfm._context_kernel import fill_contexts
from rfm.contexts import Contexts
from rfm.errors import RfmError
from rfm.past_labels import PastLabels
from rfm.store import NEVER, NO_TIME, SemType, Store, TaskInfo

Protocol = Literal["paper", "temporal", "relbench"]
Policy = Literal["paper", "history", "mixed"]
SPLITS = ("train", "val", "test")

SHARES: dict[Policy, tuple[float, float]] = {"paper": (0, 0), "history": (1, 0), "mixed": (0.05, 0.25)}
"""Of each policy: the parts of a context for the own history of the seed's entity and for recent rows around it."""

_END_OF_TIME = NEVER - 1  # what a seed without a time sees; rows of time NEVER stay hidden
_ANY_SPLIT = len(SPLITS)


def shown_statistics(protocol: Protocol) -> Literal["whole", "train"]:
    """Which of a column's statistics standardise what a protocol shows."""
    return "whole" if protocol == "paper" else "train"


class ContextSampler:
    """Draws contexts of one store under one protocol; calls do not influence one another, so threads may share it.

    Every policy begins with the seed row and its ancestors, depth first, and ends with the paper's walk: all parents of
    a visited row, then a random row of the shallowest level of children. In between come, under `history`, the own
    rows of the seed's entity, most recent first; under `mixed`, own rows and then the latest children of the seed and
    of its parents, each up to a part of the budget. Own rows are the visible label rows of the entity; without a label
    table, in pretraining and in autocomplete tasks, the earlier rows of the seed's table that share a parent with it,
    of which only the datetimes and the target's column are shown: as many fit in as label rows would.
    So a model that is pretrained under a policy meets the same structure in a task.
    """

    def __init__(
        self,
        store: Store,
        *,
        ctx_len: int,
        task: str | None = None,
        split: str | None = None,
        protocol: Protocol = "paper",
        policy: Policy = "paper",
        max_bfs_width: int = 128,
        num_parents: int | None = None,
        label_history: bool = True,
    ):
        """Prepares the arrays of a store.

        Args:
            ctx_len: cells of a context, L.
            task: whose label rows join the graph; None to predict any database cell (pretraining), with no label rows.
            split: of the seeds; `relbench` needs it.
            max_bfs_width: at most this many random database children per visited row become candidates.
            num_parents: parent slots F; default: the largest number of foreign keys of a table of the store, at least
                1. With fewer, a row keeps the first ones.
            label_history: whether contexts tell of past labels beyond their cells (`rfm.label_history`); without, what
                they say of them is that there are none.

        Raises:
            RfmError: unknown task, split, protocol or policy, a task that the store left out, or a size below 1.
        """
        _check_choice("protocol", protocol, get_args(Protocol))
        _check_choice("policy", policy, get_args(Policy))
        self.task = None if task is None else store.task(task)
        if split is not None:
            _check_choice("split", split, SPLITS)
        if protocol == "relbench" and task is not None and split is None:
            raise RfmError(f"task {task} of database {store.name}: protocol relbench needs the split of the seeds")
        self._num_fkeys = max([1, *(len(table.fkeys) for table in store.tables.values())])
        if num_parents is None:
            num_parents = self._num_fkeys
        for name, size in (("ctx_len", ctx_len), ("max_bfs_width", max_bfs_width), ("num_parents", num_parents)):
            if size < 1:
                raise RfmError(f"{name} is {size}; it must be at least 1")
        self.store, self.ctx_len, self.protocol, self.policy = store, ctx_len, protocol, policy
        self.split = split
        self.max_bfs_width, self.num_parents = max_bfs_width, num_parents
        self.label_history = label_history
        self._graph = _graph(store, self.task)
        self._rules = self._make_rules()
        self._past = self._past_labels() if label_history else None
        self._column_table = np.array(
            [list(store.tables).index(column.table) for column in store.columns], dtype=np.int64
        )

    def __reduce__(self) -> tuple:
        arguments = {
            "ctx_len": self.ctx_len,
            "task": self.task and self.task.name,
            "split": self.split,
            "protocol": self.protocol,
            "policy": self.policy,
            "max_bfs_width": self.max_bfs_width,
            "num_parents": self.num_parents,
            "label_history": self.label_history,
        }
        return partial(type(self), **arguments), (self.store,)  # worker processes map the store's files

    def _past_labels(self) -> PastLabels:
        """Those of all samplers of the store that show the same labels: a column's take long to read (~10 ms)."""
        split = self.split if self.protocol == "relbench" else None
        shown = ("past labels", self.task and self.task.name, self.protocol, split)
        if shown not in self.store.readings:
            past = PastLabels(self.store, self._graph, self._rules, self._horizons, self._num_fkeys)
            self.store.readings[shown] = past
        return self.store.readings[shown]

    @property
    def _is_autocomplete(self) -> bool:
        return self.task is not None and self.task.name not in self.store.labels

    def _make_rules(self) -> Rules:
        columns = self.store.columns
        mean, std = self.store.column_stats("whole")
        shown_mean, shown_std = self.store.column_stats(shown_statistics(self.protocol))
        relbench_task = self.protocol == "relbench" and self.task is not None
        removed = set() if self.task is None else set(self.task.remove_columns)
        own_share, recent_share = SHARES[self.policy]
        return Rules(
            scale=np.asarray(std / shown_std, np.float64),
            shift=np.asarray((mean - shown_mean) / shown_std, np.float64),
            sem_type=np.array([column.sem_type for column in columns], np.int8),
            name_text=np.array([column.name_text for column in columns], np.int32),
            removed=np.array([(column.table, column.name) in removed for column in columns], bool),
            removed_everywhere=self.protocol != "paper",
            label_column=self.task.target_column if self._is_autocomplete else -1,
            split_limit=SPLITS.index(self.split) if relbench_task else _ANY_SPLIT,
            max_bfs_width=self.max_bfs_width,
            own_cells=round(own_share * self.ctx_len),
            recent_cells=round(recent_share * self.ctx_len),
            label_history=self.label_history,
            siblings=self.task is None or self._is_autocomplete,
        )

    def sample(self, rows: np.ndarray, columns: np.ndarray | int, keys: np.ndarray) -> Contexts:
        """One context per item: a function of its row, column and key alone, whatever the rest of the batch.

        Args:
            rows: int (B,), seed rows of the store.
            columns: int (B,) or one for all, the column of the seed row whose cell is hidden and to be predicted. The
                store need not know its value. The target of a multiclass task is a text: `rfm.classes` turns such
                contexts into questions that a model can answer.
            keys: uint64 (B,), random keys (`rfm.random_keys.item_keys`).

        Raises:
            RfmError: a row outside the store, of another table or (under `relbench`) of another split than asked for; a
                column of another table, of text, or other than the task's target.
        """
        rows = np.asarray(rows).astype(np.int64)
        columns = np.broadcast_to(np.asarray(columns), rows.shape).astype(np.int64)
        keys = np.asarray(keys).astype(np.uint64)
        self._check_items(rows, columns, keys)
        contexts = Contexts.empty(keys, self.ctx_len, self.num_parents)
        out = Output.of(contexts)
        done, scale, horizons = 0, 1, self._horizons(rows)
        while done < len(rows):
            scratch = new_scratch(self.ctx_len, self._num_fkeys, scale)
            done = fill_contexts(self._graph, self._rules, rows, columns, keys, *horizons, out, scratch, done)
            scale *= 2
        if self._past is not None:
            self._past.note(contexts, rows, columns, horizons)
        return contexts

    def visible_labels(self, row: int) -> np.ndarray:
        """Label rows of the seed's entity that a context may show, int64, oldest first; none without a label table."""
        if self.task is None or self._is_autocomplete:
            return np.zeros(0, np.int64)
        (_,), (label_limit,), (timeless,) = self._horizons(np.array([row]))
        offset, label_row = self._graph.label_offset, self._graph.label_row
        found = [
            label_row[offset[entity] : offset[entity + 1]]
            for entity in self._parents(row) - self._graph.first_entity
            if 0 <= entity < len(offset) - 1
        ]
        rows = np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64)
        time = self._graph.row_time[rows]
        allowed = (time <= label_limit) & (timeless | (time != NO_TIME))
        return rows[allowed & (self._graph.row_split[rows] < self._rules.split_limit)]

    def visible_children(self, row: int) -> np.ndarray:
        """Database rows that a context may show and that point to the seed or, of a label row, to its entity; int64."""
        (cutoff,), _, _ = self._horizons(np.array([row]))
        of_label = self.task is not None and not self._is_autocomplete
        offset, child_row = self._graph.child_offset, self._graph.child_row
        found = [child_row[offset[p] : offset[p + 1]] for p in (self._parents(row) if of_label else [row])]
        rows = np.unique(np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64))
        return rows[self._graph.row_time[rows] <= cutoff]

    def _parents(self, row: int) -> np.ndarray:
        offset = self._graph.parent_offset
        return self._graph.parent_row[offset[row] : offset[row + 1]].astype(np.int64)

    def _horizons(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each seed: last visible row time, last visible label time, and whether labels without a time are shown."""
        time = np.asarray(self.store.row_time[rows])
        has_time = time != NO_TIME
        cutoff = np.where(has_time, np.minimum(time, _END_OF_TIME), _END_OF_TIME)
        closed = cutoff
        if self.protocol != "paper" and self.task is not None:
            closed = np.where(has_time, time - self.task.timedelta_s, _END_OF_TIME)
        timeless = ~has_time | (self.protocol == "paper")
        if self.protocol == "relbench" and self.task is not None:
            split_end = {"train": _END_OF_TIME, "val": self.store.val_time, "test": self.store.test_time}
            cutoff = np.minimum(cutoff, split_end[self.split])
            if self._is_autocomplete:  # the time tells the split of a row, so that earlier splits are earlier times
                previous_end = {"train": NO_TIME, "val": self.store.val_time, "test": self.store.test_time}
                closed = np.minimum(closed, previous_end[self.split])
        return cutoff, np.minimum(closed, cutoff), timeless

    def _check_items(self, rows: np.ndarray, columns: np.ndarray, keys: np.ndarray) -> None:
        store = self.store
        if not (rows.ndim == 1 and rows.shape == columns.shape == keys.shape):
            raise RfmError(f"rows {rows.shape}, columns {columns.shape} and keys {keys.shape} must all be (B,)")
        num_rows = len(store.row_time)
        _check_items(
            rows, (rows >= 0) & (rows < num_rows), f"seed row {{}} is outside the {num_rows} rows of {store.name}"
        )
        known = (columns >= 0) & (columns < len(store.columns))
        _check_items(columns, known, f"column id {{}} is outside the {len(store.columns)} columns of {store.name}")
        own = self._column_table[columns] == store.row_table[rows]
        _check_items(rows, own, f"the target column of seed row {{}} of {store.name} belongs to another table")
        is_text = self._rules.sem_type[columns] == SemType.TEXT
        if self.task is None or not self.task.classes:
            _check_items(columns, ~is_text, f"column id {{}} of {store.name} is text, which cannot be a target")
        if self.task is None:
            return
        is_target = columns == self.task.target_column
        wanted = f"the target of task {self.task.name} of {store.name} is column id {self.task.target_column}, not {{}}"
        _check_items(columns, is_target, wanted)
        if self.protocol == "relbench" and not self._is_autocomplete:
            in_split = np.asarray(store.row_split[rows]) == SPLITS.index(self.split)
            _check_items(rows, in_split, f"seed row {{}} of {store.name} is not of split {self.split}")


def _graph(store: Store, task: TaskInfo | None) -> Graph:
    """The store's arrays in the types that the kernel is compiled for; a copy only where a type differs."""
    label_offset, label_row, first_entity = np.zeros(1, np.int64), np.zeros(0, np.int32), 0
    if task is not None and task.name in store.labels:
        label_offset, label_row = store.labels[task.name]
        first_entity = store.tables[task.entity_table].first_row
    return Graph(
        row_table=_read_only(store.row_table, np.int32),
        row_time=_read_only(store.row_time, np.int64),
        row_split=_read_only(store.row_split, np.int8),
        cell_offset=_read_only(store.cell_offset, np.int64),
        cell_column=_read_only(store.cell_column, np.int32),
        cell_value=_read_only(store.cell_value, np.float32),
        cell_text=_read_only(store.cell_text, np.int32),
        parent_offset=_read_only(store.parent_offset, np.int64),
        parent_row=_read_only(store.parent_row, np.int32),
        child_offset=_read_only(store.child_offset, np.int64),
        child_row=_read_only(store.child_row, np.int32),
        label_offset=_read_only(label_offset, np.int64),
        label_row=_read_only(label_row, np.int32),
        first_entity=int(first_entity),
    )


def _read_only(array: np.ndarray, dtype: type) -> np.ndarray:
    """One array type for memory-mapped and other arrays, so that numba compiles the kernel once."""
    view = np.ascontiguousarray(array, dtype).view(np.ndarray)[:]
    view.flags.writeable = False
    return view


def _check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        nearest = difflib.get_close_matches(str(value), known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known) or 'none'}"
        raise RfmError(f"{what} {value!r} is unknown; {hint}")


def _check_items(values: np.ndarray, valid: np.ndarray, message: str) -> None:
    """Raises `message` about the first invalid value."""
    if not valid.all():
        raise RfmError(message.replace("{}", str(values[int(np.argmin(valid))])))
