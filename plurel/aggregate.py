"""How a node joins what its parents say: sum, max, product or log-sum-exp over the first axis (paper.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _log_sum_exp(terms: np.ndarray) -> np.ndarray:
    top = terms.max(axis=0)
    terms -= top  # in place: a second array of this size costs more than the exponentials
    return top + np.log(np.exp(terms, out=terms).sum(axis=0))


def _product(terms: np.ndarray) -> np.ndarray:
    return np.nan_to_num(terms.prod(axis=0), copy=False)  # an overflow times 0 is 0 here, and NaN in the published code


# float32 (parents, rows, width) -> (rows, width); may overwrite its input
AGGREGATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sum": lambda terms: terms.sum(axis=0),
    "max": lambda terms: terms.max(axis=0),
    "product": _product,
    "logexp": _log_sum_exp,
}

# what changes nothing where it is joined; -1e30 stands for -inf, which interpolation would turn to NaN
NEUTRAL = {"sum": 0.0, "max": -1e30, "product": 1.0, "logexp": -1e30}
