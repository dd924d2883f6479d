"""Compiled loops of the generator: what thousands of small random functions cost is decided here.

numba keeps compiled code beside the source and makes it again when that file changes, but it does not see a change in
another file whose functions or constants were compiled into it. So code older than any file of this folder, or than
those outside it whose constants kernels read, is removed first.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def remove_stale_code(folder: Path, others: Iterable[Path] = ()) -> None:
    """Deletes numba's index of each function (*.nbi) compiled before the newest source of `folder` and of `others`."""
    newest = max(source.stat().st_mtime for source in [*folder.glob("*.py"), *others])
    for index in folder.glob("__pycache__/*.nbi"):
        if index.stat().st_mtime < newest:
            index.unlink(missing_ok=True)


_FOLDER = Path(__file__).parent
remove_stale_code(_FOLDER, [_FOLDER.parent / "aggregate.py", _FOLDER.parent / "initialisers.py"])
