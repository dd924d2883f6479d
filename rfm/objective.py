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

_RATE = -1  # the position whose draw decides a sequence's rate; cells have 0, 1, ...


@dataclass(frozen=True)
class Objective:
    """What a context teaches.

    Attributes:
        name: "paper", the target cell alone (section 5). "dense": also a part of the other number and boolean cells,
            so that one context gives some twenty lessons for the price of one; a cell next to a hidden one has to be
            predicted from less, which is why the part differs from sequence to sequence.
        mask_rates: dense: each sequence draws its rate uniformly from this interval, then hides each cell with that
            chance. Equal ends give one rate to all.

    Raises:
        RfmError: for an unknown name, or rates that are not two rising numbers in [0, 1).
    """

    name: ObjectiveName = "paper"
    mask_rates: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.name not in get_args(ObjectiveName):
            raise RfmError(f"objective is {self.name!r}; known: {', '.join(get_args(ObjectiveName))}")
        rates = self.mask_rates
        if len(rates) != 2 or not 0 <= rates[0] <= rates[1] < 1:
            raise RfmError(f"objective: mask_rates are {list(rates)}; give [low, high] with 0 <= low <= high < 1")

    def hidden(self, contexts: Contexts, key: int) -> np.ndarray:
        """bool (B, L), the cells to hide, targets included.

        A function of the key, each item's own key and the position, whatever else is in the batch.
        """
        if self.name == "paper":
            return contexts.is_target.copy()
        items = contexts.key[:, None]  # (B, 1)
        low, high = self.mask_rates
        rate = low + (high - low) * _uniform(key, items, np.array([_RATE]))  # (B, 1)
        drawn = _uniform(key, items, np.arange(contexts.row_idx.shape[1])) < rate  # (B, L)
        can_be_hidden = np.isin(contexts.sem_type, (SemType.NUMBER, SemType.BOOLEAN)) & ~contexts.is_padding
        return contexts.is_target | (drawn & can_be_hidden)


def _uniform(key: int, items: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """float64 in [0, 1), one for each item and position."""
    return (item_keys(key, items, positions[None, :]) >> np.uint64(11)) * 2.0**-53
