"""Key columns that hold what every column which refers to them can hold too, such as a SMALLINT of an INTEGER's key."""

from __future__ import annotations

import math
from dataclasses import replace

from plurel.errors import PlurelError
from plurel.sql.cases import folded, groups
from plurel.sql.keys import capacity_of
from plurel.sql.numbers import COMPARABLE, limits
from plurel.sql.schema import Case, Column, SqlSchema, SqlTable, referred_columns

_EXACTNESS = ("integer", "decimal", "real")


def narrowed(schema: SqlSchema) -> SqlSchema:
    """The schema with such columns, for generation; what is declared stays as it is.

    Raises:
        PlurelError: where a foreign key has no value in common with what it refers to.
    """
    tables = {table.name: _settled(table, schema) for table in schema.tables}
    for _ in range(len(tables) + 1):  # a key may refer to a key that refers to a key
        before = dict(tables)
        for table in schema.tables:
            for key in table.foreign_keys:
                for own, other in zip(key.columns, key.parent_columns, strict=True):
                    parent = tables[key.parent]
                    column = _narrower(parent.column(other), tables[table.name].column(own))
                    if not capacity_of(column):
                        where = f"{schema.source}: table {table.name}, foreign key ({', '.join(key.columns)})"
                        raise PlurelError(f"{where}: column {own} and {key.parent} ({other}) share no value")
                    tables[key.parent] = _with(parent, column)
        if tables == before:
            break
    return replace(schema, tables=tuple(tables.values()))


def _settled(table: SqlTable, schema: SqlSchema) -> SqlTable:
    """The table with one case of each CHECK that bounds columns of keys, the one that leaves them the most values.

    Values of keys and unique columns are counted up, not drawn; a row's cannot be moved into another case.
    """
    keyed = {name for key in table.keys for name in key} | referred_columns(schema, table.name)
    keyed |= {name for key in table.foreign_keys for name in key.columns}
    columns = {column.name: column for column in table.columns}
    for check in groups(table.checks, columns):
        cases = []
        for case in check.cases:
            domains = tuple((name, domain) for name, domain in case.domains if name in keyed and not domain.is_null)
            bounded, _ = folded(columns, (Case(domains),))
            cases.append((min((capacity_of(bounded[name]) for name, _ in domains), default=math.inf), bounded))
        columns = max(cases, key=lambda item: item[0])[1]
    return replace(table, columns=tuple(columns.values()))


def _narrower(parent: Column, child: Column) -> Column:
    kind = parent.type
    if kind.kind != child.type.kind:
        kind = min((kind, child.type), key=lambda k: _EXACTNESS.index(k.kind))
    if kind.kind in ("text", "binary"):
        lengths = [n for n in (parent.type.length, child.type.length) if n is not None]
        kind = replace(kind, length=min(lengths, default=None))
        low = max((n for n in (parent.low, child.low) if n is not None), default=None)
        high = min((n for n in (parent.high, child.high) if n is not None), default=None)
        narrow = replace(parent, type=kind, low=low, high=high)
    elif kind.kind in COMPARABLE and limits(child) != limits(parent):
        (low, high), (least, most) = limits(parent), limits(child)
        narrow = replace(parent, type=kind, low=max(low, least), high=min(high, most))
        # a bound that is no narrower than the usual first key leaves keys to begin there
        narrow = replace(narrow, low=parent.low if narrow.low <= 1 and child.low is None else narrow.low)
    else:
        narrow = replace(parent, type=kind)
    values = [column.values for column in (parent, child) if column.values is not None]
    if values:
        common = tuple(value for value in values[0] if value in values[-1])
        narrow = replace(narrow, values=common)
    return narrow


def _with(table: SqlTable, column: Column) -> SqlTable:
    return replace(table, columns=tuple(column if c.name == column.name else c for c in table.columns))
