"""A table's columns as one float32 matrix for networks that take vectors, not cells. Keys and time are not features.

numbers, dates     z-scores over the whole table (0 for a constant column); a missing one is 0
booleans           0 and 1; a missing one is 0
short vocabularies text of at most 32 distinct values, half of its rows or fewer: one-hot, all 0 where missing
other text         its words, hashed to 16 counts of unit length (scikit-learn's MurmurHash); all 0 where missing
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from relbench.base import Table
from sklearn.feature_extraction.text import HashingVectorizer

from plurel.column_kinds import as_numbers, column_kind

MAX_CATEGORIES = 32
D_TEXT = 16


def encode_features(table: Table) -> tuple[np.ndarray, list[str]]:
    """Features of every row, float32 (rows, features), and a name for each feature.

    A column with missing values is followed by a mask, named "<column> is missing". A table without any feature gets
    one that is 1 everywhere, so that its nodes have something to start from.
    """
    keys = {table.pkey_col, table.time_col, *table.fkey_col_to_pkey_table}
    blocks, names = [], []
    for column in (c for c in table.df.columns if c not in keys):
        for name, values in _encoded(str(column), table.df[column]):
            blocks.append(values.astype(np.float32))
            names.append(name)
    if not blocks:
        return np.ones((len(table), 1), dtype=np.float32), ["constant"]
    return np.stack(blocks, axis=1), names


def _encoded(name: str, column: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    kind, is_missing = column_kind(column), column.isna().to_numpy(dtype=bool)
    if kind == "text":
        yield from _text(name, column.astype(object).where(~is_missing, None))
    else:
        numbers = as_numbers(column, kind).to_numpy()
        yield name, np.nan_to_num(numbers if kind == "boolean" else _standardised(numbers))
    if is_missing.any():
        yield f"{name} is missing", is_missing


def _standardised(numbers: np.ndarray) -> np.ndarray:
    known = numbers[np.isfinite(numbers)]
    peak = np.abs(known).max(initial=0.0)
    if peak == 0:
        return np.zeros_like(numbers)
    mean, scale = (known / peak).mean(), (known / peak).std()  # squares of numbers as they are could overflow
    scores = (numbers / peak - mean) / scale if scale > 1e-12 else np.zeros_like(numbers)
    return np.clip(scores, -1e6, 1e6)  # infinite numbers


def _text(name: str, column: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    values = column.map(str, na_action="ignore")
    vocabulary = sorted(values.dropna().unique())
    if len(vocabulary) <= min(MAX_CATEGORIES, len(values) / 2):
        for value in vocabulary:
            yield f"{name} = {value}", (values == value).to_numpy(dtype=bool)
        return
    hashed = (
        HashingVectorizer(n_features=D_TEXT, alternate_sign=False).transform(values.where(values.notna(), "")).toarray()
    )
    for number in range(D_TEXT):
        yield f"{name} hash {number}", hashed[:, number]
