"""Numbers that belong to the rows of a table, that no column shows, and that shape the rows which point to them.

Real entities are like this: a driver's skill is in no column, but in every race. So an entity's past tells its future,
which is what the label-history baseline lives on (paper.md, section 6).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray

_STEPS = 64  # of the window, in which a state is constant
_DRIFT = 2.0  # standard deviation of a drifting state's way over the window; it starts with 1
_SWITCHES = 3  # mean number of switches of a switching state over the window


def _constant(num_rows: int, rng: np.random.Generator) -> Array:
    return np.repeat(rng.normal(size=(num_rows, 1)), _STEPS, axis=1)


def _drift(num_rows: int, rng: np.random.Generator) -> Array:
    """A random walk."""
    steps = rng.normal(0, _DRIFT / np.sqrt(_STEPS), (num_rows, _STEPS))
    steps[:, 0] = rng.normal(size=num_rows)
    return np.cumsum(steps, axis=1)


def _switch(num_rows: int, rng: np.random.Generator) -> Array:
    """One of two levels of the row's own, from one to the other at random steps."""
    levels = rng.normal(size=(num_rows, 2))
    turns = rng.random((num_rows, _STEPS)) < _SWITCHES / _STEPS
    return np.take_along_axis(levels, np.cumsum(turns, axis=1) % 2, axis=1)


HIDDEN_STATES: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "constant": _constant,
    "drift": _drift,
    "switch": _switch,
}


def draw_states(num_rows: int, kind: str, rng: np.random.Generator) -> Array:
    """The state of every row at equal steps of the window; float32 (num_rows, steps)."""
    return HIDDEN_STATES[kind](num_rows, rng).astype(np.float32)


def states_of_children(states: Array, parents: Array, times: Array) -> Array:
    """The state of each child's parent at the child's time, 0 for a child without parent; float32 (children,).

    Args:
        states: float32 (parent rows, steps).
        parents: int64 (children,), -1 for none.
        times: float (children,), parts of the window in [0, 1].
    """
    step = np.minimum((times * states.shape[1]).astype(np.int64), states.shape[1] - 1)
    return np.where(parents >= 0, states[parents, step], np.float32(0))
