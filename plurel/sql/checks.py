"""CHECK constraints as cases of demands on a row, read from sqlglot's syntax tree."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from sqlglot import exp

from plurel.errors import PlurelError
from plurel.sql.cases import Cases, TooManyCases, both, either, fitting, folded, groups
from plurel.sql.numbers import at_least, at_most
from plurel.sql.resolution import nearest
from plurel.sql.schema import NUMBERS, TIMES, Case, Check, Column, ColumnType, Domain, Order

_OPERATORS = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.EQ: "=", exp.NEQ: "<>"}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "<>", "<>": "="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_NOW = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentDatetime)
_TODAY = "2025-01-01"  # what the current time counts as: the latest date of the priors
_DAY_0 = pd.Timestamp("1970-01-01")
_LENGTH = Column("length", ColumnType("integer"))


def constrained(
    columns: dict[str, Column], conditions: Iterable[exp.Expression], where: str
) -> tuple[dict[str, Column], tuple[Check, ...]]:
    """The columns with what conditions demand of each by itself, and the checks that are left.

    Understood are comparisons of a column or of its length with a constant (<, <=, >, >=, =, <>, IN, BETWEEN, = ANY),
    of a number or time with that of another column (<, <=, >, >=, <>), booleans, IS NULL, and AND, OR and NOT of these.

    Args:
        columns: by their name in lower case.
        conditions: those of all CHECKs of a table.
        where: file and table, for messages.

    Raises:
        PlurelError: for any other condition, or one that nothing can satisfy.
    """
    by_name = {column.name: column for column in columns.values()}
    checks = []
    for condition in conditions:
        reader = _Reader(by_name, condition, where)
        try:
            cases = both(by_name, reader.cases(condition))
        except TooManyCases:
            raise PlurelError(f"{where}, CHECK ({condition.sql()}): too many alternatives; split it") from None
        if not cases:
            names = ", ".join(sorted(reader.mentioned))
            raise PlurelError(f"{where}, column {names}: no value satisfies CHECK ({condition.sql()})")
        by_name, left = folded(by_name, cases)
        if left:
            checks.append(Check(condition.sql(), left))
    by_name = {name: _of_its_type(column, where) for name, column in by_name.items()}
    try:
        groups(checks, by_name)
    except PlurelError as error:
        raise PlurelError(f"{where}, {error}") from None
    return {column.name.casefold(): column for column in by_name.values()}, tuple(checks)


def of_column(check: exp.Expression, column: exp.Identifier) -> exp.Expression:
    """The CHECK of a domain, which speaks of VALUE, as one of a column."""

    def named(node: exp.Expression) -> exp.Expression:
        is_value = isinstance(node, exp.Column) and node.name.upper() == "VALUE"
        return exp.column(column.copy()) if is_value else node

    return check.transform(named)


def _of_its_type(column: Column, where: str) -> Column:
    """The column with those of its listed values that it can hold."""
    if column.values is None:
        return column
    values = fitting(column.values, column, Domain(low=column.low, high=column.high))
    if not values:
        raise PlurelError(f"{where}, column {column.name}: none of its values {list(column.values)} fits its type")
    return replace(column, values=values)


class _Reader:
    """Reads one condition of a table's columns, given by their name."""

    def __init__(self, columns: dict[str, Column], condition: exp.Expression, where: str) -> None:
        self._columns = {name.casefold(): column for name, column in columns.items()}
        self._by_name = columns
        self._condition, self._where = condition, where
        self.mentioned: set[str] = set()

    def cases(self, node: exp.Expression, is_negated: bool = False) -> Cases:
        """The cases in which the condition, or its negation, is true or unknown."""
        node = node.unnest()
        if isinstance(node, exp.Not):
            return self.cases(node.this, not is_negated)
        if isinstance(node, (exp.And, exp.Or)):
            parts = [self.cases(part, is_negated) for part in node.flatten()]
            return both(self._by_name, *parts) if isinstance(node, exp.And) != is_negated else either(*parts)
        if isinstance(node, exp.Between):
            low, high = ("<", ">") if is_negated else (">=", "<=")
            bounds = [self._compared(node.this, op, node.args[end]) for op, end in ((low, "low"), (high, "high"))]
            return either(*bounds) if is_negated else both(self._by_name, *bounds)
        if isinstance(node, exp.In) and node.expressions:
            return self._among(node.this, node.expressions, is_negated)
        if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Any):
            return self._among(node.this, self._array(node.expression.this), is_negated)
        if isinstance(node, exp.Is):
            return self._is(node, is_negated)
        if type(node) in _OPERATORS:
            operator = _OPERATORS[type(node)]
            return self._compared(node.this, _NEGATED[operator] if is_negated else operator, node.expression)
        column = self._column(node)
        if column is not None and column.type.kind == "boolean":
            return _lone(column, Domain((int(not is_negated),)))
        raise self._not_understood()

    def _is(self, node: exp.Is, is_negated: bool) -> Cases:
        column = self._column(node.this)
        is_negated ^= bool(node.args.get("negate"))
        if column is None:
            raise self._not_understood()
        if isinstance(node.expression, exp.Null):
            return _lone(column, Domain(is_null=not is_negated))
        if isinstance(node.expression, exp.Boolean) and column.type.kind == "boolean":
            wanted = bool(node.expression.this) != is_negated
            told = _lone(column, Domain((int(wanted),), is_null=False))
            return either(told, _lone(column, Domain(is_null=True))) if is_negated else told
        raise self._not_understood()

    def _among(self, node: exp.Expression, values: list[exp.Expression], is_negated: bool) -> Cases:
        each = [self._compared(node, "<>" if is_negated else "=", value) for value in values]
        return both(self._by_name, *each) if is_negated else either(*each)

    def _array(self, node: exp.Expression) -> list[exp.Expression]:
        node = node.unnest()
        node = node.this.unnest() if isinstance(node, exp.Cast) else node
        if not isinstance(node, exp.Array):
            raise self._not_understood()
        return node.expressions

    def _compared(self, left: exp.Expression, operator: str, right: exp.Expression) -> Cases:
        left, right = left.unnest(), right.unnest()
        column, other = self._column(left), self._column(right)
        if column is not None and other is not None:
            return self._ordered(column, operator, other)
        is_length = isinstance(left, exp.Length) or isinstance(right, exp.Length)
        if column is None and other is None and is_length:
            column = self._column(left.this) if isinstance(left, exp.Length) else None
            other = self._column(right.this) if column is None and isinstance(right, exp.Length) else None
        if column is None:
            column, operator, right = other, _MIRRORED[operator], left
        if column is None:
            raise self._not_understood()
        if is_length:
            if column.type.kind not in ("text", "binary"):
                raise self._not_understood()
            return _bounded(column, operator, self._number(right), _LENGTH)
        return self._against_constant(column, operator, right)

    def _against_constant(self, column: Column, operator: str, node: exp.Expression) -> Cases:
        kind = column.type.kind
        if kind in TIMES:
            return _bounded(column, operator, self._seconds(node, column, operator), column)
        if kind not in (*NUMBERS, "boolean", "text"):
            raise self._not_understood()
        value = self._text(node) if kind == "text" else self._number(node)
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        if operator == "=":
            return _lone(column, Domain((value,)))
        if operator == "<>" and column.values is not None:
            return _lone(column, Domain(tuple(v for v in column.values if v != value)))
        if kind == "text":
            if operator == "<>" and value == "":
                return _lone(column, Domain(low=1.0))
            raise self._not_understood()
        if kind == "boolean":
            if operator == "<>":
                return _lone(column, Domain((int(not value),)))
            raise self._not_understood()
        return _bounded(column, operator, float(value), column)

    def _ordered(self, left: Column, operator: str, right: Column) -> Cases:
        kinds = {left.type.kind, right.type.kind}
        is_comparable = kinds <= set(NUMBERS) or kinds <= {"date", "timestamp"} or kinds == {"time"}
        if not is_comparable or operator == "=" or left == right:
            raise self._not_understood()
        if operator == "<>":
            return either(self._ordered(left, "<", right), self._ordered(left, ">", right))
        if operator in (">", ">="):
            return self._ordered(right, _MIRRORED[operator], left)
        # where dates are texts, a day comes before its own midnight
        is_strict = operator == "<" or len(kinds - set(NUMBERS)) > 1
        return (Case(orders=(Order(left.name, right.name, is_strict),)),)

    def _column(self, node: exp.Expression) -> Column | None:
        """The column that a node is, or None where it is none."""
        node = node.unnest()
        cast = node.to if isinstance(node, exp.Cast) else None
        node = node.this.unnest() if cast is not None else node
        if not isinstance(node, (exp.Column, exp.Identifier)):
            return None
        if node.name.casefold() not in self._columns:
            names = [column.name for column in self._columns.values()]
            raise PlurelError(
                f"{self._where}, CHECK ({self._condition.sql()}): there is no column {node.name}; "
                f"{nearest(node.name, names)}"
            )
        column = self._columns[node.name.casefold()]
        if cast is not None and not _is_harmless(cast, column):
            raise self._not_understood()
        self.mentioned.add(column.name)
        return column

    def _text(self, node: exp.Expression) -> str:
        node = _uncast(node)
        if not isinstance(node, exp.Literal):
            raise self._not_understood()
        return node.name

    def _number(self, node: exp.Expression) -> float:
        node = _uncast(node)
        sign = -1.0 if isinstance(node, exp.Neg) else 1.0
        node = _uncast(node.this) if isinstance(node, exp.Neg) else node
        if isinstance(node, exp.Boolean):
            return float(node.this)
        try:
            number = sign * float(node.name) if isinstance(node, exp.Literal) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._not_understood()
        return number

    def _seconds(self, node: exp.Expression, column: Column, operator: str) -> float:
        node = node.unnest()
        is_now = isinstance(node, _NOW) or node.sql().upper() in ("GETDATE()", "NOW()", "LOCALTIMESTAMP", "SYSDATE()")
        if is_now and operator not in ("<", "<="):  # rows later than now would not stay so
            raise self._not_understood()
        text = _TODAY if is_now else self._text(node)
        try:
            if column.type.kind == "time":
                return pd.Timedelta(text).total_seconds()
            return (pd.Timestamp(text) - _DAY_0).total_seconds()
        except (ValueError, TypeError):
            raise self._not_understood() from None

    def _not_understood(self) -> PlurelError:
        return PlurelError(
            f"{self._where}: no values can be made for CHECK ({self._condition.sql()}); understood are comparisons "
            "of a column or its length with a constant (also IN, BETWEEN, IS NULL), <, <=, >, >= and <> of two "
            "columns of numbers or times, and AND, OR and NOT of these"
        )


def _lone(column: Column, domain: Domain) -> Cases:
    return (Case(((column.name, domain),)),)


def _bounded(column: Column, operator: str, number: float, grid: Column) -> Cases:
    """Cases of `column <operator> number`, or of its length; `grid` is a column of the numbers that are compared."""
    if operator == "<>":
        return either(_bounded(column, "<", number, grid), _bounded(column, ">", number, grid))
    is_strict = operator in ("<", ">")
    low = float(at_least(np.float64(number), grid, is_strict)) if operator in (">", ">=", "=") else None
    high = float(at_most(np.float64(number), grid, is_strict)) if operator in ("<", "<=", "=") else None
    return _lone(column, Domain(low=low, high=high))


def _uncast(node: exp.Expression) -> exp.Expression:
    node = node.unnest()
    while isinstance(node, exp.Cast):
        node = node.this.unnest()
    return node


def _is_harmless(cast: exp.DataType, column: Column) -> bool:
    """Whether comparing what is cast is comparing the column."""
    name, kind = cast.this.name, column.type.kind
    if kind == "text":
        return name in ("TEXT", "VARCHAR", "CHAR", "BPCHAR", "NVARCHAR")
    if kind in NUMBERS:
        return name in ("DECIMAL", "DOUBLE", "FLOAT") or (kind == "integer" and name in ("INT", "BIGINT"))
    return kind in ("date", "timestamp") and name.startswith(("TIMESTAMP", "DATETIME"))
