"""Values of the columns of declared tables: one causal model a table, fed by every foreign key.

A key to the table itself, or one that closes a cycle of tables, is drawn when the rows that it points to have values;
then its own table's model is run once more. So a row says to those that point to it what it held before it heard its
own late parents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plurel.config import Config
from plurel.edges import ForeignMessages, Values
from plurel.random_streams import stream
from plurel.schema import TableSchema
from plurel.scm import TableSCM
from plurel.sql.cells import num_categories
from plurel.sql.links import Links
from plurel.sql.plan import TablePlan


def column_values(
    plans: Sequence[TablePlan], links: Mapping[str, Links], sizes: Mapping[str, int], seed: int, config: Config
) -> dict[str, list[Values]]:
    """Values of every table's feature columns; of a table of keys alone, one hidden number, which passes on.

    Args:
        plans: parents first.
        links: parent rows of each foreign key, those of late ones too.
    """
    values: dict[str, list[Values]] = {}
    waiting: list[TablePlan] = []
    for plan in plans:
        name = plan.table.name
        values[name] = _propagated(plan, links[name], values, sizes, seed, config)
        waiting += [plan] if plan.late else []
        for late in [other for other in waiting if all(key.parent in values for key in other.late)]:
            values[late.table.name] = _propagated(late, links[late.table.name], values, sizes, seed, config)
            waiting.remove(late)
    return values


def _propagated(
    plan: TablePlan,
    links: Links,
    values: Mapping[str, list[Values]],
    sizes: Mapping[str, int],
    seed: int,
    config: Config,
) -> list[Values]:
    """The values of a table, given those of its parents that are there."""
    name = plan.table.name
    foreign = [
        ForeignMessages(seed, key.parent, name, "_".join(key.columns), values[key.parent], rows, config.scm_params)
        for key, rows in links.items()
        if key.parent in values
    ]
    return TableSCM(seed, _table_schema(plan, sizes[name], seed, config), config).propagate(foreign)


def _table_schema(plan: TablePlan, num_rows: int, seed: int, config: Config) -> TableSchema:
    rng = stream(seed, "sql categories", plan.table.name)
    drawn = [config.scm_params.num_categories_choices.draw(rng) for _ in plan.features]
    counts = tuple(num_categories(c, n) for c, n in zip(plan.features, drawn, strict=True))
    return TableSchema(plan.table.name, num_rows, max(len(counts), 1), {}, plan.time is not None, counts or (0,))
