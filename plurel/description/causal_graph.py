"""The causal model of a synthetic table, drawn: sources, hidden nodes and columns.

Sparse graphs are drawn in layers, causes left of effects; dense ones as arcs over nodes in causal order.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
from markupsafe import Markup
from relbench.base import Table

from plurel.column_kinds import column_kind
from plurel.database import SyntheticDataset
from plurel.description.layout import layered_layout
from plurel.description.svg import curve, element, number, svg
from plurel.scm import TableSCM

_RADIUS, _MARGIN = 10.0, 14.0
_STEP, _ARC_RADIUS = 17.0, 8.0  # of an arc diagram: between nodes, and of columns
_FAINT = 90  # edges; more are drawn fainter, so that many arcs do not become one area
_DENSE = 2.0  # edges per node
_KINDS_OF_NUMBERS = ("number", "integer", "time", "text")  # the last two: dates and ordered words
_MAX_ATTEMPTS = 20  # of a table whose first models kept no column; see plurel.database


@dataclass(frozen=True)
class CausalGraph:
    """A drawing, and what it shows.

    Attributes:
        num_unused: nodes on which no column depends; they are not drawn.
        num_dropped: columns that came out constant, so that the table lacks them; they are drawn pale.
        is_arcs: True for arcs over nodes in causal order.
    """

    drawing: Markup
    num_nodes: int
    num_edges: int
    num_sources: int
    num_unused: int
    num_dropped: int
    is_arcs: bool


def draw_causal_graph(dataset: SyntheticDataset, name: str, table: Table) -> CausalGraph:
    """The graph of table `name` as `dataset` drew it; `table` says which columns were kept."""
    scm = _model_of(dataset, name, table)
    needed = set(scm.column_nodes).union(*(nx.ancestors(scm.graph, node) for node in scm.column_nodes))
    graph = nx.DiGraph(scm.graph.subgraph(needed))
    is_arcs = graph.number_of_edges() > _DENSE * len(graph)
    columns = {node: place for place, node in enumerate(scm.column_nodes)}
    label = {node: f"feature_{place}" for node, place in columns.items()}
    kept = {node for node in columns if label[node] in table.df}
    centres, lines, (width, height) = _arcs(graph) if is_arcs else _layered(graph)
    opacity = f"{max(0.05, 0.4 * min(1.0, _FAINT / max(len(lines), 1))):.2f}"
    drawn = [element("path", d=path, class_="cause", opacity=opacity) for path in lines]
    radius = _ARC_RADIUS if is_arcs else _RADIUS
    for node in graph:
        kind = "category" if scm.num_categories[node] else "number"
        title = f"{label.get(node, 'hidden node')}: {kind}" + (", source" if not graph.in_degree(node) else "")
        classes = f"node {kind if node in columns else 'hidden'}" + ("" if graph.in_degree(node) else " source")
        if node in columns and node not in kept:
            title, classes = title + ", constant and dropped", classes + " dropped"
        drawn.append(_node(centres[node], columns.get(node), radius, title, classes, kind == "category"))
    return CausalGraph(
        drawing=svg(width, height, drawn, f"Causal graph of {name}", "drawing scm"),
        num_nodes=len(graph),
        num_edges=graph.number_of_edges(),
        num_sources=sum(1 for node in graph if not graph.in_degree(node)),
        num_unused=len(scm.graph) - len(graph),
        num_dropped=len(columns) - len(kept),
        is_arcs=is_arcs,
    )


def _model_of(dataset: SyntheticDataset, name: str, table: Table) -> TableSCM:
    """The first model whose columns are of the kinds found; a table of constant booleans alone is drawn again."""
    schema = next(table for table in dataset.schema.tables if table.name == name)
    kinds = {str(column): column_kind(table.df[column]) for column in table.df.columns}
    for attempt in range(_MAX_ATTEMPTS):
        scm = TableSCM(dataset.seed, schema, dataset.config, attempt)
        is_category = {f"feature_{i}": bool(scm.num_categories[node]) for i, node in enumerate(scm.column_nodes)}
        possible = {c: ("boolean", "text") if is_category[c] else _KINDS_OF_NUMBERS for c in is_category}
        if all(kinds[c] in possible[c] for c in is_category if c in kinds):
            return scm
    raise ValueError(f"table {name} is not one of {dataset!r}")


def _layered(graph: nx.DiGraph) -> tuple[dict[int, tuple[float, float]], list[str], tuple[float, float]]:
    layout = layered_layout({node: (2 * _RADIUS, 2 * _RADIUS) for node in graph}, list(graph.edges), (52.0, 8.0))
    centres = {node: (x + _MARGIN, y + _MARGIN) for node, (x, y) in layout.centres.items()}
    lines = []
    for u, v in graph.edges:
        bends = [(x + _MARGIN, y + _MARGIN) for x, y in layout.bends[u, v]]
        lines.append(curve([centres[u], *bends, centres[v]]))
    return centres, lines, (layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN)


def _arcs(graph: nx.DiGraph) -> tuple[dict[int, tuple[float, float]], list[str], tuple[float, float]]:
    order = {node: place for place, node in enumerate(nx.lexicographical_topological_sort(graph))}
    longest = max(order[v] - order[u] for u, v in graph.edges)
    flatness = min(1.0, 200 / (longest * _STEP / 2))
    base = longest * _STEP / 2 * flatness + _MARGIN
    centres = {node: (_MARGIN + _RADIUS + place * _STEP, base + _RADIUS) for node, place in order.items()}
    lines = []
    for u, v in graph.edges:
        (x0, y), (x1, _) = centres[u], centres[v]
        radius = (x1 - x0) / 2
        lines.append(
            f"M{number(x0)} {number(y)}A{number(radius)} {number(radius * flatness)} 0 0 1 {number(x1)} {number(y)}"
        )
    return centres, lines, (2 * (_MARGIN + _RADIUS) + (len(order) - 1) * _STEP, base + 2 * _RADIUS + _MARGIN)


def _node(
    at: tuple[float, float], column: int | None, radius: float, title: str, classes: str, is_square: bool
) -> Markup:
    x, y = at
    radius = radius if column is not None else 0.45 * radius
    shape = (
        element("rect", x=x - radius, y=y - radius, width=2 * radius, height=2 * radius, rx=radius / 3)
        if is_square
        else element("circle", cx=x, cy=y, r=radius)
    )
    text = [] if column is None else [element("text", str(column), x=x, y=y + 3.5)]
    return element("g", element("title", title), shape, *text, class_=classes)
