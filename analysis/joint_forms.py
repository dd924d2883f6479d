"""The shapes that a joint law of two resources may take.

| form           | L(N, S)                                            | source                                    |
|----------------|----------------------------------------------------|-------------------------------------------|
| additive       | E + A/N^α + B/S^β                                  | Hoffmann et al. 2022, arXiv 2203.15556    |
| multiplicative | E + A/(N^α·S^β)                                    | one resource scales what the other leaves |
| kaplan         | ((A/N)^(α/β) + B/S)^β, no floor                    | Kaplan et al. 2020, arXiv 2001.08361      |
| overfitting    | E + A/N^α + B/S_eff^β, S_eff = S/(1 + (S/(U·N))^κ) | idea: Muennighoff 2023, arXiv 2305.16264  |

`overfitting`: a database holds U useful tokens. Up to U·N they count in full; beyond, repeated ones saturate (κ = 1) or
make the loss rise again (κ > 1), which is the U shape of many epochs over few databases.

Every form is searched over the logs of its positive parameters. N, S and L come divided by their geometric means, so
that bounds and starts are the same in every unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SMALLEST = np.log(1e-12)  # where a parameter that the points want at zero stops
NOTHING = 1e-8  # of the loss: a floor or coefficient below it is zero


class Units(NamedTuple):
    """What N, S and L were divided by."""

    n: float
    s: float
    loss: float


@dataclass(frozen=True)
class Form:
    """One shape.

    Attributes:
        parameters: names, in the order of theta's last axis.
        loss: (theta (..., p) of logs, log N (n,), log S (n,)) -> L (..., n).
        bounds: (p, 2) of the logs.
        start: (exponents and other non-linear values, log N, log S, L) -> theta of the best non-negative rest.
        grid: the non-linear values to start from.
        rescale: (values, Units) -> values for N, S and L in the caller's units.
    """

    parameters: tuple[str, ...]
    loss: Callable[[NDArray, NDArray, NDArray], NDArray]
    bounds: NDArray
    start: Callable[[tuple[float, ...], NDArray, NDArray, NDArray], NDArray]
    grid: tuple[tuple[float, ...], ...]
    rescale: Callable[[dict[str, NDArray], Units], dict[str, NDArray]]


def _bounds(*names: str) -> NDArray:
    exponents = (np.log(1e-3), np.log(10.0))
    known = {"alpha": exponents, "beta": exponents, "U": (np.log(1e-4), np.log(1e4)), "kappa": (np.log(0.3), np.log(8))}
    return np.array([known.get(name, (_SMALLEST, np.log(1e6))) for name in names])


def _additive(theta: NDArray, log_n: NDArray, log_s: NDArray) -> NDArray:
    floor, a, b, alpha, beta = np.exp(np.moveaxis(theta, -1, 0))[..., None]
    return floor + a * np.exp(-alpha * log_n) + b * np.exp(-beta * log_s)


def _multiplicative(theta: NDArray, log_n: NDArray, log_s: NDArray) -> NDArray:
    floor, a, alpha, beta = np.exp(np.moveaxis(theta, -1, 0))[..., None]
    return floor + a * np.exp(-alpha * log_n - beta * log_s)


def _kaplan(theta: NDArray, log_n: NDArray, log_s: NDArray) -> NDArray:
    log_a, log_b, log_alpha, log_beta = np.moveaxis(theta, -1, 0)[..., None]
    beta = np.exp(log_beta)
    return np.exp(beta * np.logaddexp(np.exp(log_alpha) / beta * (log_a - log_n), log_b - log_s))


def _log_effective(log_n: NDArray, log_s: NDArray, log_useful: NDArray, kappa: NDArray) -> NDArray:
    return log_s - np.logaddexp(0.0, kappa * (log_s - log_useful - log_n))


def _overfitting(theta: NDArray, log_n: NDArray, log_s: NDArray) -> NDArray:
    log_useful, kappa = theta[..., 5, None], np.exp(theta[..., 6, None])
    return _additive(theta[..., :5], log_n, _log_effective(log_n, log_s, log_useful, kappa))


def _start_sum(exponents: tuple[float, ...], log_n: NDArray, log_s: NDArray, loss: NDArray) -> NDArray:
    columns = [np.ones_like(loss), np.exp(-exponents[0] * log_n), np.exp(-exponents[1] * log_s)]
    return np.log(np.append(non_negative(np.stack(columns, 1), loss), exponents))


def _start_multiplicative(exponents: tuple[float, ...], log_n: NDArray, log_s: NDArray, loss: NDArray) -> NDArray:
    columns = [np.ones_like(loss), np.exp(-exponents[0] * log_n - exponents[1] * log_s)]
    return np.log(np.append(non_negative(np.stack(columns, 1), loss), exponents))


def _start_kaplan(exponents: tuple[float, ...], log_n: NDArray, log_s: NDArray, loss: NDArray) -> NDArray:
    alpha, beta = exponents
    columns = [np.exp(-alpha / beta * log_n), np.exp(-log_s)]
    powered, scale = loss ** (1 / beta), float(np.exp(np.log(loss).mean() / beta))
    a, b = non_negative(np.stack(columns, 1), powered / scale) * scale
    return np.log([a ** (beta / alpha), b, alpha, beta])


def _start_overfitting(values: tuple[float, ...], log_n: NDArray, log_s: NDArray, loss: NDArray) -> NDArray:
    *exponents, useful, kappa = values
    effective = _log_effective(log_n, log_s, np.log(useful), kappa)
    return np.append(_start_sum(tuple(exponents), log_n, effective, loss), np.log([useful, kappa]))


def non_negative(columns: NDArray, loss: NDArray) -> NDArray:
    """Non-negative coefficients (k,) of columns (n, k) by least squares on the relative error, at least 1e-9.

    With two or three columns the best of all subsets that come out positive is the optimum.
    """
    scaled = columns / loss[:, None]
    best, smallest = np.zeros(columns.shape[1]), np.inf
    for size in range(1, columns.shape[1] + 1):
        for chosen in combinations(range(columns.shape[1]), size):
            found = np.linalg.lstsq(scaled[:, chosen], np.ones(len(loss)), rcond=None)[0]
            error = float(((scaled[:, chosen] @ found - 1) ** 2).sum())
            if (found > 0).all() and error < smallest:
                best, smallest = np.zeros(columns.shape[1]), error
                best[list(chosen)] = found
    return np.maximum(best, 1e-9)


def _unscale_sum(values: dict[str, NDArray], units: Units) -> dict[str, NDArray]:
    a, b = values["A"] * units.n ** values["alpha"], values["B"] * units.s ** values["beta"]
    plain = values | {"E": values["E"] * units.loss, "A": a * units.loss, "B": b * units.loss}
    return plain | ({"U": values["U"] * units.s / units.n} if "U" in values else {})


def _unscale_product(values: dict[str, NDArray], units: Units) -> dict[str, NDArray]:
    a = values["A"] * units.n ** values["alpha"] * units.s ** values["beta"]
    return values | {"E": values["E"] * units.loss, "A": a * units.loss}


def _unscale_kaplan(values: dict[str, NDArray], units: Units) -> dict[str, NDArray]:
    a = values["A"] * units.n * units.loss ** (1 / values["alpha"])
    return values | {"A": a, "B": values["B"] * units.s * units.loss ** (1 / values["beta"])}


_EXPONENTS = tuple(np.geomspace(0.03, 3.0, 12).tolist())
_PAIRS = tuple(product(_EXPONENTS, _EXPONENTS))
_COARSE = tuple(product(_EXPONENTS[::3], _EXPONENTS[::3], (0.03, 0.2, 1.0, 5.0, 30.0), (1.0, 2.0, 3.0)))
_SUM, _PRODUCT, _KAPLAN = ("E", "A", "B", "alpha", "beta"), ("E", "A", "alpha", "beta"), ("A", "B", "alpha", "beta")
_WITH_EPOCHS = (*_SUM, "U", "kappa")

FORMS = {
    "additive": Form(_SUM, _additive, _bounds(*_SUM), _start_sum, _PAIRS, _unscale_sum),
    "multiplicative": Form(
        _PRODUCT, _multiplicative, _bounds(*_PRODUCT), _start_multiplicative, _PAIRS, _unscale_product
    ),
    "kaplan": Form(_KAPLAN, _kaplan, _bounds(*_KAPLAN), _start_kaplan, _PAIRS, _unscale_kaplan),
    "overfitting": Form(_WITH_EPOCHS, _overfitting, _bounds(*_WITH_EPOCHS), _start_overfitting, _COARSE, _unscale_sum),
}
