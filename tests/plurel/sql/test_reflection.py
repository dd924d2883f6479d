"""Schemas of live databases: the same as of the text that made them; saved as SQL, they are the same again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from plurel import PlurelError, SyntheticDataset, schema_from_sql, schema_from_url
from plurel.sql.schema import SqlSchema
from tests.plurel.sql.conftest import load_as_written

DDL = Path(__file__).parents[1] / "ddl"
Maker = Callable[..., SyntheticDataset]
SHOP = """CREATE TABLE "a shop" ("no" INTEGER PRIMARY KEY, opened DATE NOT NULL, closed DATE, kind VARCHAR(3) UNIQUE,
  blank, price NUMERIC(6,2) CHECK (price > 0), CHECK (closed IS NULL OR opened < closed));
CREATE VIEW v AS SELECT * FROM "a shop";
CREATE TABLE item (shop INTEGER NOT NULL REFERENCES "a shop", nr SMALLINT, twice INT AS (nr * 2), kind VARCHAR(3),
  PRIMARY KEY (shop, nr), FOREIGN KEY (kind) REFERENCES "a shop" (kind));
CREATE UNIQUE INDEX once ON item (nr, kind);"""


def live(sql: str, folder: Path) -> SqlSchema:
    with closing(sqlite3.connect(folder / "live.db")) as connection:
        connection.executescript(sql)
    return schema_from_url(f"sqlite:///{folder / 'live.db'}")


@pytest.mark.parametrize("name", ["shop", "chinook"])
def test_a_live_database_has_the_schema_of_its_text(name: str, tmp_path: Path) -> None:
    sql = SHOP if name == "shop" else (DDL / f"{name}.sql").read_text()
    found, parsed = live(sql, tmp_path), schema_from_sql(sql, "sqlite")
    assert {table.name for table in found.tables} == {table.name for table in parsed.tables}
    for table in parsed.tables:
        other = found.table(table.name)
        assert (other.columns, other.primary_key, other.checks) == (table.columns, table.primary_key, table.checks)
        assert set(other.unique) == set(table.unique)
        assert set(other.foreign_keys) == set(table.foreign_keys)


def test_a_live_database_gets_a_twin(dataset: Maker, tmp_path: Path) -> None:
    schema = live(SHOP, tmp_path)
    file = schema.save(tmp_path / "shop.sql")
    made = dataset(file)
    assert made.sql_schema.tables == schema.tables
    load_as_written(made, SHOP, tmp_path).close()


@pytest.mark.parametrize("name", ["chinook", "northwind", "sakila", "pagila"])
def test_saved_schemas_are_read_again(name: str, tmp_path: Path) -> None:
    schema = schema_from_sql(DDL / f"{name}.sql")
    assert schema_from_sql(schema.save(tmp_path / "saved.sql")).tables == schema.tables


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oracle+cx_oracle://me:secret@host/shop", r"oracle\+cx_oracle://me:\*\*\*@host/shop"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/shop", r"me:\*\*\*@127\.0\.0\.1:1/shop"),
        ("postgresql://me:secret@host:port/shop", "%2F for /"),
    ],
)
def test_no_message_holds_a_password(url: str, words: str) -> None:
    with pytest.raises(PlurelError, match=words) as caught:
        schema_from_url(url)
    assert "secret" not in str(caught.value)
