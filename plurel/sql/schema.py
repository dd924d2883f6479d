"""A database's schema as SQL declares it: tables, typed columns, keys and constraints; independent of any dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal[
    "integer", "decimal", "real", "text", "boolean", "date", "time", "timestamp", "binary",
    "interval", "uuid", "json", "array", "geometry",
]  # fmt: skip
NUMBERS = ("integer", "decimal", "real")
TIMES = ("date", "time", "timestamp")


@dataclass(frozen=True)
class ColumnType:
    """What a column may hold.

    Attributes:
        bits: of an integer.
        is_unsigned: of an integer.
        length: longest text, in characters; None for any.
        precision, scale: all digits of a decimal, and those after its point.
        element: what an array holds.
    """

    kind: Kind
    bits: int = 32
    is_unsigned: bool = False
    length: int | None = None
    precision: int = 18
    scale: int = 4
    element: ColumnType | None = None


@dataclass(frozen=True)
class Domain:
    """What a column may hold where a condition is to be true, or unknown because the column is NULL.

    Attributes:
        values: the only ones allowed; None for any.
        low, high: the least and the greatest number; of a text its shortest and longest length; of a date or timestamp
            seconds since 1970, of a time of day since midnight.
        is_null: whether it must be NULL, must not be, or None: either.
    """

    values: tuple[str | int | float, ...] | None = None
    low: float | None = None
    high: float | None = None
    is_null: bool | None = None


@dataclass(frozen=True)
class Order:
    """The number or time in column `left` is at most that in `right`, or less if `is_strict`."""

    left: str
    right: str
    is_strict: bool


@dataclass(frozen=True)
class Case:
    """Demands of one row that are met together: a domain for each of some columns, and orders between columns."""

    domains: tuple[tuple[str, Domain], ...] = ()
    orders: tuple[Order, ...] = ()

    @property
    def columns(self) -> set[str]:
        """Columns that it speaks of."""
        return {name for name, _ in self.domains} | {name for o in self.orders for name in (o.left, o.right)}


@dataclass(frozen=True)
class Check:
    """A CHECK that no single column can keep by itself: every row meets one of the cases. `sql` is for messages."""

    sql: str = field(compare=False)
    cases: tuple[Case, ...]

    @property
    def columns(self) -> set[str]:
        """Columns that it speaks of."""
        return set().union(*(case.columns for case in self.cases))


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        values: the only ones allowed, from an ENUM or CHECK ... IN.
        low, high: as in Domain.
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
    checks: tuple[Check, ...] = ()

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

    def save(self, path: str | Path) -> Path:
        """Writes the schema as SQL, which Config(schema_file=...) reads, and returns the path."""
        from plurel.files import replacing
        from plurel.sql.ddl import schema_statements

        with replacing(Path(path)) as temporary:
            temporary.write_text("\n".join(f"{statement};" for statement in schema_statements(self)) + "\n")
        return Path(path)


def referred_columns(schema: SqlSchema, name: str) -> set[str]:
    """Columns of a table that foreign keys refer to."""
    keys = [key for table in schema.tables for key in table.foreign_keys if key.parent == name]
    return {column for key in keys for column in key.parent_columns}
