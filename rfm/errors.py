"""Errors that a user of stores, contexts, models or checkpoints can cause."""


class RfmError(ValueError):
    """One line that says what is wrong, where, and what would be right."""
