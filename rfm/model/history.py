"""What the target cell is told of past labels, more than a context has room for (not in the paper).

A small model averages what it attends to badly, and zero-shot the mean of past labels is hard to beat
(experiments/results/contexts). So the means come ready-made; pretraining teaches how far to trust them. And what a task
has been like lately, it will be for a while: numbers of the target's column are read, and predicted, as distances from
the mean of the latest labels.

Axes: B sequences, H own labels, W windows of the latest labels, S numbers of a summary.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rfm.batch import Batch
from rfm.contexts import LATEST_WINDOWS, OWN_LABELS
from rfm.store import SemType

WINDOWS = (1, 2, 4, 8, 16, OWN_LABELS)
SUMMARY_SIZE = len(WINDOWS) + len(LATEST_WINDOWS) + 2


def label_centre(batch: Batch) -> Tensor:
    """What the numbers of each target's column are measured from: the mean of its latest labels, float32 (B,).

    0 for a target of another type; near 0, the column's mean, with few labels.
    """
    return torch.where(batch.sem_type[:, 0] == SemType.NUMBER, batch.latest_mean[:, -1].float(), 0.0)


def centre_labels(batch: Batch) -> Batch:
    """The batch with the values of each target's column, and its past labels, as distances from `label_centre`."""
    centre = label_centre(batch)[:, None]
    is_label = (batch.column_idx == batch.column_idx[:, :1]) & ~batch.is_padding
    is_own = torch.arange(OWN_LABELS, device=centre.device) < batch.own_count[:, None]
    return replace(
        batch,
        value=batch.value - is_label * centre,
        own_value=batch.own_value - is_own * centre,
        latest_mean=batch.latest_mean - centre,
    )


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
