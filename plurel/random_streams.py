"""Named child generators: what a stream yields depends on its seed and name alone, never on the order of calls."""

from __future__ import annotations

import hashlib
import operator

import numpy as np

from plurel.errors import PlurelError


def checked_seed(seed: int) -> int:
    """`seed` as a Python int.

    Raises:
        PlurelError: unless it is a whole number from 0 on.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise PlurelError(f"a seed is a whole number from 0 on, not {seed!r}")
    return number


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """The generator called `name` of database `seed`, e.g. stream(3, "links", "table_2", "foreign_row_0").

    Seed and name enter numpy's SeedSequence as one 128-bit BLAKE2b digest, so that no two of any length share a stream.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (operator.index(seed), *name))
    words = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), "<u4")
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(words)))
