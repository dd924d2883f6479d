"""What the target cell is told of past labels, more than a context has room for (not in the paper).

A small model averages what it attends to badly, and zero-shot the mean of past labels is hard to beat
(experiments/results/contexts). So the means come ready-made; pretraining teaches how far to trust them.

Axes: B sequences, H own labels, W windows of the latest labels, S numbers of a summary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rfm.batch import Batch
from rfm.contexts import LATEST_WINDOWS, OWN_LABELS

WINDOWS = (1, 2, 4, 8, 16, OWN_LABELS)
SUMMARY_SIZE = len(WINDOWS) + len(LATEST_WINDOWS) + 2


def summarise_labels(batch: Batch) -> Tensor:
    """Means of the entity's last 1, 2, 4, ... labels and of the latest ones of any entity, and how many there are.

    All means are shrunk by one label of value 0, the column's mean, as values are standardised; a number n is given
    as n / (n + 1).

    Returns:
        float32 (B, S); all 0 without a past label.
    """
    total = batch.own_value.float().cumsum(1)[:, [window - 1 for window in WINDOWS]]
    windows = torch.tensor(WINDOWS, device=total.device)
    means = total / (torch.minimum(batch.own_count[:, None], windows) + 1)
    counts = torch.stack([batch.own_count, batch.latest_count], dim=1)
    return torch.cat([means, batch.latest_mean.float(), counts / (counts + 1)], dim=1)
