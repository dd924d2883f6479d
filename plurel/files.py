"""Files and folders that appear only when they are complete, and names that they can have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plurel.errors import PlurelError

_COMPANIONS = (".wal", "-journal")  # of database files
_LONGEST_NAME = 200  # bytes; file systems allow 255, and an ending needs some


def is_file_name(name: str) -> bool:
    """Whether a table or task of that name can be a file or folder of its own, whatever the file system adds to it."""
    is_one_part = not set(name) & set("/\\\0") and name not in ("", ".", "..")
    return is_one_part and len(name.encode(errors="replace")) <= _LONGEST_NAME


def temporary_of(path: Path) -> Path:
    """Where a file or folder is while it is written."""
    return path.with_name(f".{path.name}.tmp")


def make_folder(path: Path) -> None:
    """A folder that can be written to.

    Raises:
        PlurelError: where there can be none.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlurelError(f"{path} cannot be written to ({error.strerror})") from error
    if not os.access(path, os.W_OK):
        raise PlurelError(f"{path} cannot be written to (no permission)")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; what is there at the end takes the place of `path`, and nothing stays after an error.

    Raises:
        PlurelError: if `path` is a folder, or lies where nothing can be written.
    """
    if path.is_dir():
        raise PlurelError(f"{path} is a folder; give the path of a file")
    make_folder(path.parent)
    temporary = temporary_of(path)
    leftovers = [temporary, *(temporary.with_name(temporary.name + end) for end in _COMPANIONS)]
    try:
        for file in leftovers:  # of a killed process
            file.unlink(missing_ok=True)
        yield temporary
        os.replace(temporary, path)
    finally:
        for file in leftovers:
            file.unlink(missing_ok=True)
