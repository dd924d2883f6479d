"""Stores from RelBench-3 folders."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from relbench.base import Dataset
from relbench.manifest import KIND_AUTOCOMPLETE, TaskManifest
from tqdm import tqdm

from rfm.errors import OpenFilesError, RfmError
from rfm.store.arrays import describe_classes, describe_columns, describe_tables, join_arrays
from rfm.store.format import LABEL_PREFIX, META_NAME, NO_TIME, StoreMeta, TableInfo, TaskClass, TaskInfo
from rfm.store.keys import group_by_time
from rfm.store.labels import (
    MULTICLASS,
    Labels,
    Unsupported,
    autocomplete_labels,
    check_supported,
    read_labels,
    timedelta_seconds,
)
from rfm.store.parts import TablePart, database_part, label_part
from rfm.store.source import (
    Source,
    count_rows,
    fingerprint,
    last_written,
    list_sources,
    open_source,
    read_parquet,
)
from rfm.store.store import Store
from rfm.store.text import FOLDER, TextTable


def build_stores(
    sources: Iterable[str | Path | Dataset], root: str | Path, text_model: str = "minilm", progress: bool = True
) -> tuple[list[Store], TextTable]:
    """The stores of many databases at root/<database name>, in order, and their embedded texts.

    Each as `Store.build` makes one. A source is a RelBench-3 folder, a corpus (a folder of such folders: all of them,
    by name), a Hub name, or what `relbench.load_dataset` returns.

    Raises:
        RfmError: a source or an existing text table is unfit, or two sources have one name.
    """
    opened: dict[str, Source] = {}
    for source in map(open_source, itertools.chain.from_iterable(map(list_sources, sources))):
        if source.name in opened:
            raise RfmError(f"{opened[source.name].path} and {source.path} are both named {source.name!r}; rename one")
        opened[source.name] = source
    texts = TextTable.open_or_create(root, text_model)
    bar = tqdm(opened.values(), desc="stores", unit="database", disable=not progress or len(opened) < 2, leave=False)
    stores = [build_store(source, root, texts) for source in bar]
    texts.embed(progress)
    return stores, texts


def build_store(
    source: str | Path | Dataset | Source, root: str | Path, texts: TextTable, name: str | None = None
) -> Store:
    """The store of one database, at root/name (default: the database's), whose strings join `texts`.

    What `Store.build` and `build_stores` share: they also embed the strings, by `texts.embed`. An existing store with
    the same fingerprint and text table is opened; any other is built anew.

    Raises:
        RfmError: the source is a corpus, cannot be read or breaks the format's rules; the folder holds something else
            than a store, or cannot be written.
    """
    source = source if isinstance(source, Source) else open_source(source)
    path = Path(root) / (source.name if name is None else name)
    _check_folder(path)
    key = fingerprint(source, texts.model)
    existing = _open_valid(path, key, texts)
    if existing is not None:
        return existing
    val_time, test_time = (int(source.timestamp(which).timestamp() // 1) for which in ("val", "test"))
    parts = _database_parts(source, val_time)
    labels, skipped = _read_tasks(source, {part.name: part.num_rows for part in parts})
    first_row = {info.name: info.first_row for info in describe_tables(parts)}
    for task, found in labels.items():
        manifest = source.tasks[task]
        if manifest.kind != KIND_AUTOCOMPLETE:
            parts.append(label_part(task, manifest, found, first_row[manifest.entity_table]))
    infos, columns = describe_tables(parts), describe_columns(parts, texts)
    _check_size(source, infos)
    arrays = join_arrays(parts, columns, texts)
    tasks = []
    for task, found in labels.items():
        arrays.update(_task_arrays(f"task{len(tasks)}", task, source.tasks[task], found, infos))
        classes = describe_classes(task, source.tasks[task], found, parts, texts)
        tasks.append(_task_info(source, task, found, parts, infos, classes))
    meta = StoreMeta(
        name=source.name,
        source=str(source.path.resolve()),
        fingerprint=key,
        text_table=texts.identity,
        num_texts=len(texts),
        val_time=val_time,
        test_time=test_time,
        tables=infos,
        columns=columns,
        tasks=tuple(tasks),
        skipped_tasks=skipped,
        arrays={name: (array.dtype.str, array.shape) for name, array in arrays.items()},
    )
    _write(path, meta, arrays)
    return Store.open(path, check_source=False)


def _open_valid(path: Path, key: str, texts: TextTable) -> Store | None:
    if not (path / META_NAME).exists():
        return None
    try:
        store = Store.open(path, check_source=False)
    except OpenFilesError:
        raise
    except RfmError:
        return None  # another format version or damaged: built anew
    has_texts = store.text_table == texts.identity and store.num_texts <= len(texts)
    if store.fingerprint != key or not has_texts:
        return None
    written = last_written(store.source)
    if written > (path / META_NAME).stat().st_mtime_ns:  # but it says the same: `Store.open` need not warn
        with contextlib.suppress(OSError):  # a store that others own
            os.utime(path / META_NAME, ns=(written, written))
    return store


def _check_folder(path: Path) -> None:
    """Refuses to put a store in the place of anything else: of its own source, say."""
    if path.name in ("", "..", FOLDER):
        raise RfmError(f"{path} cannot be a store's folder; name one")
    if not path.exists():
        return
    others = [path] if not path.is_dir() else [p for p in path.iterdir() if p.suffix != ".npy" and p.name != META_NAME]
    if others:
        raise RfmError(f"{path} holds {others[0].name}, which is no part of a store; choose another folder")


def _database_parts(source: Source, val_time: int) -> list[TablePart]:
    """Every table, one in memory at a time."""
    rows, first = {}, 0
    for name in source.manifest.tables:
        num_rows = count_rows(source.table_path(name), f"table {name!r}")
        rows[name] = (first, num_rows)
        first += num_rows
    parts, targets = [], _target_types(source)
    for name, spec in source.manifest.tables.items():
        table = read_parquet(source.table_path(name), f"table {name!r}")
        parts.append(database_part(name, table, spec, rows, val_time, source.sem_types.get(name, {}), targets[name]))
    return parts


def _target_types(source: Source) -> dict[str, dict[str, str]]:
    """Table -> column -> type of the autocomplete task that predicts it; of several a multiclass one, else the last."""
    targets: dict[str, dict[str, str]] = {name: {} for name in source.manifest.tables}
    for task in source.tasks.values():
        own = targets.get(task.entity_table)
        if task.kind == KIND_AUTOCOMPLETE and own is not None and own.get(task.target_col) != MULTICLASS:
            own[task.target_col] = task.task_type
    return targets


def _read_tasks(source: Source, num_rows: dict[str, int]) -> tuple[dict[str, Labels], dict[str, str]]:
    """Labels of the supported tasks, and the reason why each other is left out."""
    labels, skipped, targets = {}, {}, _target_types(source)
    for task, manifest in source.tasks.items():
        try:
            check_supported(source, task, manifest)
            if manifest.kind == KIND_AUTOCOMPLETE:
                read_as = targets[manifest.entity_table][manifest.target_col]
                if read_as != manifest.task_type and read_as == MULTICLASS:
                    raise Unsupported(f"target {manifest.target_col!r} is a text, as a {MULTICLASS} of it wants")
                labels[task] = autocomplete_labels(source, task, manifest)
            else:
                labels[task] = read_labels(source, task, manifest, num_rows[manifest.entity_table])
        except Unsupported as reason:
            skipped[task] = str(reason)
    return labels, skipped


def _task_arrays(
    prefix: str, task: str, manifest: TaskManifest, labels: Labels, infos: tuple[TableInfo, ...]
) -> dict[str, np.ndarray]:
    by_name = {info.name: info for info in infos}
    entities = by_name[manifest.entity_table]
    if manifest.kind == KIND_AUTOCOMPLETE:
        rows = entities.first_row + labels.entity
        arrays = {}
    else:
        rows = by_name[LABEL_PREFIX + task].first_row + np.arange(len(labels.entity))
        times = np.full(len(rows), NO_TIME, dtype=np.int64) if labels.time is None else labels.time
        offset, order = group_by_time(labels.entity, np.arange(len(rows)), times, entities.num_rows)
        arrays = {f"{prefix}_offset": offset, f"{prefix}_label": rows[order].astype(np.int32)}
    return arrays | {f"{prefix}_row": rows.astype(np.int32), f"{prefix}_target": labels.target}


def _task_info(
    source: Source,
    task: str,
    labels: Labels,
    parts: list[TablePart],
    infos: tuple[TableInfo, ...],
    classes: tuple[TaskClass, ...],
) -> TaskInfo:
    manifest = source.tasks[task]
    autocomplete = manifest.kind == KIND_AUTOCOMPLETE
    entity = source.manifest.tables[manifest.entity_table]
    table = manifest.entity_table if autocomplete else LABEL_PREFIX + task
    index = next(i for i, info in enumerate(infos) if info.name == table)
    position = list(parts[index].columns).index(manifest.target_col)
    return TaskInfo(
        name=task,
        kind=manifest.kind,
        task_type=manifest.task_type,
        entity_table=manifest.entity_table,
        entity_col=entity.pkey if autocomplete else manifest.entity_col,
        target_col=manifest.target_col,
        time_col=entity.time_col if autocomplete else manifest.time_col,
        timedelta_s=timedelta_seconds(manifest),
        remove_columns=tuple((t, column) for t, column in manifest.remove_columns),
        table=table,
        target_column=infos[index].column_ids[position],
        split_sizes=labels.split_sizes,
        classes=classes,
    )


def _check_size(source: Source, infos: tuple[TableInfo, ...]) -> None:
    rows = infos[-1].first_row + infos[-1].num_rows
    if rows > np.iinfo(np.int32).max:
        raise RfmError(f"{source.path}: {rows} rows are more than a store can number ({np.iinfo(np.int32).max})")


def _write(path: Path, meta: StoreMeta, arrays: dict[str, np.ndarray]) -> None:
    """Writes a complete sibling, then takes the place of any older store."""
    partial, old = path.parent / f".{path.name}.partial", path.parent / f".{path.name}.old"
    try:
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        meta.save(partial / META_NAME)
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RfmError(f"cannot write the store {path}: {error.strerror or error}") from error
