"""The schema of a live database, by SQLAlchemy's reflection."""

from __future__ import annotations

import sqlglot
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import Engine
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import Enum, NullType, TypeEngine
from sqlglot import exp
from sqlglot.errors import SqlglotError

from plurel.errors import PlurelError
from plurel.sql.checks import constrained
from plurel.sql.schema import Column, ForeignKey, SqlSchema, SqlTable, resolved
from plurel.sql.types import column_type

_DIALECTS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite", "duckdb": "duckdb"}


def schema_from_url(url: str) -> SqlSchema:
    """The schema of the database at an SQLAlchemy URL, such as sqlite:///shop.db; nothing is written to it.

    Raises:
        PlurelError: if the URL or the database cannot be opened, its driver is missing, it has no tables, or types and
            checks are such that no values can be made for them.
    """
    try:
        engine = create_engine(url)
        source = engine.url.render_as_string(hide_password=True)
        database = engine.url.database
        if engine.dialect.name == "sqlite" and database and database != ":memory:" and not _exists(database):
            raise PlurelError(f"{source}: there is no such file")  # SQLite would make an empty one
        tables = _reflected(engine, source)
    except ModuleNotFoundError as error:
        raise PlurelError(f"{url}: its driver {error.name} is not installed") from error
    except (SQLAlchemyError, SqlglotError) as error:
        raise PlurelError(f"{url}: the schema cannot be read ({str(error).splitlines()[0]})") from error
    return resolved(tables, source)


def _exists(database: str) -> bool:
    from pathlib import Path

    return Path(database).is_file()


def _reflected(engine: Engine, source: str) -> list[SqlTable]:
    dialect = _DIALECTS.get(engine.dialect.name)
    if dialect is None:
        raise PlurelError(f"{source}: databases of {engine.dialect.name} are not read; known: {', '.join(_DIALECTS)}")
    try:
        inspector = inspect(engine)
        return [_table(name, inspector, engine, dialect, source) for name in inspector.get_table_names()]
    finally:
        engine.dispose()


def _table(name: str, inspector: Inspector, engine: Engine, dialect: str, source: str) -> SqlTable:
    where = f"{source}: table {name}"
    columns = {}
    for item in inspector.get_columns(name):
        kind = item["type"]
        parsed, values = column_type(_parsed(kind, engine, dialect), {}, f"{where}, column {item['name']}")
        values = tuple(kind.enums) if isinstance(kind, Enum) else values
        columns[item["name"].casefold()] = Column(item["name"], parsed, bool(item["nullable"]), values)
    for check in inspector.get_check_constraints(name):
        columns = constrained(columns, sqlglot.parse_one(check["sqltext"], read=dialect), where)
    unique = [tuple(key["column_names"]) for key in inspector.get_unique_constraints(name)]
    # what SQLite makes for UNIQUE itself; get_unique_constraints misses those of types with a length
    options = {"include_auto_indexes": True} if dialect == "sqlite" else {}
    for index in inspector.get_indexes(name, **options):
        if index["unique"] and all(index["column_names"]):
            unique.append(tuple(index["column_names"]))
    keys = [
        ForeignKey(tuple(key["constrained_columns"]), key["referred_table"], tuple(key["referred_columns"]))
        for key in inspector.get_foreign_keys(name)
    ]
    primary_key = tuple(inspector.get_pk_constraint(name)["constrained_columns"])
    return SqlTable(name, tuple(columns.values()), primary_key, tuple(unique), tuple(keys))


def _parsed(kind: TypeEngine, engine: Engine, dialect: str) -> exp.DataType | None:
    if isinstance(kind, NullType):
        return None
    if isinstance(kind, Enum):
        return exp.DataType.build("TEXT", dialect=dialect)
    return exp.DataType.build(kind.compile(engine.dialect), dialect=dialect, udt=True)
