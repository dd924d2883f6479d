"""Where databases are made: processes of this machine, or a Ray cluster; both are concurrent.futures executors."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any

from plurel.errors import PlurelError


def local_processes(workers: int) -> ProcessPoolExecutor:
    """That many processes of this machine, which end with this one, even if it is killed."""
    return ProcessPoolExecutor(workers, mp_context=get_context(_start_method()), initializer=_end_with_parent)


def _start_method() -> str:
    """A forked worker has all imports at once, a spawned one takes seconds; but a fork beside threads may hang.

    macOS runs threads of its own.
    """
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"


def _end_with_parent() -> None:
    """Otherwise a killed parent's workers write on, beside the run that continues its work."""

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class RayExecutor(Executor):
    """Tasks on a Ray cluster, one CPU each. Its machines need this package and the corpus's path, as a shared folder.

    Args:
        address: "auto" for the cluster of this machine, ray://host:10001 for a remote one; None: a new one here.
        workers: CPUs of a new one.

    Raises:
        PlurelError: if ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str | None = None, workers: int = 1) -> None:
        try:
            import ray  # the optional extra `cluster`
        except ImportError as error:
            raise PlurelError("ray is not installed; pip install 'relational-scaling[cluster]'") from error
        size = {} if address else {"num_cpus": workers, "include_dashboard": False}
        try:
            ray.init(address, log_to_driver=False, logging_level="warning", **size)
        except ConnectionError as error:
            raise PlurelError(f"no Ray cluster at {address!r}: {error}") from error
        self._ray = ray
        self._run = ray.remote(num_cpus=1)(_call)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """A future of fn(*args, **kwargs), which runs somewhere on the cluster."""
        return self._run.remote(fn, args, kwargs).future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leaves the cluster; what has not run then never will."""
        self._ray.shutdown()


def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)
