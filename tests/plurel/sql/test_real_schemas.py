"""Chinook, Northwind, Sakila and Pagila: read whole, and loaded back with every constraint on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import relbench

from plurel import (
    Config,
    PlurelError,
    SyntheticDataset,
    generate_corpus,
    pretraining_seeds,
    schema_from_sql,
    to_duckdb,
    to_heterodata,
    to_networkx,
    to_sqlite,
)
from tests.plurel.sql.conftest import SMALL, assert_sound, load_as_written

DDL = Path(__file__).parents[1] / "ddl"
Maker = Callable[..., SyntheticDataset]
# tables, columns, foreign keys, by hand from the text
SIZES = {"chinook": (11, 64, 11), "northwind": (14, 92, 13), "sakila": (16, 90, 22), "pagila": (15, 87, 22)}


@pytest.mark.parametrize("name", SIZES)
def test_the_whole_schema_is_read(name: str) -> None:
    tables = schema_from_sql(DDL / f"{name}.sql").tables
    keys = sum(len(table.foreign_keys) for table in tables)
    assert (len(tables), sum(len(table.columns) for table in tables), keys) == SIZES[name]
    assert all(table.primary_key for table in tables)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SIZES)
def test_sqlite_holds_it(name: str, seed: int, dataset: Maker, tmp_path: Path) -> None:
    made = dataset(DDL / f"{name}.sql", seed)
    with closing(sqlite3.connect(to_sqlite(made.make_db(), tmp_path / "x.db", made.sql_schema))) as connection:
        assert_sound(connection)
        for table in made.sql_schema.tables:
            assert connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0] >= 20


@pytest.mark.parametrize("name", ["chinook", "northwind"])
def test_sqlite_loads_it_into_the_text_itself(name: str, dataset: Maker, tmp_path: Path) -> None:
    sql = (DDL / f"{name}.sql").read_text()
    load_as_written(dataset(DDL / f"{name}.sql"), sql, tmp_path).close()


def test_duckdb_loads_northwind_into_the_text_itself(dataset: Maker, tmp_path: Path) -> None:
    made = dataset(DDL / "northwind.sql")
    file = to_duckdb(made.make_db(), tmp_path / "x.duckdb", made.sql_schema)
    with closing(duckdb.connect()) as connection:
        # DuckDB takes CURRENT_DATE in a CHECK for a column
        connection.execute((DDL / "northwind.sql").read_text().replace("CURRENT_DATE", "DATE '2025-01-01'"))
        connection.execute(f"ATTACH '{file}' AS made")
        for table in made.sql_schema.tables:
            rows = connection.execute(f"SELECT * FROM made.{table.name}").fetchall()
            for some in [[row] for row in rows] if table.name == "employees" else [rows]:  # managers are earlier rows
                connection.executemany(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(some[0]))})", some)
            assert connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0] >= 20


def test_tables_that_need_each_other(dataset: Maker, tmp_path: Path) -> None:
    """Of staff and store each row points to one of the other, and no two stores have one manager."""
    made = dataset(DDL / "sakila.sql")
    db = made.make_db()
    manager = db.table_dict["store"].df["manager_staff_id"]
    assert manager.is_unique and manager.notna().all() and db.table_dict["staff"].df["store_id"].notna().all()
    with pytest.raises(PlurelError, match="cycle"):
        to_duckdb(db, tmp_path / "x.duckdb", made.sql_schema)


def test_exports_of_a_declared_schema(dataset: Maker) -> None:
    made = dataset(DDL / "pagila.sql")
    db = made.make_db()
    data, graph = to_heterodata(db), to_networkx(db)
    assert data.validate() and set(data.node_types) == set(db.table_dict)
    keys = sum(len(table.foreign_keys) for table in made.sql_schema.tables)
    assert len(data.edge_types) == 2 * keys and graph.number_of_edges() == keys
    assert graph.nodes["rental"]["time_col"] == "rental_date"


def test_same_seed_same_database(dataset: Maker) -> None:
    first, second, other = (dataset(DDL / "pagila.sql", seed).make_db() for seed in (0, 0, 1))
    for name, table in first.table_dict.items():
        pd.testing.assert_frame_equal(table.df, second.table_dict[name].df)
    assert not first.table_dict["rental"].df.equals(other.table_dict["rental"].df)


def test_keys_are_row_numbers(dataset: Maker) -> None:
    db = dataset(DDL / "pagila.sql").make_db()
    for table in db.table_dict.values():
        assert table.df[table.pkey_col].tolist() == list(range(len(table.df)))
        for column, parent in table.fkey_col_to_pkey_table.items():
            assert table.df[column].dropna().between(0, len(db.table_dict[parent].df) - 1).all()


def test_rows_of_a_table_may_be_asked_for(dataset: Maker) -> None:
    db = dataset(DDL / "chinook.sql", rows={"Invoice": 300, "Genre": 4}).make_db()
    assert (len(db.table_dict["Invoice"]), len(db.table_dict["Genre"])) == (300, 4)
    with pytest.raises(PlurelError, match=r"table Albun, which is not there; did you mean Album\?"):
        dataset(DDL / "chinook.sql", rows={"Albun": 3})
    with pytest.raises(PlurelError, match=r"column language_id has 255 values for 300 rows|room for about 255 rows"):
        dataset(DDL / "sakila.sql", rows={"language": 300}).make_db()


def test_a_corpus_is_read_by_relbench_with_its_tasks(tmp_path: Path) -> None:
    tree = {"database_params": SMALL, "schema_file": str(DDL / "chinook.sql"), "name": "chinook"}
    config = Config.from_dict(tree | {"diversity_params": {"forecast_task_prob": 1.0}})
    (folder,) = generate_corpus(tmp_path, pretraining_seeds(config, 1), config, progress=False)
    loaded = relbench.load_dataset(folder)
    forecast = next(path.parent.name for path in folder.glob("tasks/*/train.parquet"))
    table = loaded.load_task(forecast).get_table("train").df
    assert table.columns.tolist() == ["timestamp", "CustomerId", "target"] and len(table) > 30
    again = loaded.load_task(forecast, regenerate=True).get_table("train").df
    pd.testing.assert_frame_equal(table, again, check_dtype=False)


def test_more_foreign_keys_than_allowed_are_named() -> None:
    config = Config.from_dict({"schema_file": str(DDL / "chinook.sql")})
    assert pretraining_seeds(config, 3, start=4) == [4, 5, 6]
    with pytest.raises(PlurelError, match=r"chinook\.sql has a table of 3 foreign keys"):
        pretraining_seeds(config, 1, max_fkeys=1)
