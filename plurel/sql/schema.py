"""A database's schema as SQL declares it: tables, typed columns, keys and constraints; independent of any dialect."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from plurel.errors import PlurelError

Kind = Literal["integer", "decimal", "real", "text", "boolean", "date", "time", "timestamp", "binary"]


@dataclass(frozen=True)
class ColumnType:
    """What a column may hold.

    Attributes:
        bits: of an integer.
        is_unsigned: of an integer.
        length: longest text, in characters; None for any.
        precision, scale: all digits of a decimal, and those after its point.
    """

    kind: Kind
    bits: int = 32
    is_unsigned: bool = False
    length: int | None = None
    precision: int = 18
    scale: int = 4

    @property
    def sql(self) -> str:
        """The type as SQLite and DuckDB read it."""
        if self.kind == "integer":
            bits = self.bits + 1 if self.is_unsigned else self.bits  # the next larger signed one
            return next(name for most, name in ((8, "TINYINT"), (16, "SMALLINT"), (32, "INTEGER"), (64, "BIGINT"),
                                                (128, "HUGEINT")) if bits <= most)  # fmt: skip
        if self.kind == "decimal":
            return f"DECIMAL({self.precision}, {self.scale})"
        if self.kind == "text":
            return "TEXT" if self.length is None else f"VARCHAR({self.length})"
        return {"real": "DOUBLE", "binary": "BLOB"}.get(self.kind, self.kind.upper())


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        values: the only ones allowed, from an ENUM or CHECK ... IN.
        low, high: the least and the greatest number allowed, or of a text the shortest and the longest length.
    """

    name: str
    type: ColumnType
    nullable: bool = True
    values: tuple[str | int | float, ...] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ForeignKey:
    """`columns` hold values of `parent_columns` of table `parent`; without parent columns its primary key is meant."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class SqlTable:
    """A table. `unique` lists sets of columns besides the primary key."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()

    def column(self, name: str) -> Column:
        """The column of that name; it must be there."""
        return next(column for column in self.columns if column.name == name)

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """Sets of columns whose values no two rows share: the primary key, and the unique ones."""
        return ((self.primary_key,) if self.primary_key else ()) + self.unique


@dataclass(frozen=True)
class SqlSchema:
    """Tables, in the order of their declaration. `source` says where they were declared, for messages."""

    tables: tuple[SqlTable, ...]
    source: str = "schema"

    def table(self, name: str) -> SqlTable:
        """The table of that name; it must be there."""
        return next(table for table in self.tables if table.name == name)


def resolved(tables: Sequence[SqlTable], source: str) -> SqlSchema:
    """The schema with every name as it was declared, and parent columns wherever a key leaves them out.

    Names are compared without regard to case, as SQL does for those that are not quoted.

    Raises:
        PlurelError: if there is no table, or a name is declared twice or is not there (the nearest is suggested), or
            a foreign key does not fit what it refers to.
    """
    if not tables:
        raise PlurelError(f"{source}: there is no CREATE TABLE; a schema needs at least one table")
    _check_twice([table.name for table in tables], f"{source}: table")
    names = [table.name for table in tables]
    drafts = {}
    for table in tables:
        where = f"{source}: table {table.name}"
        columns = [column.name for column in table.columns]
        if not columns:
            raise PlurelError(f"{where} has no columns")
        _check_twice(columns, f"{where}: column")
        primary_key = _known(table.primary_key, columns, f"{where}, primary key", "column")
        unique = dict.fromkeys(_known(key, columns, f"{where}, unique key", "column") for key in table.unique)
        drafts[table.name] = replace(
            table,
            columns=tuple(replace(c, nullable=c.nullable and c.name not in primary_key) for c in table.columns),
            primary_key=primary_key,
            unique=tuple(key for key in unique if set(key) != set(primary_key)),
        )
    finished = []
    for table in drafts.values():
        keys = dict.fromkeys(_resolved_key(key, table, drafts, names, source) for key in table.foreign_keys)
        finished.append(replace(table, foreign_keys=tuple(keys)))
    return SqlSchema(tuple(finished), source)


def _resolved_key(
    key: ForeignKey, table: SqlTable, tables: dict[str, SqlTable], names: Sequence[str], source: str
) -> ForeignKey:
    where = f"{source}: table {table.name}, foreign key ({', '.join(key.columns)})"
    columns = _known(key.columns, [column.name for column in table.columns], where, "column")
    (name,) = _known((key.parent,), names, where, "table")
    parent = tables[name]
    parent_columns = [column.name for column in parent.columns]
    referred = _known(key.parent_columns, parent_columns, f"{where} to {name}", "column") or parent.primary_key
    if not referred:
        raise PlurelError(f"{where} refers to table {name}, which has no primary key; name the columns it refers to")
    if len(referred) != len(columns):
        raise PlurelError(f"{where} has {len(columns)} columns and refers to {len(referred)}: ({', '.join(referred)})")
    if not any(set(unique) == set(referred) for unique in parent.keys):
        raise PlurelError(
            f"{where} refers to {name} ({', '.join(referred)}), which is neither a primary key nor unique"
        )
    return ForeignKey(columns, name, referred)


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence for messages: the known name that looks most like `name`, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _known(names: Iterable[str], known: Sequence[str], where: str, what: str) -> tuple[str, ...]:
    by_case = {name.casefold(): name for name in known}
    found = []
    for name in names:
        declared = name if name in known else by_case.get(name.casefold())
        if declared is None:
            raise PlurelError(f"{where}: there is no {what} {name}; {nearest(name, known)}")
        found.append(declared)
    return tuple(found)


def _check_twice(names: Sequence[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise PlurelError(f"{where} {name} is declared twice")
        seen.add(name.casefold())
