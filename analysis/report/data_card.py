"""data_card.json and figures/schema-*.svg of a run, which experiments.report writes: what the training databases were.

| key                           | meaning                                                         |
|-------------------------------|-----------------------------------------------------------------|
| prior, prior_hash, version    | what they were drawn from; version of the corpus format         |
| num_databases, num_validation | how many were made                                              |
| options                       | key -> value, where the prior differs from `main`               |
| databases                     | per database: name, tables, rows, columns, foreign_keys         |
| examples                      | databases whose schema is drawn in figures/schema-<name>.svg    |
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError

COUNTS = {"tables": "tables", "rows": "rows", "columns": "columns", "foreign_keys": "foreign keys"}


@dataclass(frozen=True)
class ExampleSchema:
    """A database's schema: its counts (keys of COUNTS), and the diagram as the data URI of an SVG."""

    name: str
    counts: dict[str, int]
    diagram: str


@dataclass(frozen=True)
class DataCard:
    """What a run's training databases are like.

    Attributes:
        options: key -> value, where the prior differs from `main`; keys without their group and `_choices`.
        spread: index the words of COUNTS, columns `lowest`, `median`, `highest`, of one database.
    """

    prior: str
    prior_hash: str
    num_databases: int
    num_validation: int
    options: dict[str, str]
    spread: pd.DataFrame
    examples: list[ExampleSchema]

    @classmethod
    def read(cls, run_dir: Path) -> DataCard | None:
        """The card of a run; None without one.

        Raises:
            AnalysisError: if the card is damaged or a diagram that it names is missing.
        """
        path = run_dir / "data_card.json"
        if not path.exists():
            return None
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            counts = pd.DataFrame(card["databases"]).set_index("name")[list(COUNTS)]
            examples = [
                ExampleSchema(name, counts.loc[name].to_dict(), _diagram(run_dir, name)) for name in card["examples"]
            ]
            options = {_plain_key(key): str(value) for key, value in card["options"].items()}
            spread = counts.quantile([0, 0.5, 1]).T.set_axis(["lowest", "median", "highest"], axis=1).rename(COUNTS)
            facts = (card[key] for key in ("prior", "prior_hash", "num_databases", "num_validation"))
            return cls(*facts, options, spread, examples)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AnalysisError(f"{path} is damaged ({error}); delete it and run experiments.report again") from error
        except OSError as error:
            raise AnalysisError(f"{error.filename} is missing; run experiments.report again") from error


def _diagram(run_dir: Path, name: str) -> str:
    content = (run_dir / "figures" / f"schema-{name}.svg").read_bytes()
    return "data:image/svg+xml;base64," + base64.b64encode(content).decode("ascii")


def _plain_key(key: str) -> str:
    return key.rpartition(".")[2].removesuffix("_choices").replace("_", " ")
