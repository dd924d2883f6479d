"""The two laws that the paper publishes (section 2), to set beside a run's own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedLaw:
    """L(x) = coefficient · (x / unit)^-exponent + floor, fitted over x in the closed interval x_range."""

    coefficient: float
    exponent: float
    floor: float
    unit: float
    x_range: tuple[float, float]


PAPER_LAWS = {
    "num_databases": PublishedLaw(0.07, 0.38, 0.36, unit=1.0, x_range=(8, 512)),
    "tokens": PublishedLaw(0.02, 0.46, 0.36, unit=1e9, x_range=(0.5e9, 16e9)),
}
