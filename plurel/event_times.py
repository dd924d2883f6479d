"""When rows come to be: arrivals of each entity's events, on a calendar of busy and quiet hours.

Times are drawn in places of the calendar: the part of the window's business that lies before, in [0, 1]. An entity's
arrivals are plain there (steady, in bursts, fading or within its life), and the calendar turns them to seconds; since
it never turns back, what comes later in one comes later in the other. Entities differ in their rates and lives, and so
in how many events they have: the past tells the future.
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
_RATE_SPREAD = (0.3, 1.5)  # standard deviations of the logarithm of entities' rates
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


@dataclass(frozen=True)
class Lives:
    """When the rows of a parent table have events, and how often; float64 (parents,) each.

    Attributes:
        begin, end: places between which events of a row lie.
        weight: how many events it is to have, up to a common factor.
    """

    begin: Array
    end: Array
    weight: Array

    @classmethod
    def draw(cls, arrivals: str, born: Array, rng: np.random.Generator) -> Lives:
        """Rates are lognormal. Faders and the short-lived begin at birth or, born before the window, at random.

        Args:
            arrivals: a key of ARRIVALS.
            born: places at which the rows come to be, 0 before the window.
        """
        rate = np.exp(rng.uniform(*_RATE_SPREAD) * rng.normal(size=len(born)))
        begin, end = born, np.ones(len(born))
        if arrivals in ("fading", "lifetime"):
            begin = np.where(born > 0, born, rng.random(len(born)))
        if arrivals == "lifetime":
            end = begin + (1 - begin) * rng.random(len(born))
        return cls(begin, end, rate * (end - begin))

    @classmethod
    def of_newborn(cls, born: Array) -> Lives:
        """From birth on, all at one rate."""
        return cls(born, np.ones(len(born)), 1 - born)

    def windows(self, owner: Array, born: Array) -> tuple[Array, Array]:
        """Of events of the rows `owner` (-1: of none), which cannot be before `born`: first and last places."""
        begin = np.maximum(np.where(owner < 0, 0.0, self.begin[owner]), born)
        end = np.where(owner < 0, 1.0, self.end[owner])
        return begin, np.where(end > begin, end, 1.0)


def _steady(begin: Array, end: Array, owner: Array, rng: np.random.Generator) -> Array:
    """A Poisson process: uniform, given the number of events."""
    return begin + (end - begin) * rng.random(len(begin))


def _fading(begin: Array, end: Array, owner: Array, rng: np.random.Generator) -> Array:
    """Ever fewer events after the beginning."""
    return begin + (end - begin) * rng.beta(1, rng.uniform(*_FADING), len(begin))


def _bursts(begin: Array, end: Array, owner: Array, rng: np.random.Generator) -> Array:
    """Hawkes-like: an event is spontaneous, or set off by an earlier one of its owner, after an exponential delay.

    What would fall out of its window is spontaneous instead.
    """
    spontaneous = _steady(begin, end, owner, rng)
    order = np.argsort(owner, kind="stable")
    grouped = owner[order]
    first = np.searchsorted(grouped, grouped)  # of the owner's events
    rank = np.where(grouped < 0, 0, np.arange(len(order)) - first)
    is_set_off = (rank > 0) & (rng.random(len(order)) < rng.uniform(*_BRANCHING))
    cause = np.where(is_set_off, first + (rng.random(len(order)) * rank).astype(np.int64), -1)
    delay = rng.exponential(np.exp(rng.uniform(*np.log(_BURST))), len(order))
    step = np.where(is_set_off, delay, spontaneous[order])
    total, above = step.copy(), cause.copy()
    while (rows := np.flatnonzero(above >= 0)).size:  # up the chain of causes; the last one is spontaneous
        total[rows] += step[above[rows]]
        above[rows] = cause[above[rows]]
    is_inside = is_set_off & (total <= end[order]) & (total >= begin[order])
    places = spontaneous.copy()
    places[order[is_inside]] = total[is_inside]
    return places


# (first and last places, owner of each row or -1, generator) -> places; all (rows,)
ARRIVALS: dict[str, Callable[[Array, Array, Array, np.random.Generator], Array]] = {
    "poisson": _steady,
    "lifetime": _steady,  # within an owner's life; see Lives
    "fading": _fading,
    "bursts": _bursts,
}


def creation_places(born: Array, rng: np.random.Generator) -> Array:
    """Of rows that others point to: soon after those that they point to, or, without any, early or at any time."""
    soon = rng.beta(1, rng.uniform(*_DELAY), len(born))
    is_newcomer = (born == 0) & (rng.random(len(born)) < _NEWCOMERS)
    return np.where(is_newcomer, rng.random(len(born)), born + (1 - born) * soon)
