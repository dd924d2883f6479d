"""The entity-relationship diagram alone: an SVG with its own colours, for notebooks, reports and papers."""

from __future__ import annotations

from pathlib import Path

from relbench.base import Database

from plurel.description.degrees import measure_degrees
from plurel.description.er_diagram import draw_er_diagram
from plurel.description.page import template_environment
from plurel.description.statistics import summarise
from plurel.files import replacing
from plurel.keys import foreign_keys, open_database, primary_key


def draw_schema(db: Database | str | Path, path: str | Path | None = None) -> str:
    """The entity-relationship diagram of a database as one SVG, which follows the reader's light or dark theme.

    Args:
        db: a database, or the path of a RelBench-3 folder.
        path: where to write it.

    Raises:
        PlurelError: if keys do not hold, or `path` is a folder.
    """
    database = open_database(db)
    for name in database.table_dict:
        primary_key(database, name)
    drawing = draw_er_diagram(summarise(database), [measure_degrees(database, key) for key in foreign_keys(database)])
    templates = template_environment()
    colours = templates.get_template("colours.css").render(scope="svg.er")
    style = f"<style>{colours}{templates.get_template('er_diagram.css').render()}</style>"
    head, inside = str(drawing).split(">", 1)
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg"{head.removeprefix("<svg")}>{style}{inside}'
    if path is not None:
        with replacing(Path(path)) as temporary:
            temporary.write_text(drawn, encoding="utf-8")
    return drawn
