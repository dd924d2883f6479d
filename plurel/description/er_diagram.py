"""The entity-relationship diagram: a box per table with its rows, and crow's feet where foreign keys end.

Parents stand left of their children. At the child's end of a line stand the children a parent has: a circle where
some have none, a crow's foot where some have several. At the parent's end: a circle where a key may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from plurel.description.degrees import Degrees
from plurel.description.layout import layered_layout
from plurel.description.statistics import ColumnSummary, TableSummary
from plurel.description.svg import curve, element, shortened, svg

_HEAD, _LINE, _PAD = 30.0, 17.0, 7.0
_WIDTHS = (168.0, 250.0)  # of boxes: all have that of the longest name, within these
_NAME_CHAR, _COLUMN_CHAR = 7.9, 6.5  # mean widths of a character
_SQUARE = 9.0
_GAP = (96.0, 20.0)
_MARGIN = 16.0
_LOOP = 38.0  # how far a key of a table to itself goes out
_NUM_HUES = 8
_MANY_TABLES = 10  # from here on, squares stand for features; below, names
_MAX_NAMES = 6


@dataclass(frozen=True)
class _Box:
    """A table's box, its upper left corner and size."""

    table: TableSummary
    x: float
    y: float
    width: float
    height: float

    def line(self, number: int) -> float:
        """The middle of the line of a key."""
        return self.y + _HEAD + _PAD + (number + 0.5) * _LINE

    def key_line(self, column: str | None) -> float:
        names = [c.name for c in _keys(self.table)]
        return self.line(names.index(column)) if column in names else self.y + _HEAD / 2


def draw_er_diagram(tables: Sequence[TableSummary], degrees: Sequence[Degrees]) -> Markup:
    """The diagram of all tables; `degrees` of every foreign key say which ends are optional or many."""
    has_names = len(tables) < _MANY_TABLES
    width = _box_width(tables, has_names)
    sizes = {table.name: (width, _box_height(table, width, has_names)) for table in tables}
    layout = layered_layout(sizes, [(d.key.parent, d.key.child) for d in degrees], _GAP)
    boxes = {}
    for table in tables:
        (x, y), height = layout.centres[table.name], sizes[table.name][1]
        boxes[table.name] = _Box(table, x - width / 2 + _MARGIN, y - height / 2 + _MARGIN, width, height)
    hue = {name: number % _NUM_HUES for number, name in enumerate(dict.fromkeys(d.key.parent for d in degrees))}
    drawn = []
    for degree in degrees:
        bends = layout.bends.get((degree.key.parent, degree.key.child), [])
        drawn.append(_reference(degree, boxes, [(x + _MARGIN, y + _MARGIN) for x, y in bends], hue))
    drawn += [_table(box, has_names, hue.get(box.table.name)) for box in boxes.values()]
    loop = _LOOP if any(d.key.parent == d.key.child for d in degrees) else 0.0
    return svg(
        layout.width + 2 * _MARGIN + loop,
        layout.height + 2 * _MARGIN,
        drawn,
        "Entity-relationship diagram",
        "drawing er",
    )


def _keys(table: TableSummary) -> list[ColumnSummary]:
    order = {"primary key": 0, "foreign key": 1, "time": 2}
    return sorted((c for c in table.columns if c.role != "feature"), key=lambda column: order[column.role])


def _box_width(tables: Sequence[TableSummary], has_names: bool) -> float:
    longest = _WIDTHS[0]
    for table in tables:
        shown = table.columns if has_names else _keys(table)
        head = (len(table.name) + len(_compact(table.num_rows))) * _NAME_CHAR + 34
        longest = max(longest, head, *(len(column.name) * _COLUMN_CHAR + 46 for column in shown))
    return min(longest, _WIDTHS[1])


def _box_height(table: TableSummary, width: float, has_names: bool) -> float:
    features = len(table.features)
    if has_names:
        lines = min(features, _MAX_NAMES) + (features > _MAX_NAMES)
        below = lines * _LINE + (_PAD if lines else 0)
    else:
        below = -(-features // _squares_a_line(width)) * (_SQUARE + 3) + (_PAD if features else 0)
    return _HEAD + 2 * _PAD + len(_keys(table)) * _LINE + below


def _squares_a_line(width: float) -> int:
    return int((width - 18) // (_SQUARE + 3))


def _table(box: _Box, has_names: bool, hue: int | None) -> Markup:
    table, x, y = box.table, box.x, box.y
    head = f"M{x} {y + _HEAD}v{8 - _HEAD}a8 8 0 0 1 8-8h{box.width - 16}a8 8 0 0 1 8 8v{_HEAD - 8}z"
    parts = [
        element("title", f"{table.name}: {table.num_rows:,} rows, {len(table.columns)} columns"),
        element("rect", x=x, y=y, width=box.width, height=box.height, rx=8.0, class_="box"),
        element("path", d=head, class_=f"head hue{hue}" if hue is not None else "head"),
        element(
            "text",
            shortened(table.name, int((box.width - 34) / _NAME_CHAR) - len(_compact(table.num_rows))),
            x=x + 10,
            y=y + 20,
            class_="name",
        ),
        element("text", _compact(table.num_rows), x=x + box.width - 10, y=y + 20, class_="rows"),
    ]
    for number, column in enumerate(_keys(table)):
        badge = {"primary key": "PK", "foreign key": "FK", "time": "◷"}[column.role]
        parts += _line(box, box.line(number), badge, column)
    top = box.line(len(_keys(table))) - _LINE / 2 + _PAD
    parts += _names(box, top) if has_names else _squares(box, top)
    return element("a", *parts, href=f"#table-{table.name}", class_="table", data_table=table.name)


def _line(box: _Box, middle: float, badge: str, column: ColumnSummary) -> list[Markup]:
    mark = element("text", badge, x=box.x + 10, y=middle + 4, class_="badge")
    return [mark, _column_name(box, middle, column, "column")]


def _column_name(box: _Box, middle: float, column: ColumnSummary, class_: str) -> Markup:
    name = shortened(column.name, int((box.width - 44) / _COLUMN_CHAR))
    return element("text", name, x=box.x + 34, y=middle + 4, class_=class_)


def _names(box: _Box, top: float) -> list[Markup]:
    parts: list[Markup] = []
    for number, column in enumerate(box.table.features[:_MAX_NAMES]):
        middle = top + (number + 0.5) * _LINE
        parts.append(_mark(column, box.x + 11, middle - _SQUARE / 2))
        parts.append(_column_name(box, middle, column, "column feature"))
    left_out = len(box.table.features) - _MAX_NAMES
    if left_out > 0:
        y = top + (_MAX_NAMES + 0.5) * _LINE + 4
        parts.append(element("text", f"+ {left_out} more", x=box.x + 34, y=y, class_="column more"))
    return parts


def _squares(box: _Box, top: float) -> list[Markup]:
    step = _SQUARE + 3
    places = [divmod(number, _squares_a_line(box.width)) for number in range(len(box.table.features))]
    return [
        _mark(column, box.x + 10 + place * step, top + line * step)
        for column, (line, place) in zip(box.table.features, places, strict=True)
    ]


def _mark(column: ColumnSummary, x: float, y: float) -> Markup:
    title = element("title", f"{column.name} ({column.kind})")
    return element("rect", title, x=x, y=y, width=_SQUARE, height=_SQUARE, rx=2.0, class_=f"kind-{column.kind}")


def _reference(
    degree: Degrees, boxes: dict[str, _Box], bends: list[tuple[float, float]], hue: dict[str, int]
) -> Markup:
    key = degree.key
    parent, child = boxes[key.parent], boxes[key.child]
    pkey = next((c.name for c in parent.table.columns if c.role == "primary key"), None)
    is_optional = degree.num_missing > 0
    # optional keys leave a little lower: the two kinds of ends must not lie on each other
    start = (parent.x + parent.width, parent.key_line(pkey) + (11 if is_optional else 0))
    parts = [element("title", _sentence(degree))]
    if key.parent == key.child or child.x <= parent.x:  # a loop, or a key that closes a cycle: out on the right
        end = (child.x + child.width, child.key_line(key.column))
        # straight past the marks of both ends, and round
        turn = max(start[0], end[0]) + _LOOP / 2
        path = (
            f"M{start[0]:.1f} {start[1]:.1f}H{turn:.1f}C{turn + _LOOP / 2:.1f} {start[1]:.1f} "
            f"{turn + _LOOP / 2:.1f} {end[1]:.1f} {turn:.1f} {end[1]:.1f}H{end[0]:.1f}"
        )
        side = 1
    else:
        end, side = (child.x, child.key_line(key.column)), -1
        through = [p for x, y in bends for p in ((x - parent.width / 2, y), (x + parent.width / 2, y))]
        path = curve([start, (start[0] + 16, start[1]), *through, (end[0] - 20, end[1]), end])
    parts.append(element("path", d=path, class_="line"))
    parts.append(_parent_end(start, is_optional))
    parts.append(_child_end(end, side, degree))
    return element(
        "g",
        *parts,
        class_=f"reference hue{hue[key.parent]}",
        data_parent=key.parent,
        data_child=key.child,
    )


def _parent_end(at: tuple[float, float], is_optional: bool) -> Markup:
    """Zero or one parent (circle and bar), or exactly one (two bars)."""
    x, y = at
    bar = f"M{x + 6:.1f} {y - 5:.1f}v10"
    if not is_optional:
        return element("path", d=f"{bar}M{x + 10:.1f} {y - 5:.1f}v10", class_="end")
    return element("path", d=bar, class_="end") + element("circle", cx=x + 13, cy=y, r=4.0, class_="end hollow")


def _child_end(at: tuple[float, float], side: int, degree: Degrees) -> Markup:
    """A crow's foot for several children, a bar for at most one; before it a circle if some parents have none."""
    x, y = at
    foot = x + side * 10
    if degree.largest > 1:
        drawn = element(
            "path", d=f"M{foot:.1f} {y:.1f}L{x:.1f} {y - 6:.1f}M{foot:.1f} {y:.1f}L{x:.1f} {y + 6:.1f}", class_="end"
        )
    else:
        drawn = element("path", d=f"M{x + side * 6:.1f} {y - 5:.1f}v10", class_="end")
    if degree.num_childless:
        return drawn + element("circle", cx=foot + side * 4, cy=y, r=4.0, class_="end hollow")
    return drawn + element("path", d=f"M{foot + side * 3:.1f} {y - 5:.1f}v10", class_="end")


def _sentence(degree: Degrees) -> str:
    key = degree.key
    missing = f", {degree.num_missing:,} rows without" if degree.num_missing else ""
    return f"{key.child}.{key.column} → {key.parent}: {degree.mean:.1f} children a parent{missing}"


def _compact(count: int) -> str:
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if count >= 10 * size:
            return f"{count / size:.0f}{unit}" if count >= 100 * size else f"{count / size:.1f}{unit}"
    return f"{count:,}"
