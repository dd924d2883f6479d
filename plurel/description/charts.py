"""Small charts. Shapes that stretch with their box hold no text; labels are the page's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from plurel.description.dependence import Dependence
from plurel.description.events import Calendar
from plurel.description.svg import element, number, shortened, svg, tiles

LEVELS = 6  # steps of the colour scale, besides nothing; classes l1 to l6
_BAR_HEIGHT = 40.0
_DAY, _DAY_GAP, _FLAT_DAY = 9.0, 2.0, 5.0
_MANY_ROWS = 30  # of a calendar, from which on they are flat
_CELL, _CELL_GAP, _BLOCK_GAP = 15.0, 1.0, 18.0
_LABEL_WIDTH, _LABEL_HEIGHT = 104.0, 92.0
_STRENGTH_STEPS = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9)


def bars(counts: Sequence[int] | np.ndarray, label: str, first_class: str = "bar") -> Markup:
    """A bar per count as one stretching shape; the first may have a class of its own."""
    heights = np.asarray(counts, dtype=float)
    heights = heights / max(heights.max(initial=0), 1) * _BAR_HEIGHT
    width = 100 / max(len(heights), 1)
    gap = min(width * 0.15, 1.0)
    paths = [
        f"M{i * width + gap / 2:.2f} {number(_BAR_HEIGHT)}v-{max(h, 0.5):.2f}h{width - gap:.2f}v{max(h, 0.5):.2f}z"
        for i, h in enumerate(heights)
        if h > 0
    ]
    drawn = [element("path", d="".join(paths), class_="bar")]
    if first_class != "bar" and len(heights) and heights[0] > 0:
        drawn = [element("path", d=paths[0], class_=first_class), element("path", d="".join(paths[1:]), class_="bar")]
    return element(
        "svg",
        *drawn,
        viewBox=f"0 0 100 {number(_BAR_HEIGHT)}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
        class_="bars",
    )


def draw_calendar(calendar: Calendar, label: str) -> list[tuple[str, Markup]]:
    """(title, drawing) of each grid: darker squares for more events, on a square-root scale."""
    return [(title, _grid(rows, counts, calendar, f"{label} {title}")) for title, rows, counts in calendar.grids]


def _grid(rows: list[str], counts: np.ndarray, calendar: Calendar, label: str) -> Markup:
    left, top, step = 34.0, 14.0, _DAY + _DAY_GAP
    tall = _FLAT_DAY if len(counts) > _MANY_ROWS else _DAY
    down = tall + _DAY_GAP / 2 if len(counts) > _MANY_ROWS else step
    level = np.ceil(np.sqrt(np.maximum(counts, 0) / max(calendar.largest, 1)) * LEVELS).astype(int)
    level[counts < 0] = -1
    drawn = [
        tiles([(left + c * step, top + r * down) for r, c in np.argwhere(level == n).tolist()], _DAY, tall, f"l{n}")
        for n in range(LEVELS + 1)
    ]
    for place, name in enumerate(rows):
        if name:
            y = top + place * down + tall / 2 + 3.5
            drawn.append(element("text", name, x=left - 6, y=y, class_="tick end-of-line"))
    for month, name in enumerate("JFMAMJJASOND"):
        drawn.append(element("text", name, x=left + (month + 0.4) * counts.shape[1] / 12 * step, y=9.0, class_="tick"))
    return svg(left + counts.shape[1] * step, top + len(counts) * down, drawn, label, "drawing calendar")


def draw_dependence(dependence: Dependence, name: str) -> Markup:
    """Rows are the table's columns; columns are the same, and then those of each parent. Below 0.1 cells stay empty."""
    step = _CELL + _CELL_GAP
    x, drawn = _LABEL_WIDTH, []
    top = _LABEL_HEIGHT + 16
    for place, column in enumerate(dependence.rows):
        y = top + place * step + 11
        drawn.append(element("text", shortened(column, 16), x=x - 6, y=y, class_="tick end-of-line"))
    for block in dependence.blocks:
        level = np.searchsorted(_STRENGTH_STEPS, np.nan_to_num(block.strength), side="right")
        drawn.append(element("text", block.title, x=x, y=10.0, class_="block"))
        for n in range(LEVELS + 1):
            cells = [(x + c * step, top + r * step) for r, c in np.argwhere(level == n).tolist()]
            drawn.append(tiles(cells, _CELL, _CELL, f"l{n}"))
        for place, column in enumerate(block.columns):
            at = f"translate({number(x + place * step + 11)} {number(top - 5)}) rotate(-60)"
            drawn.append(element("text", shortened(column, 15), transform=at, class_="tick"))
        x += max(len(block.columns) * step, 6.3 * len(block.title)) + _BLOCK_GAP
    height = top + len(dependence.rows) * step
    return svg(x + 24, height + 2, drawn, f"Dependence of the columns of {name}", "drawing dependence")
