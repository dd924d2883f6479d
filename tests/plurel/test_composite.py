"""Composite mechanisms: each against its formula, evaluated row by row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from plurel import Choices, Config, SyntheticDataset
from plurel.composite import MECHANISMS, composite, decision_tree, interaction, periodic, threshold
from plurel.config import DiversityParams
from plurel.edges import Places, Values


def test_a_tree_is_walked_from_the_root_for_every_row() -> None:
    for seed in range(10):
        scores = np.random.default_rng(100 + seed).random((3, 200)).astype(np.float32)
        found = decision_tree(scores, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)  # the same draws again
        depth = int(rng.integers(2, 5))
        inner = 2**depth - 1
        feature, place, leaves = rng.integers(3, size=inner), rng.uniform(0.1, 0.9, inner), rng.normal(size=inner + 1)
        for row in range(200):
            node = 0
            for _ in range(depth):
                node = 2 * node + 2 if scores[feature[node], row] > place[node] else 2 * node + 1
            assert found[row] == leaves[node - inner]


def test_sklearn_finds_the_tree() -> None:
    """A tree that is fitted to one half of the rows predicts the other; a line does not."""
    scores = np.random.default_rng(0).random((2, 4000)).astype(np.float32)
    values = decision_tree(scores, np.random.default_rng(3))
    fitted = DecisionTreeRegressor().fit(scores.T[:2000], values[:2000])
    assert fitted.score(scores.T[2000:], values[2000:]) > 0.95
    line = np.column_stack([scores.T, np.ones(4000)])
    rest = values - line @ np.linalg.lstsq(line, values, rcond=None)[0]
    assert rest.var() > 0.1 * values.var()


def test_interactions_are_products() -> None:
    """A bilinear form: its mixed second difference is constant, and there is no effect of one parent alone."""
    grid = np.array([[0.2, 0.2, 0.7, 0.7, 0.5, 0.3], [0.4, 0.9, 0.4, 0.9, 0.8, 0.5]], dtype=np.float32)
    for seed in range(20):
        values = interaction(grid, np.random.default_rng(seed))
        assert values[4] == pytest.approx(0, abs=1e-6) and values[5] == pytest.approx(0, abs=1e-6)  # a factor of 0
        assert abs(values[0] - values[1] - values[2] + values[3]) > 0


def test_steps_and_waves() -> None:
    scores = np.linspace(0, 1, 1001, dtype=np.float32)[None]
    for seed in range(20):
        steps = threshold(scores, np.random.default_rng(seed))
        assert 2 <= len(np.unique(steps.round(9))) <= 4
        assert (steps[:100] == 0).all()  # no step is at the ends
        wave = periodic(scores, np.random.default_rng(seed))
        assert (np.diff(np.sign(np.diff(wave))) != 0).sum() >= 1  # turns at least once
    many = [(np.diff(np.sign(np.diff(periodic(scores, np.random.default_rng(s))))) != 0).sum() for s in range(50)]
    assert np.mean(many) > 3


def test_scores_of_columns() -> None:
    rng, places = np.random.default_rng(0), Places(2, 500, 0)
    numbers, classes = Values(rng.exponential(size=500).astype(np.float32), 0), Values(rng.integers(0, 5, 500), 5)
    places.put(0, numbers)
    places.put(1, classes)
    scores = places.scores(0, True, rng)
    np.testing.assert_allclose(scores, np.argsort(np.argsort(numbers.data)) / 499, atol=1e-6)
    scores = places.scores(1, False, rng)
    assert len(set(zip(scores.tolist(), classes.data.tolist(), strict=True))) == len(set(scores.tolist())) == 5


@pytest.mark.parametrize("kind", sorted(MECHANISMS))
def test_values_are_signal_and_noise(kind: str) -> None:
    scores = np.random.default_rng(1).random((4, 3000)).astype(np.float32)
    shares = []
    for seed in range(20):
        values, count = composite(kind, scores, 0, np.random.default_rng(seed))
        signal = MECHANISMS[kind](scores, np.random.default_rng(seed))
        assert count == 0 and values.dtype == np.float32
        shares.append(np.corrcoef(values, signal)[0, 1] ** 2)
        classes, count = composite(kind, scores, 4, np.random.default_rng(seed))
        assert count == 4 and set(np.unique(classes)) <= set(range(4)) and classes.dtype == np.int64
    assert min(shares) > 0.6 and max(shares) > 0.98


def test_databases_of_composite_nodes_alone() -> None:
    """Children hear their parents through foreign keys, and both ways of propagation work."""
    config = Config.from_dict({"database_params": {"num_tables_choices": {"kind": "range", "value": [3, 3]}}})
    for mode in ("type_eager", "type_lazy"):
        scm = dataclasses.replace(config.scm_params, propagation_mode_choices=Choices("set", (mode,)))
        all_on = dataclasses.replace(config, scm_params=scm, diversity_params=DiversityParams(composite_prob=1.0))
        for table in SyntheticDataset(0, all_on).make_db().table_dict.values():
            numbers = table.df.select_dtypes("float")
            assert np.isfinite(numbers.to_numpy()[numbers.notna()]).all()
