"""Names and keys of a schema as they were declared: every reference found, every foreign key fitting its parent."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from plurel.errors import PlurelError
from plurel.files import is_file_name
from plurel.sql.schema import NUMBERS, Column, ForeignKey, SqlSchema, SqlTable

_NO_KEYS = ("json", "array", "geometry", "interval")  # no distinct values are made for them


def resolved(tables: Sequence[SqlTable], source: str) -> SqlSchema:
    """The schema with every name as it was declared, and parent columns wherever a key leaves them out.

    Names are compared without regard to case, as SQL does for those that are not quoted.

    Raises:
        PlurelError: if there is no table, or a name is declared twice, cannot be a file's or is not there (the nearest
            is suggested), or a foreign key does not fit what it refers to.
    """
    if not tables:
        raise PlurelError(f"{source}: there is no CREATE TABLE; a schema needs at least one table")
    _check_twice([table.name for table in tables], f"{source}: table")
    names = [table.name for table in tables]
    drafts = {}
    for table in tables:
        where = f"{source}: table {table.name}"
        columns = [column.name for column in table.columns]
        if not is_file_name(table.name):  # a corpus holds a file for each table
            raise PlurelError(f"{where}: a table's name is a file's name too; use no / or \\ and at most 200 bytes")
        if not columns:
            raise PlurelError(f"{where} has no columns")
        _check_twice(columns, f"{where}: column")
        primary_key = known(table.primary_key, columns, f"{where}, primary key", "column")
        unique = dict.fromkeys(known(key, columns, f"{where}, unique key", "column") for key in table.unique)
        drafts[table.name] = replace(
            table,
            columns=tuple(replace(c, nullable=c.nullable and c.name not in primary_key) for c in table.columns),
            primary_key=primary_key,
            unique=tuple(key for key in unique if set(key) != set(primary_key)),
        )
        _check_keys(drafts[table.name], where)
    finished = []
    for table in drafts.values():
        keys = dict.fromkeys(_resolved_key(key, table, drafts, names, source) for key in table.foreign_keys)
        finished.append(replace(table, foreign_keys=tuple(keys)))
    return SqlSchema(tuple(finished), source)


def _resolved_key(
    key: ForeignKey, table: SqlTable, tables: dict[str, SqlTable], names: Sequence[str], source: str
) -> ForeignKey:
    where = f"{source}: table {table.name}, foreign key ({', '.join(key.columns)})"
    columns = known(key.columns, [column.name for column in table.columns], where, "column")
    (name,) = known((key.parent,), names, where, "table")
    parent = tables[name]
    parent_columns = [column.name for column in parent.columns]
    referred = known(key.parent_columns, parent_columns, f"{where} to {name}", "column") or parent.primary_key
    if not referred:
        raise PlurelError(f"{where} refers to table {name}, which has no primary key; name the columns it refers to")
    if len(referred) != len(columns):
        raise PlurelError(f"{where} has {len(columns)} columns and refers to {len(referred)}: ({', '.join(referred)})")
    if not any(set(unique) == set(referred) for unique in parent.keys):
        raise PlurelError(
            f"{where} refers to {name} ({', '.join(referred)}), which is neither a primary key nor unique"
        )
    for own, other in zip(columns, referred, strict=True):
        _check_types(table.column(own), parent.column(other), where, name)
    return ForeignKey(columns, name, referred)


def _check_keys(table: SqlTable, where: str) -> None:
    for name in (column for key in table.keys for column in key):
        kind = table.column(name).type.kind
        if kind in _NO_KEYS:
            raise PlurelError(f"{where}, column {name} of type {kind} cannot be in a key; take it out")


def _check_types(own: Column, other: Column, where: str, parent: str) -> None:
    kinds = {own.type.kind, other.type.kind}
    if len(kinds) > 1 and not kinds <= set(NUMBERS):
        raise PlurelError(
            f"{where}: column {own.name} is of type {own.type.kind} and refers to {parent} ({other.name}) of type "
            f"{other.type.kind}; give both the same"
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence for messages: the known name that looks most like `name`, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def known(names: Iterable[str], known: Sequence[str], where: str, what: str) -> tuple[str, ...]:
    """The names as they were declared.

    Raises:
        PlurelError: for one that is not there, or is there twice, such as a column in a key.
    """
    by_case = {name.casefold(): name for name in known}
    found: list[str] = []
    for name in names:
        declared = name if name in known else by_case.get(name.casefold())
        if declared is None:
            raise PlurelError(f"{where}: there is no {what} {name}; {nearest(name, known)}")
        if declared in found:
            raise PlurelError(f"{where}: {what} {name} is named twice")
        found.append(declared)
    return tuple(found)


def _check_twice(names: Sequence[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise PlurelError(f"{where} {name} is declared twice")
        seen.add(name.casefold())
