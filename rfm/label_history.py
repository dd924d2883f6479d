"""What the target cell is told of past labels, more than a context has room for (not in the paper).

A small model averages what it attends to badly, and zero-shot the mean of past labels is hard to beat
(experiments/results/contexts). So the means come ready-made, with what a regression on them, and on the rows around the
seed's parents, forecasts (`rfm.past_labels`); pretraining teaches how far to trust it.

Axes: B contexts, H own labels, W windows of the latest labels.
"""

from __future__ import annotations

import numpy as np

from rfm.contexts import LATEST_WINDOWS, OWN_LABELS, Contexts

WINDOWS = (1, 2, 4, 8, 16, OWN_LABELS)
NUM_MEANS = len(WINDOWS) + len(LATEST_WINDOWS) + 2
SUMMARY_SIZE = NUM_MEANS + 2
FORECAST = NUM_MEANS
"""Position of the forecast in a summary."""


def label_means(contexts: Contexts) -> np.ndarray:
    """Means of the entity's last 1, 2, 4, ... labels and of the latest ones of any entity, and how many there are.

    All means are shrunk by one label of value 0, the column's mean, as values are standardised; a number n is given
    as n / (n + 1).

    Returns:
        float32 (B, NUM_MEANS); all 0 without a past label.
    """
    total = contexts.own_value.cumsum(axis=1, dtype=np.float64)[:, [window - 1 for window in WINDOWS]]
    means = total / (np.minimum(contexts.own_count[:, None], WINDOWS) + 1)
    counts = np.stack([contexts.own_count, contexts.latest_count], axis=1)
    return np.concatenate([means, contexts.latest_mean, counts / (counts + 1)], axis=1).astype(np.float32)


def summarise_labels(contexts: Contexts) -> np.ndarray:
    """`label_means`, then the regression's forecast and its error: float32 (B, SUMMARY_SIZE)."""
    return np.concatenate([label_means(contexts), contexts.forecast], axis=1)
