"""Synthetic relational databases from a prior: schema, links, structural causal models. Imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from plurel.choices import Choices
from plurel.config import Config, DAGParams, DatabaseParams, DiversityParams, SCMParams
from plurel.errors import PlurelError
from plurel.schema import max_foreign_keys, pretraining_seeds

if TYPE_CHECKING:
    from plurel.corpus import corpus_recipe, generate_corpus, load_corpus
    from plurel.database import SyntheticDataset
    from plurel.description.page import describe
    from plurel.description.schema_svg import draw_schema
    from plurel.exports.duckdb import to_duckdb
    from plurel.exports.heterodata import to_heterodata
    from plurel.exports.schema_graph import to_networkx
    from plurel.exports.sqlite import to_sqlite
    from plurel.sql.parser import schema_from_sql
    from plurel.sql.reflection import schema_from_url

__all__ = [
    "Choices",
    "Config",
    "DAGParams",
    "DatabaseParams",
    "DiversityParams",
    "PlurelError",
    "SCMParams",
    "SyntheticDataset",
    "corpus_recipe",
    "describe",
    "draw_schema",
    "generate_corpus",
    "load_corpus",
    "max_foreign_keys",
    "pretraining_seeds",
    "schema_from_sql",
    "schema_from_url",
    "to_duckdb",
    "to_heterodata",
    "to_networkx",
    "to_sqlite",
]

# relbench takes over a second to import; a prior needs none of it.
_LAZY = {
    "SyntheticDataset": "database",
    "corpus_recipe": "corpus",
    "describe": "description.page",
    "draw_schema": "description.schema_svg",
    "generate_corpus": "corpus",
    "load_corpus": "corpus",
    "schema_from_sql": "sql.parser",
    "schema_from_url": "sql.reflection",
    "to_duckdb": "exports.duckdb",
    "to_heterodata": "exports.heterodata",
    "to_networkx": "exports.schema_graph",
    "to_sqlite": "exports.sqlite",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'plurel' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"plurel.{_LAZY[name]}"), name)
