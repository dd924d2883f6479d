"""What a CHECK is read as, against SQLite's own judgement of every row of a small table; and rows that are repaired."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurel import PlurelError, schema_from_sql
from plurel.sql.cases import groups
from plurel.sql.repair import holds, repair
from plurel.sql.schema import Case, Check, Domain, SqlTable

TABLE = """CREATE TABLE t (a INTEGER, b INTEGER, s VARCHAR(3), f BOOLEAN, d DATE, e DATE, CHECK ({}));"""
ROWS = list(
    itertools.product(
        [None, -1, 0, 1, 2], [None, 0, 1, 3], [None, "", "u", "vv"], [None, False, True], [None, "2020-01-01"],
        ["2019-12-31", "2020-01-01", "2020-01-02"],
    )
)  # fmt: skip
ATOMS = [
    "a > 0", "a >= 1", "NOT a < 2", "0 < a", "a BETWEEN 0 AND 1", "a NOT BETWEEN 0 AND 1", "a IN (0, 2)", "a = 1",
    "a NOT IN (0, 2)", "a <> 1", "a IS NULL", "a IS NOT NULL", "a < b", "a <= b", "b < a", "a <> b", "b >= 1.5",
    "length(s) >= 1", "length(s) < 2", "s = 'u'", "s IN ('u', 'vv')", "s <> ''", "s IS NULL", "f", "NOT f", "f = TRUE",
    "f IS TRUE", "f IS NOT TRUE", "d < e", "d >= e", "d > '2019-12-31'", "e <= '2020-01-01'",
]  # fmt: skip
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.builds(
        lambda first, word, second, is_negated: f"{'NOT ' if is_negated else ''}(({first}) {word} ({second}))",
        inner, st.sampled_from(["AND", "OR"]), inner, st.booleans(),
    ),
    max_leaves=4,
)  # fmt: skip


def sqlite_keeps(condition: str) -> np.ndarray:
    """Which of ROWS SQLite would take: those for which the condition is not false."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (n, a INTEGER, b INTEGER, s TEXT, f BOOLEAN, d DATE, e DATE)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", [(n, *row) for n, row in enumerate(ROWS)])
        found = connection.execute(f"SELECT ({condition}) IS NOT FALSE FROM t ORDER BY n").fetchall()
    return np.array([bool(row[0]) for row in found])


def demands(table: SqlTable) -> list[Check]:
    """All that a table's columns and checks demand of a row."""
    columns = [
        Check("", (Case(((c.name, Domain(c.values, c.low, c.high, None if c.nullable else False)),)),))
        for c in table.columns
    ]
    return columns + list(table.checks)


def cells() -> pd.DataFrame:
    frame = pd.DataFrame(ROWS, columns=["a", "b", "s", "f", "d", "e"]).astype(object)
    return frame.where(frame.notna(), None)


@given(CONDITIONS)
@settings(max_examples=60, deadline=None)
def test_cases_judge_rows_as_sqlite_does(condition: str) -> None:
    expected = sqlite_keeps(condition)
    try:
        (table,) = schema_from_sql(TABLE.format(condition)).tables
    except PlurelError as error:
        # nothing keeps it, or nothing but NULL, of which no column is made
        assert "no value satisfies" in str(error) or "no values can be made" in str(error)
        if "no value satisfies" in str(error):
            assert not expected[[None not in row for row in ROWS]].any()
        return
    columns = {column.name: column for column in table.columns}
    kept = np.logical_and.reduce([holds(check, cells(), columns) for check in demands(table)])
    has_null = np.array([None in row for row in ROWS])
    np.testing.assert_array_equal(kept[~has_null], expected[~has_null])
    # a contradiction such as a > 0 AND a < 0 is unknown, not false, of NULL; here it stays refused
    assert not (kept & ~expected).any()


@given(CONDITIONS, st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_repaired_rows_are_kept_by_sqlite(condition: str, seed: int) -> None:
    """Rows whose columns are all free end up as SQLite wants them; rows that were sound stay as they were."""
    try:
        (table,) = schema_from_sql(TABLE.format(condition)).tables
    except PlurelError:
        return
    columns = {column.name: column for column in table.columns}
    frame = cells()
    spare = frame.fillna({"a": 7, "b": 7, "s": "w", "f": True, "d": "2021-01-01", "e": "2021-01-01"})
    for check in groups(table.checks, columns):
        before = frame.copy()
        was_sound = holds(check, frame, columns)
        repair(check, frame, spare, columns, (), np.random.default_rng(seed))
        assert holds(check, frame, columns).all()
        pd.testing.assert_frame_equal(frame[was_sound], before[was_sound])
    dates = frame[["d", "e"]].map(lambda day: None if pd.isna(day) else str(pd.Timestamp(day).date()))
    rows = frame.assign(d=dates["d"], e=dates["e"]).astype(object)
    single = [check for check in demands(table) if check.sql == ""]
    inside = np.logical_and.reduce([holds(check, frame, columns) for check in single])
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(TABLE.format(condition))
        for row in rows[inside].where(rows[inside].notna(), None).itertuples(index=False):
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", tuple(row))


@pytest.mark.parametrize(
    "condition",
    [
        "a % 2 = 0",
        "a + b > 3",
        "s LIKE '%@%'",
        "lower(s) = s",
        "a = b",
        "s > 'm'",
        "d > e + 1",
        "EXISTS (SELECT 1)",
        "1",
    ],
)
def test_what_is_not_understood_is_named(condition: str) -> None:
    with pytest.raises(PlurelError, match=r"table t.*no values can be made for CHECK \(.*understood are"):
        schema_from_sql(TABLE.format(condition))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("a > 3 AND a < 2", "column a: no value satisfies"),
        ("a > 3 AND a < 4", "column a: no value satisfies"),
        ("s IN ('long text')", "fits its type|no value satisfies"),
        ("a < b AND b < a", "columns? a, b: no value satisfies"),
        ("a > 5 AND b < 5 AND a < b", "columns? a, b: no value satisfies"),
        ("length(s) > 3", "column s: no value satisfies"),
        ("c > 1", "there is no column c; there are a, b"),
    ],
)
def test_what_nothing_satisfies_is_refused_before_any_work(condition: str, words: str) -> None:
    with pytest.raises(PlurelError, match=words):
        schema_from_sql(TABLE.format(condition))


def test_contradictions_between_checks_are_refused() -> None:
    with pytest.raises(PlurelError, match="table t, CHECK .*no row satisfies it"):
        schema_from_sql("CREATE TABLE t (a INT NOT NULL CHECK (a > 5), b INT NOT NULL, CHECK (a < b), CHECK (b < 4));")
