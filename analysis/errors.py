"""The error that analysis raises for anything a user can cause."""

from __future__ import annotations


class AnalysisError(ValueError):
    """One line: what is wrong, where (file, column, value), and what would be right."""
