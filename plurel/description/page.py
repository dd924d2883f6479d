"""The page: everything measured and drawn, in one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from relbench.base import Database

from plurel.database import SyntheticDataset
from plurel.description.causal_graph import CausalGraph, draw_causal_graph
from plurel.description.charts import LEVELS, bars, draw_calendar, draw_dependence
from plurel.description.degrees import Degrees, measure_degrees
from plurel.description.dependence import Dependence, measure_dependence
from plurel.description.er_diagram import draw_er_diagram
from plurel.description.events import count_events
from plurel.description.statistics import Categories, ColumnSummary, TableSummary, TextSample, summarise
from plurel.files import replacing
from plurel.keys import foreign_keys, open_database, primary_key

_MISSING_STEPS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5)  # shares above which the next colour begins


@dataclass(frozen=True)
class _TableSection:
    summary: TableSummary
    dependence: Dependence | None
    matrix: Markup | None
    causes: CausalGraph | None


def describe(
    db: Database | str | Path, path: str | Path | None = None, *, dataset: SyntheticDataset | None = None
) -> str:
    """An HTML page that shows a database: schema, keys, values, dependence, missing values and events.

    It is one file without references to others, follows the reader's light or dark theme, and fits narrow screens.
    Statistics are of all rows, dependence of up to 20,000.

    Args:
        db: a database, or the path of a RelBench-3 folder.
        path: where to write the page.
        dataset: what made a synthetic database; its causal models are then drawn too (not those of a declared schema).

    Returns:
        The page.

    Raises:
        PlurelError: if keys do not hold, or `path` is a folder.
    """
    database = open_database(db)
    for name in database.table_dict:
        primary_key(database, name)
    tables = summarise(database)
    degrees = [measure_degrees(database, key) for key in foreign_keys(database)]
    page = (
        template_environment()
        .get_template("describe.html")
        .render(
            title=_title(db, dataset),
            subtitle=_subtitle(dataset),
            facts=_facts(tables, degrees),
            er_diagram=draw_er_diagram(tables, degrees),
            degrees=degrees,
            calendars=_calendars(database),
            tables=[_section(database, table, dataset) for table in tables],
            num_levels=LEVELS,
        )
    )
    if path is not None:
        with replacing(Path(path)) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return page


def _section(db: Database, table: TableSummary, dataset: SyntheticDataset | None) -> _TableSection:
    dependence = measure_dependence(db, table.name)
    is_drawn = dataset is not None and dataset.sql_schema is None  # the models of a declared schema have other columns
    causes = draw_causal_graph(dataset, table.name, db.table_dict[table.name]) if is_drawn else None
    matrix = draw_dependence(dependence, table.name) if dependence is not None else None
    return _TableSection(table, dependence, matrix, causes)


def _calendars(db: Database) -> list[tuple[str, str, int, list[tuple[str, Markup]]]]:
    """(table, unit, most events of one unit, drawings) of each table with times."""
    found = []
    for name, table in db.table_dict.items():
        calendar = count_events(table)
        if calendar is not None:
            found.append((name, calendar.unit, calendar.largest, draw_calendar(calendar, f"Events of {name}")))
    return found


def _title(source: Database | str | Path, dataset: SyntheticDataset | None) -> str:
    if dataset is not None:
        return f"{dataset.config.name}-{dataset.seed}"
    return "Database" if isinstance(source, Database) else Path(source).resolve().name


def _subtitle(dataset: SyntheticDataset | None) -> str:
    if dataset is None:
        return "Relational database"
    return f"Synthetic database · prior {dataset.config.name} · seed {dataset.seed}"


def _facts(tables: Sequence[TableSummary], degrees: Sequence[Degrees]) -> list[tuple[str, str]]:
    cells = sum(table.num_rows * len(table.columns) for table in tables)
    features = sum(table.num_rows * len(table.features) for table in tables)
    missing = sum(column.num_missing for table in tables for column in table.features)
    spans = [table.span for table in tables if table.span is not None]
    facts = [
        ("tables", f"{len(tables):,}"),
        ("rows", f"{sum(table.num_rows for table in tables):,}"),
        ("columns", f"{sum(len(table.columns) for table in tables):,}"),
        ("cells", f"{cells:,}"),
        ("foreign keys", f"{len(degrees):,}"),
        ("missing values", percent(missing / features if features else 0.0)),
    ]
    if spans:
        first, last = min(span[0] for span in spans), max(span[1] for span in spans)
        facts.append(("events", f"{first.date()} – {last.date()}"))
    return facts


def template_environment() -> Environment:
    """Templates of the package, with the filters that they use."""
    environment = Environment(
        loader=PackageLoader("plurel"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "amount": amount, "missing_level": _missing_level}
    environment.globals |= {"column_card": _card, "bars": bars}
    return environment


def _missing_level(share: float) -> int:
    return int(np.searchsorted(_MISSING_STEPS, share, side="left")) if share > 0 else 0


def _card(column: ColumnSummary) -> dict[str, Any]:
    """What the template shows of a column: a chart with its ends, or shares of values."""
    values = column.values
    card: dict[str, Any] = {"chart": None, "low": "", "high": "", "note": "", "shares": [], "examples": []}
    if values is None:
        card["note"] = "all values are missing"
    elif isinstance(values, Categories):
        total = sum(values.counts.values()) + values.num_others
        card["shares"] = [(name, count / max(total, 1)) for name, count in values.counts.items()]
        more = values.num_distinct - len(values.counts)
        card["note"] = f"+ {more} more values" if more > 0 else ""
    elif isinstance(values, TextSample):
        card |= {"chart": bars(values.lengths.counts, f"Lengths of {column.name}"), "examples": values.examples}
        card |= {"low": f"{amount(values.lengths.low)}", "high": f"{amount(values.lengths.high)} chars"}
        card["note"] = f"{values.num_distinct:,} distinct"
    else:
        card |= {"chart": bars(values.counts, f"Distribution of {column.name}")}
        card |= {"low": _end(values.low, column), "high": _end(values.high, column)}
        card["note"] = f"{values.num_outside:,} beyond" if values.num_outside else ""
        if values.low == values.high:
            card |= {"chart": None, "note": f"{card['low']} in every row"}
    return card


def _end(value: float, column: ColumnSummary) -> str:
    if column.kind in ("time", "date") and np.isfinite(value):
        return str(pd.Timestamp(value, unit="s").date()) if abs(value) < 9e9 else f"year {1970 + value / 31556952:.0f}"
    return amount(value)


def amount(value: float) -> str:
    """A number with about three digits, a true minus sign, and powers of ten only where they are needed."""
    if not np.isfinite(value):
        return "–"
    is_short = value == round(value) and abs(value) < 1e6
    text = f"{value:,.0f}" if is_short else f"{value:.3g}"
    return text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage; what is neither 0 nor 1 never reads 0 % or 100 %."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.0f} %" if share in (0, 1) or 0.1 <= share < 0.99 else f"{100 * share:.1f} %"
