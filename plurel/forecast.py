"""Tasks that look forward in time: what happens to an entity within the next stretch of days.

Of an entity table and an activity table that points to it: does the entity have an event (`active`), how many
(`count`), and the mean of a number column over them (`mean`). A RelBench forecast task: SQL over (t, t + timedelta],
and label files that relbench makes from it. The entity's past tells its future as far as the prior lets it: through
popularity, hidden states and observed columns.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import relbench
from relbench.base import Database, Table
from relbench.manifest import TaskManifest

from plurel.config import Config
from plurel.random_streams import stream
from plurel.schema import Schema

SPLITS = ("train", "val", "test")
_KINDS = {
    "active": ("binary_classification", 'CAST(COUNT(e."{fkey}") > 0 AS INTEGER)', "LEFT JOIN", ""),
    "count": ("regression", 'CAST(COUNT(e."{fkey}") AS DOUBLE)', "LEFT JOIN", ""),
    "mean": ("regression", 'AVG(e."{column}")', "JOIN", 'HAVING COUNT(e."{column}") > 0'),
}
_SQL = """
SELECT t.timestamp, p."{key}" AS "{key}", {target} AS target
FROM timestamps t CROSS JOIN "{parent}" p
{join} "{child}" e ON e."{fkey}" = p."{key}"
    AND e."{time}" > t.timestamp AND e."{time}" <= t.timestamp + INTERVAL '{{timedelta}}'
WHERE p."{key}" % {stride} = 0
GROUP BY t.timestamp, p."{key}"
{having}
"""
_WINDOWS = (11, 31)  # stretches in the database's days; the last tenth, the test part, holds at least one
_LABEL_ROWS = 4000  # of a task, about; entities are passed over to keep to it
_EVAL_WINDOWS = 20


def draw_forecast_tasks(seed: int, config: Config, schema: Schema, db: Database) -> list[TaskManifest]:
    """At most one task for each foreign key from an activity table to an entity table."""
    tasks = []
    days = (schema.end - schema.start).days
    for child, table in db.table_dict.items():
        for fkey, parent in table.fkey_col_to_pkey_table.items():
            rng = stream(seed, "forecast task", child, fkey)
            is_dated = table.time_col is not None and db.table_dict[parent].time_col is None
            key = db.table_dict[parent].pkey_col
            if rng.random() >= config.diversity_params.forecast_task_prob or not is_dated:
                continue
            delta = max(1, days // int(rng.integers(*_WINDOWS)))
            columns = [c for c in table.df if str(c).startswith("feature_") and table.df[c].dtype.kind == "f"]
            kind = str(rng.choice(list(_KINDS) if columns else ["active", "count"]))
            column = str(rng.choice(columns)) if kind == "mean" else ""
            rows = len(table.df) if kind == "mean" else len(db.table_dict[parent].df) * days / delta
            stride = max(1, round(rows / _LABEL_ROWS))
            tasks.append(_manifest(kind, child, fkey, table, parent, key, column, delta, stride))
    return [task for task in tasks if schema.test_timestamp + pd.Timedelta(task.timedelta) <= db.max_timestamp]


def write_forecast_tasks(folder: Path, tasks: list[TaskManifest]) -> None:
    """Adds the tasks and their label files to a RelBench-3 folder; leaves out a task whose labels are all alike."""
    for manifest in tasks:
        manifest.save(folder / "tasks" / manifest.name / "manifest.yaml")
    dataset = relbench.load_dataset(folder)
    db = dataset.get_db(upto_test_timestamp=False)
    for manifest in tasks:
        task = dataset.load_task(manifest.name, regenerate=True)
        labels = {split: task.get_table(split, mask_input_cols=False, db=db).df for split in SPLITS}
        path = folder / "tasks" / manifest.name
        if any(part.empty for part in labels.values()) or labels["train"]["target"].nunique() < 2:
            (path / "manifest.yaml").unlink()
            path.rmdir()
            continue
        for split, part in labels.items():
            part.to_parquet(path / f"{split}.parquet", index=False)


def _manifest(
    kind: str, child: str, fkey: str, table: Table, parent: str, key: str, column: str, delta: int, stride: int
) -> TaskManifest:
    task_type, target, join, having = _KINDS[kind]
    names = {"fkey": fkey, "column": column}
    sql = _SQL.format(
        **names,
        target=target.format(**names),
        having=having.format(**names),
        join=join,
        parent=parent,
        child=child,
        key=key,
        time=table.time_col,
        stride=stride,
    )
    what = {"active": "Is there a row", "count": "The number of rows", "mean": f"The mean of {column} over the rows"}
    return TaskManifest(
        name=f"{child}-{fkey}-{kind}",
        kind="forecast",
        task_type=task_type,
        description=f"{what[kind]} of {child} that point to a row of {parent} in the next {delta} days.",
        entity_table=parent,
        entity_col=key,
        target_col="target",
        time_col="timestamp",
        timedelta=f"{delta} days",
        num_eval_timestamps=_EVAL_WINDOWS,
        sql=sql,
    )
