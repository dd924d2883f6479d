"""Columns that sum up children: what duckdb makes of the written tables, and nothing from after the snapshot."""

from __future__ import annotations

import dataclasses

import duckdb
import numpy as np
import pytest

from plurel import Choices, Config, SyntheticDataset
from plurel.child_aggregates import AGGREGATES, aggregate, snapshot

SIZES = {
    "num_tables_choices": {"kind": "range", "value": [3, 4]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [40, 60]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [200, 300]},
    "num_cols_choices": {"kind": "range", "value": [3, 6]},
}
PRIOR = Config.from_dict(
    {
        "database_params": SIZES,
        "diversity_params": {"child_aggregate_prob": 1.0, "event_time_prob": 0.5, "nullable_key_prob": 0.3},
    }
)
# by the values' names in SQL; ties of time are broken by the row's number
_SQL = {
    "count": "COUNT(e.row_idx)",
    "mean": "AVG(e.{c})",
    "latest": "ARG_MAX(e.{c}, e.row_idx) FILTER (WHERE e.{c} IS NOT NULL)",
}


def of_kind(kind: str, **diversity: object) -> Config:
    params = dataclasses.replace(PRIOR.diversity_params, aggregate_choices=Choices("set", (kind,)), **diversity)
    return dataclasses.replace(PRIOR, diversity_params=params)


@pytest.mark.parametrize("kind", AGGREGATES)
def test_columns_are_what_sql_makes_of_the_children(kind: str) -> None:
    num_found = 0
    for seed in range(3):
        dataset = SyntheticDataset(seed, of_kind(kind))
        tables, until = dataset.make_db().table_dict, snapshot(seed, dataset.config, dataset.schema)
        own = {table.name: table for table in dataset.schema.tables}
        added = {name: [c for c in t.df if c.startswith("feature_")] for name, t in tables.items()}
        added = {name: [c for c in cs if int(c[8:]) >= own[name].num_columns] for name, cs in added.items()}
        for name, columns in added.items():
            children = [(c, f) for c, t in own.items() for f, p in t.fkeys.items() if p == name]
            assert len(columns) <= len(children)
            for column in columns:
                num_found += 1
                values = tables[name].df[column].to_numpy(dtype=float, na_value=np.nan)
                is_equal = [
                    _same(values, answer)
                    for child, fkey in children
                    for answer in _answers(tables, own, name, child, fkey, kind, until)
                ]
                assert any(is_equal), f"{seed} {name}.{column}"
    assert num_found >= 3


def _answers(tables, own, parent, child, fkey, kind, until):
    """The summary by every number column of a child table up to the snapshot, for duckdb to make."""
    e, p = tables[child].df, tables[parent].df  # noqa: F841 (duckdb reads them by name)
    numbers = [f"feature_{i}" for i in range(own[child].num_columns)]
    numbers = [c for c in numbers if c in e and e[c].dtype.kind == "f"]
    timed = tables[child].time_col is not None
    when = f"AND e.date <= TIMESTAMP '{until}'" if timed else ""
    kinds = ["count"] if kind == "count" or not numbers else [kind if timed or kind != "latest" else "mean"]
    for what in [_SQL[kinds[0]].format(c=c) for c in (numbers or [""])]:
        yield (
            duckdb.sql(
                f"SELECT p.row_idx, {what} AS x FROM p LEFT JOIN e ON e.{fkey} = p.row_idx {when} "
                "GROUP BY p.row_idx ORDER BY p.row_idx"
            )
            .df()["x"]
            .to_numpy(dtype=float, na_value=np.nan)
        )


def _same(values: np.ndarray, answer: np.ndarray) -> bool:
    return np.array_equal(np.isnan(values), np.isnan(answer)) and np.allclose(values, answer, rtol=1e-9, equal_nan=True)


def test_the_snapshot_is_a_day_before_the_validation_timestamp() -> None:
    for seed in range(30):
        dataset = SyntheticDataset(seed, PRIOR)
        day = snapshot(seed, PRIOR, dataset.schema)
        assert dataset.schema.start <= day < dataset.val_timestamp and day == day.normalize()


def test_rows_with_a_time_get_none() -> None:
    """Nothing points to them before they exist; a table without time and children with one do not change them."""
    with_times = of_kind("count", creation_time_prob=1.0)
    for seed in range(2):
        dataset = SyntheticDataset(seed, with_times)
        frames = {name: table.df for name, table in dataset.make_db().table_dict.items()}
        for table in dataset.schema.tables:
            names = [c for c in frames[table.name] if c.startswith("feature_")]
            assert all(int(c[8:]) < table.num_columns for c in names)


def test_other_columns_are_untouched() -> None:
    off = dataclasses.replace(
        PRIOR, diversity_params=dataclasses.replace(PRIOR.diversity_params, child_aggregate_prob=0.0)
    )
    for seed in range(3):
        on, plain = (SyntheticDataset(seed, c).make_db().table_dict for c in (PRIOR, off))
        for name, table in plain.items():
            assert on[name].df[list(table.df)].equals(table.df)


def test_aggregates_that_tell_nothing_are_left_out() -> None:
    none = np.zeros(0, dtype=np.int64)
    for kind in AGGREGATES:
        assert aggregate(kind, none, np.zeros(0), 5) is None
    assert aggregate("count", np.array([0, 1, 2]), None, 3) is None
    assert aggregate("latest", np.array([0, 1, 0]), np.array([1.0, 2.0, np.nan]), 3).tolist()[:2] == [1.0, 2.0]
