"""Tasks that look forward in time: what happens to an entity within the next stretch of days.

Of an entity table and a table with a time that points to it: does the entity have an event (`active`), how many
(`count`), and the mean of a number column over them (`mean`). A RelBench forecast task: SQL over (t, t + timedelta],
and label files that relbench makes from it. The entity's past tells its future as far as the prior lets it: through
popularity, hidden states and observed columns. An entity with a creation time is asked about from then on, and no
entity before the day up to which features sum up events (see plurel.child_aggregates).
"""

from __future__ import annotations

from keyword import iskeyword
from pathlib import Path

import pandas as pd
import relbench
from relbench.base import Database, Dataset
from relbench.manifest import TaskManifest

from plurel.child_aggregates import snapshot
from plurel.config import Config
from plurel.files import is_file_name
from plurel.random_streams import stream
from plurel.schema import Schema

SPLITS = ("train", "val", "test")
_KINDS = {
    "active": ("binary_classification", "CAST(COUNT(e.{fkey}) > 0 AS INTEGER)", "LEFT JOIN", ""),
    "count": ("regression", "CAST(COUNT(e.{fkey}) AS DOUBLE)", "LEFT JOIN", ""),
    "mean": ("regression", "AVG(e.{column})", "JOIN", "HAVING COUNT(e.{column}) > 0"),
}
_SQL = """
SELECT t.timestamp, p.{key} AS {key}, {target} AS target
FROM timestamps t CROSS JOIN {parent} p
{join} {child} e ON e.{fkey} = p.{key}
    AND e.{time} > t.timestamp AND e.{time} <= t.timestamp + INTERVAL '{{timedelta}}'
WHERE p.{key} % {stride} = 0{known}
GROUP BY t.timestamp, p.{key}
{having}
"""
_WINDOWS = (11, 31)  # stretches in the database's days; the last tenth, the test part, holds at least one
_LABEL_ROWS = 4000  # of a task, about; entities are passed over to keep to it
_EVAL_WINDOWS = 20


def draw_forecast_tasks(seed: int, config: Config, schema: Schema, db: Database) -> list[TaskManifest]:
    """At most one task for each foreign key from a table with a time to another table.

    None where relbench 3.0.2 could make no labels: it gives the SQL a table `timestamps` of its own, and cuts tables by
    time in an expression of Python, so that a time column must be called by a plain word.
    """
    times = [str(table.time_col) for table in db.table_dict.values() if table.time_col is not None]
    is_taken = any(str(name).casefold() == "timestamps" for name in db.table_dict)
    if is_taken or any(not time.isidentifier() or iskeyword(time) for time in times):
        return []
    tasks = []
    days = (schema.end - schema.start).days
    since = snapshot(seed, config, schema) if config.diversity_params.child_aggregate_prob else None
    for child, table in db.table_dict.items():
        for fkey, parent in table.fkey_col_to_pkey_table.items():
            rng = stream(seed, "forecast task", child, fkey)
            if rng.random() >= config.diversity_params.forecast_task_prob or table.time_col is None or parent == child:
                continue
            delta = max(1, days // int(rng.integers(*_WINDOWS)))
            columns = [c for c in table.df if str(c).startswith("feature_") and table.df[c].dtype.kind == "f"]
            kind = str(rng.choice(list(_KINDS) if columns else ["active", "count"]))
            column = str(rng.choice(columns)) if kind == "mean" else ""
            rows = len(table.df) if kind == "mean" else len(db.table_dict[parent].df) * days / delta
            stride = max(1, round(rows / _LABEL_ROWS))
            tasks.append(_manifest(kind, child, fkey, db, column, delta, stride, since))
    tasks = [task for task in tasks if is_file_name(task.name)]
    return [task for task in tasks if _has_room(pd.Timedelta(task.timedelta), schema, db)]


def _has_room(delta: pd.Timedelta, schema: Schema, db: Database) -> bool:
    """Whether each split holds as many label windows as relbench asks for: three, one and one."""
    before_test = db.upto(schema.test_timestamp)
    return (
        db.min_timestamp + 3 * delta <= schema.val_timestamp
        and schema.val_timestamp + delta <= before_test.max_timestamp
        and schema.test_timestamp + delta <= db.max_timestamp
    )


def write_forecast_tasks(folder: Path, tasks: list[TaskManifest]) -> None:
    """Adds the tasks and their label files to a RelBench-3 folder; leaves out a task whose labels are all alike."""
    for manifest in tasks:
        manifest.save(folder / "tasks" / manifest.name / "manifest.yaml")
    dataset = relbench.load_dataset(folder)
    db = dataset.get_db(upto_test_timestamp=False)
    for manifest in tasks:
        labels = _labels(dataset, manifest.name, db)
        path = folder / "tasks" / manifest.name
        if any(part.empty for part in labels.values()) or labels["train"]["target"].nunique() < 2:
            (path / "manifest.yaml").unlink()
            path.rmdir()
            continue
        for split, part in labels.items():
            part.to_parquet(path / f"{split}.parquet", index=False)


def _labels(dataset: Dataset, name: str, db: Database) -> dict[str, pd.DataFrame]:
    """The label table of each split; all empty where one is, as no entity exists yet or none has an event."""
    try:
        task = dataset.load_task(name, regenerate=True)  # which makes the train labels of a regression
        return {split: task.get_table(split, mask_input_cols=False, db=db).df for split in SPLITS}
    except TypeError as error:  # relbench 3.0.2 sorts labels by their types, which fails where there are none
        if "datetime64" not in str(error):
            raise
        return dict.fromkeys(SPLITS, pd.DataFrame())


def _manifest(
    kind: str, child: str, fkey: str, db: Database, column: str, delta: int, stride: int, since: pd.Timestamp | None
) -> TaskManifest:
    from plurel.sql.ddl import quoted  # sqlglot, which priors without forecast tasks do not need

    events = db.table_dict[child]
    parent = events.fkey_col_to_pkey_table[fkey]
    entities = db.table_dict[parent]
    task_type, target, join, having = _KINDS[kind]
    names = {"fkey": quoted(fkey), "column": quoted(column)}
    known = "" if entities.time_col is None else f"\n    AND p.{quoted(entities.time_col)} <= t.timestamp"
    known += "" if since is None else f"\n    AND t.timestamp >= TIMESTAMP '{since}'"
    sql = _SQL.format(
        **names,
        target=target.format(**names),
        having=having.format(**names),
        join=join,
        parent=quoted(parent),
        child=quoted(child),
        key=quoted(entities.pkey_col),
        time=quoted(events.time_col),
        stride=stride,
        known=known,
    )
    what = {"active": "Is there a row", "count": "The number of rows", "mean": f"The mean of {column} over the rows"}
    return TaskManifest(
        name=f"{child}-{fkey}-{kind}",
        kind="forecast",
        task_type=task_type,
        description=f"{what[kind]} of {child} that point to a row of {parent} in the next {delta} days.",
        entity_table=parent,
        entity_col=entities.pkey_col,
        target_col="target",
        time_col="timestamp",
        timedelta=f"{delta} days",
        num_eval_timestamps=_EVAL_WINDOWS,
        sql=sql,
    )
