"""SQLite and DuckDB files, read back by the databases themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from relbench.base import Database, Table

from plurel import Config, PlurelError, SyntheticDataset, schema_from_sql, to_duckdb, to_sqlite
from plurel.keys import open_database

Query = Callable[[str], list[tuple]]


def rows(path: Path, *queries: str) -> list[list[tuple]]:
    """The answers of the database that the path's suffix names; foreign keys are checked in SQLite too."""
    if path.suffix == ".duckdb":
        with closing(duckdb.connect(str(path))) as connection:
            return [connection.execute(query).fetchall() for query in queries]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        return [connection.execute(query).fetchall() for query in queries]


def write(db: Database | Path, path: Path) -> Path:
    return (to_duckdb if path.suffix == ".duckdb" else to_sqlite)(db, path)


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def small(frame: dict[str, Sequence[Any]], keys: dict[str, str], pkey: str | None = "id") -> Table:
    return Table(pd.DataFrame(frame), keys, pkey, None)


@pytest.fixture(params=["sqlite", "duckdb"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"a file.{request.param}"


def test_every_cell_of_an_awkward_database_comes_back(awkward: Database, path: Path) -> None:
    assert write(awkward, path) == path
    staff, visits, others = rows(
        path,
        'SELECT * FROM "staff/2" ORDER BY "badge no."',
        'SELECT guest, host, CAST("select" AS TEXT), cost, count, tags, shade FROM "my visits" ORDER BY count',
        'SELECT * FROM "Übrige"',
    )
    assert others == []
    assert [row[:3] for row in staff] == [
        (10, None, None),
        (20, 70, ""),
        (30, None, "O'Hara; DROP TABLE"),
        (70, 30, "Zoë"),
    ]
    assert [str(row[3]) for row in staff] == ["None", "0001-01-01", "2001-12-31", "1950-01-02"]
    assert [row[4] for row in staff] == [None, True, False, True]
    times = [(None if row[2] is None else pd.Timestamp(row[2])) for row in visits]
    assert times == [
        pd.Timestamp("1969-12-31 23:59:59"),
        None,
        pd.Timestamp("2020-01-02"),
        pd.Timestamp("2020-01-03"),
        pd.Timestamp("2020-01-01 10:00:00.25"),
    ]
    assert [row[:2] + row[3:] for row in visits] == [
        (10, None, -2.0, -1, "[]", None),
        (None, None, None, 0, None, "blue"),
        (10, 70, 1e300, 5, "['c']", "red"),
        (20, 20, 0.0, 7, "['a']", "red"),
        (70, 20, 1.5, 2**62, "['a', 'b']", "red"),
    ]


def test_bytes_stay_bytes_and_decimals_are_numbers(path: Path) -> None:
    prices = [Decimal("1.25"), None, Decimal("-3")]
    frame = {"id": np.arange(3, dtype="uint64"), "photo": [b"\x00\xff", None, b""], "price": prices}
    write(Database({"a": small(frame, {})}), path)
    (answer,) = rows(path, "SELECT * FROM a ORDER BY id")
    assert answer == [(0, b"\x00\xff", 1.25), (1, None, None), (2, b"", -3.0)]
    assert rows(path, "SELECT price + 1 FROM a WHERE id = 0") == [[(2.25,)]]


def test_lengths_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text(
        "CREATE TABLE a (id int PRIMARY KEY, x bytea CHECK (length(x) > 2), y binary(5) NOT NULL, z int,"
        " CHECK (z > 3 OR length(y) < 4));"
    )
    made = SyntheticDataset(0, Config.from_dict({"schema_file": str(tmp_path / "schema.sql"), "rows": {"a": 50}}))
    assert schema_from_sql(made.sql_schema.save(tmp_path / "saved.sql")).tables == made.sql_schema.tables
    for export, name in ((to_sqlite, "a.sqlite"), (to_duckdb, "a.duckdb")):
        file = export(made.make_db(), tmp_path / name, made.sql_schema)
        assert rows(file, "SELECT count(*) FROM a") == [[(50,)]]


@pytest.mark.parametrize(
    "statement",
    [
        'INSERT INTO "my visits" (guest) VALUES (11)',
        """INSERT INTO "staff/2" VALUES (10, NULL, '', NULL, NULL)""",
        'DELETE FROM "staff/2" WHERE "badge no." = 20',
    ],
    ids=["foreign key", "primary key", "parent in use"],
)
def test_constraints_are_enforced(awkward: Database, path: Path, statement: str) -> None:
    write(awkward, path)
    with pytest.raises((sqlite3.IntegrityError, duckdb.ConstraintException)):
        rows(path, "BEGIN", statement, "COMMIT")
    assert rows(path, 'SELECT count(*) FROM "my visits"', 'SELECT count(*) FROM "staff/2"') == [[(5,)], [(4,)]]


def test_real_and_synthetic_databases(large: Database | Path, path: Path) -> None:
    """Declared keys are those of the database, SQLite's own check finds nothing, and columns keep their sums."""
    write(large, path)
    db = open_database(large)
    declared = set()
    for name, table in db.table_dict.items():
        sums = [c for c in table.df if table.df[c].dtype.kind == "f" and c not in table.fkey_col_to_pkey_table]
        selected = ", ".join(["count(*)", *(f"sum({identifier(c)})" for c in sums)])
        (((count, *totals),),) = rows(path, f"SELECT {selected} FROM {identifier(name)}")
        assert count == len(table)
        expected = np.array([table.df[c].sum() for c in sums])
        np.testing.assert_allclose(np.array(totals, dtype=float), expected, rtol=1e-6, atol=1e-6)
        if path.suffix == ".sqlite":
            (keys,) = rows(path, f"PRAGMA foreign_key_list({identifier(name)})")
            declared |= {(name, key[3], key[2]) for key in keys}
    if path.suffix == ".sqlite":
        assert rows(path, "PRAGMA foreign_key_check", "PRAGMA integrity_check") == [[], [("ok",)]]
    else:
        query = "SELECT table_name, constraint_column_names[1], referenced_table FROM duckdb_constraints()"
        declared = set(rows(path, query + " WHERE constraint_type = 'FOREIGN KEY'")[0])
    assert declared == {(n, c, p) for n, t in db.table_dict.items() for c, p in t.fkey_col_to_pkey_table.items()}


def test_a_join_answers_as_pandas_does(shared: Path, path: Path) -> None:
    write(shared / "data" / "rel-f1", path)
    db = open_database(shared / "data" / "rel-f1")
    results, races = db.table_dict["results"].df, db.table_dict["races"].df
    merged = results.merge(races[["raceId", "year"]], on="raceId")
    expected = merged[merged["date"] >= "2000-01-01"].groupby("year")["points"].sum()
    (answer,) = rows(
        path,
        "SELECT year, sum(points) FROM results JOIN races USING (raceId) WHERE results.date >= '2000-01-01' "
        "GROUP BY year ORDER BY year",
    )
    assert answer == list(expected.items())


def test_a_hierarchy_is_written_parents_first(path: Path) -> None:
    count = 300
    boss = pd.array(np.arange(count) + 1, dtype="Int64")
    boss[-1] = pd.NA
    write(Database({"chain": small({"id": range(count), "boss": boss}, {"boss": "chain"})}), path)
    depth = "WITH RECURSIVE up(id, d) AS (SELECT id, 0 FROM chain WHERE boss IS NULL UNION ALL SELECT c.id, d + 1 "
    (answer,) = rows(path, depth + "FROM chain c JOIN up ON c.boss = up.id) SELECT max(d) FROM up")
    assert answer == [(count - 1,)]


def test_cycles_are_for_sqlite_only(tmp_path: Path) -> None:
    of_rows = Database({"a": small({"id": [0, 1], "other": [1, 0]}, {"other": "a"})})
    of_tables = Database({"a": small({"id": [0], "b": [0]}, {"b": "b"}), "b": small({"id": [0], "a": [0]}, {"a": "a"})})
    for number, db in enumerate((of_rows, of_tables)):
        path = to_sqlite(db, tmp_path / f"{number}.sqlite")
        assert rows(path, "PRAGMA foreign_key_check") == [[]]
        with pytest.raises(PlurelError, match=r"refer to each other in a cycle .*use to_sqlite"):
            to_duckdb(db, tmp_path / "no.duckdb")
    assert not list(tmp_path.glob("*duckdb*"))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"a": small({"id": [0], "b": [3]}, {"b": "a"})}, r"a\.b: 1 rows point to no row of a\.id \(row 0 to .*3"),
        ({"a": small({"id": [0], "b": [0]}, {"b": "c"})}, "table 'c', which is not there"),
        ({"a": small({"id": [0]}, {"b": "a"})}, r"a\.b: the table has no such column"),
        ({"a": small({"id": [0], "b": [0]}, {"b": "a"}, None)}, "a, which has no primary key"),
        ({"a": small({"id": [4, 4]}, {})}, r"a\.id is not unique: .*4"),
        ({"a": small({"id": [4.0, None]}, {})}, r"a\.id is missing in 1 rows"),
        ({"a": small({"id": [0], "ID": [0]}, {})}, "'id' and 'ID' are one name"),
        ({"a": small({"id": [0]}, {}), "A": small({"id": [0]}, {})}, "'a' and 'A' are one name"),
        ({"a": small({}, {}, None)}, "a has no columns"),
        (
            {"a": small({"id": np.array([2**63], dtype="uint64")}, {})},
            f"table a, column id: {2**63} takes more than 64",
        ),
        ({"a": small({"id": [0, 1], "x": [-(2**70), None]}, {})}, "column x: -.* takes more than 64 bits; make"),
    ],
)
def test_what_sql_cannot_hold_is_named_and_leaves_the_old_file(path: Path, tables: dict, message: str) -> None:
    path.write_text("old")
    with pytest.raises(PlurelError, match=message):
        write(Database(tables), path)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_while_writing_leaves_the_old_file(
    awkward: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(awkward, path)
    before = path.read_bytes()
    module = "plurel.exports.duckdb" if path.suffix == ".duckdb" else "plurel.exports.sqlite"
    calls = []

    def fails_at_second_table(*args: Any, **kwargs: Any) -> str:
        calls.append(args)
        if len(calls) == 2:
            raise OSError("No space left on device")
        return create(*args, **kwargs)

    create = __import__(module, fromlist=["create_statement"]).create_statement
    monkeypatch.setattr(f"{module}.create_statement", fails_at_second_table)
    with pytest.raises(OSError, match="No space"):
        write(awkward, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_paths(awkward: Database, tmp_path: Path) -> None:
    assert to_sqlite(awkward, tmp_path / "new" / "x.sqlite").is_file()
    with pytest.raises(PlurelError, match="is a folder"):
        to_sqlite(awkward, tmp_path)
    with pytest.raises(PlurelError, match=r"no manifest\.yaml"):
        to_sqlite(tmp_path, tmp_path / "x.sqlite")
    with pytest.raises(PlurelError, match="not dict"):
        to_sqlite({}, tmp_path / "x.sqlite")
