"""Sizes of a relational transformer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rfm.errors import RfmError


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a relational transformer (paper, section 5: 12 blocks, d_model 256, 8 heads, d_ff 1024, d_text 384).

    Raises:
        RfmError: if a size is not a positive integer, or num_heads does not divide d_model.
    """

    num_blocks: int
    d_model: int
    num_heads: int
    d_ff: int
    d_text: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise RfmError(f"model configuration: {field.name} is {value!r}; it must be a positive integer")
        if self.d_model % self.num_heads:
            raise RfmError(f"model configuration: num_heads {self.num_heads} does not divide d_model {self.d_model}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The configuration with exactly these entries.

        Raises:
            RfmError: for an unknown entry (with the nearest known one) or a missing one.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                nearest = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}"
                raise RfmError(f"model configuration: unknown entry {key!r}{hint}")
        missing = [key for key in known if key not in values]
        if missing:
            raise RfmError(f"model configuration: {', '.join(missing)} missing")
        return cls(**{key: values[key] for key in known})

    def to_dict(self) -> dict[str, int]:
        """The entries as plain numbers, accepted by `from_dict`."""
        return asdict(self)
