"""Distributions that a prior names: a closed range or a set of options."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from plurel.errors import PlurelError

Kind = Literal["range", "set"]


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _plain(option: Any) -> Any:
    """An option as a prior file holds it: no enumeration, number of numpy or list."""
    if isinstance(option, (list, tuple)):
        return tuple(map(_plain, option))
    if isinstance(option, Enum):
        return option.value
    return option.item() if isinstance(option, np.generic) else option


@dataclass(frozen=True)
class Choices:
    """Values that a parameter may take.

    Attributes:
        kind: "range", every value of a closed interval, or "set", one of the listed options.
        value: (low, high) of a range, whole numbers for a whole-number parameter; or the options of a set: numbers,
            names, or members of an enumeration, which stand for their value (such as torch_frame's stypes).

    Raises:
        PlurelError: for an unknown kind, a reversed or incomplete range, an empty set, or a function, which a prior
            that is data cannot hold.
    """

    kind: Kind
    value: tuple[Any, ...]

    def __post_init__(self) -> None:
        if isinstance(self.value, str) or not isinstance(self.value, Sequence):
            raise PlurelError(f"choices are a list of values, not {self.value!r}")
        object.__setattr__(self, "value", tuple(map(_plain, self.value)))
        if self.kind not in get_args(Kind):
            raise PlurelError(f"kind of choices is {self.kind!r}; it must be range or set")
        if not self.value:
            raise PlurelError("choices are empty; give at least one value")
        for option in self.value:
            if callable(option):
                name = getattr(option, "__name__", repr(option)).strip("_")
                raise PlurelError(f"choices hold names, not functions: write {name!r} instead of the function itself")
        if self.kind == "range":
            if len(self.value) != 2 or not all(_is_finite(v) for v in self.value):
                raise PlurelError(f"a range is two numbers (low, high), not {list(self.value)}")
            if self.value[0] > self.value[1]:
                raise PlurelError(f"range {list(self.value)} is reversed; the low end comes first")

    @cached_property
    def is_integer(self) -> bool:
        """True for a range of whole numbers."""
        return self.kind == "range" and all(isinstance(v, int) for v in self.value)

    def draw(self, rng: np.random.Generator) -> Any:
        """One value, every option or number alike."""
        # scaled random() takes a fifth of the time of integers() and uniform(), and a database draws 100,000 values
        if self.kind == "set":
            return self.value[int(rng.random() * len(self.value))]
        low, high = self.value
        if self.is_integer:
            return low + int(rng.random() * (high - low + 1))
        return low + rng.random() * (high - low)

    def draws(
        self, shape: int | tuple[int, ...], rng: np.random.Generator, numbers: Mapping[Any, int] | None = None
    ) -> np.ndarray:
        """Independent values of a shape; options of a set may stand for `numbers`."""
        if self.kind == "set":
            options = np.array([option if numbers is None else numbers[option] for option in self.value])
            return options[(rng.random(shape) * len(options)).astype(np.int64)]
        low, high = self.value
        if self.is_integer:
            return low + (rng.random(shape) * (high - low + 1)).astype(np.int64)
        return low + rng.random(shape) * (high - low)

    def draw_reciprocal(self, rng: np.random.Generator) -> int:
        """One whole number k of a range, with probability proportional to 1 / k."""
        numbers = np.arange(self.value[0], self.value[1] + 1)
        return int(rng.choice(numbers, p=(1 / numbers) / (1 / numbers).sum()))
