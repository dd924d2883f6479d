"""Benchmarks: ratios to a peer or to a stated limit, measured in one run."""

from __future__ import annotations

import os


def pin_to_one_core() -> None:
    """Keeps this process, and the peers that it starts, on one core; does nothing where the system cannot."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
