"""Activations, initialisers and random functions against torch and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from plurel import Choices
from plurel.activations import ACTIVATION_NAMES, ACTIVATIONS, RANDOM_SINES, Activations, RandomSines
from plurel.config import Config, SCMParams
from plurel.functions import CategoryDecoder, Encoders, Perceptrons
from plurel.initialisers import INITIALISERS, random_weights

IN_TORCH = {
    "identity": lambda x: x,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "sign": torch.sign,
    "clamp": lambda x: x.clamp(-1, 1),
    "signed_log1p": lambda x: torch.log1p(x.abs()) * x.sign(),
    "bent_identity": lambda x: (torch.sqrt(x**2 + 1) - 1) / 2 + x,
}


def test_there_are_the_29_activations_of_the_newer_prior() -> None:
    assert len(ACTIVATION_NAMES) == len(set(ACTIVATION_NAMES)) == 29


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_torchs(name: str) -> None:
    x = np.concatenate([np.linspace(-6, 6, 101), [-1e6, -90, 90, 1e6]]).astype(np.float32)
    before = x.copy()
    expected = IN_TORCH.get(name, getattr(F, name, None))(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ACTIVATIONS[name](x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(x, before)


def test_random_sines_are_the_sum_they_say() -> None:
    x = np.linspace(-5, 5, 41, dtype=np.float32)
    for seed in range(20):
        sines = RandomSines.draw(np.random.default_rng(seed))
        assert 3 <= len(sines.amplitudes) <= 7
        assert ((sines.frequencies >= 0.1) & (sines.frequencies <= 10)).all()
        parts = zip(sines.amplitudes.tolist(), sines.frequencies.tolist(), sines.phases.tolist(), strict=True)
        expected = sum(a * np.sin(f * x.astype(float) + p) for a, f, p in parts)
        np.testing.assert_allclose(sines(x), expected, atol=2e-5)


def test_activations_are_scaled_and_limited() -> None:
    params = SCMParams(activation_choices=Choices("set", ("identity",)), activation_limit=5.0)
    activations = Activations.draw(500, params, np.random.default_rng(0))
    assert stats.kstest(np.log(activations.scales), stats.uniform(-1, 2).cdf).pvalue > 1e-4
    y = activations(np.tile(np.array([[-100.0], [0.5], [100.0]], dtype=np.float32), (500, 1, 1)))
    np.testing.assert_allclose(y[:, 0, 0], -5)
    np.testing.assert_allclose(y[:, 1, 0], 0.5 * activations.scales, rtol=1e-6)
    np.testing.assert_allclose(y[:, 2, 0], 5)


TORCH_INITIALISERS = {
    "kaiming_normal": torch.nn.init.kaiming_normal_,
    "kaiming_uniform": torch.nn.init.kaiming_uniform_,
    "xavier_normal": torch.nn.init.xavier_normal_,
    "xavier_uniform": torch.nn.init.xavier_uniform_,
    "truncated_normal": torch.nn.init.trunc_normal_,
    "sparse": lambda w: torch.nn.init.sparse_(w, sparsity=0.5),
}


@pytest.mark.parametrize("name", sorted(INITIALISERS))
@pytest.mark.parametrize("shape", [(1, 32), (32, 32), (32, 1)])
def test_initialisers_have_torchs_distribution(name: str, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    repeats = max(1, 20_000 // (shape[0] * shape[1]))
    ours = np.concatenate([INITIALISERS[name](shape, rng).ravel() for _ in range(repeats)])
    theirs = np.concatenate([TORCH_INITIALISERS[name](torch.empty(shape)).numpy().ravel() for _ in range(repeats)])
    assert ours.dtype == np.float32
    assert np.mean(ours == 0) == pytest.approx(np.mean(theirs == 0), abs=1e-12)
    if np.any(ours != 0):
        assert stats.ks_2samp(ours[ours != 0], theirs[theirs != 0]).pvalue > 1e-4


def test_sparse_weights_keep_half_of_each_column() -> None:
    weight = INITIALISERS["sparse"]((32, 8), np.random.default_rng(0))
    assert (np.count_nonzero(weight, axis=0) == 16).all()
    assert len({tuple(column) for column in (weight != 0).T}) == 8


def test_thinned_weights_keep_their_mean() -> None:
    """A part of the entries is 0, the rest 1 / density times as large; each matrix has its own density."""
    params = SCMParams(initialization_choices=Choices("set", ("kaiming_uniform",)))
    weights = random_weights(50, (200, 100), params, np.random.default_rng(0))
    density = np.mean(weights != 0, axis=(1, 2))
    assert stats.kstest(density, stats.uniform(0.3, 0.7).cdf).pvalue > 1e-4
    np.testing.assert_allclose(np.abs(weights).max(axis=(1, 2)), np.sqrt(6 / 100) / density, rtol=0.05)


def test_perceptrons_are_their_layers_one_by_one() -> None:
    for seed in range(20):
        functions = Perceptrons.draw(6, 3, 5, SCMParams(), np.random.default_rng(seed))
        assert 1 <= len(functions.hidden) <= 3
        x = np.random.default_rng(seed).normal(size=(6, 7, 3)).astype(np.float32)
        y = functions(x)
        for place, number in enumerate(functions.order):
            h = x[number]
            for weights, activations in functions.hidden:
                if place < len(weights):
                    h = activations.functions[place](h @ weights[place])
                    h = np.clip(activations.scales[place] * h, -1e6, 1e6)
            np.testing.assert_allclose(y[number], h @ functions.last[place], rtol=1e-4, atol=1e-4)


def test_depths_are_drawn_alike_for_each_perceptron() -> None:
    rng, depths = np.random.default_rng(0), np.zeros((300, 4), dtype=int)
    for row in depths:
        functions = Perceptrons.draw(4, 1, 2, SCMParams(), rng)
        counts = [len(weights) for weights, _ in functions.hidden]
        row[functions.order] = [1 + sum(place < count for count in counts) for place in range(4)]
    for column in depths.T:
        assert stats.chisquare(np.bincount(column, minlength=5)[2:]).pvalue > 1e-4
    paper = Perceptrons.draw(9, 3, 5, Config.preset("paper").scm_params, rng)
    assert len(paper.hidden) == 1
    assert (paper.hidden[0][1].scales == 1).all()


def test_encoders_keep_parents_apart() -> None:
    """Numbers and categories of several sizes: each parent has the table that it would have alone."""
    encoders = Encoders.draw([0, 3, 0, 7], SCMParams(), np.random.default_rng(0))
    knots = [np.linspace(-1, 1, n, dtype=np.float32)[:, None] for n in (5, 9)]
    tables = encoders.tables([knots[0], None, knots[1], None])
    assert [len(table) for table in tables] == [5, 3, 9, 7]
    np.testing.assert_allclose(tables[0], encoders.of_numbers(np.stack([knots[0]] * 2))[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tables[2], encoders.of_numbers(np.stack([knots[1]] * 2))[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tables[3], encoders.of_codes(np.stack([encoders.codes[1]] * 2))[1], rtol=1e-5, atol=1e-5)


def test_decoding_finds_the_most_similar_category() -> None:
    rng = np.random.default_rng(0)
    decoder = CategoryDecoder.draw(5, SCMParams(), rng)
    x = rng.normal(size=(40, 32)).astype(np.float32)
    for row, category in zip(x, decoder(x), strict=True):
        hidden = decoder.function(row[None, None])[0, 0]
        assert max(range(5), key=lambda c: float(hidden @ decoder.codes[c])) == category


def test_random_sines_are_drawn_anew_for_each_layer() -> None:
    params = SCMParams(activation_choices=Choices("set", (RANDOM_SINES,)), activation_log_scale=0.0)
    y = Activations.draw(20, params, np.random.default_rng(0))(np.ones((20, 1, 1), dtype=np.float32))
    assert len(np.unique(y)) == 20
