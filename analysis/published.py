"""The two laws that the paper publishes (section 2), to set beside a run's own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedLaw:
    """L(x) = coefficient · (x / unit)^-exponent + floor.

    Fitted to num_points over the closed interval x_range; the point at x = held_out was left out.
    """

    coefficient: float
    exponent: float
    floor: float
    unit: float
    num_points: int
    held_out: float
    x_range: tuple[float, float]


PAPER_LAWS = {
    "num_databases": PublishedLaw(0.07, 0.38, 0.36, unit=1.0, num_points=7, held_out=1024, x_range=(8, 512)),
    "tokens": PublishedLaw(0.02, 0.46, 0.36, unit=1e9, num_points=6, held_out=32e9, x_range=(0.5e9, 16e9)),
}
# Where the laws come from, for a reader who sets a run of another size beside them.
PAPER_SCALE = "22 M parameters, 8 to 1024 databases, 0.5B to 32B tokens, other validation databases"
