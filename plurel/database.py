"""One synthetic database as a function of (prior, seed).

Its bytes are the same in any process, with any number of workers, threads or cores and any batch of rows. What is
compiled for another kind of processor gives the same bits where it can fuse products and sums, as all of the last ten
years can; numpy's own functions may differ there in the last digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from relbench.base import Database, Dataset, Table
from threadpoolctl import threadpool_limits

from plurel.columns import is_kept, to_column
from plurel.config import Config
from plurel.edges import ForeignMessages, Values
from plurel.errors import PlurelError
from plurel.hidden_state import draw_states, states_of_children
from plurel.links import draw_parents, draw_popularity
from plurel.random_streams import checked_seed, stream
from plurel.schema import Schema, TableSchema, draw_schema
from plurel.scm import TableSCM

if TYPE_CHECKING:
    from plurel.sql.schema import SqlSchema

PKEY_COL, TIME_COL = "row_idx", "date"
_ATTEMPTS = 20


class SyntheticDataset(Dataset):
    """A relbench dataset whose database is drawn from a prior.

    get_db() and make_db() make it anew at each call, always the same; keep what they return.

    Args:
        seed: any whole number from 0 on.
        config: the prior.

    Raises:
        PlurelError: for a seed that is not a whole number from 0 on.
    """

    def __init__(self, seed: int, config: Config | None = None) -> None:
        self.seed = checked_seed(seed)
        self.config = Config() if config is None else config
        self.schema: Schema = draw_schema(self.seed, self.config)
        # parsed once; a schema file is read when the dataset is made, not when its database is
        self.sql_schema = None if self.config.schema_file is None else _sql_schema(self.config, self.seed)
        self.val_timestamp = self.schema.val_timestamp
        self.test_timestamp = self.schema.test_timestamp

    def __repr__(self) -> str:
        return f"SyntheticDataset(seed={self.seed}, prior={self.config.name!r})"

    def make_db(self) -> Database:
        """The whole database: keys 0 ... n - 1 in row order, activity tables in order of time.

        Raises:
            PlurelError: if the prior gives a table without any feature column, time and again.
        """
        if self.sql_schema is not None:
            from plurel.sql.database import make_sql_database

            with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
                return make_sql_database(self.seed, self.config, self.sql_schema, self.schema, self._links)
        tables: dict[str, Table] = {}
        values: dict[str, list[Values]] = {}
        schemas = {table.name: table for table in self.schema.tables}
        # one BLAS thread: sums in one order give the same bytes on any number of cores. Overflow is clipped in scm.py
        with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
            for table in self.schema.tables:
                links = {col: self._links(col, table, schemas[parent]) for col, parent in table.fkeys.items()}
                foreign = [
                    ForeignMessages(
                        self.seed, parent, table.name, col, values[parent], links[col], self.config.scm_params
                    )
                    for col, parent in table.fkeys.items()
                ]
                hidden = [self._hidden(table, schemas[parent], links[col]) for col, parent in table.fkeys.items()]
                values[table.name] = self._values(table, foreign, [state for state in hidden if state is not None])
                tables[table.name] = self._table(table, links, values[table.name])
        return Database(dict(sorted(tables.items(), key=lambda item: int(item[0].removeprefix("table_")))))

    def _links(self, fkey_col: str, child: TableSchema, parent: TableSchema) -> np.ndarray:
        """The parent row of each child row, -1 for none; int64 (child rows,)."""
        diversity = self.config.diversity_params
        rng = stream(self.seed, "links", child.name, fkey_col)
        popularity = np.ones(parent.num_rows)
        if rng.random() < diversity.skewed_degree_prob:
            exponent, idle = (
                choices.draw(rng)
                for choices in (diversity.popularity_exponent_choices, diversity.inactive_parent_choices)
            )
            popularity = draw_popularity(parent.num_rows, exponent, idle, rng)
        parents = draw_parents(popularity, child.num_rows, self.config.scm_params, rng)
        if rng.random() < diversity.nullable_key_prob:
            parents[rng.random(child.num_rows) < diversity.missing_key_choices.draw(rng)] = -1
        return parents

    def _hidden(self, child: TableSchema, parent: TableSchema, parents: np.ndarray) -> np.ndarray | None:
        """The hidden state of each child row's parent at the child's time; None where the parents have none."""
        diversity = self.config.diversity_params
        rng = stream(self.seed, "hidden state", parent.name)
        if rng.random() >= diversity.hidden_state_prob:
            return None
        states = draw_states(parent.num_rows, diversity.hidden_state_choices.draw(rng), rng)
        times = np.linspace(0, 1, child.num_rows) if child.is_activity else np.zeros(child.num_rows)
        return states_of_children(states, parents, times)

    def _values(
        self, table: TableSchema, foreign: Sequence[ForeignMessages], hidden: Sequence[np.ndarray]
    ) -> list[Values]:
        """Values of the feature columns; the model is drawn again where none would be kept (1 table in 1,300)."""
        for attempt in range(_ATTEMPTS):
            values = TableSCM(self.seed, table, self.config, attempt).propagate(foreign, hidden)
            if any(is_kept(column) for column in values):
                return values
        raise PlurelError(
            f"database {self.seed}: every column of {table.name} is a constant boolean in {_ATTEMPTS} draws; give the "
            "prior more rows, more columns per table or another col_stype_choices"
        )

    def _table(self, table: TableSchema, links: dict[str, np.ndarray], values: list[Values]) -> Table:
        rng = stream(self.seed, "missing", table.name)
        missing_rate = self.config.database_params.column_nan_perc_choices.draw(rng)
        data: dict[str, object] = {PKEY_COL: np.arange(table.num_rows)}
        if table.is_activity:
            days = pd.date_range(self.schema.start, self.schema.end, periods=table.num_rows)
            data[TIME_COL] = days.floor("s").as_unit("us")
        data |= {col: _key_column(parents) for col, parents in links.items()}
        for number, column in enumerate(values):
            cells = to_column(column, missing_rate, self.config, rng)
            if cells is not None:
                data[f"feature_{number}"] = cells
        return Table(
            df=pd.DataFrame(data, copy=False),
            fkey_col_to_pkey_table=dict(table.fkeys),
            pkey_col=PKEY_COL,
            time_col=TIME_COL if table.is_activity else None,
        )


def _sql_schema(config: Config, seed: int) -> SqlSchema:
    from plurel.sql.parser import schema_from_sql  # sqlglot, which random schemas do not need
    from plurel.sql.plan import plan_tables

    schema = schema_from_sql(Path(config.schema_file))
    plan_tables(schema, config, seed)  # what cannot be filled is refused now
    return schema


def _key_column(parents: np.ndarray) -> np.ndarray | pd.arrays.IntegerArray:
    """int64, or nullable where a key is missing (-1)."""
    is_missing = parents < 0
    return pd.arrays.IntegerArray(parents, is_missing) if is_missing.any() else parents
