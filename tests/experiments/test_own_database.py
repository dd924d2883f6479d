"""Tables of any keys become a folder that relbench and stores read; mistakes are named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import relbench
from relbench.manifest import TableSpec, TaskManifest

from experiments.errors import ExperimentError
from experiments.own_database import read_sqlite, write_database
from plurel import PlurelError
from rfm.store import Store

SQL = """
SELECT t.timestamp, CAST(c.customer AS BIGINT) AS customer, COUNT(o.customer) AS num_orders
FROM timestamps t CROSS JOIN customers c
LEFT JOIN orders o ON o.customer = c.customer AND o.at > t.timestamp AND o.at <= t.timestamp + INTERVAL '{timedelta}'
GROUP BY t.timestamp, c.customer
"""
TASK = TaskManifest(
    name="orders-next-week",
    kind="forecast",
    task_type="regression",
    entity_table="customers",
    entity_col="customer",
    target_col="num_orders",
    time_col="timestamp",
    timedelta="7 days",
    sql=SQL,
)
SPECS = {
    "customers": TableSpec(pkey="customer"),
    "orders": TableSpec(time_col="at", fkeys={"customer": "customers"}),
}
SPLITS = dict(val_timestamp="2024-03-01", test_timestamp="2024-03-20")


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    customers = pd.DataFrame({"customer": ["zoe", "ann", "bob"], "age": [31, 45, 28]})
    at = pd.date_range("2024-01-01", "2024-04-10", freq="2D")[::-1]  # newest first: the folder has to sort
    names = [("ann", "zoe", None)[i % 3] for i in range(len(at))]
    orders = pd.DataFrame({"customer": names, "at": at.strftime("%Y-%m-%d"), "price": range(len(at))})
    return {"customers": customers, "orders": orders}


def test_keys_follow_their_rows(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    folder = write_database(tmp_path / "shop", tables, SPECS, tasks=[TASK], **SPLITS)
    found = relbench.load_dataset(folder).get_db(upto_test_timestamp=False).table_dict
    orders, customers = found["orders"].df, found["customers"].df
    assert orders["at"].is_monotonic_increasing
    ages = orders.set_index("price")["customer"].map(customers["age"]).astype(float)
    expected = tables["orders"].merge(tables["customers"], on="customer", how="left").set_index("price")["age"]
    pd.testing.assert_series_equal(ages.astype("float64"), expected.loc[orders["price"]], check_names=False)


def test_a_store_makes_the_labels(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    folder = write_database(tmp_path / "shop", tables, SPECS, tasks=[TASK], **SPLITS)
    store = Store.build(folder, tmp_path / "stores" / "shop", "hash", progress=False)
    assert store.tasks["orders-next-week"].split_sizes[2] > 0
    at = pd.to_datetime(tables["orders"]["at"])
    start = pd.Timestamp(SPLITS["val_timestamp"])
    is_next = (at > start) & (at <= start + pd.Timedelta("7 days"))
    expected = tables["orders"][is_next]["customer"].value_counts()
    targets = sorted(store.task_targets("orders-next-week", "val"))
    assert targets == sorted(expected.reindex(["zoe", "ann", "bob"], fill_value=0))


def test_sqlite_declares_the_keys(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE customers (customer TEXT PRIMARY KEY, age INTEGER)")
        connection.execute("CREATE TABLE orders (customer TEXT REFERENCES customers(customer), at TEXT, price REAL)")
        for name, table in tables.items():
            table.to_sql(name, connection, if_exists="append", index=False)
    connection.close()
    read, specs = read_sqlite(tmp_path / "shop.db", time_cols={"orders": "at"})
    assert specs == SPECS
    one = write_database(tmp_path / "a" / "shop", tables, SPECS, **SPLITS)
    other = write_database(tmp_path / "b" / "shop", read, specs, **SPLITS)
    for name in tables:
        written = [pd.read_parquet(folder / "db" / f"{name}.parquet") for folder in (one, other)]
        pd.testing.assert_frame_equal(*written, check_dtype=False)


def test_mistakes_are_named(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    def write(**changes: object) -> None:
        arguments = dict(tables=tables, specs=SPECS, **SPLITS) | changes
        write_database(tmp_path / "shop", arguments.pop("tables"), arguments.pop("specs"), **arguments)

    stray = tables | {"orders": tables["orders"].assign(customer="eve")}
    twice = tables | {"customers": tables["customers"].assign(customer="ann")}
    with pytest.raises(PlurelError, match="orders.customer.*eve"):
        write(tables=stray)
    with pytest.raises(PlurelError, match="customers.customer is not unique"):
        write(tables=twice)
    with pytest.raises(ExperimentError, match="orders"):
        write(specs={"customers": SPECS["customers"]})
    with pytest.raises(ExperimentError, match="'when'.*price"):
        write(specs=SPECS | {"orders": TableSpec(time_col="when", fkeys={"customer": "customers"})})
    with pytest.raises(ExperimentError, match="at is missing in 51 rows"):
        write(tables=tables | {"orders": tables["orders"].assign(at=None)})
    with pytest.raises(ExperimentError, match="before"):
        write(val_timestamp="2024-03-25")
    with pytest.raises(ExperimentError, match="no SQLite file"):
        read_sqlite(tmp_path / "none.db")
    assert not (tmp_path / "shop").exists()


def test_a_folder_of_something_else_is_left_alone(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.csv").write_text("mine")
    with pytest.raises(ExperimentError, match="holds no database"):
        write_database(tmp_path / "shop", tables, SPECS, **SPLITS)
    assert (tmp_path / "shop" / "orders.csv").read_text() == "mine"
    (tmp_path / "shop" / "orders.csv").unlink()
    for _ in range(2):  # an empty folder, and a database that was there
        assert write_database(tmp_path / "shop", tables, SPECS, **SPLITS) == tmp_path / "shop"


def test_a_key_to_another_column_than_the_primary_key_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
        connection.execute("CREATE TABLE orders (email TEXT REFERENCES customers(email), buyer REFERENCES customers)")
    connection.close()
    with pytest.raises(ExperimentError, match=r"email points to customers\.email, which is not the primary key"):
        read_sqlite(tmp_path / "shop.db")
