"""A store's columns and arrays, joined from its tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from relbench.manifest import KIND_AUTOCOMPLETE, TaskManifest

from rfm.store.columns import mean_std
from rfm.store.format import LABEL_PREFIX, Column, SemType, TableInfo, TaskClass
from rfm.store.keys import children, parents
from rfm.store.labels import Labels
from rfm.store.parts import TablePart
from rfm.store.text import TextTable

_ROWS_AT_ONCE = 500_000


def describe_tables(parts: Sequence[TablePart]) -> tuple[TableInfo, ...]:
    """Row and column ids of every table: consecutive, in order."""
    infos, first_row, first_column = [], 0, 0
    for part in parts:
        ids = tuple(range(first_column, first_column + len(part.columns)))
        infos.append(
            TableInfo(part.name, first_row, part.num_rows, part.pkey_col, part.time_col, part.fkeys, ids, part.is_label)
        )
        first_row += part.num_rows
        first_column += len(ids)
    return tuple(infos)


def describe_columns(parts: Sequence[TablePart], texts: TextTable) -> tuple[Column, ...]:
    """Columns with their statistics; all datetime cells of the database share one."""
    every = [(part, name, values) for part in parts for name, values in part.columns.items()]
    name_text = texts.ids(f"{name} of {part.title}" for part, name, _ in every)
    times = [(part, values) for part, _, values in every if values.sem_type is SemType.DATETIME]
    datetime = {
        "whole": mean_std(_join([values.value[values.valid] for _, values in times], np.float64)),
        "train": mean_std(_join([values.value[values.valid & part.in_train] for part, values in times], np.float64)),
    }
    columns = []
    for part, name, values in every:
        if values.sem_type is SemType.DATETIME:
            stats = dict(datetime)
        elif values.sem_type is SemType.TEXT:
            stats = {"whole": (0.0, 1.0), "train": (0.0, 1.0)}
        else:
            stats = {
                "whole": mean_std(values.value[values.valid]),
                "train": mean_std(values.value[values.valid & part.in_train]),
            }
        index = len(columns)
        columns.append(Column(index, name, part.name, values.sem_type, int(name_text[index]), stats))
    return tuple(columns)


def describe_classes(
    task: str, manifest: TaskManifest, labels: Labels, parts: Sequence[TablePart], texts: TextTable
) -> tuple[TaskClass, ...]:
    """The classes of a multiclass task, with the statistics that their boolean columns would have; else none."""
    if not labels.classes:
        return ()
    name = manifest.entity_table if manifest.kind == KIND_AUTOCOMPLETE else LABEL_PREFIX + task
    part = next(part for part in parts if part.name == name)
    values = part.columns[manifest.target_col]
    ids = texts.ids(labels.classes)
    names = texts.ids(f"{manifest.target_col} is {value} of {part.title}" for value in labels.classes)
    classes = []
    for value, text, name_text in zip(labels.classes, ids, names, strict=True):
        is_class = (values.text == values.strings.index(value)).astype(np.float64)
        stats = {"whole": mean_std(is_class[values.valid]), "train": mean_std(is_class[values.valid & part.in_train])}
        classes.append(TaskClass(value, int(text), int(name_text), stats))
    return tuple(classes)


def join_arrays(parts: Sequence[TablePart], columns: Sequence[Column], texts: TextTable) -> dict[str, np.ndarray]:
    """The arrays of rows, cells and keys, as `format.py` lists them."""
    edges = [parents(part.parents, part.num_rows) for part in parts]
    arrays = {
        "row_table": np.repeat(np.arange(len(parts), dtype=np.int32), [part.num_rows for part in parts]),
        "row_time": _join([part.row_time for part in parts], np.int64),
        "row_split": _join([part.row_split for part in parts], np.int8),
        "parent_offset": _offsets([count for count, _ in edges]),
        "parent_row": _join([row for _, row in edges], np.int32),
    }
    del edges
    num_database = sum(part.num_rows for part in parts if not part.is_label)
    arrays["child_offset"], arrays["child_row"] = children(
        arrays["parent_offset"], arrays["parent_row"], arrays["row_time"], num_database
    )
    return arrays | _join_cells(parts, columns, texts)


def _join_cells(parts: Sequence[TablePart], columns: Sequence[Column], texts: TextTable) -> dict[str, np.ndarray]:
    """The arrays of cells, filled some rows at a time: a large table's cells are several times its rows."""
    num_cells = sum(int(values.valid.sum()) for part in parts for values in part.columns.values())
    column, value, text = (np.empty(num_cells, dtype) for dtype in (np.int32, np.float32, np.int32))
    counts, end = [np.zeros(0, np.int64)], 0
    for part, info in zip(parts, describe_tables(parts), strict=True):
        own = [columns[i] for i in info.column_ids]
        text_ids = [None if v.text is None else np.append(texts.ids(v.strings), -1) for v in part.columns.values()]
        for first in range(0, part.num_rows, _ROWS_AT_ONCE):
            count, *cells = _cells(part, own, text_ids, slice(first, first + _ROWS_AT_ONCE))
            start, end = end, end + len(cells[0])
            counts.append(count)
            column[start:end], value[start:end], text[start:end] = cells
    return {"cell_offset": _offsets(counts), "cell_column": column, "cell_value": value, "cell_text": text}


def _cells(
    part: TablePart, columns: Sequence[Column], text_ids: Sequence[np.ndarray | None], rows: slice
) -> tuple[np.ndarray, ...]:
    """(number of cells of each row, column ids, standardised values, text ids) of some rows, row by row."""
    shape = (len(part.row_time[rows]), len(columns))
    valid, value = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.float32)
    text = np.full(shape, -1, dtype=np.int32)
    for i, (values, column, ids) in enumerate(zip(part.columns.values(), columns, text_ids, strict=True)):
        valid[:, i] = values.valid[rows]
        if ids is None:
            mean, std = column.stats["whole"]
            value[:, i] = (values.value[rows] - mean) / std
        else:
            text[:, i] = ids[values.text[rows]]
    ids = np.broadcast_to(np.array([column.id for column in columns], dtype=np.int32), shape)
    return valid.sum(axis=1), ids[valid], value[valid], text[valid]


def _offsets(counts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(_join(counts, np.int64))])


def _join(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *arrays]).astype(dtype, copy=False)
