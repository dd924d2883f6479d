"""analysis is light: no torch, no room beside it, and names load on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_import_takes_under_a_second_and_no_heavy_room() -> None:
    code = (
        "import time; start = time.perf_counter(); import analysis; spent = time.perf_counter() - start; import sys; "
        "heavy = {m.split('.')[0] for m in sys.modules} & {'matplotlib', 'scipy', 'pandas', 'torch'}; "
        "print(spent < 1, heavy)"
    )
    assert run_python(code).split() == ["True", "set()"]


def test_no_module_of_the_room_imports_torch_or_another_room() -> None:
    modules = sorted(f"analysis.{path.stem}" for path in (ROOT / "analysis").glob("*.py") if path.stem != "__init__")
    code = (
        f"import sys, importlib; [importlib.import_module(m) for m in {modules!r}]; import analysis; "
        "[getattr(analysis, name) for name in analysis.__all__]; analysis.fit_power_law([1, 2, 4], [3, 2, 1.5]); "
        "print({m.split('.')[0] for m in sys.modules} & {'torch', 'lightning', 'rfm', 'plurel', 'experiments'})"
    )
    assert run_python(code).strip() == "set()"
