"""From node values to the cells of a feature column: types, shapes and missing values (paper.md, sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plurel.date_features import to_dates
from plurel.words import SCALES, words

if TYPE_CHECKING:
    from plurel.config import Config
    from plurel.date_features import DateSpan
    from plurel.edges import Values

Array = np.ndarray


def _ranks(x: Array) -> Array:
    ranks = np.empty(len(x))
    ranks[np.argsort(x, kind="stable")] = np.arange(1, len(x) + 1)
    return ranks / (len(x) + 1)


TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "rank_uniform": _ranks,
    "log": lambda x: np.copysign(np.log1p(np.abs(x)), x),
    "sqrt": lambda x: np.copysign(np.sqrt(np.abs(x)), x),
    "standardize": lambda x: (x - x.mean()) / max(x.std(), 1e-8),
}


def is_kept(values: Values) -> bool:
    """False for categories that are all 0 or all above 0: the column would be a constant boolean, which is dropped."""
    return not values.num_categories or np.unique(values.data > 0).size == 2


def to_column(
    values: Values, missing_rate: float, config: Config, rng: np.random.Generator
) -> Array | pd.arrays.IntegerArray | None:
    """The column's cells, or None where it is dropped.

    Numbers: float64 with NaN, or nullable Int64. Categories: bool (category > 0), or words (object).
    """
    if not is_kept(values):
        return None
    diversity = config.diversity_params
    if values.num_categories:
        if rng.random() < diversity.text_prob:
            return np.array(words(values.num_categories, rng), dtype=object)[values.data]
        return values.data > 0
    transform = TRANSFORMS[config.database_params.col_transform_choices.draw(rng)]
    numbers = transform(values.data.astype(np.float64))
    if rng.random() < diversity.heavy_tail_prob:
        numbers = heavy_tailed(numbers)
    if rng.random() < diversity.zero_inflation_prob:
        numbers = zero_inflated(numbers, diversity.zero_choices.draw(rng))
    is_missing = rng.random(len(numbers)) < _missing_chance(numbers, missing_rate, diversity.missing_by_value_prob, rng)
    if rng.random() < diversity.integer_prob:
        return pd.arrays.IntegerArray(to_integers(numbers, rng.uniform(1, 50)), is_missing)
    return np.where(is_missing, np.nan, numbers)


def to_dates_or_words(
    values: Values, missing_rate: float, config: Config, span: DateSpan, rng: np.random.Generator
) -> Array | None:
    """A number column as dates (datetime64[us]) or ordered words (object), where one is drawn; None: neither."""
    diversity = config.diversity_params
    if values.num_categories:
        return None
    is_date, is_ordinal = rng.random(2) < (diversity.date_prob, diversity.ordinal_prob)
    numbers = values.data.astype(np.float64)
    if is_date:
        cells, nothing = to_dates(numbers, span, rng), np.datetime64("NaT")
    elif is_ordinal:
        cells, nothing = ordered_words(numbers, rng), None
    else:
        return None
    cells[rng.random(len(cells)) < missing_rate] = nothing
    return cells


def ordered_words(numbers: Array, rng: np.random.Generator) -> Array:
    """The words of a drawn scale, in the order of the numbers; random shares of the rows each. object (rows,)."""
    scale = SCALES[int(rng.integers(len(SCALES)))]
    shares = np.cumsum(rng.dirichlet(np.full(len(scale), 2.0)))[:-1]
    return np.array(scale, dtype=object)[np.searchsorted(np.quantile(numbers, shares), numbers, side="left")]


def heavy_tailed(numbers: Array) -> Array:
    """sign(z)(exp |z| - 1) of the standard scores z, which are limited to ±20."""
    scores = np.clip(TRANSFORMS["standardize"](numbers), -20, 20)
    return np.copysign(np.expm1(np.abs(scores)), scores)


def zero_inflated(numbers: Array, share: float) -> Array:
    """The excess over the quantile at `share`, 0 below it."""
    return np.maximum(numbers - np.quantile(numbers, share), 0)


def to_integers(numbers: Array, spread: float) -> Array:
    """Rounded after scaling to a standard deviation of `spread`; int64."""
    return np.rint(numbers / max(numbers.std(), 1e-8) * spread).astype(np.int64)


def _missing_chance(numbers: Array, rate: float, by_value_prob: float, rng: np.random.Generator) -> Array | float:
    """The same for every cell, or growing from 0 with the number's rank, or falling to 0; the mean is `rate`."""
    if rng.random() >= by_value_prob:
        return rate
    ranks = _ranks(numbers)
    return np.minimum(2 * rate * (ranks if rng.random() < 0.5 else 1 - ranks), 1)
