"""SQL text as a schema: CREATE, ALTER and DROP TABLE, TYPE ... AS ENUM, DOMAIN and UNIQUE INDEX; the rest is skipped.

What is declared but not made: columns computed from others (GENERATED ALWAYS AS (...), which the database fills), and
partitions and tables that INHERIT (their rows are those of the table above). DEFAULT says nothing about values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlglot import exp

from plurel.errors import PlurelError
from plurel.sql.checks import constrained, of_column
from plurel.sql.resolution import nearest, resolved
from plurel.sql.schema import Column, ForeignKey, SqlSchema, SqlTable
from plurel.sql.statements import Statement, not_followed, statements
from plurel.sql.types import declared_column, type_name

_BYTE_ORDER_MARK = "\ufeff"  # with which editors on Windows begin UTF-8


def schema_from_sql(source: str | Path, dialect: str | None = None) -> SqlSchema:
    """The schema that SQL text declares.

    Args:
        source: the path of a file, or the text itself (which has a semicolon or line break, or starts with CREATE).
        dialect: postgres, mysql or sqlite; None: whichever the text looks like, postgres where nothing tells.

    Raises:
        PlurelError: for a file that cannot be read, text that is no SQL, no tables, names that are not there, types and
            checks that no values can be made for, tables or columns that are renamed; naming file, line or table and
            column.
    """
    text, name = _read(source)
    reader = _Reader(name)
    for statement in statements(text, dialect, name):
        try:
            reader.read(statement)
        except (AttributeError, KeyError, TypeError) as error:  # sqlglot takes some broken SQL for other trees
            raise PlurelError(f"{name}, line {statement.line}: the statement cannot be read") from error
    return reader.schema()


def _read(source: str | Path) -> tuple[str, str]:
    """Text and its name for messages."""
    text = str(source).removeprefix(_BYTE_ORDER_MARK)
    is_text = ";" in text or "\n" in text or text.lstrip().casefold().startswith("create") or not text.strip()
    if isinstance(source, str) and is_text:
        return text, "SQL text"
    try:
        return Path(source).read_text(encoding="utf-8-sig"), text
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise PlurelError(f"{text}: the schema cannot be read ({error})") from error


@dataclass
class _Draft:
    """A table while its statements are read; columns by their name in lower case."""

    schema: str
    name: str
    columns: dict[str, Column] = field(default_factory=dict)
    computed: set[str] = field(default_factory=set)
    checks: list[exp.Expression] = field(default_factory=list)
    primary_key: tuple[str, ...] = ()
    unique: list[tuple[str, ...]] = field(default_factory=list)
    foreign_keys: list[tuple[tuple[str, ...], exp.Table, tuple[str, ...]]] = field(default_factory=list)


class _Reader:
    """Collects statements, whatever their order, and joins them at the end."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.own_types: dict[str, _Draft | tuple[str, ...]] = {}  # domains, and values of enumerations
        self.drafts: list[_Draft] = []
        self.partitions: set[str] = set()

    def read(self, statement: Statement) -> None:
        parsed = statement.parsed
        if statement.kind == "partition":
            self.partitions.add(statement.name.casefold())
        elif isinstance(parsed, exp.Alter):
            self._alter(parsed, f"{self.source}, line {statement.line}")
        elif isinstance(parsed, exp.Drop):
            self._drop(parsed)
        elif not isinstance(parsed, exp.Create):
            return
        elif statement.kind in ("table", "domain"):
            draft = self._created(parsed, statement)
            if statement.kind == "table":
                self.drafts.append(draft)
            else:
                self.own_types[draft.name.casefold()] = draft
        elif parsed.kind == "TYPE" and isinstance(parsed.expression, exp.DataType):
            self.own_types[parsed.this.name.casefold()] = tuple(v.name for v in parsed.expression.expressions)
        elif parsed.kind == "INDEX" and parsed.args.get("unique"):
            self._unique_index(parsed.this)

    def schema(self) -> SqlSchema:
        drafts = [draft for draft in self.drafts if draft.name.casefold() not in self.partitions]
        names = [draft.name.casefold() for draft in drafts]
        is_twice = {name for name in names if names.count(name) > 1}  # the same name in two schemas
        shown = {id(d): f"{d.schema}.{d.name}" if d.name.casefold() in is_twice and d.schema else d.name
                 for d in drafts}  # fmt: skip
        return resolved([self._table(draft, shown) for draft in drafts], self.source)

    def _table(self, draft: _Draft, shown: dict[int, str]) -> SqlTable:
        where = f"{self.source}: table {draft.name}"
        keys = [
            (own, parent, referred, self._find(parent, draft.schema)) for own, parent, referred in draft.foreign_keys
        ]
        in_keys = {
            *draft.primary_key,
            *(c for unique in draft.unique for c in unique),
            *(c for k in keys for c in k[0]),
        }
        in_checks = {column.name for check in draft.checks for column in check.find_all(exp.Column)}
        for name in (in_keys | in_checks) & draft.computed:
            raise PlurelError(f"{where}, column {name} is computed from others; a key or CHECK of it cannot be met")
        columns, checks = constrained(draft.columns, draft.checks, where)
        return SqlTable(
            shown[id(draft)],
            tuple(columns.values()),
            draft.primary_key,
            tuple(draft.unique),
            tuple(ForeignKey(k, shown.get(id(d), parent.name), referred) for k, parent, referred, d in keys),
            checks,
        )

    def _find(self, table: exp.Table, schema: str = "") -> _Draft | None:
        found = [draft for draft in self.drafts if draft.name.casefold() == table.name.casefold()]
        wanted = (table.db or schema).casefold()
        return next((draft for draft in found if draft.schema.casefold() == wanted), found[0] if found else None)

    def _existing(self, table: exp.Expression) -> _Draft | None:
        """The table that is altered; None for a partition."""
        draft = self._find(table)
        if draft is None and table.name.casefold() not in self.partitions:
            known = nearest(table.name, [d.name for d in self.drafts]) if self.drafts else "there is none"
            raise PlurelError(
                f"{self.source}: ALTER TABLE or INDEX of {table.name}, which is not created before; {known}"
            )
        return draft

    def _created(self, parsed: exp.Create, statement: Statement) -> _Draft:
        schema = parsed.this
        if not isinstance(schema, exp.Schema):  # CREATE TABLE ... AS SELECT
            name = schema.name if isinstance(schema, exp.Table) else parsed.sql()
            raise PlurelError(
                f"{self.source}, line {statement.line}: table {name} is created without a list of columns"
            )
        draft = _Draft(schema.this.db, schema.this.name)
        for item in schema.expressions:
            self._item(draft, item)
        return draft

    def _drop(self, statement: exp.Drop) -> None:
        """Forgets tables; those that are not there yet are what dumps drop before they create them."""
        for table in statement.find_all(exp.Table):
            draft = self._find(table)
            if draft is not None and table.db.casefold() in ("", draft.schema.casefold()):
                self.drafts.remove(draft)

    def _alter(self, statement: exp.Alter, where: str) -> None:
        actions = [action for action in statement.args.get("actions") or () if _shapes_rows(action)]
        draft = self._existing(statement.this) if actions else None
        for action in actions if draft is not None else ():
            if isinstance(action, exp.AlterColumn):
                self._alter_column(draft, action, where)
            elif isinstance(action, exp.Drop):
                _drop_column(draft, action, where)
            elif isinstance(action, exp.AddConstraint):
                for item in action.expressions:
                    self._item(draft, item)
            elif isinstance(action, exp.ModifyColumn):
                renamed = action.args.get("rename_from")
                if renamed is not None and renamed.name.casefold() != action.this.name.casefold():
                    raise not_followed(statement.sql(), where)
                before = dict(draft.columns)
                draft.columns.pop(action.this.name.casefold(), None)
                self._item(draft, action.this)
                draft.columns = {name: draft.columns[name] for name in before | draft.columns if name in draft.columns}
            elif isinstance(action, (exp.AlterRename, exp.RenameColumn)):
                raise not_followed(statement.sql(), where)
            else:
                self._item(draft, action)

    def _alter_column(self, draft: _Draft, action: exp.AlterColumn, where: str) -> None:
        name = action.name.casefold()
        if name not in draft.columns:
            return  # one that is computed
        column, kind = draft.columns[name], action.args.get("dtype")
        if kind is not None:
            item = exp.ColumnDef(this=action.this, kind=kind)
            column = replace(self._typed(draft, item, f"{where}, column {column.name}"), nullable=column.nullable)
        draft.columns[name] = replace(column, nullable=action.args.get("allow_null", column.nullable))

    def _unique_index(self, index: exp.Index) -> None:
        columns = [ordered.this for ordered in index.args["params"].args.get("columns") or ()]
        draft = self._existing(index.args["table"])
        # a part of the rows, or an expression of columns: stricter than needed, or not expressible
        if draft is not None and columns and all(isinstance(column, exp.Column) for column in columns):
            draft.unique.append(_names(columns))

    def _item(self, draft: _Draft, item: exp.Expression) -> None:
        """A column or a constraint of the table."""
        if isinstance(item, exp.ColumnDef):
            self._column(draft, item)
        elif isinstance(item, exp.Identifier):  # a column of SQLite without a type
            self._column(draft, exp.ColumnDef(this=item))
        elif isinstance(item, exp.Constraint):
            for part in item.expressions:
                self._item(draft, part)
        elif isinstance(item, exp.PrimaryKey):
            draft.primary_key = _names(item.expressions)
        elif isinstance(item, exp.UniqueColumnConstraint) and isinstance(item.this, exp.Schema):
            draft.unique.append(_names(item.this.expressions))
        elif isinstance(item, exp.ForeignKey):
            draft.foreign_keys.append(
                (
                    _names(item.expressions),
                    *_reference(item.args.get("reference"), f"{self.source}: table {draft.name}"),
                )
            )
        elif isinstance(item, exp.CheckColumnConstraint):
            draft.checks.append(item.this)
        elif isinstance(item, exp.LikeProperty):
            raise PlurelError(f"{self.source}: table {draft.name} is LIKE another; write its columns out")

    def _column(self, draft: _Draft, item: exp.ColumnDef) -> None:
        where = f"{self.source}: table {draft.name}, column {item.name}"
        if item.name.casefold() in draft.columns:
            raise PlurelError(f"{where} is declared twice")
        rules = [constraint.kind for constraint in item.args.get("constraints") or ()]
        if any(isinstance(rule, exp.ComputedColumnConstraint) for rule in rules):
            draft.computed.add(item.name)
            return
        column = self._typed(draft, item, where)
        draft.columns[item.name.casefold()] = column
        for rule in rules:
            if isinstance(rule, exp.NotNullColumnConstraint) and not rule.args.get("allow_null"):
                draft.columns[item.name.casefold()] = replace(column, nullable=False)
            elif isinstance(rule, exp.PrimaryKeyColumnConstraint):
                draft.primary_key = (item.name,)
            elif isinstance(rule, exp.UniqueColumnConstraint):
                draft.unique.append((item.name,))
            elif isinstance(rule, exp.Reference):
                draft.foreign_keys.append(((item.name,), *_reference(rule, where)))
            elif isinstance(rule, exp.CheckColumnConstraint):
                draft.checks.append(rule.this)

    def _typed(self, draft: _Draft, item: exp.ColumnDef, where: str) -> Column:
        """The column by its type, with what an enumeration or domain of the schema's own demands."""
        own = self.own_types.get(type_name(item.kind).casefold())
        if own is None:
            return declared_column(item.name, item.kind, where)
        if isinstance(own, tuple):
            return replace(declared_column(item.name, None, where), values=own)
        base = own.columns.get("value")
        if base is None:
            raise PlurelError(f"{where}: its domain {own.name} has no type")
        for check in own.checks:
            draft.checks.append(of_column(check, item.this))
        return replace(base, name=item.name)


def _shapes_rows(action: exp.Expression) -> bool:
    """Whether an action of ALTER TABLE changes what is made; less than is forbidden after DROP CONSTRAINT is fine."""
    if isinstance(action, exp.AlterColumn):  # such as SET DEFAULT, which pg_dump writes of views too
        return action.args.get("allow_null") is not None or action.args.get("dtype") is not None
    return action.args.get("kind") == "COLUMN" if isinstance(action, exp.Drop) else True


def _drop_column(draft: _Draft, action: exp.Drop, where: str) -> None:
    keys = [draft.primary_key, *draft.unique, *(key[0] for key in draft.foreign_keys)]
    used = {name.casefold() for key in keys for name in key}
    used |= {column.name.casefold() for check in draft.checks for column in check.find_all(exp.Column)}
    for column in action.find_all(exp.Column):
        name = column.name.casefold()
        if name in used:
            raise not_followed(f"DROP COLUMN {name} of table {draft.name}, which a key or CHECK names,", where)
        draft.columns.pop(name, None)
        draft.computed = {other for other in draft.computed if other.casefold() != name}


def _names(items: list[exp.Expression]) -> tuple[str, ...]:
    return tuple(item.this.name if isinstance(item, exp.Ordered) else item.name for item in items)


def _reference(reference: exp.Reference | None, where: str) -> tuple[exp.Table, tuple[str, ...]]:
    if reference is None:
        raise PlurelError(f"{where}: a foreign key does not say what it REFERENCES")
    target = reference.this
    if isinstance(target, exp.Schema):
        return target.this, _names(target.expressions)
    return target, ()
