"""When rows come to be: arrivals of each entity's events, on a calendar of busy and quiet hours.

Times are drawn in places of the calendar: the part of the window's business that lies before, in [0, 1]. An entity's
arrivals are plain there (uniform, in bursts, fading or within its life), and the calendar turns them to seconds; since
it never turns back, what comes later in one comes later in the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

Array = np.ndarray

_HOUR = 3600
_GROWTH = 1.0  # a window's business grows or shrinks by exp(U(-g, g))
_HOUR_SWING, _MONTH_SWING, _WEEKDAY_SPREAD = 1.5, 0.7, 0.6  # of the logarithm of the rate, at a season's strength of 1
_FADING = (2.0, 6.0)  # b of Beta(1, b), the place of an event in what is left of the window
_DELAY = (10.0, 60.0)  # the same of a row that others point to: soon, as delays add up along chains of tables
_NEWCOMERS = 0.3  # part of the rows without parents that come to be at any time; the others are there early
_BRANCHING = (0.3, 0.9)  # the part of events that another event of the entity sets off
_BURST = (1e-4, 1e-2)  # mean delay between the two, in parts of the window; its logarithm is uniform


@dataclass(frozen=True)
class Calendar:
    """The business of a table over the window, hour by hour.

    Attributes:
        cumulative: float64 (hours + 1,), the part before each hour, from 0 to 1.
    """

    cumulative: Array

    @classmethod
    def draw(cls, start: pd.Timestamp, num_days: int, strength: float, rng: np.random.Generator) -> Calendar:
        """Trend, and seasons by hour, weekday and month; `strength` 0 leaves the trend alone."""
        days = pd.date_range(start, periods=num_days)
        rate = rng.uniform(-_GROWTH, _GROWTH) * np.arange(num_days) / num_days
        rate += strength * (_wave(12, _MONTH_SWING, rng)[days.month - 1] + _weekdays(rng)[days.day_of_week])
        hours = np.exp(rate)[:, None] * np.exp(strength * _wave(24, _HOUR_SWING, rng))
        cumulative = np.concatenate([[0.0], np.cumsum(hours)])
        return cls(cumulative / cumulative[-1])

    def seconds(self, places: Array) -> Array:
        """Whole seconds after the window's start; int64."""
        hours = np.interp(places, self.cumulative, np.arange(len(self.cumulative)))
        return (hours * _HOUR).astype(np.int64)

    def places(self, seconds: Array) -> Array:
        """The inverse of `seconds`, up to rounding."""
        return np.interp(seconds / _HOUR, np.arange(len(self.cumulative)), self.cumulative)


def _wave(period: int, swing: float, rng: np.random.Generator) -> Array:
    angle = 2 * np.pi * (np.arange(period) / period - rng.random())
    return swing * rng.random() * np.cos(angle)


def _weekdays(rng: np.random.Generator) -> Array:
    """Days of their own, and a weekend apart."""
    days = rng.normal(0, _WEEKDAY_SPREAD / 3, 7)
    days[5:] += rng.normal(0, _WEEKDAY_SPREAD)
    return days


def _begin(born: Array, owner: Array, rng: np.random.Generator) -> Array:
    """Where an owner's events begin: when it is born, or, where that is before the window, at random."""
    return np.where(born > 0, born, rng.random(owner.max() + 1)[owner])


def _poisson(born: Array, owner: Array, rng: np.random.Generator) -> Array:
    """At a constant rate: uniform, given their number."""
    return born + (1 - born) * rng.random(len(born))


def _fading(born: Array, owner: Array, rng: np.random.Generator) -> Array:
    """Ever fewer after the beginning."""
    begin = _begin(born, owner, rng)
    return begin + (1 - begin) * rng.beta(1, rng.uniform(*_FADING), len(born))


def _lifetime(born: Array, owner: Array, rng: np.random.Generator) -> Array:
    """At a constant rate from the beginning to an end of the owner's own."""
    begin = _begin(born, owner, rng)
    end = begin + (1 - begin) * rng.random(owner.max() + 1)[owner]
    return begin + (end - begin) * rng.random(len(born))


def _bursts(born: Array, owner: Array, rng: np.random.Generator) -> Array:
    """Hawkes-like: an event is spontaneous, or set off by an earlier one of its owner, after an exponential delay.

    What would fall behind the window's end, or before its row may exist, is spontaneous instead.
    """
    spontaneous = _poisson(born, owner, rng)
    order = np.argsort(owner, kind="stable")
    grouped = owner[order]
    first = np.searchsorted(grouped, grouped)  # of the owner's events
    rank = np.arange(len(order)) - first
    is_set_off = (rank > 0) & (rng.random(len(order)) < rng.uniform(*_BRANCHING))
    cause = np.where(is_set_off, first + (rng.random(len(order)) * rank).astype(np.int64), -1)
    delay = rng.exponential(np.exp(rng.uniform(*np.log(_BURST))), len(order))
    place, above = spontaneous[order], cause.copy()
    place[is_set_off] = 0.0
    total = np.where(is_set_off, delay, 0.0)
    while (rows := np.flatnonzero(above >= 0)).size:  # up the chain of causes; the last one is spontaneous
        total[rows] += np.where(is_set_off[above[rows]], delay[above[rows]], place[above[rows]])
        above[rows] = cause[above[rows]]
    places = spontaneous.copy()
    is_inside = is_set_off & (total <= 1) & (total >= born[order])
    places[order[is_inside]] = total[is_inside]
    return places


# (places where rows may be at the earliest, owner 0 ... n - 1 of each row, generator) -> places; all (rows,)
ARRIVALS: dict[str, Callable[[Array, Array, np.random.Generator], Array]] = {
    "poisson": _poisson,
    "bursts": _bursts,
    "fading": _fading,
    "lifetime": _lifetime,
}


def creation_places(born: Array, rng: np.random.Generator) -> Array:
    """Of rows that others point to: soon after those that they point to, or, without any, early or at any time."""
    soon = rng.beta(1, rng.uniform(*_DELAY), len(born))
    is_newcomer = (born == 0) & (rng.random(len(born)) < _NEWCOMERS)
    return np.where(is_newcomer, rng.random(len(born)), born + (1 - born) * soon)


def draw_times(arrivals: str | None, born: Array, owner: Array, calendar: Calendar, rng: np.random.Generator) -> Array:
    """Seconds after the window's start at which rows come to be; int64 (rows,), in no order.

    Args:
        arrivals: a key of ARRIVALS, or None for rows that others point to.
        born: int64 (rows,), seconds at which all rows that a row points to exist.
        owner: int64 (rows,), the entity whose events they are, -1 for none.
    """
    places = calendar.places(born)
    if arrivals is None:
        places = creation_places(places, rng)
    else:
        alone = owner < 0
        places = ARRIVALS[arrivals](places, np.where(alone, owner.max() + np.cumsum(alone), owner), rng)
    return np.maximum(calendar.seconds(places), born)
