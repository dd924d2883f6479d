"""From node values to the cells of a feature column: types, a last transform and missing values (paper.md, 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from plurel.config import DatabaseParams
    from plurel.edges import Values

Array = np.ndarray

TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "rank_uniform": lambda x: rankdata(x, method="ordinal") / (len(x) + 1),
    "log": lambda x: np.copysign(np.log1p(np.abs(x)), x),
    "sqrt": lambda x: np.copysign(np.sqrt(np.abs(x)), x),
    "standardize": lambda x: (x - x.mean()) / max(x.std(), 1e-8),
}


def is_kept(values: Values) -> bool:
    """False for categories that are all 0 or all above 0: the column would be a constant boolean, which is dropped."""
    return not values.num_categories or np.unique(values.data > 0).size == 2


def to_column(values: Values, missing_rate: float, params: DatabaseParams, rng: np.random.Generator) -> Array | None:
    """The column's cells: float64 with NaN at the missing rate, or bool (category > 0); None where it is dropped."""
    if not is_kept(values):
        return None
    if values.num_categories:
        return values.data > 0
    numbers = TRANSFORMS[params.col_transform_choices.draw(rng)](values.data.astype(np.float64))
    return np.where(rng.random(len(numbers)) < missing_rate, np.nan, numbers)
