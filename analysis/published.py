"""What the paper published: its two laws and the points behind them.

What the paper's points can tell: the free fit over N gives the published law, with an exponent between 0.05 and 0.92.
The published law over S is a straight line through log(L - 0.36) against log S. Least squares on the loss with the same
floor gives an exponent of 0.58 in place of 0.46, and with a free floor 0.92 (0.63 to 1.23). The floor and the scale of
the residuals decide the exponent; the points do not show that the exponents of N and S differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class PublishedLaw:
    """L(x) = coefficient · (x / unit)^-exponent + floor.

    Fitted to num_points over the closed interval x_range; the point at x = held_out, if any, was left out.
    """

    coefficient: float
    exponent: float
    floor: float
    unit: float
    num_points: int
    held_out: float | None
    x_range: tuple[float, float]


PAPER_LAWS = {
    "num_databases": PublishedLaw(0.07, 0.38, 0.36, unit=1.0, num_points=7, held_out=1024, x_range=(8, 512)),
    "tokens": PublishedLaw(0.02, 0.46, 0.36, unit=1e9, num_points=6, held_out=32e9, x_range=(0.5e9, 16e9)),
}
# Where the laws come from, for a reader who sets a run of another size beside them.
PAPER_SCALE = "22 M parameters, 8 to 1024 databases, 0.5B to 32B tokens, other validation databases"

# Lower envelope of the paper's Figure 1: marker centres read from the public figure, ±0.0003; the last is held out.
_FIGURE_1 = {
    "num_databases": (
        (8, 16, 32, 64, 128, 256, 512, 1024),
        (0.3908, 0.3859, 0.3804, 0.3724, 0.3699, 0.3685, 0.3677, 0.3672),
    ),
    "tokens": (
        (0.5e9, 1e9, 2e9, 4e9, 8e9, 16e9, 32e9),
        (0.3851, 0.3759, 0.3695, 0.3670, 0.3655, 0.3654, 0.3644),
    ),
}


def paper_points(axis: str) -> pd.DataFrame:
    """The envelope of the paper's Figure 1 over an axis: `x`, `loss`, `held_out`, x rising; tokens one by one."""
    x, loss = _FIGURE_1[axis]
    return pd.DataFrame({"x": x, "loss": loss, "held_out": [False] * (len(x) - 1) + [True]})


# Zero-shot test scores of the paper, one database left out of the real data: real only, synthetic only, both.
# AUROC or R² in percent, under the paper's own protocol.
_TRANSFER = {
    ("rel-amazon", "user-churn", "auroc"): (64.2, 64.4, 65.0),
    ("rel-hm", "user-churn", "auroc"): (67.4, 63.7, 66.0),
    ("rel-stack", "user-badge", "auroc"): (80.0, 81.4, 82.0),
    ("rel-stack", "user-engagement", "auroc"): (78.9, 82.4, 86.2),
    ("rel-amazon", "item-churn", "auroc"): (67.6, 71.0, 72.5),
    ("rel-avito", "user-visits", "auroc"): (57.2, 63.5, 63.4),
    ("rel-avito", "user-clicks", "auroc"): (54.7, 45.9, 47.9),
    ("rel-trial", "study-outcome", "auroc"): (54.4, 53.8, 51.8),
    ("rel-f1", "driver-dnf", "auroc"): (80.7, 76.7, 81.0),
    ("rel-f1", "driver-top3", "auroc"): (86.9, 82.6, 88.4),
    ("rel-hm", "item-sales", "r2"): (16.0, 4.4, 20.0),
    ("rel-amazon", "user-ltv", "r2"): (14.5, 9.8, 18.5),
    ("rel-amazon", "item-ltv", "r2"): (35.3, 10.7, 40.5),
    ("rel-stack", "post-votes", "r2"): (22.3, 15.7, 25.5),
    ("rel-trial", "site-success", "r2"): (33.7, 38.3, 38.6),
    ("rel-trial", "study-adverse", "r2"): (1.9, -0.8, 1.6),
    ("rel-f1", "driver-position", "r2"): (54.3, 41.3, 55.5),
    ("rel-avito", "ad-ctr", "r2"): (3.1, 2.5, 4.9),
}
PAPER_MODELS = ("paper real-only", "paper zero-shot", "paper continued")


def paper_scores(dataset: str, task: str) -> pd.DataFrame:
    """The paper's test scores of one task: `model` (of PAPER_MODELS), `metric`, `value`; empty where it has none."""
    found = [
        {"model": model, "metric": metric, "value": value}
        for (name, of_task, metric), values in _TRANSFER.items()
        if (name, of_task) == (dataset, task)
        for model, value in zip(PAPER_MODELS, values, strict=True)
    ]
    return pd.DataFrame(found, columns=["model", "metric", "value"])
