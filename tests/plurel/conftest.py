"""Databases that exports and pages must get right: one with every awkward thing at once, one synthetic, real ones."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from relbench.base import Database, Table

from plurel import Config, SyntheticDataset


@pytest.fixture
def awkward() -> Database:
    """Children before parents, names that need quotes, keys that are no positions, self-references, missing keys."""
    staff = pd.DataFrame(
        {
            "badge no.": [70, 10, 30, 20],
            "boss": pd.array([30, None, None, 70], dtype="Int64"),
            'the "name"': ["Zoë", None, "O'Hara; DROP TABLE", ""],
            "born": [datetime.date(1950, 1, 2), None, datetime.date(2001, 12, 31), datetime.date(1, 1, 1)],
            "is_away": pd.array([True, None, False, True], dtype="boolean"),
        }
    )
    visits = pd.DataFrame(
        {
            "guest": pd.array([70, None, 10, 10, 20], dtype="Int64"),
            "host": [20.0, np.nan, np.nan, 70.0, 20.0],  # a nullable key as pandas reads it from CSV
            "select": pd.to_datetime(
                ["2020-01-01 10:00:00.25", None, "1969-12-31 23:59:59", "2020-01-02", "2020-01-03"],
                format="ISO8601",
            ),
            "cost": [1.5, np.nan, -2.0, 1e300, 0.0],
            "count": [2**62, 0, -1, 5, 7],
            "tags": [["a", "b"], None, [], ["c"], ["a"]],
            "shade": pd.Categorical(["red", "blue", None, "red", "red"]),
        }
    )
    empty = pd.DataFrame({"id": pd.Series(dtype="int64"), "value": pd.Series(dtype="float64")})
    return Database(
        {
            "my visits": Table(visits, {"guest": "staff/2", "host": "staff/2"}, None, "select"),
            "staff/2": Table(staff, {"boss": "staff/2"}, "badge no.", None),
            "Übrige": Table(empty, {}, "id", None),
        }
    )


def synthetic() -> Database:
    return SyntheticDataset(1, Config.preset("diverse")).make_db()


def declared() -> Database:
    tree = {"schema_file": str(Path(__file__).parent / "ddl" / "northwind.sql"), "rows": {"orders": 500}}
    return SyntheticDataset(1, Config.from_dict(tree)).make_db()


@pytest.fixture(params=["diverse", "declared", "rel-f1", "movielens-small"])
def large(request: pytest.FixtureRequest) -> Database | Path:
    """A synthetic database of a random or a declared schema, or the folder of a real one."""
    if request.param in ("diverse", "declared"):
        return synthetic() if request.param == "diverse" else declared()
    return request.getfixturevalue("shared") / "data" / request.param
