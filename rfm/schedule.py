"""Learning rate as a function of the step alone, so that resuming and branching need no scheduler state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from rfm.errors import RfmError

ScheduleName = Literal["one_cycle", "wsd"]

# torch's OneCycleLR: the first rate is 1/25 of the peak, the last one 1/10000 of the first.
_ONE_CYCLE_FIRST = 1 / 25
_ONE_CYCLE_LAST = _ONE_CYCLE_FIRST / 1e4


@dataclass(frozen=True)
class ScheduleConfig:
    """Which rate a step uses, as a part of the peak rate.

    Attributes:
        name: "one_cycle", the paper's (section 7): linear to the peak and linear to almost nothing.
            "wsd": linear warm-up, constant, linear decay to 0 over the last steps. A shorter or longer run branches
            off a checkpoint of the constant part.
        max_steps: steps of the whole run, decay included.
        warmup_frac: one_cycle: the part of the steps before the peak.
        warmup_steps, decay_steps: wsd; 0 for none. The decay covers the last `decay_steps` of `max_steps`.

    Raises:
        RfmError: for an unknown name or a number out of range.
    """

    name: ScheduleName
    max_steps: int
    warmup_frac: float = 0.2
    warmup_steps: int = 0
    decay_steps: int = 0

    def __post_init__(self) -> None:
        if self.name not in get_args(ScheduleName):
            raise RfmError(f"schedule is {self.name!r}; known: {', '.join(get_args(ScheduleName))}")
        if self.max_steps < 1:
            raise RfmError(f"schedule: max_steps is {self.max_steps}; it must be at least 1")
        if not 0 <= self.warmup_frac < 1:
            raise RfmError(f"schedule: warmup_frac is {self.warmup_frac}; it must lie in [0, 1)")
        for field in ("warmup_steps", "decay_steps"):
            if not 0 <= getattr(self, field) <= self.max_steps:
                value = getattr(self, field)
                raise RfmError(f"schedule: {field} is {value}; it must lie in [0, max_steps = {self.max_steps}]")

    def factor(self, step: int) -> float:
        """Rate of update `step` (0 is the first, max_steps - 1 the last) divided by the peak rate."""
        return self._one_cycle(step) if self.name == "one_cycle" else self._wsd(step)

    def _one_cycle(self, step: int) -> float:
        peak = self.warmup_frac * self.max_steps - 1  # torch counts its phases this way
        if step < peak:
            return _ONE_CYCLE_FIRST + (1 - _ONE_CYCLE_FIRST) * step / peak
        rest = self.max_steps - 1 - max(peak, 0)
        done = min(1.0, (step - max(peak, 0)) / rest) if rest > 0 else 1.0
        return 1 + (_ONE_CYCLE_LAST - 1) * done

    def _wsd(self, step: int) -> float:
        warmup = (step + 1) / self.warmup_steps if step < self.warmup_steps else 1.0
        left = self.max_steps - step
        decay = max(left, 0) / self.decay_steps if left < self.decay_steps else 1.0
        return min(warmup, decay)
