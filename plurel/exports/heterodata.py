"""A database as a torch_geometric HeteroData: tables are node types, foreign keys edge types in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from relbench.base import Database, Table

from plurel.column_kinds import seconds
from plurel.errors import PlurelError
from plurel.exports.features import encode_features
from plurel.keys import foreign_keys, open_database, parent_rows

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

NEVER = np.iinfo(np.int64).max  # time of a row whose time is missing: later than any seed, so that nothing leaks


def to_heterodata(db: Database | str | Path) -> HeteroData:
    """The graph of all rows, in row order.

    data[table].x: float32 (rows, features), see plurel.exports.features; z-scores use the whole table, so cut the
    database by time first (`db.upto`) where later rows must not be seen.
    data[table].time: int64 (rows,), seconds since 1970 UTC; not there for tables without a time column.
    data[child, "f2p_<column>", parent].edge_index: int64 (2, keys that are not missing), and its reverse
    data[parent, "rev_f2p_<column>", child]: the names of relbench.modeling.
    data.feature_names: {table: name of each feature}.

    Raises:
        PlurelError: if keys do not hold, or torch_geometric is not installed.
    """
    try:
        import torch  # only here: the rest of plurel needs neither
        from torch_geometric.data import HeteroData
    except ModuleNotFoundError as error:
        raise PlurelError(f"to_heterodata needs {error.name}; install torch and torch_geometric") from error

    db, data, names = open_database(db), HeteroData(), {}
    for name, table in db.table_dict.items():
        features, names[name] = encode_features(table)
        data[name].x = torch.from_numpy(features)
        if table.time_col is not None:
            data[name].time = torch.from_numpy(_times(table))
    for key in foreign_keys(db):
        parents = parent_rows(db, key)
        children = np.flatnonzero(parents >= 0)
        edges = torch.from_numpy(np.stack([children, parents[children]]))
        data[key.child, f"f2p_{key.column}", key.parent].edge_index = edges
        data[key.parent, f"rev_f2p_{key.column}", key.child].edge_index = edges.flip(0).contiguous()
    data.feature_names = names
    return data


def _times(table: Table) -> np.ndarray:
    times = np.floor(seconds(table.df[table.time_col]).to_numpy())
    is_missing = np.isnan(times)
    return np.where(is_missing, NEVER, np.where(is_missing, 0, times).astype(np.int64))
