"""From node values to the cells of a feature column: types and missing values (paper, section 3)."""

from __future__ import annotations

import numpy as np

from plurel.scm import Values


def is_kept(values: Values) -> bool:
    """False for categories that are all 0 or all above 0: the column would be a constant boolean, which is dropped."""
    return not values.num_categories or np.unique(values.data > 0).size == 2


def to_column(values: Values, missing_rate: float, rng: np.random.Generator) -> np.ndarray | None:
    """The column's cells: float64 with NaN at the missing rate, or bool (category > 0); None where it is dropped."""
    if not is_kept(values):
        return None
    if values.num_categories:
        return values.data > 0
    numbers = values.data.astype(np.float64)
    numbers[rng.random(len(numbers)) < missing_rate] = np.nan
    return numbers
