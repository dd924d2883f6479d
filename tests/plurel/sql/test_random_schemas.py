"""Random schemas: what is made loads into the SQL as it was written, in SQLite and DuckDB, with every constraint on."""

from __future__ import annotations

import zlib
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from hypothesis import HealthCheck, event, given, settings

from plurel import Config, PlurelError, SyntheticDataset, schema_from_sql, to_duckdb
from tests.plurel.sql.conftest import load_as_written
from tests.plurel.sql.random_ddl import schemas

TINY = {
    "num_rows_entity_table_choices": {"kind": "range", "value": [20, 30]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [30, 40]},
}
SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def made_of(sql: str, folder: Path) -> SyntheticDataset | None:
    """The dataset of a schema, or None where no rows can keep it, which random conditions often contradict."""
    (folder / "x.sql").write_text(sql)
    tree = {"schema_file": str(folder / "x.sql"), "database_params": TINY}
    try:
        made = SyntheticDataset(zlib.crc32(sql.encode()) % 1000, Config.from_dict(tree))
        made.make_db()
    except PlurelError as error:
        event("refused")
        assert "table " in str(error)
        return None
    event("made")
    return made


@given(schemas(has_cycles=True))
@SETTINGS
def test_sqlite_loads_them(sql: str) -> None:
    with TemporaryDirectory() as folder:
        made = made_of(sql, Path(folder))
        if made is not None:
            load_as_written(made, sql, Path(folder)).close()


@given(schemas(has_cycles=False))
@SETTINGS
def test_duckdb_loads_them(sql: str) -> None:
    with TemporaryDirectory() as folder:
        made = made_of(sql, Path(folder))
        if made is None:
            return
        file = to_duckdb(made.make_db(), Path(folder) / "x.duckdb", made.sql_schema)
        with closing(duckdb.connect()) as connection:
            connection.execute(sql)
            connection.execute(f"ATTACH '{file}' AS made")
            for table in made.sql_schema.tables:
                connection.execute(f'INSERT INTO "{table.name}" SELECT * FROM made."{table.name}"')


@given(schemas())
@SETTINGS
def test_saved_schemas_are_read_again(sql: str) -> None:
    with TemporaryDirectory() as folder:
        try:
            schema = schema_from_sql(sql)
        except PlurelError:
            return
        again = schema_from_sql(schema.save(Path(folder) / "saved.sql"))
        for table, other in zip(schema.tables, again.tables, strict=True):
            assert [(c.name, c.type, c.nullable) for c in table.columns] == [
                (c.name, c.type, c.nullable) for c in other.columns
            ]
            assert (table.keys, table.foreign_keys) == (other.keys, other.foreign_keys)
