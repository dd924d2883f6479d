"""From node values to the cells of a feature column: types and missing values (paper, section 3)."""

from __future__ import annotations

import numpy as np

from plurel.scm import Values


def to_column(values: Values, missing_rate: float, rng: np.random.Generator) -> np.ndarray | None:
    """The column's cells: float64 with NaN at the missing rate, or bool (category > 0); None for a constant bool."""
    if values.num_categories:
        flags = values.data > 0
        return None if flags.all() or not flags.any() else flags
    numbers = values.data.astype(np.float64)
    numbers[rng.random(len(numbers)) < missing_rate] = np.nan
    return numbers
