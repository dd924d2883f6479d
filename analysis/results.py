"""Tidy results: one row per measurement, one parquet file per finished cell of a grid, merged on read.

    run_dir/
      results/<cell>.parquet      columns of SCHEMA, none null, written once and never changed

| column                   | type    | meaning                                                             |
|--------------------------|---------|---------------------------------------------------------------------|
| run, profile, prior      | string  | where the row comes from                                            |
| num_databases            | int64   | N, synthetic databases in the training pool                         |
| tokens, step             | int64   | S, training length in context positions and in optimizer steps      |
| seed                     | int64   | seed of the training run                                            |
| dataset, task, split     | string  | what was measured; "synthetic-val", "", "val" for the mean over the |
|                          |         | held-out synthetic databases                                        |
| metric, value            | string, float64 | "loss", ...; NaN where a run diverged                       |
| params                   | int64   | number of trained parameters                                        |
| flops, wall_s            | float64 | cost of the cell, in operations and seconds                         |
| git                      | string  | commit that produced the row                                        |
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError

SCHEMA: dict[str, pa.DataType] = {
    "run": pa.string(),
    "profile": pa.string(),
    "prior": pa.string(),
    "num_databases": pa.int64(),
    "tokens": pa.int64(),
    "step": pa.int64(),
    "seed": pa.int64(),
    "dataset": pa.string(),
    "task": pa.string(),
    "split": pa.string(),
    "metric": pa.string(),
    "value": pa.float64(),
    "params": pa.int64(),
    "flops": pa.float64(),
    "wall_s": pa.float64(),
    "git": pa.string(),
}
VALIDATION_DATASET = "synthetic-val"
IDENTITY = ("run", "num_databases", "tokens", "step", "seed", "dataset", "task", "split", "metric")


def write_rows(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes `rows` as one parquet file, whole or not at all; creates the folder.

    Raises:
        AnalysisError: if there is no row, or a row lacks a column, has an unknown one, or a value of another type.
    """
    path, rows = Path(path), [dict(row) for row in rows]
    if not rows:
        raise AnalysisError(f"{path}: no rows to write; a finished cell has at least one measurement")
    for number, row in enumerate(rows):
        for problem, columns in (("lacks", SCHEMA.keys() - row.keys()), ("has unknown", row.keys() - SCHEMA.keys())):
            if columns:
                raise AnalysisError(
                    f"{path}: row {number} {problem} column {sorted(columns)[0]!r}; columns: {_names()}"
                )
    arrays = [_array(path, name, [row[name] for row in rows]) for name in SCHEMA]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(SCHEMA.items())), temporary)
    os.replace(temporary, path)


def read_results(path: Path | str) -> pd.DataFrame:
    """All rows of a run folder (its results/*.parquet, in name order) or of one parquet file; columns of SCHEMA.

    Raises:
        AnalysisError: naming the file and column, if there is no file, one is damaged, lacks a column, holds a null or
            another type, or a measurement is there twice.
    """
    path = Path(path)
    files = sorted((path / "results").glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise AnalysisError(f"{path} holds no results/*.parquet; a run writes one when a cell of its grid is finished")
    tables = [_read_file(file) for file in files]
    results = pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    repeated = results.duplicated(list(IDENTITY))
    if repeated.any():
        first = int(repeated.idxmax())
        ends = pd.Series([table.num_rows for table in tables]).cumsum()
        row = ", ".join(f"{name}={results[name][first]}" for name in IDENTITY)
        raise AnalysisError(f"{files[int((ends <= first).sum())]}: this measurement is there twice: {row}")
    return results


def loss_rows(results: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold the mean validation loss of a cell.

    Raises:
        AnalysisError: if there are none, or they belong to more than one run, whose mean would mean nothing.
    """
    rows = results[
        (results["dataset"] == VALIDATION_DATASET) & (results["split"] == "val") & (results["metric"] == "loss")
    ]
    if rows.empty:
        raise AnalysisError(
            f"no validation loss: no row has dataset={VALIDATION_DATASET!r}, split='val', metric='loss'"
        )
    runs = sorted(rows["run"].unique())
    if len(runs) > 1:
        raise AnalysisError(
            f"results of {len(runs)} runs ({', '.join(runs)}); select one: results[results['run'] == ...]"
        )
    return rows


def database_loss_rows(results: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold the validation loss of a cell on one held-out database; none where single ones were not
    recorded."""
    is_loss = (results["metric"] == "loss") & (results["split"] == "val") & (results["task"] == "")
    return results[is_loss & (results["dataset"] != VALIDATION_DATASET)]


def loss_grid(results: pd.DataFrame) -> pd.DataFrame:
    """Validation loss, N (index `num_databases`) x S (columns `tokens`), both rising; mean over seeds.

    NaN where a cell is missing or one of its seeds diverged.
    """
    cells = loss_rows(results).groupby(["num_databases", "tokens"])["value"]
    return cells.agg(lambda values: values.mean(skipna=False)).unstack("tokens").sort_index(axis=0).sort_index(axis=1)


def _read_file(path: Path) -> pa.Table:
    if not path.is_file():
        raise AnalysisError(f"{path}: no such file or run folder")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise AnalysisError(f"{path} is not a readable parquet file ({reason}); delete it and run again") from error
    missing = [name for name in SCHEMA if name not in table.column_names]
    if missing:
        raise AnalysisError(f"{path}: no column {missing[0]!r}; results have the columns {_names()}")
    # pandas writes NaN as null: a diverged loss must come back from a merged file as it was.
    value = table.column_names.index("value")
    if pa.types.is_floating(table["value"].type):
        table = table.set_column(value, "value", table["value"].fill_null(float("nan")))
    arrays = [_array(path, name, table[name]) for name in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=pa.schema(SCHEMA.items()))


def _array(path: Path, name: str, values: list[Any] | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    kind = SCHEMA[name]
    try:
        found = pa.array(values) if isinstance(values, list) else values
        # Arrow's own casts would cut 1.5 to 1 and read "5" as 5.
        if not _FITS[kind](found.type):
            raise AnalysisError(f"{path}: column {name!r} must be {kind}, not {found.type}")
        array = found.cast(kind)
    except (pa.ArrowException, OverflowError) as error:
        raise AnalysisError(f"{path}: column {name!r} must be {kind} ({str(error).splitlines()[0]})") from error
    if array.null_count:
        raise AnalysisError(f"{path}: column {name!r} holds {array.null_count} null; every row needs a {kind}")
    return array


_FITS = {
    pa.string(): lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    pa.int64(): pa.types.is_integer,
    pa.float64(): lambda kind: pa.types.is_floating(kind) or pa.types.is_integer(kind),
}


def _names() -> str:
    return ", ".join(SCHEMA)
