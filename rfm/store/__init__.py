"""A database as memory-mapped arrays: rows, cells, key graph, tasks, texts. `format.py` shows the folder."""

from rfm.store.build import build_store, build_stores
from rfm.store.format import NEVER, NO_TIME, Column, SemType, TableInfo, TaskInfo
from rfm.store.reindex import reindex_database
from rfm.store.store import Store
from rfm.store.text import TextTable

__all__ = [
    "NEVER",
    "NO_TIME",
    "Column",
    "SemType",
    "Store",
    "TableInfo",
    "TaskInfo",
    "TextTable",
    "build_store",
    "build_stores",
    "reindex_database",
]
