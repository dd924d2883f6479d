"""Sizes of a relational transformer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from rfm.errors import RfmError


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a relational transformer (paper, section 5: 12 blocks, d_model 256, 8 heads, d_ff 1024, d_text 384).

    `label_history`: whether the target cell also reads means of past labels and what a regression fitted to
    them forecasts (`rfm.label_history`), with decoders that start from the forecast; the paper's does not.

    Raises:
        RfmError: if a size is not a positive integer, label_history not a boolean, or num_heads no divisor of d_model.
    """

    num_blocks: int
    d_model: int
    num_heads: int
    d_ff: int
    d_text: int
    label_history: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.label_history, bool):
            raise RfmError(f"model configuration: label_history is {self.label_history!r}; it must be true or false")
        sizes = {name: value for name, value in asdict(self).items() if name != "label_history"}
        for name, value in sizes.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise RfmError(f"model configuration: {name} is {value!r}; it must be a positive integer")
        if self.d_model % self.num_heads:
            raise RfmError(f"model configuration: num_heads {self.num_heads} does not divide d_model {self.d_model}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The configuration with these entries; what has a default may be missing.

        Raises:
            RfmError: for an unknown entry (with the nearest known one) or a missing one.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                nearest = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}"
                raise RfmError(f"model configuration: unknown entry {key!r}{hint}")
        missing = [field.name for field in fields(cls) if field.default is MISSING and field.name not in values]
        if missing:
            raise RfmError(f"model configuration: {', '.join(missing)} missing")
        return cls(**values)

    def to_dict(self) -> dict[str, int | bool]:
        """The entries as plain numbers, accepted by `from_dict`."""
        return asdict(self)
