"""Random schemas as SQL that SQLite, DuckDB and the parser read alike, for property tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

KEY_TYPES = ("INTEGER", "SMALLINT", "BIGINT", "VARCHAR(4)", "TEXT", "UUID", "DATE", "DECIMAL(8,2)", "TIMESTAMP", "BLOB")
TYPES = (*KEY_TYPES, "TINYINT", "DOUBLE", "REAL", "DECIMAL(4,3)", "CHAR(3)", "BOOLEAN", "TIME", "JSON", "INTERVAL")
NUMBERS = ("INTEGER", "SMALLINT", "BIGINT", "TINYINT", "DOUBLE", "REAL", "DECIMAL(8,2)", "DECIMAL(4,3)")
TEXTS = ("VARCHAR(4)", "TEXT", "CHAR(3)")
DATES = ("DATE", "TIMESTAMP")


@dataclass
class Table:
    """A table in the making: columns as (name, type), its keys, and the lines of its CREATE TABLE."""

    name: str
    columns: list[tuple[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    keys: list[tuple[str, ...]] = field(default_factory=list)

    def sql(self) -> str:
        return f'CREATE TABLE "{self.name}" (\n  ' + ",\n  ".join(self.lines) + "\n);"


@st.composite
def schemas(draw: Any, has_cycles: bool = True) -> str:
    """CREATE TABLE statements; where `has_cycles`, also keys to later tables and to the table itself."""
    tables = [Table(f"t{i}") for i in range(draw(st.integers(1, 4)))]
    for table in tables:
        _key(draw, table)
        for i in range(draw(st.integers(0, 5))):
            _column(draw, table, f"c {i}" if i == 2 else f"c{i}")
    for number, table in enumerate(tables):
        parents = tables if has_cycles else tables[:number]
        for i in range(draw(st.integers(0, 3)) if parents else 0):
            _foreign_key(draw, table, draw(st.sampled_from(parents)), f"f{i}")
    for table in tables:
        _table_constraints(draw, table)
        table.lines.sort(key=lambda line: not line.startswith('"'))  # columns first
    return "\n".join(table.sql() for table in tables)


def _key(draw: Any, table: Table) -> None:
    names = draw(st.sampled_from([(), ("id",), ("id",), ("id",), ("id", "no")]))
    for name in names:
        kind = draw(st.sampled_from(KEY_TYPES))
        table.columns.append((name, kind))
        table.lines.append(f'"{name}" {kind} NOT NULL')
    if names:
        table.keys.append(names)
        table.lines.append(f"PRIMARY KEY ({_list(names)})")


def _column(draw: Any, table: Table, name: str) -> None:
    kind = draw(st.sampled_from(TYPES))
    rule = draw(st.sampled_from(["", "", " NOT NULL", " NOT NULL", " UNIQUE" if kind in KEY_TYPES else ""]))
    table.columns.append((name, kind))
    if rule == " UNIQUE":
        table.keys.append((name,))
    check = f" CHECK ({draw(conditions(name, kind))})" if draw(st.booleans()) else ""
    table.lines.append(f'"{name}" {kind}{rule}{check}')


def _foreign_key(draw: Any, table: Table, parent: Table, prefix: str) -> None:
    if not parent.keys:
        return
    key = draw(st.sampled_from(parent.keys))
    types = dict(parent.columns)
    names = tuple(f"{prefix}_{i}" for i in range(len(key)))
    rule = draw(st.sampled_from(["", " NOT NULL", " UNIQUE"]))
    for name, column in zip(names, key, strict=True):
        table.columns.append((name, types[column]))
        table.lines.append(f'"{name}" {types[column]}{rule if len(key) == 1 else ""}')
    table.lines.append(f'FOREIGN KEY ({_list(names)}) REFERENCES "{parent.name}" ({_list(key)})')


def _table_constraints(draw: Any, table: Table) -> None:
    if not table.columns:
        table.columns.append(("only", "INTEGER"))
        table.lines.append('"only" INTEGER')
    names = [name for name, kind in table.columns if kind in KEY_TYPES]
    if len(names) > 1 and draw(st.booleans()):
        table.lines.append(f"UNIQUE ({_list(draw(st.permutations(names))[:2])})")
    for _ in range(draw(st.integers(0, 2))):
        table.lines.append(f"CHECK ({draw(row_conditions(table.columns))})")


@st.composite
def conditions(draw: Any, name: str, kind: str) -> str:
    """A condition on one column."""
    column = f'"{name}"'
    if kind in NUMBERS:
        low, high = sorted(draw(st.tuples(st.integers(-9, 99), st.integers(-9, 99))))
        options = [
            f"{column} >= {low}", f"{column} > {low} AND {column} < {high + 2}", f"{column} BETWEEN {low} AND {high}",
            f"{column} IN ({low}, {high})", f"NOT {column} < {low}", f"{low} <= {column}", f"{column} <> 0",
            f"({column} < {low} OR {column} > {high})", f"{column} IS NULL OR {column} > 0.5",
        ]  # fmt: skip
    elif kind in TEXTS:
        options = [f"length({column}) >= 2", f"length({column}) BETWEEN 1 AND 3", f"{column} IN ('a', 'it''s', 'c')",
                   f"{column} <> ''", f"{column} = 'a' OR {column} = 'b'"]  # fmt: skip
    elif kind in DATES:
        options = [f"{column} >= '2001-02-03'", f"{column} < '2040-01-01' AND {column} > '1970-01-02'"]
    elif kind == "BOOLEAN":
        options = [column, f"NOT {column}", f"{column} IS NOT NULL"]
    else:
        options = [f"{column} IS NOT NULL", f"{column} IS NULL OR {column} IS NOT NULL"]
    return draw(st.sampled_from(options))


@st.composite
def row_conditions(draw: Any, columns: list[tuple[str, str]]) -> str:
    """A condition on several columns of a row."""
    first, second = draw(st.sampled_from(columns)), draw(st.sampled_from(columns))
    parts = [draw(conditions(*first)), draw(conditions(*second))]
    family = next((f for f in (NUMBERS, DATES) if first[1] in f and second[1] in f), ())
    if family and first != second:
        operator = draw(st.sampled_from(["<", "<=", ">", ">=", "<>"]))
        parts.append(f'"{first[0]}" {operator} "{second[0]}"')
    joined = draw(st.sampled_from([" OR ", " AND "])).join(f"({part})" for part in draw(st.permutations(parts))[:2])
    return draw(st.sampled_from([joined, parts[-1], f'"{first[0]}" IS NULL OR {parts[-1]}', f"NOT ({joined})"]))


def _list(names: Any) -> str:
    return ", ".join(f'"{name}"' for name in names)
