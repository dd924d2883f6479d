"""Which cells of a context are hidden from the model and trained on.

Axes: B sequences, L cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from rfm.contexts import Contexts
from rfm.errors import RfmError
from rfm.random_keys import item_keys
from rfm.store import SemType

ObjectiveName = Literal["paper", "dense"]


@dataclass(frozen=True)
class Objective:
    """What a context teaches.

    Attributes:
        name: "paper", the target cell alone (section 5). "dense": also a part of the other number and boolean cells,
            so that one context gives some thirty lessons for the price of one (experiments/results/objective).
        mask_rate: dense: the chance of each such cell to be hidden. Other cells of the target's column stay
            visible, for the target cell may carry their mean (`rfm.label_history`).

    Raises:
        RfmError: for an unknown name, or a rate outside [0, 1).
    """

    name: ObjectiveName = "paper"
    mask_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in get_args(ObjectiveName):
            raise RfmError(f"objective is {self.name!r}; known: {', '.join(get_args(ObjectiveName))}")
        if not 0 <= self.mask_rate < 1:
            raise RfmError(f"objective: mask_rate is {self.mask_rate}; it must lie in [0, 1)")

    def hidden(self, contexts: Contexts, key: int) -> np.ndarray:
        """bool (B, L), the cells to hide, targets included.

        A function of the key, each item's own key and the position, whatever else is in the batch.
        """
        if self.name == "paper":
            return contexts.is_target.copy()
        positions = np.arange(contexts.row_idx.shape[1])
        draws = (item_keys(key, contexts.key[:, None], positions[None, :]) >> np.uint64(11)) * 2.0**-53  # [0, 1)
        can_be_hidden = np.isin(contexts.sem_type, (SemType.NUMBER, SemType.BOOLEAN)) & ~contexts.is_padding
        can_be_hidden &= contexts.column_idx != contexts.column_idx[:, :1]
        return contexts.is_target | ((draws < self.mask_rate) & can_be_hidden)
