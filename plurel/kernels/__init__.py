"""Compiled loops of the generator: what thousands of small random functions cost is decided here.

numba keeps compiled code beside the source and makes it again when that file changes, but it does not see a change in
another file whose functions were compiled into it. So code older than any file of this folder is removed first.
"""

from __future__ import annotations

from pathlib import Path


def remove_stale_code(folder: Path) -> None:
    """Deletes numba's index of each function (*.nbi) that was compiled before the newest source of `folder`."""
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for index in folder.glob("__pycache__/*.nbi"):
        if index.stat().st_mtime < newest:
            index.unlink(missing_ok=True)


remove_stale_code(Path(__file__).parent)
