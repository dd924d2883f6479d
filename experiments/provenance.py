"""What made a run: command, commit, versions, machine, and the wall time of each stage, kept in run.json."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.errors import ExperimentError
from experiments.runtime import process_rank

PACKAGES = ("torch", "lightning", "relbench", "numpy", "pandas", "numba", "sentence-transformers")


def git_commit() -> str:
    """Short hash of the code's commit, with `-dirty` if tracked files differ; "unknown" outside a checkout."""
    root = Path(__file__).resolve().parents[1]

    def git(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=False)

    try:
        head = git("rev-parse", "--short=10", "HEAD")
        changes = git("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        return "unknown"
    if head.returncode:
        return "unknown"
    return head.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory and CUDA device; no host name."""
    import torch  # heavy, and only entry points that train want it

    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [ln.split(":", 1)[1].strip() for ln in cpuinfo.read_text().splitlines() if ln.startswith("model name")]
        if (cpuinfo.exists())
        else []
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    out = {"processor": names[0] if names else platform.processor(), "cores": cores, "threads": torch.get_num_threads()}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        out["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    out["gpu"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return out


def peak_memory_gib() -> float:
    """Peak resident memory of this process, or of its largest child if that is more, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20  # ru_maxrss is bytes on macOS, KiB on Linux
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(max(peaks) / unit, 2)


class RunRecord:
    """run.json of a run folder. Stage times add up over interrupted calls.

    Args:
        run_dir: the run's folder, created if absent.
        identity: what a run folder's results depend on; a folder made with another identity is refused.
        **facts: further entries to keep (profile, prior, model, seed ...).

    Raises:
        ExperimentError: if the folder holds a run with another identity, naming the first key that differs.
    """

    def __init__(self, run_dir: Path, identity: dict[str, Any], **facts: Any) -> None:
        self.path = run_dir / "run.json"
        run_dir.mkdir(parents=True, exist_ok=True)
        previous = self._read()
        if previous.get("identity", identity) != identity:
            raise ExperimentError(_difference(run_dir, previous["identity"], identity))
        self.data = {
            **facts,
            "command": " ".join(["python", "-m", _module_name(), *sys.argv[1:]]),
            "git": git_commit(),
            "machine": machine(),
            "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
            "stages": previous.get("stages", []),
            "peak_memory_gib": previous.get("peak_memory_gib", 0.0),
            "identity": identity,
        }
        self._write()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage and adds it to what earlier calls of the same run spent on it."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = {s["name"]: s["wall_s"] for s in self.data["stages"]}
            spent[name] = round(spent.get(name, 0.0) + time.perf_counter() - start, 2)
            self.data["stages"] = [{"name": n, "wall_s": s} for n, s in spent.items()]
            self.data["peak_memory_gib"] = max(self.data["peak_memory_gib"], peak_memory_gib())
            self._write()

    def note(self, **facts: Any) -> None:
        """Adds entries to the record."""
        self.data.update(facts)
        self._write()

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            return json.loads(self.path.read_text())
        except json.JSONDecodeError as error:
            raise ExperimentError(
                f"{self.path} is damaged ({error}); delete the run folder or choose run.dir="
            ) from error

    def _write(self) -> None:
        if process_rank() > 0:
            return
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.data, indent=1))
        os.replace(temporary, self.path)


def _module_name() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).name


def _difference(run_dir: Path, old: dict[str, Any], new: dict[str, Any]) -> str:
    flat_old, flat_new = _flatten(old), _flatten(new)
    key = next(k for k in sorted(flat_old | flat_new) if flat_old.get(k) != flat_new.get(k))
    return (
        f"{run_dir} holds a run made with {key}={flat_old.get(key)}, now {key}={flat_new.get(key)}; "
        "choose another run.name= or run.dir=, or delete the folder"
    )


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out.update(_flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return out
