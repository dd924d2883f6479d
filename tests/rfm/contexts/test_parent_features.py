"""What the rows around a seed's parents were like, against plain loops over random databases."""

from __future__ import annotations

import numpy as np
import pytest

from rfm.parent_features import ACTIVITY, MAX_FEATURES, VALUES, ParentFeatures
from rfm.sampler import ContextSampler
from rfm.store import SemType


@pytest.mark.parametrize("task", [None, "alpha", "gamma"])
@pytest.mark.parametrize("protocol", ["paper", "temporal"])
def test_features_by_their_definition(random_toy, draw_seeds, plain_parent_features, task, protocol) -> None:
    rng = np.random.default_rng(3)
    num_children = 0
    for database_seed in range(200, 260):
        database = random_toy(database_seed)
        sampler = ContextSampler(database.store, ctx_len=1, task=task, split="train", protocol=protocol)
        rows, columns = draw_seeds(database, task, "train", rng, 8)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            features = ParentFeatures(database.store, sampler._graph, sampler._rules, column)
            until = int(rng.integers(0, 13))
            (found,) = features.before(np.array([row]), np.array([until]))
            want = plain_parent_features(database, task, protocol, row, column, until)
            np.testing.assert_allclose(found, [value for value, _ in want], rtol=1e-5, atol=1e-5)
            assert features.kinds.tolist() == [kind for _, kind in want]
            num_children += int(np.any(found > 0))
    assert num_children > 20


def test_the_target_and_what_follows_it_change_nothing(make_toy, toy_row) -> None:
    columns = {"user": [("age", SemType.NUMBER)], "visit": [("spend", SemType.NUMBER), ("late", SemType.BOOLEAN)]}

    def features(spend: float, later: float) -> np.ndarray:
        rows = [toy_row("user", cells={0: 0.5})]
        rows += [toy_row("visit", time=t, cells={1: spend, 2: later if t > 4 else 1.0}, parents=(0,)) for t in range(9)]
        store = make_toy(columns, {"visit": ["user"]}, rows, []).store
        sampler = ContextSampler(store, ctx_len=1)
        return ParentFeatures(store, sampler._graph, sampler._rules, 1).before(np.array([5]), np.array([4]))

    np.testing.assert_array_equal(features(1.0, 1.0), features(-3.0, 0.0))
    assert features(1.0, 1.0).shape == (1, 1 + 3 + 1)


def test_wide_tables_keep_equally_many_columns(make_toy, toy_row) -> None:
    columns = {
        "user": [(f"u{i}", SemType.NUMBER) for i in range(40)],
        "visit": [(f"v{i}", SemType.NUMBER) for i in range(50)],
    }
    rows = [toy_row("user", cells={i: 1.0 for i in range(40)})]
    rows += [toy_row("visit", time=t, cells={40 + i: 1.0 for i in range(50)}, parents=(0,)) for t in range(3)]
    store = make_toy(columns, {"visit": ["user"]}, rows, []).store
    sampler = ContextSampler(store, ctx_len=1)
    features = ParentFeatures(store, sampler._graph, sampler._rules, 40)
    assert (features.kinds == VALUES).sum() == (features.kinds == ACTIVITY).sum() - 3 == 30 < MAX_FEATURES / 2
