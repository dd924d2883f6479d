"""What the page shows, against scipy, pandas and brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from relbench.base import Database, Table
from scipy.stats import spearmanr

from plurel.description.degrees import measure_degrees
from plurel.description.dependence import measure_dependence
from plurel.description.events import count_events
from plurel.description.statistics import Categories, Histogram, TextSample, histogram, summarise
from plurel.keys import ForeignKey


@given(arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(allow_nan=False)), st.booleans())
def test_a_histogram_counts_every_value_once(values: np.ndarray, are_whole: bool) -> None:
    if are_whole:
        values = np.rint(values)
    found = histogram(values, are_whole)
    assert found.counts.sum() + found.num_outside == len(values)
    assert len(found.counts) <= 36 and (found.counts >= 0).all()
    finite = values[np.isfinite(values)]
    if finite.size:
        assert finite.min() <= found.low <= found.high <= finite.max()


def test_the_smallest_and_the_largest_floats_have_bins() -> None:
    for values in ([5e-324, 0.0], [-1.7e308, 1.7e308], [1.7e308, np.nextafter(1.7e308, 0)]):
        found = histogram(np.array(values))
        assert found.counts.tolist() == [1, *[0] * 34, 1]


def test_bins_of_whole_numbers_hold_equally_many() -> None:
    assert histogram(np.arange(5.0), True).counts.tolist() == [1] * 5
    counts = histogram(np.arange(141.0), True).counts
    assert set(counts[:-1].tolist()) == {4} and counts[-1] <= 4
    even = histogram(np.linspace(0, 1, 3601)[:-1], False).counts
    assert set(even.tolist()) <= {100, 99, 101}


def test_tails_are_left_out_and_counted() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=10_000), [1e9]])
    found = histogram(values)
    assert -3 < found.low < -2 and 2 < found.high < 3
    assert found.num_outside == pytest.approx(100, abs=5)
    assert np.count_nonzero(found.counts) == 36


def test_summaries_of_an_awkward_database(awkward: Database) -> None:
    tables = {table.name: table for table in summarise(awkward)}
    visits = {column.name: column for column in tables["my visits"].columns}
    assert [c.role for c in visits.values()] == ["foreign key", "foreign key", "time"] + ["feature"] * 4
    assert visits["host"].num_missing == 2 and visits["host"].missing_frac == 0.4
    assert visits["shade"].values == Categories({"red": 3, "blue": 1}, 0, 2)
    staff = {column.name: column for column in tables["staff/2"].columns}
    assert staff["is_away"].values == Categories({"False": 1, "True": 2}, 0, 2)
    assert isinstance(staff["born"].values, Histogram) and staff["born"].values.counts.sum() == 3
    assert isinstance(staff['the "name"'].values, TextSample) and staff['the "name"'].values.num_distinct == 3
    assert tables["my visits"].span == (pd.Timestamp("1969-12-31 23:59:59"), pd.Timestamp("2020-01-03"))
    assert tables["Übrige"].span is None and tables["Übrige"].missing_frac == 0


def two_tables(count: int = 400) -> Database:
    """A parent whose numbers children follow, with missing values and keys."""
    rng = np.random.default_rng(3)
    parents = pd.DataFrame({"id": 10 * np.arange(50), "x": rng.normal(size=50), "same": 1.0})
    key = rng.integers(50, size=count)
    a = parents["x"].to_numpy()[key] + rng.normal(size=count)
    children = pd.DataFrame(
        {
            "parent": pd.array(10 * key, dtype="Int64"),
            "a": a,
            "b": a**3 + rng.normal(size=count),
            "c": rng.normal(size=count) > a,
            "word": np.where(a > 1, "high", np.where(rng.random(count) < 0.5, "one", "two")),
            "note": [f"free text {i}" for i in range(count)],
        }
    )
    children.loc[::7, "parent"] = pd.NA
    return Database({"p": Table(parents, {}, "id", None), "c": Table(children, {"parent": "p"}, None, None)})


def test_dependence_is_the_rank_correlation_of_scipy() -> None:
    db = two_tables()
    own, parent = measure_dependence(db, "c").blocks
    df = db.table_dict["c"].df
    assert own.columns == ["a", "b", "c", "word"]
    np.testing.assert_allclose(own.strength, own.strength.T)
    np.testing.assert_allclose(np.diag(own.strength), 1)
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        expected = abs(spearmanr(df[one], df[other]).statistic)
        assert own.strength[own.columns.index(one), own.columns.index(other)] == pytest.approx(expected)
    strongest = max(abs(spearmanr(df["a"], df["word"] == word).statistic) for word in ("high", "one", "two"))
    assert own.strength[0, 3] == pytest.approx(strongest)
    assert (parent.title, parent.columns) == ("parent → p", ["x"])
    merged = df.dropna(subset="parent").merge(db.table_dict["p"].df, left_on="parent", right_on="id")
    # ranks are centred over all rows, not over those that have a parent: equal up to the sample
    expected = abs(spearmanr(merged["a"], merged["x"]).statistic)
    assert parent.strength[0, 0] == pytest.approx(expected, abs=0.01) and expected > 0.5
    pairs = measure_dependence(db, "c").strongest()
    assert pairs[0][:3] == ("a", "c", "b") and [p[3] for p in pairs] == sorted((p[3] for p in pairs), reverse=True)


def test_dependence_with_nothing_to_compare(awkward: Database) -> None:
    db = two_tables()
    assert measure_dependence(db, "p") is None  # one usable column, no parent
    assert measure_dependence(awkward, "Übrige") is None
    few = measure_dependence(awkward, "my visits")
    assert all(np.isnan(block.strength).all() for block in few.blocks)  # five rows


def test_degrees_agree_with_pandas() -> None:
    db = two_tables()
    degrees = measure_degrees(db, ForeignKey("c", "parent", "p"))
    counts = db.table_dict["c"].df["parent"].value_counts().reindex(db.table_dict["p"].df["id"], fill_value=0)
    assert degrees.mean == pytest.approx(counts.mean())
    assert degrees.largest == counts.max() and degrees.num_childless == (counts == 0).sum()
    assert degrees.num_missing == 58
    assert degrees.bars == [(str(k), int((counts == k).sum())) for k in range(int(counts.max()) + 1)]


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30))
def test_bars_hold_the_degrees_they_name(degrees: list[int]) -> None:
    child = pd.DataFrame({"p": np.repeat(np.arange(len(degrees)), degrees)})
    parent = pd.DataFrame({"id": range(len(degrees))})
    db = Database({"p": Table(parent, {}, "id", None), "c": Table(child, {"p": "p"}, None, None)})
    found = measure_degrees(db, ForeignKey("c", "p", "p"))
    bars = [([int(end.replace(",", "")) for end in label.split("–")], count) for label, count in found.bars]
    assert len(bars) <= 25
    for ends, count in bars:
        assert count == sum(ends[0] <= degree <= ends[-1] for degree in degrees)
    assert sum(count for _, count in bars) == len(degrees)
    assert bars[0][0] == [0]


def test_days_stand_in_their_week_and_weekday() -> None:
    times = pd.to_datetime(["2023-01-01", "2023-01-01 23:59", "2024-02-29", None, "2024-12-31"], format="ISO8601")
    calendar = count_events(Table(pd.DataFrame({"t": times}), {}, None, "t"))
    assert calendar.unit == "day" and [title for title, _, _ in calendar.grids] == ["2023", "2024"]
    first, second = (counts for _, _, counts in calendar.grids)
    assert first[6, 0] == 2 and (first[:6, 0] == -1).all()  # a Sunday, and no earlier day of that week in the year
    assert (first >= 0).sum() == 365 and (second >= 0).sum() == 366
    assert second[3, 8] == 1 and second[1, 52] == 1  # Thursday of the ninth week, Tuesday of the last
    assert calendar.largest == 2


def test_many_years_share_rows_and_lose_no_event() -> None:
    times = pd.date_range("1000-01-01", "1399-12-31", freq="30D", unit="s")
    calendar = count_events(Table(pd.DataFrame({"t": times}), {}, None, "t"))
    ((_, labels, counts),) = calendar.grids
    assert calendar.unit == "week" and counts.shape == (80, 53) and counts.sum() == len(times)
    assert labels[0] == "1000" and len(labels) == 80
    assert count_events(Table(pd.DataFrame({"t": pd.to_datetime([None])}), {}, None, "t")) is None
