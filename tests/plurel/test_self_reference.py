"""Keys of a table to itself: trees without cycles, whose rows take after their parents."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy import stats

from plurel import Choices, Config, SyntheticDataset
from plurel.config import DiversityParams
from plurel.edges import Values
from plurel.schema import max_foreign_keys
from plurel.self_reference import depths, draw_tree, inherit
from plurel.shaping import Shaping

SIZES = {
    "num_tables_choices": {"kind": "range", "value": [3, 4]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [150, 200]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [300, 400]},
}


def test_rows_point_to_earlier_rows_and_the_share_of_roots_holds() -> None:
    for seed in range(20):
        parents = draw_tree(5000, 0.2, np.random.default_rng(seed))
        assert parents[0] == -1 and (parents < np.arange(5000)).all()
        assert np.mean(parents < 0) == pytest.approx(0.2, abs=0.02)
        graph = nx.DiGraph([(int(p), i) for i, p in enumerate(parents) if p >= 0])
        assert nx.is_forest(graph) and nx.is_directed_acyclic_graph(graph)


def test_depths_are_those_of_a_walk_to_the_root() -> None:
    parents = draw_tree(400, 0.1, np.random.default_rng(0))

    def walk(row: int) -> int:
        return 0 if parents[row] < 0 else 1 + walk(parents[row])

    assert depths(parents).tolist() == [walk(row) for row in range(400)]


def test_trees_are_flat_or_deep() -> None:
    deepest = [depths(draw_tree(1000, 0.05, np.random.default_rng(seed))).max() for seed in range(30)]
    assert min(deepest) < 8 and max(deepest) > 15


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_scores_follow_the_parents_and_stay_standard_normal(share: float) -> None:
    rng = np.random.default_rng(0)
    parents, own = draw_tree(40000, 0.2, rng), rng.normal(size=40000)
    scores = inherit(own, parents, share)
    for row in (5, 77, 3000):  # the recursion, written out
        expected = own[row] if parents[row] < 0 else share * scores[parents[row]] + np.sqrt(1 - share**2) * own[row]
        assert scores[row] == pytest.approx(expected)
    child = np.flatnonzero(parents >= 0)
    slope = np.mean((scores[child] - share * scores[parents[child]]) * scores[parents[child]])
    assert slope == pytest.approx(0, abs=0.1)
    assert stats.kstest(own[child], stats.norm.cdf).pvalue > 1e-3
    assert np.var(scores[child] - share * scores[parents[child]]) == pytest.approx(1 - share**2, rel=0.05)


def test_a_columns_values_are_the_same_and_children_take_after_parents() -> None:
    rng = np.random.default_rng(0)
    tree = draw_tree(3000, 0.1, rng)
    shape = Shaping(0, [], tree).of_model(("table",))
    child, parent = np.flatnonzero(tree >= 0), tree[tree >= 0]
    changed = 0
    for node in range(30):
        numbers = Values(rng.exponential(size=3000).astype(np.float32), 0)
        classes = Values(rng.integers(0, 4, 3000), 4)
        for before in (numbers, classes):
            after = shape(node, before)
            np.testing.assert_array_equal(np.sort(after.data), np.sort(before.data))
            if after is before:
                continue
            changed += 1
            if before.num_categories:
                alike = np.mean(after.data[child] == after.data[parent])
                assert alike > np.mean(before.data[child] == before.data[parent]) + 0.02
            else:
                assert stats.spearmanr(after.data[child], after.data[parent]).statistic > 0.2
    assert 15 < changed < 45


def test_databases_with_self_references() -> None:
    config = Config.from_dict(
        {"database_params": SIZES, "diversity_params": {"self_reference_prob": 1.0, "creation_time_prob": 0.5}}
    )
    for seed in range(4):
        for name, table in SyntheticDataset(seed, config).make_db().table_dict.items():
            (key,) = [col for col, parent in table.fkey_col_to_pkey_table.items() if parent == name]
            known = table.df[table.df[key].notna()]
            assert (known[key].astype(int) < known.row_idx).all()
            assert table.df[key].isna().iloc[0] and 0 < len(known) < len(table)
            if table.time_col is not None:
                assert (table.df.date.to_numpy()[known[key].astype(int)] <= known.date.to_numpy()).all()
        assert (
            max_foreign_keys(seed, config) == max_foreign_keys(seed, Config.from_dict({"database_params": SIZES})) + 1
        )


def test_other_columns_keep_their_values_where_only_self_references_are_on() -> None:
    """Tables above have the same keys, and every column the same values in another order, or untouched."""
    plain = Config.from_dict({"database_params": SIZES})
    config = Config(
        database_params=plain.database_params,
        diversity_params=DiversityParams(self_reference_prob=1.0, root_choices=Choices("range", (1.0, 1.0))),
    )
    for seed in range(3):  # all rows are roots: nobody takes after anybody
        first, second = (SyntheticDataset(seed, c).make_db().table_dict for c in (plain, config))
        for name, table in first.items():
            own = [col for col in second[name].df if col in table.df]
            assert own == list(table.df)
            assert second[name].df[own].equals(table.df)
