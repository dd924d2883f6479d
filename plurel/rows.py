"""The rows of a database before any value: which rows they point to, and when they come to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plurel.config import Config
from plurel.event_times import Calendar, draw_times
from plurel.links import draw_parents, draw_popularity
from plurel.random_streams import stream
from plurel.schema import Schema, TableSchema
from plurel.self_reference import draw_tree

Array = np.ndarray
_DAY = 86400


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
        links = {col: draw_links(seed, config, col, table, tables[parent]) for col, parent in table.fkeys.items()}
        times = {col: rows[parent].seconds for col, parent in table.fkeys.items() if rows[parent].seconds is not None}
        rows[table.name] = _with_times(seed, config, schema, table, links, times)
        if table.self_key is not None:
            rng = stream(seed, "tree", table.name)
            share = config.diversity_params.root_choices.draw(rng)
            rows[table.name].links[table.self_key] = draw_tree(table.num_rows, share, rng)
    return rows


def draw_links(seed: int, config: Config, fkey_col: str, child: TableSchema, parent: TableSchema) -> Array:
    """The parent row of each child row, -1 for none; int64 (child rows,)."""
    diversity = config.diversity_params
    rng = stream(seed, "links", child.name, fkey_col)
    popularity = np.ones(parent.num_rows)
    if rng.random() < diversity.skewed_degree_prob:
        exponent, idle = (
            choices.draw(rng) for choices in (diversity.popularity_exponent_choices, diversity.inactive_parent_choices)
        )
        popularity = draw_popularity(parent.num_rows, exponent, idle, rng)
    parents = draw_parents(popularity, child.num_rows, config.scm_params, rng)
    if rng.random() < diversity.nullable_key_prob:
        parents[rng.random(child.num_rows) < diversity.missing_key_choices.draw(rng)] = -1
    return parents


def _with_times(
    seed: int,
    config: Config,
    schema: Schema,
    table: TableSchema,
    links: dict[str, Array],
    times: Mapping[str, Array],
) -> TableRows:
    """Rows in order of time; `times` of the parents that have any, by foreign key."""
    if not table.is_timed:
        return TableRows(links, None, np.zeros(table.num_rows))
    diversity, rng = config.diversity_params, stream(seed, "event times", table.name)
    if not times and table.is_activity and rng.random() >= diversity.event_time_prob:
        return TableRows(links, _evenly(schema, table.num_rows), np.linspace(0, 1, table.num_rows))
    born = np.zeros(table.num_rows, dtype=np.int64)
    for col, seconds in times.items():
        np.maximum(born, np.where(links[col] >= 0, seconds[links[col]], 0), out=born)
    days = (schema.end - schema.start).days
    calendar = Calendar.draw(schema.start, days, diversity.season_strength_choices.draw(rng), rng)
    arrivals = diversity.arrival_choices.draw(rng) if table.is_activity else None
    owner = links[str(rng.choice(list(links)))] if links else np.full(table.num_rows, -1)
    seconds = draw_times(arrivals, born, owner, calendar, rng)
    order = np.argsort(seconds, kind="stable")
    moved = {col: parents[order] for col, parents in links.items()}
    return TableRows(moved, seconds[order], seconds[order] / (days * _DAY))


def _evenly(schema: Schema, num_rows: int) -> Array:
    times = pd.date_range(schema.start, schema.end, periods=num_rows).floor("s")
    return ((times - schema.start) // pd.Timedelta(seconds=1)).to_numpy(dtype=np.int64)
