"""Databases for SQL text, and files of them loaded into the SQL as it was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from plurel import Config, SyntheticDataset, to_sqlite

SMALL = {
    "num_rows_entity_table_choices": {"kind": "range", "value": [20, 30]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [60, 80]},
}


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., SyntheticDataset]:
    """A small dataset of SQL text or of a file."""

    def make(sql: str | Path, seed: int = 0, **tree: Any) -> SyntheticDataset:
        path = sql
        if isinstance(sql, str):
            path = tmp_path / "schema.sql"
            path.write_text(sql)
        return SyntheticDataset(seed, Config.from_dict({"database_params": SMALL, "schema_file": str(path)} | tree))

    return make


def load_as_written(made: SyntheticDataset, sql: str, folder: Path) -> sqlite3.Connection:
    """Runs `sql` in SQLite and inserts the dataset's rows with every constraint on; SQLite's checks find nothing."""
    file = to_sqlite(made.make_db(), folder / "made.db", made.sql_schema)
    with closing(sqlite3.connect(file)) as connection:
        assert_sound(connection)
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(sql)
    connection.execute("ATTACH ? AS made", (str(file),))
    with connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for table in made.sql_schema.tables:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            # without WHERE, SQLite copies pages and forgets that parents have come
            rows = f'SELECT {names} FROM made."{table.name}" WHERE TRUE'
            connection.execute(f'INSERT INTO main."{table.name}" ({names}) {rows}')
    assert_sound(connection)
    for table in made.sql_schema.tables:
        for column in table.columns:
            if column.type.kind == "text" and column.type.length is not None:  # which SQLite does not enforce
                longest = f'SELECT coalesce(max(length("{column.name}")), 0) FROM main."{table.name}"'
                assert connection.execute(longest).fetchone()[0] <= column.type.length
    return connection


def assert_sound(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
