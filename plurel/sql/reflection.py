"""The schema of a live database, by SQLAlchemy's reflection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import sqlglot
from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.engine import Engine
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import Enum, NullType, TypeEngine
from sqlglot import exp
from sqlglot.errors import SqlglotError

from plurel.errors import PlurelError
from plurel.sql.checks import constrained, of_column
from plurel.sql.resolution import resolved
from plurel.sql.schema import Column, ForeignKey, SqlSchema, SqlTable
from plurel.sql.types import declared_column

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
        if engine.dialect.name == "sqlite" and database and database != ":memory:" and not Path(database).is_file():
            raise PlurelError(f"{source}: there is no such file")  # SQLite would make an empty one
        tables = _reflected(engine, source)
    except ModuleNotFoundError as error:
        raise PlurelError(f"{url}: its driver {error.name} is not installed") from error
    except (SQLAlchemyError, SqlglotError) as error:
        raise PlurelError(f"{url}: the schema cannot be read ({str(error).splitlines()[0]})") from error
    return resolved(tables, source)


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
    columns, conditions = {}, []
    for item in inspector.get_columns(name):
        if item.get("computed") is None:
            column = _column(item["name"], item["type"], engine, dialect, where, conditions)
            columns[item["name"].casefold()] = replace(column, nullable=bool(item["nullable"]))
    conditions += [sqlglot.parse_one(check["sqltext"], read=dialect) for check in inspector.get_check_constraints(name)]
    columns, checks = constrained(columns, conditions, where)
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
    return SqlTable(name, tuple(columns.values()), primary_key, tuple(unique), tuple(keys), checks)


def _column(
    name: str, kind: TypeEngine, engine: Engine, dialect: str, where: str, conditions: list[exp.Expression]
) -> Column:
    """The column by its type; what a domain of PostgreSQL demands is added to `conditions`."""
    where_column = f"{where}, column {name}"
    if isinstance(kind, NullType):
        return declared_column(name, None, where_column)
    if isinstance(kind, Enum):
        return replace(declared_column(name, None, where_column), values=tuple(kind.enums))
    if isinstance(kind, DOMAIN):
        for check in kind.constraints:
            parsed = sqlglot.parse_one(f"SELECT 1 WHERE {check['check']}", read=dialect).args["where"].this
            conditions.append(of_column(parsed, exp.to_identifier(name, quoted=True)))
        return _column(name, kind.data_type, engine, dialect, where, conditions)
    parsed = exp.DataType.build(kind.compile(engine.dialect), dialect=dialect, udt=True)
    return declared_column(name, parsed, where_column)
