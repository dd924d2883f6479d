"""Errors that a user of priors and corpora can cause."""


class PlurelError(ValueError):
    """One line that says what is wrong, where, and what would be right."""
