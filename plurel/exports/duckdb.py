"""A database as one DuckDB file with typed columns, primary keys and foreign keys, which DuckDB always enforces."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import networkx as nx
import numpy as np
import pandas as pd
from relbench.base import Database

from plurel.errors import PlurelError
from plurel.exports.declared import declared_frames
from plurel.exports.sql_tables import SqlKind, check_database, create_statement, sql_frame
from plurel.files import replacing
from plurel.keys import ForeignKey, open_database, parent_rows, reference_graph
from plurel.sql import ddl
from plurel.sql.ddl import quoted
from plurel.sql.schema import SqlSchema

_TYPES: dict[SqlKind, str] = {
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "time": "TIMESTAMP",
    "date": "DATE",
    "text": "VARCHAR",
    "binary": "BLOB",
}


def to_duckdb(db: Database | str | Path, path: str | Path, schema: SqlSchema | None = None) -> Path:
    """Writes a DuckDB file and returns its path; it appears only when it is complete, and replaces what was there.

    DuckDB checks a foreign key row by row and cannot add one later, so that parents must come before children:
    tables are ordered so, and the rows of a table that refers to itself.

    With the `schema` that the database was made for, the file has its columns, types and constraints instead.

    Raises:
        PlurelError: if keys do not hold, or tables or rows refer to each other in a cycle (SQLite can hold those); if
            whole numbers take more than 64 bits, names differ in case only, or `path` is a folder.
    """
    db, path = open_database(db), Path(path)
    check_database(db)
    order = _parents_first(db)
    batches = {name: _batches(db, name) for name in order}
    with replacing(path) as temporary, closing(duckdb.connect(str(temporary))) as connection:
        declared = {} if schema is None else declared_frames(db, schema)
        schema = None if schema is None else _without_lengths(_with_parents_types(schema))
        for name in order:
            frame = sql_frame(db.table_dict[name]) if schema is None else declared[name]
            connection.execute(
                create_statement(name, db.table_dict[name], frame, db, _TYPES)
                if schema is None
                else ddl.create_statement(schema.table(name), "octet_length")
            )
            for rows in batches[name]:
                _insert(connection, name, frame if rows is None else frame.iloc[rows])
    return path


def _with_parents_types(schema: SqlSchema) -> SqlSchema:
    """The schema with foreign keys of the type that they refer to: DuckDB joins no SMALLINT to an INTEGER."""
    tables = {table.name: table for table in schema.tables}
    for _ in tables:  # a key may refer to a key that refers to a key
        for name, table in tables.items():
            for key in table.foreign_keys:
                types = {own: tables[key.parent].column(other).type
                         for own, other in zip(key.columns, key.parent_columns, strict=True)}  # fmt: skip
                table = replace(table, columns=tuple(replace(c, type=types.get(c.name, c.type)) for c in table.columns))
            tables[name] = table
    return replace(schema, tables=tuple(tables.values()))


def _without_lengths(schema: SqlSchema) -> SqlSchema:
    """The schema with bytes of any length: DuckDB knows no BLOB(n)."""
    tables = []
    for table in schema.tables:
        kinds = [replace(c.type, length=None) if c.type.kind == "binary" else c.type for c in table.columns]
        columns = tuple(replace(c, type=kind) for c, kind in zip(table.columns, kinds, strict=True))
        tables.append(replace(table, columns=columns))
    return replace(schema, tables=tuple(tables))


def _insert(connection: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame) -> None:
    connection.register("frame", frame)
    connection.execute(f"INSERT INTO {quoted(name)} SELECT * FROM frame")
    connection.unregister("frame")


def _parents_first(db: Database) -> list[str]:
    graph = reference_graph(db)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = " -> ".join(edge[0] for edge in nx.find_cycle(graph))
        raise PlurelError(f"tables refer to each other in a cycle ({cycle}), which DuckDB cannot hold; use to_sqlite")
    return list(nx.topological_sort(graph))


def _batches(db: Database, name: str) -> list[np.ndarray | None]:
    """Rows to insert one batch after another, so that rows of the same table come after those they point to."""
    keys = [column for column, parent in db.table_dict[name].fkey_col_to_pkey_table.items() if parent == name]
    if not keys:
        return [None]
    parents = np.stack([parent_rows(db, ForeignKey(name, column, name)) for column in keys])  # (keys, rows)
    is_there = np.zeros(parents.shape[1] + 1, dtype=bool)
    is_there[-1] = True  # where -1, no parent, points to
    todo, batches = np.arange(parents.shape[1]), []
    while todo.size:
        is_ready = is_there[parents[:, todo]].all(axis=0)
        if not is_ready.any():
            raise PlurelError(
                f"{name}: rows refer to each other in a cycle (row {todo[0]} is in or behind one), which DuckDB cannot "
                "hold; use to_sqlite"
            )
        batches.append(todo[is_ready])
        is_there[todo[is_ready]] = True
        todo = todo[~is_ready]
    return batches
