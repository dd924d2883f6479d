"""Activations, initialisers and random functions against torch and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from plurel import Choices
from plurel.activations import ACTIVATION_NAMES, ACTIVATIONS
from plurel.config import Config, SCMParams
from plurel.functions import draw_functions, draw_perceptrons
from plurel.initialisers import INITIALISERS
from plurel.kernels.activate import FORMULAS, activate, draw_sines
from plurel.kernels.bits import draw_streams
from plurel.kernels.node import codes_of, encode
from plurel.kernels.perceptron import LAYER_WORDS, SINES, Perceptrons, draw_layers, evaluate
from plurel.kernels.weights import draw_matrix

NO_CODES = np.empty((0, 32), dtype=np.float32)
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


def activated(name: str, x: np.ndarray, gain: float = 1.0, limit: float = 1e15, seed: int = 0) -> np.ndarray:
    """The activation of a name, by the kernel."""
    formula, a, b = ACTIVATIONS[name]
    (stream,) = draw_streams(1, np.random.default_rng(seed))
    y = x.copy()
    activate(y, FORMULAS.index(formula), *np.array([a, b, gain, limit], dtype=np.float32), stream, 0)
    return y


def drawn(name: str, shape: tuple[int, int], count: int, density: float = 1.0, seed: int = 0) -> np.ndarray:
    """`count` matrices of an initialiser; float32 (count, *shape)."""
    out = np.empty((count, *shape), dtype=np.float32)
    for matrix, stream in zip(out, draw_streams(count, np.random.default_rng(seed)), strict=True):
        draw_matrix(matrix, INITIALISERS.index(name), np.float32(density), stream, 0)
    return out


def test_there_are_the_29_activations_of_the_newer_prior() -> None:
    assert len(ACTIVATION_NAMES) == len(set(ACTIVATION_NAMES)) == 29


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"random_sines"}))
def test_activations_are_torchs(name: str) -> None:
    x = np.concatenate([np.linspace(-6, 6, 101), [-1e6, -90, -1e-5, 1e-5, 90, 1e6]]).astype(np.float32)
    expected = IN_TORCH.get(name, getattr(F, name, None))(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(activated(name, x), expected, rtol=1e-5, atol=1e-6)
    limited = activated(name, x, gain=2.0, limit=3.0)
    np.testing.assert_allclose(limited, np.clip(2 * expected, -3, 3), rtol=1e-5, atol=2e-6)


def test_random_sines_are_the_sum_they_say() -> None:
    x = np.linspace(-5, 5, 41, dtype=np.float32)
    for seed in range(20):
        (stream,) = draw_streams(1, np.random.default_rng(seed))
        amplitudes, frequencies, phases = draw_sines(stream, 0).astype(float).T
        parts = zip(amplitudes, frequencies, phases, strict=True)
        expected = sum(a * np.sin(f * x.astype(float) + p) for a, f, p in parts)
        np.testing.assert_allclose(activated("random_sines", x, seed=seed), expected, atol=2e-5)


def test_random_sines_have_their_distributions() -> None:
    drawn = [draw_sines(stream, 0) for stream in draw_streams(1500, np.random.default_rng(0))]
    assert stats.chisquare(np.bincount([len(sines) for sines in drawn], minlength=8)[3:]).pvalue > 1e-4
    amplitudes, frequencies, phases = np.concatenate(drawn).T
    assert stats.kstest(amplitudes, stats.norm.cdf).pvalue > 1e-4
    assert stats.kstest(np.log10(frequencies), stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert stats.kstest(phases, stats.uniform(0, 2 * np.pi).cdf).pvalue > 1e-4


TORCH_INITIALISERS = {
    "kaiming_normal": torch.nn.init.kaiming_normal_,
    "kaiming_uniform": torch.nn.init.kaiming_uniform_,
    "xavier_normal": torch.nn.init.xavier_normal_,
    "xavier_uniform": torch.nn.init.xavier_uniform_,
    "truncated_normal": torch.nn.init.trunc_normal_,
    "sparse": lambda w: torch.nn.init.sparse_(w, sparsity=0.5),
}


@pytest.mark.parametrize("name", sorted(INITIALISERS))
@pytest.mark.parametrize("shape", [(1, 32), (32, 32), (32, 1), (3, 5)])
def test_initialisers_have_torchs_distribution(name: str, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    repeats = max(1, 20_000 // (shape[0] * shape[1]))
    ours = drawn(name, shape, repeats).ravel()
    theirs = np.concatenate([TORCH_INITIALISERS[name](torch.empty(shape)).numpy().ravel() for _ in range(repeats)])
    assert np.mean(ours == 0) == pytest.approx(np.mean(theirs == 0), abs=1e-12)
    if np.any(ours != 0):
        assert stats.ks_2samp(ours[ours != 0], theirs[theirs != 0]).pvalue > 1e-4


@pytest.mark.parametrize("name", ["kaiming_normal", "kaiming_uniform", "truncated_normal"])
def test_weights_are_independent(name: str) -> None:
    """Entries of a matrix, of other matrices, and of the pairs that normal numbers are made in."""
    weights = drawn(name, (8, 8), 6000).reshape(6000, 64)
    correlations = np.corrcoef(np.concatenate([weights, weights**2], axis=1).T)
    of_others = np.arange(128) % 64 != np.arange(128)[:, None] % 64
    assert np.abs(correlations[of_others]).max() < 5.5 / np.sqrt(6000)
    assert abs(np.corrcoef(weights[:-1].ravel(), weights[1:].ravel())[0, 1]) < 5 / np.sqrt(weights.size)


def test_sparse_weights_keep_half_of_each_column() -> None:
    weights = drawn("sparse", (32, 8), 2000)
    kept_a_column = np.count_nonzero(weights, axis=1)
    assert kept_a_column.max() == 16
    assert np.mean(kept_a_column == 16) > 0.999  # one normal number in 16 million is 0
    assert len({tuple(column) for column in (weights[0] != 0).T}) == 8
    kept = np.count_nonzero(weights, axis=(0, 2))  # of 16,000 columns each row is kept in half of them
    assert np.abs(kept / 16_000 - 0.5).max() < 5 * 0.5 / np.sqrt(16_000)


def test_thinned_weights_keep_their_mean() -> None:
    """A part of the entries is 0, the rest 1 / density times as large."""
    for density in (0.3, 0.7, 1.0):
        weights = drawn("kaiming_uniform", (200, 100), 5, density)
        assert np.mean(weights != 0) == pytest.approx(density, abs=0.01)
        kept = weights[weights != 0]
        bound = np.sqrt(6 / 100) / density
        assert stats.kstest(kept[:20_000], stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4


def by_layers(functions: Perceptrons, number: int, x: np.ndarray, d_out: int) -> np.ndarray:
    """A perceptron with numpy, one layer after another; (rows, inputs) -> (rows, outputs)."""
    h, depth = x.astype(np.float32), functions.depths[number]
    names = {FORMULAS.index(formula): formula for formula in FORMULAS}
    for layer in range(depth):
        weight = np.empty((h.shape[1], d_out if layer == depth - 1 else functions.width), dtype=np.float32)
        initialiser, density = functions.initialisers[number, layer], functions.densities[number, layer]
        draw_matrix(weight, initialiser, density, functions.streams[number], layer * LAYER_WORDS)
        h = h @ weight
        if layer < depth - 1:
            y = np.ascontiguousarray(h).ravel()
            a, b = functions.coefficients[number, layer]
            formula, stream = functions.formulas[number, layer], functions.streams[number]
            assert formula in names
            one, limit = np.float32(1), np.float32(np.inf)
            activate(y, formula, a, b, one, limit, stream, layer * LAYER_WORDS + SINES)
            h = np.clip(functions.gains[number, layer] * y.reshape(h.shape), -functions.limit, functions.limit)
    return h


@pytest.mark.parametrize("d_in", [1, 3, 32])
def test_perceptrons_are_their_layers_one_by_one(d_in: int) -> None:
    functions = draw_perceptrons(40, SCMParams(), np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(7, d_in)).astype(np.float32)
    for number in range(40):
        layers = draw_layers(functions, number, d_in, 5, NO_CODES)
        y = evaluate(functions, number, layers, np.ascontiguousarray(x.T)).T
        np.testing.assert_allclose(y, by_layers(functions, number, x, 5), rtol=2e-3, atol=1e-4)


def test_choices_of_perceptrons_are_drawn_alike_for_each_layer() -> None:
    functions = draw_perceptrons(4000, SCMParams(), np.random.default_rng(0))
    assert stats.chisquare(np.bincount(functions.depths, minlength=5)[2:]).pvalue > 1e-4
    for layer in range(4):
        assert stats.chisquare(np.bincount(functions.initialisers[:, layer], minlength=6)).pvalue > 1e-4
        assert stats.kstest(functions.densities[:, layer], stats.uniform(0.3, 0.7).cdf).pvalue > 1e-4
    for layer in range(3):
        assert stats.kstest(np.log(functions.gains[:, layer]), stats.uniform(-1, 2).cdf).pvalue > 1e-4
        drawn = {
            tuple(row) for row in zip(functions.formulas[:, layer], *functions.coefficients[:, layer].T, strict=True)
        }
        assert len(drawn) == len(set(ACTIVATIONS.values()))
    paper = draw_perceptrons(9, Config.preset("paper").scm_params, np.random.default_rng(0))
    assert (paper.depths == 2).all()
    assert (paper.gains == 1).all()
    assert (paper.densities == 1).all()


def test_activations_are_drawn_alike() -> None:
    """hardtanh and clamp, elu and celu are one function each, so these weigh double."""
    functions = draw_perceptrons(20_000, SCMParams(), np.random.default_rng(0))
    seen: dict[tuple, int] = {}
    for row in zip(functions.formulas[:, 0].tolist(), *functions.coefficients[:, 0].T.tolist(), strict=True):
        seen[row] = seen.get(row, 0) + 1
    expected: dict[tuple, float] = {}
    for formula, a, b in ACTIVATIONS.values():
        key = (FORMULAS.index(formula), float(np.float32(a)), float(np.float32(b)))
        expected[key] = expected.get(key, 0) + 20_000 / 29
    assert set(seen) == set(expected)
    assert stats.chisquare([seen[k] for k in expected], list(expected.values())).pvalue > 1e-4


def test_encoders_are_perceptrons_over_numbers_or_codes() -> None:
    functions = draw_functions([0, 3, 0, 7], SCMParams(), np.random.default_rng(0))
    knots = np.linspace(-1, 1, 5, dtype=np.float32)
    for number, count in enumerate([0, 3, 0, 7]):
        inputs = codes_of(functions, number) if count else knots[:, None]
        assert len(inputs) == (count or 5)
        expected = by_layers(functions.perceptrons, number, inputs, 32)
        np.testing.assert_allclose(encode(functions, number, knots).T, expected, rtol=2e-3, atol=1e-4)


def test_codes_have_no_thinning_and_differ() -> None:
    params = SCMParams(initialization_choices=Choices("set", ("kaiming_normal",)))
    functions = draw_functions([5, 5], params, np.random.default_rng(0))
    one, two = codes_of(functions, 0), codes_of(functions, 1)
    assert (one != 0).all()
    assert not np.isin(one, two).any()


def test_decoding_takes_products_with_the_codes() -> None:
    functions = draw_functions([5] * 10, SCMParams(), np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(40, 32)).astype(np.float32)
    for number in range(10):
        codes = codes_of(functions, number)
        layers = draw_layers(functions.perceptrons, number, 32, 32, codes)
        products = evaluate(functions.perceptrons, number, layers, np.ascontiguousarray(x.T)).T
        expected = by_layers(functions.perceptrons, number, x, 32) @ codes.T
        np.testing.assert_allclose(products, expected, rtol=2e-3, atol=1e-3 * np.abs(expected).max())
