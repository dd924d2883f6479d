"""Databases for declared schemas: loaded by SQLite and DuckDB with all constraints; schemas read two ways; errors."""

from __future__ import annotations

import sqlite3
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
    schema_from_url,
    to_duckdb,
    to_sqlite,
)

DDL = Path(__file__).parents[1] / "ddl"
SMALL = {
    "num_rows_entity_table_choices": {"kind": "range", "value": [40, 60]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [150, 200]},
}
ROWS = {"chinook": {"Invoice": 300}, "pagila": {"rental": 250}, "sakila": {"language": 6}}


def dataset(name: str, seed: int = 0) -> SyntheticDataset:
    tree = {"database_params": SMALL, "schema_file": str(DDL / f"{name}.sql"), "rows": ROWS[name]}
    return SyntheticDataset(seed, Config.from_dict(tree))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["chinook", "pagila", "sakila"])
def test_sqlite_holds_it(name: str, seed: int, tmp_path: Path) -> None:
    made = dataset(name, seed)
    db = made.make_db()
    file = to_sqlite(db, tmp_path / "x.db", made.sql_schema)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for table, count in ROWS[name].items():
            assert connection.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (count,)
    if name == "chinook":  # into the declared DDL itself, which sqlite3 reads
        with closing(sqlite3.connect(tmp_path / "declared.db")) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.executescript((DDL / "chinook.sql").read_text())
            connection.execute("ATTACH ? AS made", (str(file),))
            with connection:
                connection.execute("PRAGMA defer_foreign_keys = ON")
                for table in made.sql_schema.tables:
                    connection.execute(f'INSERT INTO main."{table.name}" SELECT * FROM made."{table.name}"')
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("name", ["chinook", "sakila"])
def test_duckdb_holds_it(name: str, tmp_path: Path) -> None:
    made = dataset(name)
    file = to_duckdb(made.make_db(), tmp_path / "x.duckdb", made.sql_schema)
    with closing(duckdb.connect(str(file))) as connection:
        for table in made.sql_schema.tables:
            assert connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0] > 0


def test_same_seed_same_bytes() -> None:
    first, second, other = dataset("pagila").make_db(), dataset("pagila").make_db(), dataset("pagila", 1).make_db()
    for name, table in first.table_dict.items():
        pd.testing.assert_frame_equal(table.df, second.table_dict[name].df)
    assert not first.table_dict["rental"].df.equals(other.table_dict["rental"].df)


def test_keys_are_row_numbers() -> None:
    db = dataset("pagila").make_db()
    for table in db.table_dict.values():
        assert table.df[table.pkey_col].tolist() == list(range(len(table.df)))
        for column, parent in table.fkey_col_to_pkey_table.items():
            assert table.df[column].dropna().between(0, len(db.table_dict[parent].df) - 1).all()


def test_reflection_agrees_with_parsing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.executescript((DDL / "chinook.sql").read_text())
    live = schema_from_url(f"sqlite:///{tmp_path / 'x.db'}")
    parsed = schema_from_sql(DDL / "chinook.sql")
    for table in parsed.tables:
        other = live.table(table.name)
        assert other.columns == table.columns
        assert other.primary_key == table.primary_key
        assert set(other.unique) == set(table.unique)
        assert set(other.foreign_keys) == set(table.foreign_keys)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1;", ["no CREATE TABLE"]),
        (
            "CREATE TABLE a (x int REFERENCES bb (y)); CREATE TABLE b (y int PRIMARY KEY);",
            ["a", "no table bb", "mean b"],
        ),
        ("CREATE TABLE a (x int REFERENCES b (yy)); CREATE TABLE b (y int PRIMARY KEY);", ["no column yy", "mean y"]),
        ("CREATE TABLE a (x int, pos tsquery);", ["table a", "column pos"]),
        ("CREATE TABLE a (x int CHECK (x % 2 = 0));", ["table a", "CHECK"]),
        ("CREATE TABLE a (x int CHECK (x > 3 AND x < 2));", ["table a", "column x", "no value"]),
    ],
)
def test_bad_sql_is_one_clear_error(sql: str, words: list[str]) -> None:
    with pytest.raises(PlurelError) as error:
        schema_from_sql(sql)
    assert all(word in str(error.value) for word in words)


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(PlurelError, match="cannot be read"):
        SyntheticDataset(0, Config(schema_file=str(tmp_path / "none.sql")))
    file = tmp_path / "cycle.sql"
    file.write_text("CREATE TABLE a (i int PRIMARY KEY REFERENCES b); CREATE TABLE b (i int PRIMARY KEY REFERENCES a);")
    with pytest.raises(PlurelError, match="cycle"):
        SyntheticDataset(0, Config(schema_file=str(file))).make_db()
    with pytest.raises(PlurelError, match="mean Album"):
        config = Config(schema_file=str(DDL / "chinook.sql"), rows={"Albun": 3})
        SyntheticDataset(0, config).make_db()


def test_keys_that_share_a_column_agree(tmp_path: Path) -> None:
    file = tmp_path / "tenants.sql"
    file.write_text(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (t int REFERENCES t, id int, PRIMARY KEY (t, id)); "
        "CREATE TABLE o (id int PRIMARY KEY, t int NOT NULL REFERENCES t, u int NOT NULL, "
        "FOREIGN KEY (t, u) REFERENCES u);"
    )
    made = SyntheticDataset(
        0, Config.from_dict({"database_params": SMALL, "schema_file": str(file), "rows": {"o": 100}})
    )
    db = made.make_db()
    assert len(db.table_dict["o"].df) == 100
    to_duckdb(db, tmp_path / "x.duckdb", made.sql_schema)


def test_a_corpus_of_a_declared_schema_is_read_by_relbench_with_its_tasks(tmp_path: Path) -> None:
    tree = {"database_params": SMALL, "schema_file": str(DDL / "chinook.sql"), "name": "chinook"}
    config = Config.from_dict(tree | {"diversity_params": {"forecast_task_prob": 1.0}})
    (folder,) = generate_corpus(tmp_path, pretraining_seeds(config, 1), config, progress=False)
    loaded = relbench.load_dataset(folder)
    forecast = next(path.parent.name for path in folder.glob("tasks/*/train.parquet"))
    table = loaded.load_task(forecast).get_table("train").df
    assert table.columns.tolist() == ["timestamp", "CustomerId", "target"] and len(table) > 100
    again = loaded.load_task(forecast, regenerate=True).get_table("train").df
    pd.testing.assert_frame_equal(table, again, check_dtype=False)


def test_more_foreign_keys_than_allowed_are_named() -> None:
    config = Config.from_dict({"schema_file": str(DDL / "chinook.sql")})
    assert pretraining_seeds(config, 3, start=4) == [4, 5, 6]
    with pytest.raises(PlurelError, match="chinook.sql has a table of 2 foreign keys"):
        pretraining_seeds(config, 1, max_fkeys=1)
