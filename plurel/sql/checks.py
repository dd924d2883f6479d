"""CHECK constraints that generated values can satisfy: allowed values, and bounds of one column."""

from __future__ import annotations

import math
from dataclasses import replace

from sqlglot import exp

from plurel.errors import PlurelError
from plurel.sql.schema import Column, nearest

_MIRRORED = {exp.GT: exp.LT, exp.LT: exp.GT, exp.GTE: exp.LTE, exp.LTE: exp.GTE, exp.EQ: exp.EQ}
_LENGTHS = (exp.Length,)


def constrained(columns: dict[str, Column], check: exp.Expression, where: str) -> dict[str, Column]:
    """The columns with what `check` demands of them; the names are in lower case.

    Understood are parts joined by AND: column IN (...), = ANY (ARRAY[...]), equalities joined by OR, <, <=, >, >= and
    BETWEEN with a number, and the same of length(column). `column IS NULL OR ...` demands the rest.

    Raises:
        PlurelError: for any other condition, or one that nothing can satisfy.
    """
    columns = dict(columns)
    for part in exp.and_(check, copy=True).flatten() if isinstance(check, exp.And) else [check]:
        column, demand = _demand(part.unnest(), check, columns, where)
        columns[column.name.casefold()] = _joined(column, demand, where)
    return columns


def _demand(
    part: exp.Expression, check: exp.Expression, columns: dict[str, Column], where: str
) -> tuple[Column, tuple[tuple | None, float | None, float | None]]:
    """The column of a part, and its allowed values, least and greatest number."""
    if isinstance(part, exp.Or):
        return _alternatives(part, check, columns, where)
    if isinstance(part, exp.Between):
        column, _ = _column(part.this, check, columns, where)
        return column, (None, _number(part.args["low"], check, where), _number(part.args["high"], check, where))
    if isinstance(part, exp.In) and part.expressions:
        column, _ = _column(part.this, check, columns, where)
        return column, (tuple(_literal(value, check, where) for value in part.expressions), None, None)
    if isinstance(part, exp.EQ) and isinstance(part.expression, exp.Any):
        column, _ = _column(part.this, check, columns, where)
        array = part.expression.this.unnest()
        array = array.this.unnest() if isinstance(array, exp.Cast) else array
        return column, (tuple(_literal(value, check, where) for value in array.expressions), None, None)
    if type(part) not in _MIRRORED:
        raise _not_understood(check, where)
    left, kind, right = part.this.unnest(), type(part), part.expression.unnest()
    if isinstance(left, (exp.Literal, exp.Neg)):
        left, kind, right = right, _MIRRORED[kind], left
    column, is_length = _column(left, check, columns, where)
    if kind is exp.EQ and not is_length:
        return column, ((_literal(right, check, where),), None, None)
    number = _number(right, check, where)
    step = 1.0 if is_length else _step(column)
    low = {exp.GT: math.nextafter(number, math.inf) if step is None else number + step}.get(kind, number)
    high = {exp.LT: math.nextafter(number, -math.inf) if step is None else number - step}.get(kind, number)
    return column, (
        None,
        low if kind in (exp.GT, exp.GTE, exp.EQ) else None,
        high if kind in (exp.LT, exp.LTE, exp.EQ) else None,
    )


def _alternatives(
    part: exp.Or, check: exp.Expression, columns: dict[str, Column], where: str
) -> tuple[Column, tuple[tuple | None, float | None, float | None]]:
    parts = [p.unnest() for p in part.flatten()]
    rest = [p for p in parts if not (isinstance(p, exp.Is) and isinstance(p.expression, exp.Null))]
    found = [_demand(p, check, columns, where) for p in rest]
    if len(found) == 1:
        return found[0]
    names = {column.name for column, _ in found}
    if len(names) != 1 or any(demand[0] is None for _, demand in found):
        raise _not_understood(check, where)
    return found[0][0], (tuple(value for _, demand in found for value in demand[0]), None, None)


def _step(column: Column) -> float | None:
    """Between neighbouring numbers of the column; None where they are dense."""
    return {"integer": 1.0, "decimal": 10.0**-column.type.scale}.get(column.type.kind)


def _joined(column: Column, demand: tuple, where: str) -> Column:
    values, low, high = demand
    if values is not None and column.values is not None:
        values = tuple(value for value in column.values if value in values)
    low = low if column.low is None else column.low if low is None else max(low, column.low)
    high = high if column.high is None else column.high if high is None else min(high, column.high)
    joined = replace(column, values=column.values if values is None else values, low=low, high=high)
    if joined.values == () or (low is not None and high is not None and low > high):
        raise PlurelError(f"{where}, column {column.name}: no value satisfies all CHECK constraints")
    return joined


def _column(node: exp.Expression, check: exp.Expression, columns: dict[str, Column], where: str) -> tuple[Column, bool]:
    """The column, and whether its length is meant."""
    node = node.unnest()
    is_length = isinstance(node, _LENGTHS)
    node = node.this.unnest() if is_length else node
    node = node.this.unnest() if isinstance(node, exp.Cast) else node
    if not isinstance(node, (exp.Column, exp.Identifier)):
        raise _not_understood(check, where)
    if node.name.casefold() not in columns:
        names = [column.name for column in columns.values()]
        raise PlurelError(
            f"{where}, CHECK ({check.sql()}): there is no column {node.name}; {nearest(node.name, names)}"
        )
    column = columns[node.name.casefold()]
    if not is_length and column.type.kind not in ("integer", "decimal", "real", "text", "boolean"):
        raise _not_understood(check, where)
    return column, is_length


def _literal(node: exp.Expression, check: exp.Expression, where: str) -> str | int | float:
    node = node.unnest()
    node = node.this.unnest() if isinstance(node, exp.Cast) else node
    if isinstance(node, exp.Literal) and node.is_string:
        return node.name
    number = _number(node, check, where)
    return int(number) if number.is_integer() else number


def _number(node: exp.Expression, check: exp.Expression, where: str) -> float:
    node = node.unnest()
    node = node.this.unnest() if isinstance(node, exp.Cast) else node
    sign = -1.0 if isinstance(node, exp.Neg) else 1.0
    node = node.this if isinstance(node, exp.Neg) else node
    if isinstance(node, exp.Boolean):
        return float(node.this)
    try:
        return sign * float(node.name)
    except ValueError:
        raise _not_understood(check, where) from None


def _not_understood(check: exp.Expression, where: str) -> PlurelError:
    return PlurelError(
        f"{where}: no values can be made for CHECK ({check.sql()}); understood are IN (...), BETWEEN, comparisons "
        "of one column or its length with a number, and these joined by AND"
    )
