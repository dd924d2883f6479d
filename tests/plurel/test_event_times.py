"""When rows come to be: calendars, arrivals of entities, and that nothing is older than what it points to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from plurel import Config
from plurel.config import DiversityParams
from plurel.event_times import ARRIVALS, Calendar, Lives, creation_places
from plurel.rows import TableRows, draw_rows
from plurel.schema import Schema, draw_schema

START = pd.Timestamp("2020-01-01")


def calendar(strength: float, seed: int = 0, days: int = 730) -> Calendar:
    return Calendar.draw(START, days, strength, np.random.default_rng(seed))


def lives(kind: str, num_owners: int, seed: int = 0) -> Lives:
    return Lives.draw(kind, np.zeros(num_owners), np.random.default_rng(seed))


def test_a_calendar_is_increasing_and_inverts_itself() -> None:
    rng = np.random.default_rng(0)
    for strength in (0.0, 1.0, 3.0):
        found = calendar(strength)
        assert found.cumulative[0] == 0 and found.cumulative[-1] == 1 and (np.diff(found.cumulative) > 0).all()
        seconds = np.sort(rng.integers(0, 730 * 86400, 1000))
        assert np.abs(found.seconds(found.places(seconds)) - seconds).max() <= 1
        assert found.seconds(np.array([0.0, 1.0])).tolist() == [0, 730 * 86400]


def test_seasons_by_hour_weekday_and_month() -> None:
    """Against the calendar with the same trend and no season, in which hours and weekdays are all alike."""
    places = np.random.default_rng(1).random(50000)
    for seed in range(3):
        plain, seasonal = (
            START + pd.to_timedelta(calendar(strength, seed).seconds(places), unit="s") for strength in (0.0, 1.5)
        )
        for part in ("hour", "day_of_week", "month"):
            expected, found = (np.bincount(getattr(moments, part)) for moments in (plain, seasonal))
            expected, found = expected[expected > 0], found[expected > 0]
            assert stats.chisquare(found, expected).pvalue < 1e-6
        assert stats.chisquare(np.bincount(plain.hour)).pvalue > 1e-3
        length = np.bincount(pd.date_range(START, periods=730).day_of_week)
        assert stats.chisquare(np.bincount(plain.day_of_week), length / 730 * 50000).pvalue > 1e-3


def dispersion(places: np.ndarray, owner: np.ndarray, num_bins: int = 200) -> float:
    """Variance over mean of an owner's counts in equal bins, averaged over owners; 1 for a Poisson process."""
    counts = np.zeros((owner.max() + 1, num_bins))
    np.add.at(counts, (owner, np.minimum((places * num_bins).astype(int), num_bins - 1)), 1)
    return float(np.mean(counts.var(axis=1) / counts.mean(axis=1)))


def test_bursts_are_bursts_and_steady_arrivals_are_not() -> None:
    owner = np.repeat(np.arange(50), 100)
    begin, end = np.zeros(5000), np.ones(5000)
    for seed in range(5):
        steady, bursts = (ARRIVALS[k](begin, end, owner, np.random.default_rng(seed)) for k in ("poisson", "bursts"))
        assert stats.kstest(steady, stats.uniform.cdf).pvalue > 1e-4
        assert dispersion(steady, owner) == pytest.approx(1, abs=0.1)
        assert dispersion(bursts, owner) > 1.3
        assert (bursts >= 0).all() and (bursts <= 1).all()


def test_a_burst_is_of_one_owner() -> None:
    """Rows of nobody set nothing off, and owners do not set each other off: alone, every event is spontaneous."""
    begin, end = np.zeros(3000), np.ones(3000)
    for owner in (np.arange(3000), np.full(3000, -1)):
        found = ARRIVALS["bursts"](begin, end, owner, np.random.default_rng(0))
        assert stats.kstest(found, stats.uniform.cdf).pvalue > 1e-4


@pytest.mark.parametrize("kind", sorted(ARRIVALS))
def test_events_lie_in_their_owners_lives_and_after_birth(kind: str) -> None:
    rng = np.random.default_rng(0)
    found = lives(kind, 100)
    owner, born = rng.integers(-1, 100, 4000), rng.random(4000) * (rng.random(4000) < 0.5)
    begin, end = found.windows(owner, born)
    places = ARRIVALS[kind](begin, end, owner, rng)
    assert (places >= born).all() and (places <= 1).all()
    alive = (owner >= 0) & (born < found.end[owner])
    assert (places[alive] >= found.begin[owner][alive]).all() and (places[alive] <= found.end[owner][alive]).all()
    assert (found.begin == 0).all() == (kind in ("poisson", "bursts"))
    assert (found.end == 1).all() == (kind != "lifetime")


def test_weights_are_rates_times_lives() -> None:
    found = lives("lifetime", 5000)
    rates = np.log(found.weight / (found.end - found.begin))
    assert stats.kstest(rates / rates.std(), stats.norm.cdf).pvalue > 1e-4
    newborn = Lives.of_newborn(np.array([0.0, 0.25, 1.0]))
    assert newborn.weight.tolist() == [1.0, 0.75, 0.0]


def test_creation_is_after_birth() -> None:
    born = np.array([0.0] * 4000 + [0.6] * 4000)
    places = creation_places(born, np.random.default_rng(0))
    assert (places >= born).all() and (places <= 1).all()
    assert np.mean(places[4000:]) < 0.7 and np.mean(places[:4000] > 0.5) == pytest.approx(0.15, abs=0.03)


def rows_of(seed: int, **diversity: object) -> tuple[Schema, dict[str, TableRows]]:
    config = Config(diversity_params=DiversityParams(**diversity))
    schema = draw_schema(seed, config)
    return schema, draw_rows(seed, config, schema)


def test_nothing_is_older_than_what_it_points_to() -> None:
    num_created = 0
    for seed in range(8):
        schema, rows = rows_of(seed, creation_time_prob=0.4, event_time_prob=0.5, nullable_key_prob=0.3)
        length = (schema.end - schema.start).total_seconds()
        for table in schema.tables:
            own = rows[table.name]
            assert (own.seconds is not None) == table.is_timed
            for col, parent in table.fkeys.items():
                births = rows[parent].seconds
                assert births is None or own.seconds is not None  # else rows would point past a cut by time
                if births is not None:
                    known = own.links[col] >= 0
                    assert (own.seconds[known] >= births[own.links[col][known]]).all()
            if own.seconds is not None:
                assert (np.diff(own.seconds) >= 0).all() and own.seconds[0] >= 0 and own.seconds[-1] <= length
                np.testing.assert_allclose(own.parts, own.seconds / length, atol=1e-3)
            num_created += table.has_creation_time
    assert num_created > 20


def test_without_the_option_times_are_even() -> None:
    schema, rows = rows_of(0)
    for table in schema.tables:
        if table.is_activity:
            even = pd.date_range(schema.start, schema.end, periods=table.num_rows).floor("s")
            assert (schema.start + pd.to_timedelta(rows[table.name].seconds, unit="s") == even).all()


def past_and_future(seeds: range, **diversity: object) -> float:
    """Median rank correlation between an entity's events before and after four fifths of the window."""
    found = []
    for seed in seeds:
        schema, rows = rows_of(seed, **diversity)
        for table in schema.tables:
            for col, parent in table.fkeys.items() if table.is_activity else ():
                own, num = rows[table.name], len(rows[parent].parts)
                known = own.links[col] >= 0
                past, future = (
                    np.bincount(own.links[col][known & part], minlength=num)
                    for part in ((own.parts > 0.4) & (own.parts <= 0.8), own.parts > 0.8)
                )
                found.append(stats.spearmanr(past, future).statistic)
    return float(np.median(found))


def test_an_entitys_past_events_tell_its_future_ones() -> None:
    assert past_and_future(range(12), event_time_prob=1.0) > past_and_future(range(12)) + 0.05
