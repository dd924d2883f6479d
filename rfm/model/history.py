"""What the target cell is told of the entity's past labels, more than a context has room for (not in the paper).

A small model averages what it attends to badly, and zero-shot the mean of past labels is hard to beat
(experiments/results/contexts). So the means come ready-made; pretraining teaches how far to trust them.

Axes: B sequences, H own labels, S numbers of a summary, D model width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rfm.contexts import OWN_LABELS

WINDOWS = (1, 2, 4, 8, 16, OWN_LABELS)
SUMMARY_SIZE = len(WINDOWS) + 1


def summarise_labels(own_value: Tensor, own_count: Tensor) -> Tensor:
    """Means of the last 1, 2, 4, ... own labels, shrunk by one label of value 0, and count / (count + 1).

    0 is the column's mean, as values are standardised: with few labels a mean stays near it.

    Args:
        own_value: float (B, H), latest first, 0 behind the last one.
        own_count: int (B,).

    Returns:
        float32 (B, S); all 0 without a label.
    """
    total = own_value.float().cumsum(1)[:, [window - 1 for window in WINDOWS]]
    count = torch.minimum(own_count[:, None], torch.tensor(WINDOWS, device=own_count.device))
    share = own_count / (own_count + 1)
    return torch.cat([total / (count + 1), share[:, None]], dim=1)
