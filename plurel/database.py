"""One synthetic database as a function of (prior, seed).

Its bytes are the same in any process, with any number of workers, threads or cores and any batch of rows. What is
compiled for another kind of processor gives the same bits where it can fuse products and sums, as all of the last ten
years can; numpy's own functions may differ there in the last digits.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from relbench.base import Database, Dataset, Table
from threadpoolctl import threadpool_limits

from plurel.child_aggregates import add_aggregates
from plurel.columns import is_kept, to_column, to_dates_or_words
from plurel.config import Config
from plurel.date_features import DateSpan
from plurel.edges import ForeignMessages, Values
from plurel.errors import PlurelError
from plurel.hidden_state import draw_states, states_of_children
from plurel.random_streams import checked_seed, stream
from plurel.rows import TableRows, draw_links, draw_rows
from plurel.schema import Schema, TableSchema, draw_schema
from plurel.scm import TableSCM
from plurel.shaping import Shaping

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
        """The whole database: keys 0 ... n - 1 in row order, tables with a time in order of it.

        Raises:
            PlurelError: if the prior gives a table without any feature column, time and again.
        """
        if self.sql_schema is not None:
            from plurel.sql.database import make_sql_database

            with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
                draw = partial(draw_links, self.seed, self.config)
                return make_sql_database(self.seed, self.config, self.sql_schema, self.schema, draw)
        # one BLAS thread: sums in one order give the same bytes on any number of cores. Overflow is clipped in scm.py
        with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore"):
            rows = draw_rows(self.seed, self.config, self.schema)
            values: dict[str, list[Values]] = {}
            for table in self.schema.tables:
                values[table.name] = self._values(table, rows, values)
            frames = {
                table.name: self._frame(table, rows[table.name], values[table.name]) for table in self.schema.tables
            }
            add_aggregates(self.seed, self.config, self.schema, rows, frames)
        tables = {
            table.name: Table(
                df=frames[table.name],
                fkey_col_to_pkey_table=table.all_fkeys,
                pkey_col=PKEY_COL,
                time_col=TIME_COL if table.is_timed else None,
            )
            for table in self.schema.tables
        }
        return Database(dict(sorted(tables.items(), key=lambda item: int(item[0].removeprefix("table_")))))

    def _hidden(self, child: TableRows, parent: TableSchema, fkey_col: str) -> np.ndarray | None:
        """The hidden state of each child row's parent at the child's time; None where the parents have none."""
        diversity = self.config.diversity_params
        rng = stream(self.seed, "hidden state", parent.name)
        if rng.random() >= diversity.hidden_state_prob:
            return None
        states = draw_states(parent.num_rows, diversity.hidden_state_choices.draw(rng), rng)
        return states_of_children(states, child.links[fkey_col], child.parts)

    def _values(self, table: TableSchema, rows: dict[str, TableRows], values: dict[str, list[Values]]) -> list[Values]:
        """Values of the feature columns; the model is drawn again where none would be kept (1 table in 1,300).

        Args:
            table: its parents' values are in `values`.
        """
        own, schemas = rows[table.name], {other.name: other for other in self.schema.tables}
        foreign = [
            ForeignMessages(self.seed, parent, table.name, col, values[parent], own.links[col], self.config.scm_params)
            for col, parent in table.fkeys.items()
        ]
        hidden = [self._hidden(own, schemas[parent], col) for col, parent in table.fkeys.items()]
        tree = None if table.self_key is None else own.links[table.self_key]
        shaping = Shaping(self.seed, [state for state in hidden if state is not None], tree)
        for attempt in range(_ATTEMPTS):
            scm = TableSCM(self.seed, table, self.config, attempt)
            found = scm.propagate(foreign, shaping.of_model(scm.key) if shaping else None)
            if any(is_kept(column) for column in found):
                return found
        raise PlurelError(
            f"database {self.seed}: every column of {table.name} is a constant boolean in {_ATTEMPTS} draws; give the "
            "prior more rows, more columns per table or another col_stype_choices"
        )

    def _frame(self, table: TableSchema, rows: TableRows, values: list[Values]) -> pd.DataFrame:
        rng = stream(self.seed, "missing", table.name)
        missing_rate = self.config.database_params.column_nan_perc_choices.draw(rng)
        data: dict[str, object] = {PKEY_COL: np.arange(table.num_rows)}
        times = None
        if rows.seconds is not None:
            times = (self.schema.start + pd.to_timedelta(rows.seconds, unit="s")).as_unit("us")
            data[TIME_COL] = times
        data |= {col: _key_column(rows.links[col]) for col in table.all_fkeys}
        span = DateSpan(self.schema.start, self.schema.end, None if times is None else times.to_numpy())
        has_kinds = self.config.diversity_params.date_prob or self.config.diversity_params.ordinal_prob
        for number, column in enumerate(values):
            cells = None
            if has_kinds:
                kinds = stream(self.seed, "column kind", table.name, number)
                cells = to_dates_or_words(column, missing_rate, self.config, span, kinds)
            if cells is None:
                cells = to_column(column, missing_rate, self.config, rng)
            if cells is not None:
                data[f"feature_{number}"] = cells
        return pd.DataFrame(data, copy=False)


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
