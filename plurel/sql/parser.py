"""SQL text as a schema: CREATE TABLE, CREATE TYPE ... AS ENUM, UNIQUE INDEX, ALTER TABLE; the rest is skipped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from plurel.errors import PlurelError
from plurel.sql.checks import constrained
from plurel.sql.schema import Column, ForeignKey, SqlSchema, SqlTable, nearest, resolved
from plurel.sql.types import Values, column_type

DIALECTS = ("postgres", "mysql", "sqlite")
_MARKS = {
    "mysql": ("`", "auto_increment", "engine=", "engine ="),
    "sqlite": ("autoincrement", "pragma ", "without rowid"),
}

_BRACKETED = re.compile(r"\[([^\[\]]+)\]")  # names as SQL Server writes them, which SQLite accepts


def schema_from_sql(source: str | Path, dialect: str | None = None) -> SqlSchema:
    """The schema that SQL text declares.

    Args:
        source: the path of a file, or the text itself (which has a semicolon or line break, or starts with CREATE).
        dialect: postgres, mysql or sqlite; None: whichever the text looks like, postgres where nothing tells.

    Raises:
        PlurelError: for a file that cannot be read, text that is no SQL, no tables, names that are not there, types and
            checks that no values can be made for; naming file, table and column.
    """
    text, name = _read(source)
    if dialect is None:
        lowered = text.casefold()
        dialect = next((d for d, marks in _MARKS.items() if any(mark in lowered for mark in marks)), "postgres")
    if dialect not in DIALECTS:
        raise PlurelError(f"{name}: unknown dialect {dialect!r}; {nearest(str(dialect), DIALECTS)}")
    reader = _Reader(name)
    for statement in _statements(text, dialect, name):
        reader.read(statement)
    return reader.schema()


def _read(source: str | Path) -> tuple[str, str]:
    """Text and its name for messages."""
    text = str(source)
    if isinstance(source, str) and (";" in text or "\n" in text or text.lstrip().casefold().startswith("create")):
        return text, "SQL text"
    try:
        return Path(source).read_text(encoding="utf-8"), text
    except (OSError, UnicodeDecodeError) as error:
        raise PlurelError(f"{text}: the schema cannot be read ({error})") from error


def _statements(text: str, dialect: str, name: str) -> Iterator[exp.Expression]:
    """The statements that declare something, parsed; others (data, triggers, functions) are not even parsed."""
    try:
        tokens = sqlglot.tokenize(text, read=dialect)
    except SqlglotError as error:
        raise PlurelError(f"{name}: this is no SQL of dialect {dialect} ({_short(error)})") from error
    start = 0
    for i, token in enumerate([*tokens, None]):
        if token is not None and token.token_type != TokenType.SEMICOLON:
            continue
        statement, start = tokens[start:i], i + 1
        words = [token.text.upper() for token in statement[:4]]
        is_table = words[:1] == ["CREATE"] and "TABLE" in words
        if not (is_table or words[:2] in (["CREATE", "TYPE"], ["ALTER", "TABLE"], ["CREATE", "UNIQUE"])):
            continue
        if words[:2] == ["ALTER", "TABLE"] and not {"ADD", "SET"} & {token.text.upper() for token in statement}:
            continue  # such as OWNER TO
        if is_table:
            statement = _without_options(statement)
        sql = text[statement[0].start : statement[-1].end + 1]
        sql = _BRACKETED.sub(r'"\1"', sql) if dialect == "sqlite" else sql
        try:
            parsed = sqlglot.parse_one(sql, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
        except SqlglotError as error:
            raise PlurelError(f"{name}, line {statement[0].line}: {_short(error)} (dialect {dialect})") from error
        if is_table and isinstance(parsed, exp.Command):
            words = " ".join(sql.split())[:60]
            raise PlurelError(f"{name}, line {statement[0].line}: {words} ... cannot be read as SQL of {dialect}")
        yield parsed


def _without_options(tokens: list[Token]) -> list[Token]:
    """A CREATE TABLE up to the bracket that ends its columns: engines and the like do not matter here."""
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if token.token_type == TokenType.R_PAREN and not depth:
            return tokens[: i + 1]
    return tokens


def _short(error: Exception) -> str:
    return str(error).splitlines()[0].replace("\033[4m", "").replace("\033[0m", "")


@dataclass
class _Draft:
    """A table while its statements are read; columns by their name in lower case."""

    schema: str
    name: str
    columns: dict[str, Column] = field(default_factory=dict)
    checks: list[exp.Expression] = field(default_factory=list)
    primary_key: tuple[str, ...] = ()
    unique: list[tuple[str, ...]] = field(default_factory=list)
    foreign_keys: list[tuple[tuple[str, ...], exp.Table, tuple[str, ...]]] = field(default_factory=list)


class _Reader:
    """Collects statements, whatever their order, and joins them at the end."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.enums: dict[str, Values] = {}
        self.drafts: list[_Draft] = []

    def read(self, statement: exp.Expression) -> None:
        if isinstance(statement, exp.Alter):
            self._alter(statement)
        elif not isinstance(statement, exp.Create):
            return
        elif statement.kind == "TYPE" and isinstance(statement.expression, exp.DataType):
            self.enums[statement.this.name.casefold()] = tuple(v.name for v in statement.expression.expressions)
        elif statement.kind == "INDEX" and statement.args.get("unique"):
            self._unique_index(statement.this)
        elif statement.kind == "TABLE":
            self._create(statement)

    def schema(self) -> SqlSchema:
        names = [draft.name.casefold() for draft in self.drafts]
        is_twice = {name for name in names if names.count(name) > 1}  # the same name in two schemas
        shown = {id(d): f"{d.schema}.{d.name}" if d.name.casefold() in is_twice and d.schema else d.name
                 for d in self.drafts}  # fmt: skip
        tables = []
        for draft in self.drafts:
            columns = draft.columns
            for check in draft.checks:
                columns = constrained(columns, check, f"{self.source}: table {draft.name}")
            keys = []
            for own, parent, referred in draft.foreign_keys:
                found = self._find(parent, draft.schema)
                keys.append(ForeignKey(own, shown[id(found)] if found else parent.name, referred))
            tables.append(
                SqlTable(shown[id(draft)], tuple(columns.values()), draft.primary_key, tuple(draft.unique), tuple(keys))
            )
        return resolved(tables, self.source)

    def _find(self, table: exp.Table, schema: str = "") -> _Draft | None:
        found = [draft for draft in self.drafts if draft.name.casefold() == table.name.casefold()]
        wanted = (table.db or schema).casefold()
        return next((draft for draft in found if draft.schema.casefold() == wanted), found[0] if found else None)

    def _existing(self, table: exp.Table) -> _Draft:
        draft = self._find(table)
        if draft is None:
            known = nearest(table.name, [d.name for d in self.drafts]) if self.drafts else "there is none"
            raise PlurelError(
                f"{self.source}: ALTER TABLE or INDEX of {table.name}, which is not created before; {known}"
            )
        return draft

    def _create(self, statement: exp.Create) -> None:
        schema = statement.this
        if not isinstance(schema, exp.Schema):  # CREATE TABLE ... AS SELECT, PARTITION OF
            name = schema.name if isinstance(schema, exp.Table) else statement.sql()
            raise PlurelError(f"{self.source}: table {name} is created without a list of columns")
        draft = _Draft(schema.this.db, schema.this.name)
        self.drafts.append(draft)
        for item in schema.expressions:
            self._item(draft, item)

    def _alter(self, statement: exp.Alter) -> None:
        draft = self._existing(statement.this)
        for action in statement.args.get("actions") or ():
            if isinstance(action, exp.AlterColumn):
                column = draft.columns.get(action.name.casefold())
                if column is not None and action.args.get("allow_null") is False:
                    draft.columns[action.name.casefold()] = replace(column, nullable=False)
            elif isinstance(action, exp.AddConstraint):
                for item in action.expressions:
                    self._item(draft, item)
            else:
                self._item(draft, action)

    def _unique_index(self, index: exp.Index) -> None:
        columns = [ordered.this for ordered in index.args["params"].args.get("columns") or ()]
        # a part of the rows, or an expression of columns: stricter than needed, or not expressible
        if columns and all(isinstance(column, exp.Column) for column in columns):
            self._existing(index.args["table"]).unique.append(_names(columns))

    def _item(self, draft: _Draft, item: exp.Expression) -> None:
        """A column or a constraint of the table."""
        if isinstance(item, exp.ColumnDef):
            self._column(draft, item)
        elif isinstance(item, exp.Constraint):
            for part in item.expressions:
                self._item(draft, part)
        elif isinstance(item, exp.PrimaryKey):
            draft.primary_key = _names(item.expressions)
        elif isinstance(item, exp.UniqueColumnConstraint) and isinstance(item.this, exp.Schema):
            draft.unique.append(_names(item.this.expressions))
        elif isinstance(item, exp.ForeignKey):
            draft.foreign_keys.append((_names(item.expressions), *_reference(item.args["reference"])))
        elif isinstance(item, exp.CheckColumnConstraint):
            draft.checks.append(item.this)

    def _column(self, draft: _Draft, item: exp.ColumnDef) -> None:
        where = f"{self.source}: table {draft.name}, column {item.name}"
        if item.name.casefold() in draft.columns:
            raise PlurelError(f"{where} is declared twice")
        kind, values = column_type(item.kind, self.enums, where)
        nullable = True
        for constraint in item.args.get("constraints") or ():
            rule = constraint.kind
            if isinstance(rule, exp.NotNullColumnConstraint):
                nullable = bool(rule.args.get("allow_null"))
            elif isinstance(rule, exp.PrimaryKeyColumnConstraint):
                draft.primary_key = (item.name,)
            elif isinstance(rule, exp.UniqueColumnConstraint):
                draft.unique.append((item.name,))
            elif isinstance(rule, exp.Reference):
                draft.foreign_keys.append(((item.name,), *_reference(rule)))
            elif isinstance(rule, exp.CheckColumnConstraint):
                draft.checks.append(rule.this)
            elif isinstance(rule, exp.ComputedColumnConstraint):
                raise PlurelError(f"{where} is computed from others, which is not supported; leave it out")
        draft.columns[item.name.casefold()] = Column(item.name, kind, nullable, values)


def _names(items: list[exp.Expression]) -> tuple[str, ...]:
    return tuple(item.this.name if isinstance(item, exp.Ordered) else item.name for item in items)


def _reference(reference: exp.Reference) -> tuple[exp.Table, tuple[str, ...]]:
    target = reference.this
    if isinstance(target, exp.Schema):
        return target.this, _names(target.expressions)
    return target, ()
