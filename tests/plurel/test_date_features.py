"""Dates as features and ordered words: both follow the number that they are made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from plurel import Config
from plurel.columns import ordered_words, to_dates_or_words
from plurel.config import DiversityParams
from plurel.date_features import DateSpan, to_dates
from plurel.edges import Values
from plurel.words import SCALES

START, END = pd.Timestamp("2010-01-01"), pd.Timestamp("2014-01-01")
TIMES = pd.date_range(START, END, periods=800).as_unit("us").to_numpy()


@pytest.mark.parametrize("times", [None, TIMES], ids=["entities", "events"])
def test_dates_are_midnights_in_the_order_of_the_numbers(times: np.ndarray | None) -> None:
    """Before the window, or after it or the row's own day."""
    numbers = np.random.default_rng(0).normal(size=800)
    span, num_past = DateSpan(START, END, times), 0
    for seed in range(40):
        days = pd.DatetimeIndex(to_dates(numbers, span, np.random.default_rng(seed)))
        assert (days == days.normalize()).all()
        is_past = days.max() < START
        num_past += is_past
        since = days if is_past or times is None else days - pd.DatetimeIndex(TIMES).normalize()
        assert stats.spearmanr(since.asi8, numbers).statistic > 0.7  # short spans have ties
        assert (np.diff(since.asi8[np.argsort(numbers)]) >= 0).all()
        if not is_past:
            origin = END if times is None else pd.DatetimeIndex(TIMES).normalize()
            assert (days > origin).all() and (days <= origin + pd.Timedelta(days=731)).all()
        else:
            assert days.min() >= START - pd.Timedelta(days=80 * 366)
    assert 10 < num_past < 30


def test_words_are_in_the_order_of_the_numbers() -> None:
    numbers = np.random.default_rng(0).exponential(size=1000)
    found = set()
    for seed in range(60):
        words = ordered_words(numbers, np.random.default_rng(seed))
        (scale,) = [s for s in SCALES if set(words) <= set(s) and len(set(words)) > 1][:1] or [None]
        found.add(scale)
        ranks = np.array([scale.index(word) for word in words[np.argsort(numbers)]])
        assert (np.diff(ranks) >= 0).all()
    assert len(found) > 8


def test_scales_have_distinct_words() -> None:
    assert all(len(set(scale)) == len(scale) >= 2 for scale in SCALES) and len(set(SCALES)) == len(SCALES)


def test_columns_by_option() -> None:
    numbers = Values(np.random.default_rng(0).normal(size=2000).astype(np.float32), 0)
    classes, span = Values(np.zeros(2000, dtype=np.int64), 3), DateSpan(START, END, None)

    def column(values: Values, **diversity: float) -> np.ndarray | None:
        config = dataclasses.replace(Config(), diversity_params=DiversityParams(**diversity))
        return to_dates_or_words(values, 0.1, config, span, np.random.default_rng(1))

    dates, words = column(numbers, date_prob=1.0), column(numbers, ordinal_prob=1.0)
    assert dates.dtype == "datetime64[us]" and words.dtype == object
    for cells in (dates, words):
        assert pd.isna(cells).mean() == pytest.approx(0.1, abs=0.03)
    assert column(numbers) is None and column(classes, date_prob=1.0, ordinal_prob=1.0) is None
    assert column(numbers, date_prob=1.0, ordinal_prob=1.0).dtype == "datetime64[us]"
