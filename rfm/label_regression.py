"""A regression of a column's labels on what was known before each of them (not in the paper).

Ridge regressions in closed form, fitted anew as labels close: the forecast for a seed uses no label later than the seed
may see. It is what a careful reader would say without a model, so a model need not learn to do it in its context.

Which features help, and how strong the penalty has to be, depends on the task. So there is one regression for each
penalty and each set of features, and the forecast is their mean, weighted by how well they have foretold the latest
labels: the posterior of a label with noise of variance 1 (Bayesian model averaging).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PENALTIES = (30.0, 1000.0)
"""On the squared weights of standardised features, in labels: as if so many more labels had said nothing."""
PRIOR_LABELS = 10.0
"""Labels of value 0 that the mean label is shrunk by."""
MAX_LABELS = 4096
"""Labels that a regression is fitted to; of a longer column every k-th, so that the cost has a bound."""
_FIRST_LABELS, _REFIT_PART, _REFIT_LABELS = 16, 0.1, 64
"""Regressions are fitted after so many labels, then after a tenth more, and after 64 at the latest."""
_RECENT_LABELS = 512
"""Labels that weigh the regressions, and over which the error of the forecast is taken."""
_LIMIT = 10.0
"""Of labels, features and forecasts, in standard deviations: a far outlier would rule all weights."""


class _Moments(NamedTuple):
    """Of the labels before each fit: Z fits, F features."""

    count: np.ndarray  # (Z, 1)
    mean: np.ndarray  # (Z, F), of the features
    deviation: np.ndarray  # (Z, F); of a feature that has not varied yet near 1 / sqrt(count)
    correlation: np.ndarray  # (Z, F, F)
    label_correlation: np.ndarray  # (Z, F), with the labels, times their deviation
    label_mean: np.ndarray  # (Z,), shrunk


class LabelRegression:
    """The weights after each number of labels at which the regressions are fitted.

    Args:
        time: int64 (R,), rising; when each label is known, seconds.
        value: float (R,), standardised labels.
        features: float (R, F), what was known before each label.
        kinds: int (F,): a regression on features of one kind reads all lower kinds too.
    """

    def __init__(self, time: np.ndarray, value: np.ndarray, features: np.ndarray, kinds: np.ndarray) -> None:
        ends = _refits(len(time))
        x, y = np.clip(features.astype(np.float64), -_LIMIT, _LIMIT), np.clip(value.astype(np.float64), -_LIMIT, _LIMIT)
        moments = _moments(x, y, ends)
        weights = np.stack([_fits(moments, kinds <= kind, p) for kind in np.unique(kinds) for p in PENALTIES])
        x = _with_constant(x)
        before = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))  # the fit before each label
        errors = np.stack([_recent_squares(y - _forecast(x, w[before]), ends) for w in weights])
        share = np.exp(-0.5 * (errors - errors.min(axis=0)))
        self._weights = np.einsum("ez,ezf->zf", share / share.sum(axis=0), weights)
        self._time = time[ends - 1]
        squares = _recent_squares(y - _forecast(x, self._weights[before]), ends)
        recent = np.minimum(np.concatenate([[0], ends]), _RECENT_LABELS)
        self._error = np.sqrt((squares + PRIOR_LABELS) / (recent + PRIOR_LABELS))

    def forecast(self, until: np.ndarray, features: np.ndarray) -> np.ndarray:
        """What the labels known at a time say of features, and how far off such forecasts have been lately.

        Args:
            until: int64 (B,), seconds; labels of a later time are not used.
            features: float (B, F).

        Returns:
            float32 (B, 2): forecast; root mean squared error of the forecasts of the last labels, each by the fit
            before it, shrunk by `PRIOR_LABELS` labels of error 1. Without a label 0 and 1, the column's mean and
            deviation.
        """
        fit = np.searchsorted(self._time, until, side="right")
        x = _with_constant(np.clip(features.astype(np.float64), -_LIMIT, _LIMIT))
        return np.stack([_forecast(x, self._weights[fit]), self._error[fit]], axis=1).astype(np.float32)


def _moments(x: np.ndarray, y: np.ndarray, ends: np.ndarray) -> _Moments:
    """Moments of the first labels up to each end, from one pass over them."""
    both = np.concatenate([x, y[:, None], np.ones((len(y), 1))], axis=1)
    starts = np.concatenate([[0], ends])[:-1]
    parts = [both[start:end].T @ both[start:end] for start, end in zip(starts, ends, strict=True)]
    total = np.cumsum(np.reshape(parts, (len(ends), *[both.shape[1]] * 2)), axis=0)
    count, mean = total[:, -1:, -1], total[:, -1, :-1] / total[:, -1:, -1]
    covariance = total[:, :-1, :-1] / count[:, None] - mean[:, :, None] * mean[:, None]
    variance = np.maximum(np.diagonal(covariance, axis1=1, axis2=2)[:, :-1], 0)
    deviation = np.sqrt(variance + 1 / count)
    return _Moments(
        count=count,
        mean=mean[:, :-1],
        deviation=deviation,
        correlation=covariance[:, :-1, :-1] / (deviation[:, :, None] * deviation[:, None]),
        label_correlation=covariance[:, :-1, -1] / deviation,
        label_mean=total[:, -1, -2] / (count[:, 0] + PRIOR_LABELS),
    )


def _fits(moments: _Moments, used: np.ndarray, penalty: float) -> np.ndarray:
    """Weights of some features and the constant before any label and after each fit: float64 (Z + 1, F + 1)."""
    num_fits, num_features = moments.mean.shape
    weights = np.zeros((num_fits + 1, num_features + 1))
    ridge = penalty / moments.count[:, :, None] * np.eye(used.sum())
    gram, cross = moments.correlation[:, used][:, :, used] + ridge, moments.label_correlation[:, used, None]
    weights[1:, :-1][:, used] = np.linalg.solve(gram, cross)[:, :, 0] / moments.deviation[:, used]
    weights[1:, -1] = moments.label_mean - (weights[1:, :-1] * moments.mean).sum(axis=1)
    return weights


def _forecast(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.clip(np.einsum("rf,rf->r", x, weights), -_LIMIT, _LIMIT)


def _recent_squares(error: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sum of the squares of the last errors before each end, and of none: float64 (Z + 1,)."""
    total, ends = np.concatenate([[0.0], np.cumsum(error**2)]), np.concatenate([[0], ends])
    return total[ends] - total[np.maximum(ends - _RECENT_LABELS, 0)]


def _with_constant(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _refits(num_labels: int) -> np.ndarray:
    """Numbers of labels after which the regressions are fitted, rising, int64; the last one is all."""
    ends = [0]
    while ends[-1] < num_labels:
        more = min(max(_FIRST_LABELS, int(_REFIT_PART * ends[-1])), _REFIT_LABELS)
        ends.append(min(ends[-1] + more, num_labels))
    return np.array(ends[1:], np.int64)
