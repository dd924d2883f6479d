"""Processes that make databases end with the one that started them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

WORKERS = """
import os, time
from plurel.executors import local_processes
if __name__ == "__main__":
    pool = local_processes(2)
    busy = [pool.submit(time.sleep, 600) for _ in range(4)]
    while len(pool._processes) < 2: time.sleep(0.01)
    print(*pool._processes, flush=True)
    time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of processes from /proc")
def test_workers_of_a_killed_process_end() -> None:
    parent = subprocess.Popen([sys.executable, "-c", WORKERS], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2 and all(map(is_running, workers))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
