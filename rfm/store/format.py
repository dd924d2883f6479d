"""The store: one database as flat arrays that are memory-mapped, never unpickled.

    <root>/
        texts/                       # one table of unique strings for all stores of the root, see text.py
        <database>/
            store.json               # StoreMeta: what the arrays mean, and their types and shapes
            row_table.npy            # int32   (R,)    table of each row, index into store.json's tables
            row_time.npy             # int64   (R,)    seconds since 1970; NO_TIME: always known; NEVER: never known
            row_split.npy            # int8    (R,)    -1 database row, 0 train, 1 val, 2 test label row
            cell_offset.npy          # int64   (R+1,)  cells of row r: [cell_offset[r], cell_offset[r+1])
            cell_column.npy          # int32   (C,)    column id
            cell_value.npy           # float32 (C,)    standardised by the column's "whole" statistics; 0 for text
            cell_text.npy            # int32   (C,)    id in the text table, -1 unless text
            parent_offset.npy        # int64   (R+1,)
            parent_row.npy           # int32   (K,)    rows that row r's foreign keys name, in the manifest's order
            child_offset.npy         # int64   (R+1,)
            child_row.npy            # int32   (E,)    database rows whose foreign keys name row r, by (time, row)
            task<i>_offset.npy       # int64   (entities+1,)  label rows of each entity (not for autocomplete tasks)
            task<i>_label.npy        # int32   (labels,)      by (time, row) in each entity
            task<i>_row.npy          # int32   (labels,)      train, val, test rows, each in the task's own order
            task<i>_target.npy       # float64 (labels,)      raw targets of these rows, NaN where hidden or missing;
                                     #                        of a multiclass task positions in its classes

Rows are numbered through: the database's tables in the manifest's order, then one label table per forecast or
external task (named `task:<task>`), its train, val and test rows in file order. An autocomplete task has no rows of
its own: its seeds are database rows. A row that two foreign keys bind to one parent is a child of it twice.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from rfm.errors import OpenFilesError, RfmError

FORMAT_VERSION = 3
META_NAME = "store.json"
LABEL_PREFIX = "task:"
SPLITS = ("train", "val", "test")
STATS = ("whole", "train")

NO_TIME = int(np.iinfo(np.int64).min)
"""Time of a row whose table has no time column: known at every time."""

NEVER = int(np.iinfo(np.int64).max // 2)
"""Time of a row whose table has a time column but no value there: known at no time (relbench drops such rows).
Half the range, so that adding a label window cannot overflow."""


class SemType(IntEnum):
    """What a cell holds, and so which encoder and loss it gets."""

    NUMBER = 0
    TEXT = 1
    DATETIME = 2
    BOOLEAN = 3


@dataclass(frozen=True)
class Column:
    """A column that has cells: every column but primary and foreign keys."""

    id: int
    name: str
    table: str
    sem_type: SemType
    name_text: int
    """Id in the text table of "<name> of <table>" (of the task's name, for a label table)."""
    stats: dict[str, tuple[float, float]]
    """"whole" and "train": (mean, std) of the raw values, std > 0, ddof 1; see `columns.mean_std`."""


@dataclass(frozen=True)
class TableInfo:
    """A table of the database, or the label table of a task; its rows are [first_row, first_row + num_rows)."""

    name: str
    first_row: int
    num_rows: int
    pkey_col: str | None
    time_col: str | None
    fkeys: dict[str, str]
    """Foreign key column -> table that it names."""
    column_ids: tuple[int, ...]
    is_label: bool


@dataclass(frozen=True)
class TaskClass:
    """A class of a multiclass task, and the boolean column "is it this class" that `rfm.classes` makes of it."""

    value: str
    text: int
    """Id in the text table of `value`: the class of a target cell."""
    name_text: int
    """Id in the text table of "<target> is <value> of <table>"."""
    stats: dict[str, tuple[float, float]]
    """As `Column.stats`, of the boolean column."""


@dataclass(frozen=True)
class TaskInfo:
    """A classification or regression task. The target of a multiclass task is a column of texts."""

    name: str
    kind: str
    task_type: str
    entity_table: str
    entity_col: str | None
    """None for an autocomplete task whose table has no primary key: its rows are named by position."""
    target_col: str
    time_col: str | None
    timedelta_s: int
    """The label of time t is known from t + timedelta_s on."""
    remove_columns: tuple[tuple[str, str], ...]
    """(table, column) pairs that leak the label."""
    table: str
    """Table whose rows are the seeds: `task:<name>`, or the entity table of an autocomplete task."""
    target_column: int
    split_sizes: tuple[int, int, int]
    classes: tuple[TaskClass, ...] = ()
    """Of a multiclass task, in order of their number or name; the targets of its rows are positions in here."""


@dataclass(frozen=True)
class StoreMeta:
    """The content of store.json."""

    name: str
    source: str
    """Folder that the store was built from; it may be gone, or on another machine."""
    fingerprint: str
    """Hash of all that shaped the store, see `source.fingerprint`."""
    text_table: str
    """Identity of the text table that cell_text and name_text point into."""
    val_time: int
    test_time: int
    tables: tuple[TableInfo, ...]
    columns: tuple[Column, ...]
    tasks: tuple[TaskInfo, ...]
    skipped_tasks: dict[str, str]
    """Task -> why it is left out."""
    arrays: dict[str, tuple[str, tuple[int, ...]]]
    """Array -> (dtype, shape), checked when a store is opened."""
    num_texts: int = 0
    """Strings of the text table when the store was built: every id lies below."""
    version: int = FORMAT_VERSION

    def save(self, path: Path) -> None:
        """Writes store.json. The caller renames the folder once everything in it is complete."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> StoreMeta:
        """Reads store.json.

        Raises:
            RfmError: not a store, another format version, missing or unknown keys; an OpenFilesError where no more
                files can be opened.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RfmError(f"{path.parent} is not a store: it has no {path.name}") from None
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None
        version = content.get("version") if isinstance(content, dict) else None
        if version != FORMAT_VERSION:
            raise RfmError(f"{path}: store format {version}, this code reads {FORMAT_VERSION}; build it again")
        meta = _from_dict(cls, content, path)
        parts = {
            "tables": tuple(_from_dict(TableInfo, t, path, column_ids=tuple) for t in meta.tables),
            "columns": tuple(_from_dict(Column, c, path, sem_type=SemType, stats=_pairs) for c in meta.columns),
            "tasks": tuple(
                _from_dict(
                    TaskInfo,
                    t,
                    path,
                    remove_columns=_tuples,
                    split_sizes=tuple,
                    classes=lambda found: tuple(_from_dict(TaskClass, c, path, stats=_pairs) for c in found),
                )
                for t in meta.tasks
            ),
            "arrays": {name: (dtype, tuple(shape)) for name, (dtype, shape) in meta.arrays.items()},
        }
        return dataclasses.replace(meta, **parts)


def array_names(num_tasks: int, autocomplete: set[int]) -> list[str]:
    """Every array that a store with these tasks has; `autocomplete` holds indices of tasks without label tables."""
    names = ["row_table", "row_time", "row_split", "cell_offset", "cell_column", "cell_value", "cell_text"]
    names += ["parent_offset", "parent_row", "child_offset", "child_row"]
    for i in range(num_tasks):
        names += [f"task{i}_row", f"task{i}_target"]
        names += [] if i in autocomplete else [f"task{i}_offset", f"task{i}_label"]
    return names


def unknown(kind: str, name: str, known: list[str], where: str) -> RfmError:
    """The error for a name that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(known) or 'none'}"
    return RfmError(f"{where} has no {kind} {name!r}{hint}")


def unreadable(path: Path, error: Exception) -> RfmError:
    """The error for a file of a store that is there and cannot be read."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return OpenFilesError(
            f"{path}: too many open files; raise the limit (`ulimit -n`) or open fewer stores at once"
        )
    return RfmError(f"{path}: unreadable or damaged ({error}); delete the folder to build it again")


def _from_dict(cls: type, content: dict[str, Any], path: Path, **convert: Any) -> Any:
    """A dataclass from exactly its own keys."""
    expected, got = {f.name for f in dataclasses.fields(cls)}, set(content)
    if expected != got:
        raise RfmError(f"{path}: {cls.__name__} has missing or unknown keys {sorted(expected ^ got)}; build it again")
    return cls(**{key: convert[key](value) if key in convert else value for key, value in content.items()})


def _pairs(stats: dict[str, list[float]]) -> dict[str, tuple[float, float]]:
    return {name: (mean, std) for name, (mean, std) in stats.items()}


def _tuples(pairs: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((table, column) for table, column in pairs)
