"""The schema of a live database, by SQLAlchemy's reflection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import sqlglot
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.engine import Engine, make_url
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
_BASE_TYPES = "SELECT typname, format_type(typbasetype, typtypmod) FROM pg_type WHERE typtype = 'd'"
_CHILDREN = "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
_Domains = dict[str, tuple[str, list[str]]]  # base type and checks of each


def schema_from_url(url: str) -> SqlSchema:
    """The schema of the database at an SQLAlchemy URL, such as sqlite:///shop.db; nothing is written to it.

    Raises:
        PlurelError: if the URL or the database cannot be opened, its driver is missing, it has no tables, or types and
            checks are such that no values can be made for them.
    """
    try:
        source = make_url(url).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):  # whose text may hold a part of the password
        raise PlurelError(
            "database URL: the schema cannot be read; write dialect://user:password@host/database, with %40 for @ and "
            "%2F for / in the password"
        ) from None
    try:
        engine = create_engine(url)
        database = engine.url.database
        if engine.dialect.name == "sqlite" and database and database != ":memory:" and not Path(database).is_file():
            raise PlurelError(f"{source}: there is no such file")  # SQLite would make an empty one
        tables = _reflected(engine, source)
    except ModuleNotFoundError as error:
        raise PlurelError(f"{source}: its driver {error.name} is not installed") from error
    except (SQLAlchemyError, SqlglotError) as error:
        raise PlurelError(f"{source}: the schema cannot be read ({str(error).splitlines()[0]})") from error
    return resolved(tables, source)


def _reflected(engine: Engine, source: str) -> list[SqlTable]:
    if engine.dialect.name not in _DIALECTS:
        raise PlurelError(f"{source}: databases of {engine.dialect.name} are not read; known: {', '.join(_DIALECTS)}")
    try:
        inspector = inspect(engine)
        domains = _domains(engine, inspector)
        children = _children(engine)
        names = [name for name in inspector.get_table_names() if name not in children]
        return [_table(name, inspector, engine, domains, source) for name in names]
    finally:
        engine.dispose()


def _domains(engine: Engine, inspector: Inspector) -> _Domains:
    """Domains of PostgreSQL; SQLAlchemy knows their checks, but no length or precision."""
    if engine.dialect.name != "postgresql":
        return {}
    with engine.connect() as connection:
        types = dict(connection.execute(text(_BASE_TYPES)).tuples().all())
    return {d["name"]: (types[d["name"]], [c["check"] for c in d["constraints"]]) for d in inspector.get_domains("*")}


def _children(engine: Engine) -> set[str]:
    """Partitions and tables that inherit, whose rows are those of the table above."""
    if engine.dialect.name != "postgresql":
        return set()
    with engine.connect() as connection:
        return set(connection.execute(text(_CHILDREN)).scalars())


def _condition(sql: str, dialect: str) -> exp.Expression:
    return sqlglot.parse_one(f"SELECT 1 WHERE {sql}", read=dialect).args["where"].this


def _table(name: str, inspector: Inspector, engine: Engine, domains: _Domains, source: str) -> SqlTable:
    where, dialect = f"{source}: table {name}", _DIALECTS[engine.dialect.name]
    columns, conditions = {}, []
    for item in inspector.get_columns(name):
        if item.get("computed") is None:
            column = _column(item["name"], item["type"], engine, domains, where, conditions)
            columns[item["name"].casefold()] = replace(column, nullable=bool(item["nullable"]))
    conditions += [_condition(check["sqltext"], dialect) for check in inspector.get_check_constraints(name)]
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
    name: str, kind: TypeEngine, engine: Engine, domains: _Domains, where: str, conditions: list[exp.Expression]
) -> Column:
    """The column by its type; what a domain of PostgreSQL demands is added to `conditions`."""
    where_column, dialect = f"{where}, column {name}", _DIALECTS[engine.dialect.name]
    if isinstance(kind, NullType) and dialect != "sqlite":  # where it is a column without a type
        raise PlurelError(f"{where_column}: its type cannot be read from the database; write the schema as SQL")
    if isinstance(kind, NullType):
        return declared_column(name, None, where_column)
    if isinstance(kind, Enum):
        return replace(declared_column(name, None, where_column), values=tuple(kind.enums))
    if isinstance(kind, DOMAIN):
        declared, checks = domains[kind.name]
        for check in checks:
            conditions.append(of_column(_condition(check, dialect), exp.to_identifier(name, quoted=True)))
        return declared_column(name, exp.DataType.build(declared, dialect=dialect, udt=True), where_column)
    parsed = exp.DataType.build(kind.compile(engine.dialect), dialect=dialect, udt=True)
    return declared_column(name, parsed, where_column)
