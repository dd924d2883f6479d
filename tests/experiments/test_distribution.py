"""The comparison of two samples of databases, against scipy and by what it must and must not find."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from relbench.base import Database, Table
from scipy.stats import ks_2samp, kstest

from experiments.benchmarks.database_statistics import measure
from experiments.benchmarks.two_samples import compare, holm, permutation_ks


def test_one_value_a_database_is_the_usual_test() -> None:
    rng = np.random.default_rng(0)
    is_first = np.arange(60) < 25
    for shift in (0.0, 0.5, 1.5):
        values = np.round(rng.normal(size=60) + shift * is_first, 1)  # with ties
        distance, p = permutation_ks(values, np.arange(60), is_first, 4000, seed=1)
        expected = ks_2samp(values[is_first], values[~is_first], method="exact")
        assert distance == pytest.approx(expected.statistic)
        assert p <= expected.pvalue + 0.02  # scipy's takes ties for untied, which errs to larger p-values
        if shift == 1.5:
            assert p < 0.001


def test_columns_of_one_database_are_no_independent_draws() -> None:
    """Under the null, 100 alike columns in each of 30 databases: p is uniform, where the usual test always rejects."""
    rng = np.random.default_rng(1)
    databases = np.repeat(np.arange(30), 100)
    is_first = np.arange(30) < 15
    found, naive = [], []
    for seed in range(40):
        values = rng.normal(size=30)[databases] + 0.3 * rng.normal(size=3000)
        found.append(permutation_ks(values, databases, is_first, 200, seed)[1])
        naive.append(ks_2samp(values[is_first[databases]], values[~is_first[databases]]).pvalue)
    assert np.median(naive) < 1e-6
    assert kstest(found, "uniform").pvalue > 0.01


def test_databases_weigh_the_same_whatever_their_columns() -> None:
    """Ninety columns of one database move the distribution of its side no more than one column of another."""
    values = np.concatenate([[0.0, 0.0, 0.0], np.ones(90), [0.0, 0.0, 0.0, 0.0]])
    databases = np.concatenate([[0, 1, 2], np.full(90, 3), [4, 5, 6, 7]])
    distance, _ = permutation_ks(values, databases, np.arange(8) < 4, 10, seed=0)
    assert distance == pytest.approx(1 / 4)


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_compare_names_the_statistic_that_differs() -> None:
    rng = np.random.default_rng(2)
    rows = [
        (side, seed, statistic, rng.normal() + (statistic == "b" and side == "peer") * 3)
        for side in ("ours", "peer")
        for seed in range(40)
        for statistic in ("a", "b", "c")
    ]
    table = compare(pd.DataFrame(rows, columns=["side", "seed", "statistic", "value"]), 1000)
    assert table.set_index("statistic")["p_holm"].lt(0.05).to_dict() == {"a": False, "b": True, "c": False}


def shop() -> Database:
    rng = np.random.default_rng(3)
    size = rng.permutation(800) / 8.0
    parents = pd.DataFrame({"id": range(800), "size": size, "is_small": size < 50, "flat": 1.0})
    children = pd.DataFrame(
        {
            "id": range(1600),
            "shop": np.repeat(np.arange(800), 2),
            "day": pd.date_range("2020-01-01", periods=1600, freq="D"),
            "price": -(size[np.repeat(np.arange(800), 2)] ** 3),
        }
    )
    children.loc[:159, "price"] = np.nan
    return Database(
        {
            "shop": Table(parents, {}, "id", None),
            "sale": Table(children, {"shop": "shop"}, "id", "day"),
        }
    )


def test_measures_of_a_database_that_is_known() -> None:
    values = measure(shop()).groupby("statistic")["value"].apply(list)
    assert values["database: tables"] == [2] and values["database: days"] == [1599]
    assert values["table: rows, with a time"] == [1600]
    assert values["key: Gini index of degrees"] == pytest.approx([0.0])  # two children each
    assert values["key: log10 of the largest degree over the mean"] == pytest.approx([0.0])
    assert values["key: |correlation| of child's and parent's place"] == pytest.approx([1.0], abs=1e-5)
    assert sorted(values["number: share missing or infinite"]) == pytest.approx([0, 0, 0.1])
    assert sorted(values["number: constant"]) == [0, 0, 1]
    assert values["boolean: share of true"] == [0.5]
    assert values["boolean: entropy (bits)"] == pytest.approx([1.0])
    # size and is_small: one bit; a uniform number against which half it lies in: rank correlation sqrt(3) / 2
    assert values["within a table: mutual information (bits), median of pairs"] == pytest.approx([1.0], abs=0.01)
    assert values["within a table: |rank correlation|, median of pairs"] == pytest.approx([3**0.5 / 2], abs=0.01)
    # a falling function of the parent's number, but for the tenth that is missing
    assert 0.8 < values["child to parent: |rank correlation|, 90 % of pairs"][0] < 1
