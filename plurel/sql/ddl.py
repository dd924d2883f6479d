"""A schema as SQL that SQLite and DuckDB read, and plurel.sql.parser again: the same schema comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from plurel.sql.schema import TIMES, Case, Column, ColumnType, Domain, SqlSchema, SqlTable
from plurel.sql.statements import SAVED

_INTEGERS = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT", 128: "HUGEINT"}


def quoted(name: str) -> str:
    """An identifier as SQL writes it, whatever its characters."""
    return '"' + str(name).replace('"', '""') + '"'


def type_sql(kind: ColumnType) -> str:
    """The type in the words of DuckDB, with the length of bytes, which it has no words for; SQLite takes any."""
    if kind.kind == "integer":
        return ("U" if kind.is_unsigned else "") + _INTEGERS[kind.bits]
    if kind.kind == "decimal":
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if kind.kind == "text":
        return "TEXT" if kind.length is None else f"VARCHAR({kind.length})"
    if kind.kind == "binary":
        return "BLOB" if kind.length is None else f"BLOB({kind.length})"
    if kind.kind == "array":
        return f"{type_sql(kind.element)}[]"
    return {"real": "DOUBLE"}.get(kind.kind, kind.kind.upper())


def create_statement(table: SqlTable, length_of_bytes: str = "length") -> str:
    """CREATE TABLE with every constraint, ordered so that columns come before constraints, as SQLite wants it.

    Args:
        length_of_bytes: the function that counts them, which has another name in DuckDB.
    """
    columns = [f"{quoted(c.name)} {type_sql(c.type)}{'' if c.nullable else ' NOT NULL'}" for c in table.columns]
    constraints = []
    for column in table.columns:
        domain = Domain(column.values, column.low, column.high)
        constraints += [f"CHECK ({condition})" for condition in _conditions(column, domain, length_of_bytes)]
    constraints += [
        f"CHECK ({' OR '.join(_case(case, table, length_of_bytes) for case in check.cases)})" for check in table.checks
    ]
    if table.primary_key:
        constraints.append(f"PRIMARY KEY ({_list(table.primary_key)})")
    constraints += [f"UNIQUE ({_list(unique)})" for unique in table.unique]
    constraints += [
        f"FOREIGN KEY ({_list(key.columns)}) REFERENCES {quoted(key.parent)} ({_list(key.parent_columns)})"
        for key in table.foreign_keys
    ]
    return f"CREATE TABLE {quoted(table.name)} (\n  " + ",\n  ".join(columns + constraints) + "\n)"


def schema_statements(schema: SqlSchema) -> Iterator[str]:
    """The CREATE TABLE statements, after a remark that the parser knows."""
    for number, table in enumerate(schema.tables):
        yield (f"{SAVED}\n" if number == 0 else "") + create_statement(table)


def _case(case: Case, table: SqlTable, length_of_bytes: str) -> str:
    parts = []
    for name, domain in case.domains:
        if domain.is_null is not None:
            parts.append(f"{quoted(name)} IS {'' if domain.is_null else 'NOT '}NULL")
        parts += _conditions(table.column(name), domain, length_of_bytes)
    parts += [f"{quoted(o.left)} {'<' if o.is_strict else '<='} {quoted(o.right)}" for o in case.orders]
    return f"({' AND '.join(parts)})"


def _conditions(column: Column, domain: Domain, length_of_bytes: str) -> list[str]:
    name = quoted(column.name)
    what = {"text": f"length({name})", "binary": f"{length_of_bytes}({name})"}.get(column.type.kind, name)
    found = [f"{what} >= {_number(column, domain.low)}"] if domain.low is not None else []
    found += [f"{what} <= {_number(column, domain.high)}"] if domain.high is not None else []
    if domain.values is not None:
        options = (
            "'" + v.replace("'", "''") + "'" if isinstance(v, str) else _number(column, v) for v in domain.values
        )
        found.append(f"{name} IN ({', '.join(options)})")
    return found


def _number(column: Column, number: float) -> str:
    kind = column.type.kind
    if kind == "time":
        return f"'{str(pd.Timedelta(number, unit='s')).split()[-1]}'"
    if kind in TIMES:
        time = pd.Timestamp(0) + pd.Timedelta(number, unit="s")
        return f"'{time.date() if kind == 'date' else time.isoformat(sep=' ')}'"
    if kind == "boolean":
        return "TRUE" if number else "FALSE"
    return repr(int(number)) if kind == "integer" or float(number).is_integer() else repr(float(number))


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, names))
