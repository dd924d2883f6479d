"""Random words against SplitMix64 in plain Python, and their uniform numbers."""

from __future__ import annotations

import numpy as np
from scipy import stats

from plurel.kernels.bits import draw_streams, high_uniform, low_uniform, word


def by_definition(start: int, step: int, i: int) -> int:
    z = (start + i * step) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def test_words_are_those_of_splitmix() -> None:
    # the first words of java.util.SplittableRandom's default step from 1234567, from its published test vector
    golden = np.array([1234567, 0x9E3779B97F4A7C15], dtype=np.uint64)
    assert [int(word(golden, i)) for i in (1, 2, 3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    for stream in draw_streams(5, np.random.default_rng(0)):
        for i in (0, 1, 999, 2**32, 2**60):
            assert int(word(stream, i)) == by_definition(int(stream[0]), int(stream[1]), i)


def test_streams_have_odd_steps_and_differ() -> None:
    streams = draw_streams(1000, np.random.default_rng(0))
    assert (streams[:, 1] % 2 == 1).all()
    assert len(np.unique(streams)) == 2000


def test_both_halves_of_words_are_uniform_and_independent() -> None:
    streams = draw_streams(40, np.random.default_rng(0))
    words = [[np.uint64(word(stream, i)) for i in range(500)] for stream in streams]
    low = np.array([[low_uniform(w) for w in row] for row in words])
    high = np.array([[high_uniform(w) for w in row] for row in words])
    for numbers in (low, high):
        assert 0 <= numbers.min() < numbers.max() < 1
        assert stats.kstest(numbers.ravel(), stats.uniform.cdf).pvalue > 1e-4
        assert np.abs(np.corrcoef(numbers) - np.eye(40)).max() < 5 / np.sqrt(500)
    assert abs(np.corrcoef(low.ravel(), high.ravel())[0, 1]) < 4 / np.sqrt(low.size)
