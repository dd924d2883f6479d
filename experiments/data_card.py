"""The data card of a run: data_card.json and figures/schema-<database>.svg, which the report shows.

    prior, prior_hash, version     what the training databases were drawn from; version of the corpus format
    num_databases, num_validation  how many were made
    options                        key -> value as text, where the prior differs from `main`
    databases                      one entry per training database: name, tables, rows, columns, foreign_keys
    examples                       names of the databases with the fewest, the middle number and the most tables

Counts come from manifests and Parquet footers alone; rows and columns are of all tables, keys and times not counted
among the columns.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

import plurel
from experiments.errors import ExperimentError
from plurel.files import replacing

RECORD = "corpus.yaml"


def write_data_card(run_dir: Path) -> Path | None:
    """Writes the card from run_dir/corpus; an earlier card is left as it is where the corpora are gone.

    Raises:
        ExperimentError: if corpus.yaml or a database is damaged, naming it.
    """
    path = run_dir / "data_card.json"
    train = run_dir / "corpus" / "train"
    if not (train / RECORD).exists():
        return path if path.exists() else None
    record = _read_yaml(train / RECORD)
    held_out = run_dir / "corpus" / "validation" / RECORD
    try:
        databases = [count_database(train / f"{record['name']}-{seed}") for seed in record["seeds"]]
        card = {
            "prior": record["name"],
            "prior_hash": record["prior_hash"],
            "version": record["version"],
            "num_databases": len(record["seeds"]),
            "num_validation": len(_read_yaml(held_out)["seeds"]) if held_out.exists() else 0,
            "options": differing_options(record["prior"]),
            "databases": databases,
            "examples": example_names(databases),
        }
    except (KeyError, TypeError) as error:
        raise ExperimentError(f"{train / RECORD} is damaged (key {error}); delete it and generate again") from error
    for name in card["examples"]:
        plurel.draw_schema(train / name, run_dir / "figures" / f"schema-{name}.svg")
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(card))
    return path


def count_database(folder: Path) -> dict[str, Any]:
    """Name, tables, rows, columns and foreign keys of a RelBench-3 folder.

    Raises:
        ExperimentError: if its manifest or a table cannot be read.
    """
    tables = _read_yaml(folder / "manifest.yaml").get("tables") or {}
    rows = columns = foreign_keys = 0
    for name, table in tables.items():
        file = folder / "db" / f"{name}.parquet"
        try:
            footer = pq.read_metadata(file)
        except (OSError, ValueError) as error:
            raise ExperimentError(f"{file} cannot be read ({error}); generate the corpus again") from error
        keys = len(table["fkeys"]) + (table["pkey"] is not None) + (table["time_col"] is not None)
        rows, columns = rows + footer.num_rows, columns + footer.num_columns - keys
        foreign_keys += len(table["fkeys"])
    return {"name": folder.name, "tables": len(tables), "rows": rows, "columns": columns, "foreign_keys": foreign_keys}


def example_names(databases: list[dict[str, Any]]) -> list[str]:
    """The databases with the fewest, the middle number and the most tables; fewer where there are fewer."""
    ordered = sorted(databases, key=lambda database: (database["tables"], database["name"]))
    chosen = (0, (len(ordered) - 1) // 2, len(ordered) - 1) if ordered else ()
    return [ordered[at]["name"] for at in sorted(set(chosen))]


def differing_options(prior: dict[str, Any]) -> dict[str, str]:
    """Key -> value as text, of every value of a prior that the prior `main` has otherwise."""
    main = _flat(plurel.Config.preset("main").to_dict())
    differing = {key: value for key, value in _flat(prior).items() if main.get(key) != value}
    return {key: _as_text(key, value) for key, value in differing.items() if key not in ("name", "cache_dir")}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and set(value) != {"kind", "value"}:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _as_text(key: str, value: Any) -> str:
    if key == "schema_file":
        return Path(value).name  # where it lies is this machine's business
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, dict):
        return str(value)
    if value["kind"] == "range":
        low, high = value["value"]
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return ", ".join(map(str, value["value"]))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ExperimentError(f"{path} cannot be read ({error}); generate the corpus again") from error
    if not isinstance(content, dict):
        raise ExperimentError(f"{path} must hold a mapping, not {type(content).__name__}; generate the corpus again")
    return content
