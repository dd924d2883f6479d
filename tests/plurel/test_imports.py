"""What importing and describing must not load: torch takes seconds, and a generator needs none of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

ALWAYS_LAZY = ("torch", "torch_geometric", "duckdb", "relbench", "jinja2")


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_light() -> None:
    assert not loaded_after("import plurel; plurel.Config()").intersection(ALWAYS_LAZY)


@pytest.mark.parametrize("name", ["to_sqlite", "to_duckdb", "to_heterodata", "to_networkx"])
def test_no_public_name_loads_torch(name: str) -> None:
    assert not loaded_after(f"import plurel; plurel.{name}").intersection({"torch", "torch_geometric", "lightning"})
