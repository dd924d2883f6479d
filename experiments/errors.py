"""Turns what a user can cause into one line and a non-zero exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from analysis.errors import AnalysisError
from plurel.errors import PlurelError
from rfm.errors import RfmError


class ExperimentError(ValueError):
    """One line that says what is wrong with a run's configuration or folder, and what would be right."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Ends the process with one clear line for an error of the user's; programming errors keep their traceback."""
    try:
        yield
    except (ExperimentError, PlurelError, RfmError, AnalysisError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            sys.exit(f"error: the disk is full: {error.filename or error}; free space and run the same command again")
        if isinstance(error, (FileNotFoundError, PermissionError, NotADirectoryError)):
            sys.exit(f"error: {error.strerror}: {error.filename}")
        raise
    except KeyboardInterrupt:
        sys.exit("interrupted: what is complete is kept; the same command continues from here")
