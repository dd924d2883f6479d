"""What the prior `diverse` adds to `main`: each option against its definition, and all off against main."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench
from relbench.manifest import validate_dataset_manifest
from scipy import stats

from plurel import Choices, Config, SyntheticDataset, generate_corpus
from plurel.aggregate import AGGREGATIONS
from plurel.columns import heavy_tailed, to_column, to_integers, zero_inflated
from plurel.config import DiversityParams
from plurel.edges import ForeignMessages, Values
from plurel.hidden_state import HIDDEN_STATES, draw_states, states_of_children
from plurel.kernels.join import join
from plurel.shaping import entangle
from plurel.words import WORDS, words

SIZES = {
    "num_tables_choices": {"kind": "range", "value": [3, 5]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [30, 40]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [600, 800]},
    "num_cols_choices": {"kind": "range", "value": [4, 8]},
}


def prior(name: str = "small", base: str = "main", **diversity: object) -> Config:
    config = Config.preset(base)
    database = Config.from_dict({"database_params": SIZES}).database_params
    params = dataclasses.replace(config.diversity_params, **diversity)
    return dataclasses.replace(config, name=name, database_params=database, diversity_params=params)


def test_all_off_is_main() -> None:
    diverse = Config.preset("diverse")
    assert dataclasses.replace(diverse, diversity_params=DiversityParams(), name="main") == Config()


def history_correlations(config: Config, seeds: range) -> list[float]:
    """Rank correlation between a number and the mean of the same parent's earlier ones, over activity tables."""
    found = []
    for seed in seeds:
        for table in SyntheticDataset(seed, config).make_db().table_dict.values():
            if table.time_col is None:
                continue
            for fkey in table.fkey_col_to_pkey_table:
                for column in [c for c in table.df if str(c).startswith("feature") and table.df[c].dtype.kind == "f"]:
                    values = table.df[column].rank()
                    past = values.groupby(table.df[fkey]).transform(lambda v: v.expanding().mean().shift())
                    known = past.notna() & values.notna()
                    if known.sum() > 100 and values[known].nunique() > 1:
                        found.append(stats.spearmanr(values[known], past[known]).statistic)
    return [abs(f) for f in found if np.isfinite(f)]


def test_hidden_states_let_an_entitys_past_tell_its_future() -> None:
    """In the median over columns, more than without them; the parents' own columns are the same in both."""
    with_states = prior(hidden_state_prob=1.0, hidden_state_choices=Choices("set", ("constant",)))
    found, reference = (history_correlations(c, range(12)) for c in (with_states, prior()))
    assert len(found) > 30
    assert np.median(found) > 1.3 * np.median(reference)
    roots = [
        {n: t.df for n, t in SyntheticDataset(1, c).make_db().table_dict.items() if not t.fkey_col_to_pkey_table}
        for c in (with_states, prior())
    ]
    for name, frame in roots[0].items():
        pd.testing.assert_frame_equal(frame, roots[1][name])


@pytest.mark.parametrize("kind", sorted(HIDDEN_STATES))
def test_states_move_as_their_names_say(kind: str) -> None:
    states = draw_states(4000, kind, np.random.default_rng(0))
    first, last = states[:, 0], states[:, -1]
    assert stats.kstest(first, stats.norm.cdf).pvalue > 1e-4
    changes = (np.diff(states, axis=1) != 0).sum(axis=1)
    if kind == "constant":
        assert changes.max() == 0
    elif kind == "switch":
        assert max(len(np.unique(row)) for row in states[:200]) == 2
        assert changes.mean() == pytest.approx(3 * 63 / 64, rel=0.05)
    else:
        assert np.var(last - first) == pytest.approx(2.0**2 * 63 / 64, rel=0.1)


def test_children_read_their_parents_state_at_their_time() -> None:
    states = np.arange(12, dtype=np.float32).reshape(3, 4)
    read = states_of_children(states, np.array([2, 0, 1, -1, 2]), np.array([0.0, 0.3, 0.5, 0.9, 1.0]))
    np.testing.assert_array_equal(read, [8, 1, 6, 0, 11])


def test_entangled_values_keep_their_distribution_and_part_of_their_causes() -> None:
    """A Gaussian copula: both rank correlations are those of the mixture's normal scores."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        data, state = rng.exponential(size=4000), rng.normal(size=4000).astype(np.float32)
        weight, share = (lambda r: (r.normal(size=1)[0], [r.random(4000), r.random(4000), r.uniform(0.3, 0.95)][2]))(
            np.random.default_rng(seed)
        )
        dealt = entangle(data, [state], np.random.default_rng(seed))
        np.testing.assert_array_equal(np.sort(dealt), np.sort(data))
        for other, expected in ((state * np.sign(weight), share), (data, np.sqrt(1 - share**2))):
            rank_correlation = 6 / np.pi * np.arcsin(expected / 2)  # of a Gaussian copula
            assert stats.spearmanr(dealt, other).statistic == pytest.approx(rank_correlation, abs=0.05)


@pytest.mark.parametrize("aggregation", sorted(AGGREGATIONS))
def test_a_missing_key_says_nothing(aggregation: str) -> None:
    """A row without parent hears what it would hear without the foreign key."""
    params, rng = Config().scm_params, np.random.default_rng(0)
    columns = [Values(rng.normal(size=9).astype(np.float32), 0) for _ in range(6)]
    own = rng.normal(size=(9, params.mlp_emb_dim)).astype(np.float32)
    foreign = ForeignMessages(0, "a", "b", "key", columns, np.array([3, -1, 5]), params)
    tables = np.concatenate([own, foreign.table(aggregation)])
    places = np.array([[1, 2, 4], foreign.rows], dtype=np.float32)
    with_key, without = np.empty((2, 3, params.mlp_emb_dim), dtype=np.float32)
    for starts, out in (([0, 9], with_key), ([0], without)):
        join(tables, np.array(starts), places, np.arange(len(starts)), 0, AGGREGATIONS.index(aggregation), out)
    np.testing.assert_allclose(with_key[1], without[1], rtol=1e-6, atol=1e-6)
    assert not np.allclose(with_key[0], without[0])


def test_missing_keys_are_as_many_as_the_prior_says() -> None:
    config = prior(nullable_key_prob=1.0, missing_key_choices=Choices("range", (0.2, 0.2)))
    for seed in range(3):
        for table in SyntheticDataset(seed, config).make_db().table_dict.values():
            for fkey in table.fkey_col_to_pkey_table:
                if len(table) > 500:
                    assert table.df[fkey].isna().mean() == pytest.approx(0.2, abs=0.06)
                assert table.df[fkey].dropna().between(0, 40).all()


def test_shapes_of_numbers() -> None:
    x = np.random.default_rng(0).normal(3, 2, 5000)
    tailed = heavy_tailed(x)
    assert stats.spearmanr(x, tailed).statistic == pytest.approx(1)
    assert stats.kurtosis(tailed) > 5
    zeros = zero_inflated(x, 0.6)
    assert np.mean(zeros == 0) == pytest.approx(0.6, abs=0.001)
    np.testing.assert_allclose(zeros[zeros > 0], (x - np.quantile(x, 0.6))[zeros > 0])
    whole = to_integers(x, 10.0)
    assert whole.dtype == np.int64
    np.testing.assert_allclose(whole, x / x.std() * 10, atol=0.5)


def test_columns_by_option() -> None:
    rng = np.random.default_rng(0)
    numbers, classes = Values(rng.normal(size=2000).astype(np.float32), 0), Values(rng.integers(0, 5, 2000), 5)
    text = to_column(classes, 0.1, prior(text_prob=1.0), rng)
    assert len(set(zip(text, classes.data, strict=True))) == len(set(text)) == 5
    assert set(text) <= set(WORDS)
    whole = to_column(numbers, 0.1, prior(integer_prob=1.0), rng)
    assert str(whole.dtype) == "Int64"
    assert whole.isna().mean() == pytest.approx(0.1, abs=0.03)
    plain = prior(missing_by_value_prob=1.0)
    identity = dataclasses.replace(plain.database_params, col_transform_choices=Choices("set", ("identity",)))
    cells = to_column(numbers, 0.1, dataclasses.replace(plain, database_params=identity), rng)
    missing = np.isnan(cells)
    assert missing.mean() == pytest.approx(0.1, abs=0.03)
    assert stats.ks_2samp(numbers.data[missing], numbers.data[~missing]).pvalue < 1e-6


def test_words_are_distinct_however_many() -> None:
    for count in (1, 200, 500):
        assert len(set(words(count, np.random.default_rng(0)))) == count


def test_relbench_reads_diverse_databases(tmp_path: Path) -> None:
    kinds = set()
    for folder in generate_corpus(tmp_path, range(6), prior("diverse", "diverse"), progress=False):
        dataset = relbench.load_dataset(folder)
        validate_dataset_manifest(dataset.manifest, dataset.db_dir)
        for table in dataset.get_db().table_dict.values():
            kinds |= {str(dtype) for dtype in table.df.dtypes}
            for fkey, parent in table.fkey_col_to_pkey_table.items():
                assert table.df[fkey].dropna().between(0, len(dataset.get_db().table_dict[parent]) - 1).all()
    assert {"bool", "float64"} < kinds
    assert any("str" in kind or "object" in kind for kind in kinds)
