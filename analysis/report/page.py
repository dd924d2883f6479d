"""Pages from the templates of this folder: self-contained HTML with every value escaped."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from analysis.units import count


def write_page(page: str, path: Path) -> Path:
    """Writes a page, whole or not at all, and returns its path."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
    return path


def template(name: str) -> Template:
    """A page of templates/; every value is escaped, and a missing one is an error."""
    environment = Environment(
        loader=PackageLoader("analysis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "axis_count": lambda number, axis: count(axis, number)}
    return environment.get_template(name)


def duration(seconds: float) -> str:
    """Wall time for a reader: "4.1 s", "4 min 11 s", "2 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
