"""Compiled code is not kept when a source that it was made from has changed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from plurel import kernels
from plurel.kernels import remove_stale_code

KERNELS = Path(kernels.__file__).parent


def test_code_older_than_any_source_is_removed(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    for name, time in (("callee.py", 20), ("caller.py", 10), ("__pycache__/old.nbi", 15), ("__pycache__/new.nbi", 25)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time, time))
    remove_stale_code(tmp_path)
    assert [p.name for p in cache.iterdir()] == ["new.nbi"]


def test_code_older_than_another_source_that_it_reads_is_removed(tmp_path: Path) -> None:
    (tmp_path / "kernels" / "__pycache__").mkdir(parents=True)
    for name, time in (("constants.py", 20), ("kernels/join.py", 10), ("kernels/__pycache__/old.nbi", 15)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time, time))
    remove_stale_code(tmp_path / "kernels")
    assert (tmp_path / "kernels" / "__pycache__" / "old.nbi").exists()
    remove_stale_code(tmp_path / "kernels", [tmp_path / "constants.py"])
    assert not (tmp_path / "kernels" / "__pycache__" / "old.nbi").exists()


def test_every_file_that_kernels_read_constants_of_is_watched() -> None:
    """A kernel may import names of plurel's own from this folder and from the two files that its check knows."""
    for source in KERNELS.glob("*.py"):
        imported = re.findall(r"^from plurel\.(\S+) import", source.read_text(), re.MULTILINE)
        assert all(name.startswith("kernels") or name in ("aggregate", "initialisers") for name in imported), source
