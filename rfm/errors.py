"""Errors that a user of stores, contexts, models or checkpoints can cause."""


class RfmError(ValueError):
    """One line that says what is wrong, where, and what would be right."""


class OpenFilesError(RfmError):
    """The process has as many files open as it may: a file that cannot be opened now need not be damaged."""
