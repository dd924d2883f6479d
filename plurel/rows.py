"""The rows of a database before any value: which rows they point to, and when they come to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plurel.config import Config
from plurel.event_times import ARRIVALS, Calendar, Lives, creation_places
from plurel.links import draw_parents, draw_popularity
from plurel.random_streams import stream
from plurel.schema import Schema, TableSchema
from plurel.self_reference import draw_tree

Array = np.ndarray
_DAY = 86400
_SOON = 0.8  # chance that rows which others point to follow their parents soon, instead of arriving as events do
_LEAST_WEIGHT = 1e-6  # of a parent that comes to be with the window's last event


@dataclass(frozen=True)
class TableRows:
    """The rows of one table, in order of time where they have one.

    Attributes:
        links: of each foreign key the row that each row points to, -1 for none; int64 (rows,).
        seconds: after the window's start, int64 (rows,), ascending; None for a table without time.
        parts: the same as parts of the window in [0, 1]; 0 without time.
    """

    links: dict[str, Array]
    seconds: Array | None
    parts: Array


def draw_rows(seed: int, config: Config, schema: Schema) -> dict[str, TableRows]:
    """The rows of every table of database `seed`."""
    rows: dict[str, TableRows] = {}
    tables = {table.name: table for table in schema.tables}
    for table in schema.tables:
        parents = {col: tables[parent] for col, parent in table.fkeys.items()}
        if _has_real_times(seed, config, table, rows):
            rows[table.name] = _arriving(seed, config, schema, table, parents, rows)
        else:
            links = {col: draw_links(seed, config, col, table, parent) for col, parent in parents.items()}
            seconds = _evenly(schema, table.num_rows) if table.is_timed else None
            rows[table.name] = TableRows(links, seconds, np.linspace(0, float(table.is_timed), table.num_rows))
        if table.self_key is not None:
            rng = stream(seed, "tree", table.name)
            share = config.diversity_params.root_choices.draw(rng)
            rows[table.name].links[table.self_key] = draw_tree(table.num_rows, share, rng)
    return rows


def draw_links(
    seed: int, config: Config, fkey_col: str, child: TableSchema, parent: TableSchema, weights: Array | float = 1.0
) -> Array:
    """The parent row of each child row, -1 for none; int64 (child rows,).

    Args:
        weights: beside popularity, of the parent rows.
    """
    diversity = config.diversity_params
    rng = stream(seed, "links", child.name, fkey_col)
    popularity = np.ones(parent.num_rows)
    if rng.random() < diversity.skewed_degree_prob:
        exponent, idle = (
            choices.draw(rng) for choices in (diversity.popularity_exponent_choices, diversity.inactive_parent_choices)
        )
        popularity = draw_popularity(parent.num_rows, exponent, idle, rng)
    parents = draw_parents(popularity * weights, child.num_rows, config.scm_params, rng)
    if rng.random() < diversity.nullable_key_prob:
        parents[rng.random(child.num_rows) < diversity.missing_key_choices.draw(rng)] = -1
    return parents


def _has_real_times(seed: int, config: Config, table: TableSchema, rows: Mapping[str, TableRows]) -> bool:
    """Also where it points to rows that come to be within the window: none may be older than those."""
    if table.has_creation_time or any(rows[parent].seconds is not None for parent in table.fkeys.values()):
        return True
    return (
        table.is_activity and stream(seed, "event times", table.name).random() < config.diversity_params.event_time_prob
    )


def _arriving(
    seed: int,
    config: Config,
    schema: Schema,
    table: TableSchema,
    parents: Mapping[str, TableSchema],
    rows: Mapping[str, TableRows],
) -> TableRows:
    """Rows in order of time: events of one of the keys, drawn, and after the birth of all that they point to."""
    diversity, rng = config.diversity_params, stream(seed, "arrivals", table.name)
    days = (schema.end - schema.start).days
    calendar = Calendar.draw(schema.start, days, diversity.season_strength_choices.draw(rng), rng)
    arrivals = diversity.arrival_choices.draw(rng)
    owner_col = str(rng.choice(list(parents))) if parents else None
    is_soon = owner_col is None or (not table.is_activity and rng.random() < _SOON)
    links: dict[str, Array] = {}
    born = np.zeros(table.num_rows, dtype=np.int64)
    lives = None
    for col, parent in parents.items():
        births = rows[parent.name].seconds
        birth_places = np.zeros(parent.num_rows) if births is None else calendar.places(births)
        if col == owner_col and not is_soon:
            lives = of_parent = Lives.draw(arrivals, birth_places, rng)
        else:
            of_parent = Lives.of_newborn(birth_places)
        links[col] = draw_links(seed, config, col, table, parent, np.maximum(of_parent.weight, _LEAST_WEIGHT))
        if births is not None:
            np.maximum(born, np.where(links[col] >= 0, births[links[col]], 0), out=born)
    if lives is None:
        places = creation_places(calendar.places(born), rng)
    else:
        begin, end = lives.windows(links[owner_col], calendar.places(born))
        places = ARRIVALS[arrivals](begin, end, links[owner_col], rng)
    seconds = np.maximum(calendar.seconds(places), born)  # rounding must not put an event before its cause
    order = np.argsort(seconds, kind="stable")
    links = {col: to[order] for col, to in links.items()}
    return TableRows(links, seconds[order], seconds[order] / (days * _DAY))


def _evenly(schema: Schema, num_rows: int) -> Array:
    times = pd.date_range(schema.start, schema.end, periods=num_rows).floor("s")
    return ((times - schema.start) // pd.Timedelta(seconds=1)).to_numpy(dtype=np.int64)
