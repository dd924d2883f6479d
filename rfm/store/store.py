"""A built store, memory-mapped and read only."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from relbench.base import Dataset

from rfm.errors import RfmError
from rfm.store.format import (
    META_NAME,
    NEVER,
    NO_TIME,
    SPLITS,
    STATS,
    Column,
    SemType,
    StoreMeta,
    TaskInfo,
    array_names,
    unknown,
    unreadable,
)
from rfm.store.source import last_written, open_source
from rfm.store.text import TextTable


class Store:
    """One database: rows, cells, key graph and tasks. Arrays and numbering are described in `format.py`."""

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

    def __init__(self, path: Path, meta: StoreMeta, arrays: dict[str, np.ndarray]) -> None:
        self.path = path
        self.name = meta.name
        self.source = Path(meta.source)
        self.fingerprint = meta.fingerprint
        self.text_table = meta.text_table
        self.num_texts = meta.num_texts
        self.val_time = meta.val_time
        self.test_time = meta.test_time
        self.tables = {table.name: table for table in meta.tables}
        self.columns: list[Column] = list(meta.columns)
        self.tasks = {task.name: task for task in meta.tasks}
        self.skipped_tasks = meta.skipped_tasks
        for name, array in arrays.items():
            if not name.startswith("task"):
                setattr(self, name, array)
        self._task_row = {t.name: arrays[f"task{i}_row"] for i, t in enumerate(meta.tasks)}
        self._task_target = {t.name: arrays[f"task{i}_target"] for i, t in enumerate(meta.tasks)}
        self.readings: dict[Hashable, Any] = {}  # what samplers have worked out of the store and share
        self.labels: dict[str, tuple[np.ndarray, np.ndarray]] = {
            t.name: (arrays[f"task{i}_offset"], arrays[f"task{i}_label"])
            for i, t in enumerate(meta.tasks)
            if f"task{i}_offset" in arrays
        }

    @classmethod
    def build(
        cls, source: str | Path | Dataset, path: Path | str, text_model: str = "minilm", progress: bool = True
    ) -> Store:
        """The store of one database, in the folder `path`, its texts embedded; what is there and valid is kept.

        Texts lie beside it, in `<path>/../texts`: stores that lie side by side share them. `build_stores` builds many.

        Args:
            source: a RelBench-3 folder, a Hub name, or what `relbench.load_dataset` returns.
            text_model: of the texts' embeddings, see `encoders.py`.
            progress: shows a bar while texts are embedded.

        Raises:
            RfmError: the source is a corpus, cannot be read or breaks the format's rules; `path` holds something else
                than a store; the texts there are of another model.
        """
        from rfm.store.build import build_store  # which imports this module

        path, opened = Path(path), open_source(source)  # what is wrong there is told before a text model is loaded
        texts = TextTable.open_or_create(path.parent, text_model)
        store = build_store(opened, path.parent, texts, path.name)
        texts.embed(progress)
        return store

    @classmethod
    def open(cls, path: Path | str, check_source: bool = True) -> Store:
        """Maps the arrays of a store folder.

        A store needs its source no more: that may have moved or gone. Where it is still there and was written to since,
        a warning says so; `build` compares the contents, and builds again what has changed.

        Raises:
            RfmError: no store, another format version, a missing or damaged array, or one of a wrong type or size; an
                OpenFilesError where no more files can be opened.
        """
        path = Path(path)
        _allow_open_files()
        meta = StoreMeta.load(path / META_NAME)
        autocomplete = {i for i, task in enumerate(meta.tasks) if not _has_label_table(task)}
        names = array_names(len(meta.tasks), autocomplete)
        if set(names) != set(meta.arrays):
            raise RfmError(f"{path / META_NAME}: arrays {sorted(set(names) ^ set(meta.arrays))} missing or unknown")
        store = cls(path, meta, {name: _map(path / f"{name}.npy", *meta.arrays[name]) for name in names})
        if check_source and last_written(store.source) > (path / META_NAME).stat().st_mtime_ns:
            warnings.warn(
                f"{store.source} was written to after its store {path}; build it again, unless the old state is wanted",
                stacklevel=2,
            )
        return store

    def __reduce__(self) -> tuple:
        return Store.open, (self.path, False)  # worker processes map the files instead of copying them

    @cached_property
    def texts(self) -> TextTable:
        """The text table beside the store, read when first asked for."""
        return TextTable.open(self.path.parent)

    @cached_property
    def first_time(self) -> int:
        """The earliest time of a row that has one, seconds; NEVER if none has."""
        time = np.asarray(self.row_time)
        return int(time[(time != NO_TIME) & (time != NEVER)].min(initial=NEVER))

    def __repr__(self) -> str:
        return (
            f"Store({self.name!r}, {len(self.row_table)} rows, {len(self.cell_column)} cells, {len(self.tasks)} tasks)"
        )

    def column_stats(self, which: str) -> tuple[np.ndarray, np.ndarray]:
        """(mean, std), float64 (number of columns,), over the "whole" table or its "train" rows."""
        if which not in STATS:
            raise RfmError(f"statistics {which!r}: choose one of {', '.join(STATS)}")
        pairs = np.array([column.stats[which] for column in self.columns], dtype=np.float64).reshape(-1, 2)
        return pairs[:, 0].copy(), pairs[:, 1].copy()

    def task(self, name: str) -> TaskInfo:
        """The task of this name.

        Raises:
            RfmError: unknown, or left out when the store was built (with the reason).
        """
        if name in self.skipped_tasks:
            raise RfmError(f"task {name!r} of {self.name} is not supported: {self.skipped_tasks[name]}")
        if name not in self.tasks:
            raise unknown("task", name, list(self.tasks), self.name)
        return self.tasks[name]

    def column(self, table: str, name: str) -> Column:
        """The column of this table and name.

        Raises:
            RfmError: unknown table or column (keys are no columns of a store).
        """
        if table not in self.tables:
            raise unknown("table", table, list(self.tables), self.name)
        columns = {self.columns[i].name: self.columns[i] for i in self.tables[table].column_ids}
        if name not in columns:
            raise unknown("column", name, list(columns), f"table {table!r} of {self.name}")
        return columns[name]

    def task_rows(self, task: str, split: str) -> np.ndarray:
        """int64 seed rows of "train", "val" or "test", in the task's own order."""
        return self._split(self._task_row[self.task(task).name], task, split).astype(np.int64)

    def task_targets(self, task: str, split: str) -> np.ndarray:
        """float64 raw targets of `task_rows`, NaN where hidden or missing."""
        return np.array(self._split(self._task_target[self.task(task).name], task, split))

    def target_std(self, task: str) -> float:
        """The standard deviation (ddof=1) of the task's known train targets, the unit of relbench's NMAE."""
        return float(np.nanstd(self.task_targets(task, "train"), ddof=1))

    def cells(self, row: int) -> dict[str, float | int]:
        """Column name -> raw value (text id for text) of one row, for inspection."""
        found: dict[str, float | int] = {}
        for cell in range(self.cell_offset[row], self.cell_offset[row + 1]):
            column = self.columns[self.cell_column[cell]]
            mean, std = column.stats["whole"]
            text = column.sem_type is SemType.TEXT
            found[column.name] = int(self.cell_text[cell]) if text else float(self.cell_value[cell]) * std + mean
        return found

    def _split(self, array: np.ndarray, task: str, split: str) -> np.ndarray:
        if split not in SPLITS:
            raise RfmError(f"split {split!r}: choose one of {', '.join(SPLITS)}")
        ends = np.concatenate([[0], np.cumsum(self.tasks[task].split_sizes)])
        index = SPLITS.index(split)
        return array[ends[index] : ends[index + 1]]


def _has_label_table(task: TaskInfo) -> bool:
    """Whether the task has a label table of its own."""
    return task.table != task.entity_table


def _allow_open_files() -> None:
    """Raises the process's soft limit of open files to the hard one: each mapped array keeps a file open."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems name a limit that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _map(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r" if np.prod(shape) else None, allow_pickle=False)
    except FileNotFoundError:
        raise RfmError(f"{path} is missing; delete the folder to build it again") from None
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(path, error) from None
    if array.dtype.str != dtype or array.shape != shape:
        raise RfmError(f"{path}: {array.dtype.str} {array.shape}, store.json says {dtype} {shape}; build it again")
    return array
