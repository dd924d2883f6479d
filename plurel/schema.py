"""Tables, keys, sizes and dates of a database, before any value is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import pandas as pd

from plurel.config import Config
from plurel.dag import random_dag
from plurel.errors import PlurelError
from plurel.random_streams import stream

_SEEDS_IN_VAIN = 10_000  # after which no seed is taken to keep to a limit


@dataclass(frozen=True)
class TableSchema:
    """One table.

    Attributes:
        fkeys: foreign key columns and the other tables that they point to.
        is_activity: without children, so that it has a date.
        categories: of each column, 0 for a number; None: drawn.
        self_key: a foreign key column that points to the table itself, if any.
        has_creation_time: an entity table with a date.
    """

    name: str
    num_rows: int
    num_columns: int
    fkeys: dict[str, str]
    is_activity: bool
    categories: tuple[int, ...] | None = None
    self_key: str | None = None
    has_creation_time: bool = False

    @property
    def is_timed(self) -> bool:
        return self.is_activity or self.has_creation_time

    @property
    def all_fkeys(self) -> dict[str, str]:
        """Foreign key columns and the tables that they point to, the table itself among them."""
        return self.fkeys | ({self.self_key: self.name} if self.self_key is not None else {})


@dataclass(frozen=True)
class Schema:
    """Tables, parents before children, and the window of the database's dates (first and last day)."""

    tables: tuple[TableSchema, ...]
    start: pd.Timestamp
    end: pd.Timestamp
    val_timestamp: pd.Timestamp
    test_timestamp: pd.Timestamp


def draw_schema(seed: int, config: Config) -> Schema:
    """The schema of database `seed`."""
    params, diversity = config.database_params, config.diversity_params
    rng = stream(seed, "schema")
    layout, num_tables = params.table_layout_choices.draw(rng), params.num_tables_choices.draw(rng)
    graph = random_dag(layout, num_tables, config.dag_params, rng)
    tables: dict[int, TableSchema] = {}
    for table in nx.lexicographical_topological_sort(graph):
        is_activity = graph.out_degree(table) == 0
        table_rng = stream(seed, "table", table)
        rows = params.num_rows_activity_table_choices if is_activity else params.num_rows_entity_table_choices
        fkeys = {f"foreign_row_{j}": f"table_{p}" for j, p in enumerate(sorted(graph.predecessors(table)))}
        refers_to_itself = stream(seed, "self-reference", table).random() < diversity.self_reference_prob
        is_created = stream(seed, "creation time", table).random() < diversity.creation_time_prob
        # what points to rows that come to be comes to be, too: before the test timestamp it must not point after it
        is_created |= any(tables[parent].is_timed for parent in graph.predecessors(table))
        tables[table] = TableSchema(
            name=f"table_{table}",
            num_rows=rows.draw(table_rng),
            num_columns=params.num_cols_choices.draw_reciprocal(table_rng),
            fkeys=fkeys,
            is_activity=is_activity,
            self_key=f"foreign_row_{len(fkeys)}" if refers_to_itself else None,
            has_creation_time=is_created and not is_activity,
        )
    return Schema(tuple(tables.values()), *_draw_window(seed, config))


def _draw_window(seed: int, config: Config) -> tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp, pd.Timestamp]:
    """First and last day, validation and test timestamps, all plain dates.

    The paper's two random days may be a day apart, which leaves no room for two splits; shorter windows than
    `min_window_days` are drawn again.
    """
    params = config.database_params
    rng = stream(seed, "window")
    earliest, latest = pd.Timestamp(params.min_timestamp), pd.Timestamp(params.max_timestamp)
    span = (latest - earliest).days
    while True:
        first, last = sorted(rng.integers(0, span + 1, 2).tolist())
        if last - first >= params.min_window_days:
            break
    start, days = earliest + pd.Timedelta(days=first), last - first
    val = start + pd.Timedelta(days=int(days * config.val_split))
    test = start + pd.Timedelta(days=int(days * config.test_split))
    return start, start + pd.Timedelta(days=days), val, test


def max_foreign_keys(seed: int, config: Config) -> int:
    """The largest number of foreign keys of any table of database `seed`, without making it."""
    if config.schema_file is not None:
        from plurel.sql.parser import schema_from_sql  # sqlglot, which random schemas do not need

        return max(len(table.foreign_keys) for table in schema_from_sql(Path(config.schema_file)).tables)
    return max(len(table.all_fkeys) for table in draw_schema(seed, config).tables)


def pretraining_seeds(config: Config, count: int, start: int = 0, max_fkeys: int = 5) -> list[int]:
    """The first `count` seeds from `start` on whose tables have at most `max_fkeys` foreign keys (paper, section 3).

    Raises:
        PlurelError: if a declared schema has a table of more, or 10,000 seeds in a row have.
    """
    if config.schema_file is not None:
        found = max_foreign_keys(start, config)
        if found > max_fkeys:
            raise PlurelError(
                f"{config.schema_file} has a table of {found} foreign keys; allow them (max_fkeys={found})"
            )
        return list(range(start, start + count))
    seeds: list[int] = []
    seed = start
    while len(seeds) < count:
        if max_foreign_keys(seed, config) <= max_fkeys:
            seeds.append(seed)
        elif seed - (seeds[-1] if seeds else start - 1) >= _SEEDS_IN_VAIN:
            raise PlurelError(
                f"{_SEEDS_IN_VAIN} databases up to seed {seed} have a table of more than {max_fkeys} foreign keys; "
                "allow more (max_fkeys), or give the prior fewer tables or another table layout"
            )
        seed += 1
    return seeds
