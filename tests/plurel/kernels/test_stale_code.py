"""Compiled code is not kept when a source that it was made from has changed."""

from __future__ import annotations

import os
from pathlib import Path

from plurel.kernels import remove_stale_code


def test_code_older_than_any_source_is_removed(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    for name, time in (("callee.py", 20), ("caller.py", 10), ("__pycache__/old.nbi", 15), ("__pycache__/new.nbi", 25)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time, time))
    remove_stale_code(tmp_path)
    assert [p.name for p in cache.iterdir()] == ["new.nbi"]
