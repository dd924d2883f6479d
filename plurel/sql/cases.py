"""Cases: alternatives of demands on one row, joined, pruned of what nothing can meet, and folded into columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import networkx as nx

from plurel.errors import PlurelError
from plurel.sql.numbers import COMPARABLE, at_least, at_most, limits, step
from plurel.sql.schema import Case, Check, Column, Domain

_MOST = 256  # alternatives of one row
Cases = tuple[Case, ...]


class TooManyCases(Exception):
    """More alternatives than are followed."""


def either(*options: Cases) -> Cases:
    """Cases of conditions of which one must be met."""
    found = tuple(dict.fromkeys(case for cases in options for case in cases))
    # `x IS NULL OR x > 3` is x > 3: a condition on NULL is unknown, which a CHECK lets pass
    lone = {case.domains[0][0] for case in found if _is_lone(case) and case.domains[0][1].is_null is None}
    found = tuple(case for case in found if not (_is_null_alone(case) and case.domains[0][0] in lone))
    values = [case.domains[0][1].values for case in found if _is_lone(case) and case.domains[0][1].is_null is None]
    if len(values) == len(found) > 1 and None not in values and len({case.domains[0][0] for case in found}) == 1:
        domain = Domain(tuple(dict.fromkeys(value for some in values for value in some)))
        return (Case(((found[0].domains[0][0], domain),)),)
    return found


def both(columns: Mapping[str, Column], *parts: Cases) -> Cases:
    """Cases of conditions all of which must be met; those that no row can meet are left out.

    Raises:
        TooManyCases: for more than are followed.
    """
    found: Cases = (Case(),)
    for cases in parts:
        joined = (_joined(one, other, columns) for one in found for other in cases)
        found = tuple(dict.fromkeys(case for case in joined if case is not None))
        if len(found) > _MOST:
            raise TooManyCases
    return found


def folded(columns: Mapping[str, Column], cases: Cases) -> tuple[dict[str, Column], Cases]:
    """Columns with what a lone case demands of each by itself, and the cases that are left to keep.

    Args:
        columns: by their name; cases: at least one.
    """
    columns = dict(columns)
    if len(cases) > 1:
        return columns, cases
    (case,) = cases
    left = []
    for name, domain in case.domains:
        column = columns[name]
        if domain.is_null:
            left.append((name, domain))
            continue
        both_of = _met(Domain(column.values, column.low, column.high), domain)
        nullable = column.nullable and domain.is_null is None
        columns[name] = replace(column, values=both_of.values, low=both_of.low, high=both_of.high, nullable=nullable)
    rest = Case(tuple(left), case.orders)
    return columns, () if rest == Case() else (rest,)


def groups(checks: Iterable[Check], columns: Mapping[str, Column]) -> list[Check]:
    """Checks that speak of the same columns as one; what a row meets one case of meets all of them.

    Raises:
        PlurelError: if no row can meet a group, or it has more cases than are followed.
    """
    graph = nx.Graph()
    checks = list(checks)
    for number, check in enumerate(checks):
        graph.add_edges_from((number, name) for name in check.columns)
    found = []
    for members in nx.connected_components(graph):
        group = [checks[number] for number in sorted(m for m in members if isinstance(m, int))]
        sql = "; ".join(check.sql for check in group)
        try:
            cases = both(columns, *(check.cases for check in group))
        except TooManyCases:
            raise PlurelError(f"CHECK ({sql}): more than {_MOST} alternatives; split or simplify it") from None
        if not cases:
            raise PlurelError(f"CHECK ({sql}): no row satisfies it together with the columns' types and bounds")
        found.append(Check(sql, cases))
    return found


def _is_lone(case: Case) -> bool:
    return len(case.domains) == 1 and not case.orders


def _is_null_alone(case: Case) -> bool:
    return _is_lone(case) and case.domains[0][1].is_null is True


def _joined(one: Case, other: Case, columns: Mapping[str, Column]) -> Case | None:
    domains = dict(one.domains)
    for name, domain in other.domains:
        domains[name] = _met(domains[name], domain) if name in domains else domain
        if domains[name] is None:
            return None
    orders = tuple(dict.fromkeys((*one.orders, *other.orders)))
    case = Case(tuple(sorted(domains.items(), key=lambda item: item[0])), orders)
    return case if _is_possible(case, columns) else None


def _met(one: Domain, other: Domain) -> Domain | None:
    """What lies in both domains; None where nothing does."""
    if None not in (one.is_null, other.is_null) and one.is_null != other.is_null:
        return None
    is_null = other.is_null if one.is_null is None else one.is_null
    if is_null:
        return Domain(is_null=True)
    values = other.values if one.values is None else one.values
    if None not in (one.values, other.values):
        values = tuple(value for value in one.values if value in other.values)
    low = max((d.low for d in (one, other) if d.low is not None), default=None)
    high = min((d.high for d in (one, other) if d.high is not None), default=None)
    return Domain(values, low, high, is_null)


def _is_possible(case: Case, columns: Mapping[str, Column]) -> bool:
    """Whether some row meets the case, as far as domains and chains of orders tell."""
    bounds = {}
    for name in case.columns:
        column, domain = columns[name], dict(case.domains).get(name, Domain())
        if domain.is_null:
            if not column.nullable:
                return False
            continue
        met = _met(Domain(column.values, column.low, column.high), domain)
        if met.values is not None and not fitting(met.values, column, met):
            return False
        if column.type.kind in COMPARABLE:
            bounds[name] = _bounds(replace(column, low=met.low, high=met.high))
        elif met.low is not None or met.high is not None:
            bounds[name] = _lengths(column, met)
    graph = order_graph(case.orders)
    if not nx.is_directed_acyclic_graph(graph):
        return False
    for name in nx.topological_sort(graph):
        for other in graph.predecessors(name):
            if name in bounds and other in bounds:
                low = at_least(bounds[other][0], columns[name], graph.edges[other, name]["is_strict"])
                bounds[name] = (max(bounds[name][0], float(low)), bounds[name][1])
    return all(low <= high for low, high in bounds.values())


def _lengths(column: Column, domain: Domain) -> tuple[float, float]:
    longest = math.inf if column.type.length is None else column.type.length
    return domain.low or 0.0, longest if domain.high is None else min(domain.high, longest)


def _bounds(column: Column) -> tuple[float, float]:
    low, high = limits(column)
    return float(at_least(low, column)), float(at_most(high, column))


def order_graph(orders: Sequence) -> nx.DiGraph:
    """Columns, with an edge to each that must be later or larger, and whether strictly."""
    graph = nx.DiGraph()
    for order in orders:
        is_strict = order.is_strict or graph.get_edge_data(order.left, order.right, {}).get("is_strict", False)
        graph.add_edge(order.left, order.right, is_strict=is_strict)
    return graph


def fitting(values: Sequence, column: Column, domain: Domain) -> tuple:
    """Those of `values` that the column's type can hold, and that lie within the domain's bounds."""
    kind = column.type.kind
    if kind == "text":
        shortest, longest = _lengths(column, domain)
        return tuple(v for v in values if isinstance(v, str) and shortest <= len(v) <= longest)
    if kind == "boolean":
        return tuple(v for v in values if v in (0, 1))
    low, high = _bounds(replace(column, low=domain.low, high=domain.high))
    width = step(column)
    return tuple(
        v
        for v in values
        if not isinstance(v, str) and low <= v <= high and (width is None or float(at_least(v, column)) == v)
    )
