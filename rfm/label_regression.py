"""A linear regression of a column's labels on what was known before each of them (not in the paper).

Ridge regression in closed form, fitted anew as labels close: the forecast for a seed uses no label later than the seed
may see. It is what a careful reader of the labels alone would say, so a model need not learn to do it in its context.
"""

from __future__ import annotations

import numpy as np

RIDGE = 10.0
"""Penalty on the squared weights, in labels: as if so many more labels had said nothing."""
MAX_LABELS = 4096
"""Labels that a regression is fitted to; of a longer column every k-th, so that the cost has a bound."""
_REFIT_PART, _REFIT_LABELS = 0.05, 64
"""A regression is fitted again after a twentieth more labels, and after 64 at the latest."""
_ERROR_LABELS = 256
"""Labels over which the error of the latest forecasts is taken."""
_LIMIT = 10.0
"""Of labels, features and forecasts, in standard deviations: a far outlier would rule all weights."""


class LabelRegression:
    """The weights after each number of labels at which the regression is fitted.

    Args:
        time: int64 (R,), rising; when each label is known, seconds.
        value: float (R,), standardised labels.
        features: float (R, F), what was known before each label.
    """

    def __init__(self, time: np.ndarray, value: np.ndarray, features: np.ndarray) -> None:
        ends = _refits(len(time))
        x, y = _with_constant(features), np.clip(value.astype(np.float64), -_LIMIT, _LIMIT)
        starts = np.concatenate([[0], ends])[:-1]
        both = np.concatenate([x, y[:, None]], axis=1)
        parts = [both[start:end].T @ both[start:end] for start, end in zip(starts, ends, strict=True)]
        moments = np.cumsum(np.reshape(parts, (len(ends), *[both.shape[1]] * 2)), axis=0)
        gram, cross = moments[:, :-1, :-1], moments[:, :-1, -1:]
        weights = np.linalg.solve(gram + RIDGE * np.eye(x.shape[1]), cross)[:, :, 0]
        self._weights = np.concatenate([np.zeros((1, x.shape[1])), weights])
        self._time = time[ends - 1]
        before = np.repeat(np.arange(len(ends)), ends - starts)  # the fit before each label
        squared = (y - np.einsum("rf,rf->r", x, self._weights[before])) ** 2
        self._error = _recent_errors(squared, np.concatenate([[0], ends]))

    def forecast(self, until: np.ndarray, features: np.ndarray) -> np.ndarray:
        """What the labels known at a time say of features, and how far off such forecasts have been lately.

        Args:
            until: int64 (B,), seconds; labels of a later time are not used.
            features: float (B, F).

        Returns:
            float32 (B, 2): forecast; root mean squared error of the forecasts of the last labels, each by the fit
            before it. Without a label 0 and 1, the column's mean and deviation.
        """
        fit = np.searchsorted(self._time, until, side="right")
        forecast = np.einsum("bf,bf->b", _with_constant(features), self._weights[fit])
        return np.stack([np.clip(forecast, -_LIMIT, _LIMIT), self._error[fit]], axis=1).astype(np.float32)


def _recent_errors(squared: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Root mean squared error of the last labels before each end, shrunk by `RIDGE` labels of error 1."""
    total = np.concatenate([[0.0], np.cumsum(squared)])
    starts = np.maximum(ends - _ERROR_LABELS, 0)
    return np.sqrt((total[ends] - total[starts] + RIDGE) / (ends - starts + RIDGE))


def _with_constant(features: np.ndarray) -> np.ndarray:
    clipped = np.clip(features.astype(np.float64), -_LIMIT, _LIMIT)
    return np.concatenate([clipped, np.ones((len(features), 1))], axis=1)


def _refits(num_labels: int) -> np.ndarray:
    """Numbers of labels after which a regression is fitted, rising, int64; the last one is all."""
    ends = [0]
    while ends[-1] < num_labels:
        more = min(max(1, int(_REFIT_PART * ends[-1])), _REFIT_LABELS)
        ends.append(min(ends[-1] + more, num_labels))
    return np.array(ends[1:], np.int64)
