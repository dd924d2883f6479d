"""HeteroData and schema graphs, judged by torch_geometric and networkx."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import torch
from relbench.base import Database, Table
from torch_geometric.nn import HeteroConv, SAGEConv

from plurel import SyntheticDataset, to_heterodata, to_networkx
from plurel.exports.features import encode_features
from plurel.exports.heterodata import NEVER
from plurel.keys import open_database


def test_nodes_and_edges_follow_the_keys(awkward: Database) -> None:
    data = to_heterodata(awkward)
    assert data.validate()
    assert data.num_nodes_dict == {"my visits": 5, "staff/2": 4, "Übrige": 0}
    expected = {  # positions of rows, not key values
        ("my visits", "f2p_guest", "staff/2"): [[0, 2, 3, 4], [0, 1, 1, 3]],
        ("my visits", "f2p_host", "staff/2"): [[0, 3, 4], [3, 0, 3]],
        ("staff/2", "f2p_boss", "staff/2"): [[0, 3], [2, 0]],
    }
    assert len(data.edge_types) == 2 * len(expected)
    for (child, name, parent), edges in expected.items():
        assert data[child, name, parent].edge_index.tolist() == edges
        assert data[parent, f"rev_{name}", child].edge_index.tolist() == edges[::-1]
    assert data["my visits"].time.dtype == torch.int64
    assert data["my visits"].time.tolist() == [1577872800, NEVER, -1, 1577923200, 1578009600]
    assert "time" not in data["staff/2"]


def test_features_are_encoded_as_they_say() -> None:
    count = 40
    df = pd.DataFrame(
        {
            "id": range(count),
            "number": np.r_[np.nan, np.arange(count - 1)],
            "flat": 3.0,
            "flag": [True, False] * 20,
            "colour": ["red", "blue", None, "red"] * 10,
            "note": [f"word{i} common" for i in range(count)],
            "born": [datetime.date(2000, 1, 1 + i % 28) for i in range(count)],
        }
    )
    x, names = encode_features(Table(df, {}, "id", None))
    assert x.dtype == np.float32 and np.isfinite(x).all()
    frame = pd.DataFrame(x, columns=names)
    assert names[:7] == [
        "number",
        "number is missing",
        "flat",
        "flag",
        "colour = blue",
        "colour = red",
        "colour is missing",
    ]
    known = frame["number"][1:]
    assert abs(known.mean()) < 1e-6 and abs(known.std(ddof=0) - 1) < 1e-6 and frame["number"][0] == 0
    np.testing.assert_allclose(np.diff(known), np.diff(known)[0], rtol=1e-4)
    assert frame["number is missing"].tolist() == [1] + [0] * (count - 1)
    assert (frame["flat"] == 0).all()
    assert frame["flag"].tolist() == [1, 0] * 20
    assert frame["colour = red"].tolist() == [1, 0, 0, 1] * 10
    assert frame["colour is missing"].tolist() == [0, 0, 1, 0] * 10
    hashes = frame[[n for n in names if n.startswith("note hash")]].to_numpy()
    assert hashes.shape[1] == 16
    np.testing.assert_allclose(np.linalg.norm(hashes, axis=1), 1, rtol=1e-6)
    assert abs(frame["born"].mean()) < 1e-6
    lone, lone_names = encode_features(Table(df[["id"]], {}, "id", None))
    assert lone_names == ["constant"] and (lone == 1).all()


def test_a_network_trains_on_every_database(large: Database | Path) -> None:
    """One step of message passing over all edge types: finite outputs, and gradients that reach every joined table."""
    data = to_heterodata(large)
    db = open_database(large)
    assert data.validate()
    assert data.num_nodes == sum(len(table) for table in db.table_dict.values())
    torch.manual_seed(0)
    inputs = {name: data[name].x.clone().requires_grad_() for name in data.node_types}
    width = {name: x.shape[1] for name, x in inputs.items()}
    conv = HeteroConv({edge: SAGEConv((width[edge[0]], width[edge[2]]), 8) for edge in data.edge_types}, aggr="sum")
    out = conv(inputs, data.edge_index_dict)
    assert {name: tuple(y.shape) for name, y in out.items()} == {name: (len(inputs[name]), 8) for name in out}
    assert all(torch.isfinite(y).all() for y in out.values())
    sum(y.square().sum() for y in out.values()).backward()
    joined = {name for edge in data.edge_types for name in (edge[0], edge[2])}  # Northwind has a table without keys
    assert all(inputs[name].grad.abs().sum() > 0 for name in joined)


def test_edges_agree_with_a_merge_in_pandas(shared: Path) -> None:
    db = open_database(shared / "data" / "rel-f1")
    data = to_heterodata(db)
    results, drivers = db.table_dict["results"].df, db.table_dict["drivers"].df
    left = results[["driverId"]].assign(row=np.arange(len(results)))
    merged = left.merge(drivers[["driverId"]].assign(parent=np.arange(len(drivers))), on="driverId").sort_values("row")
    edges = data["results", "f2p_driverId", "drivers"].edge_index.numpy()
    np.testing.assert_array_equal(edges, merged[["row", "parent"]].to_numpy().T)
    times = (results["date"] - pd.Timestamp("1970-01-01")).dt.total_seconds().astype("int64")
    np.testing.assert_array_equal(data["results"].time.numpy(), times)


def test_schema_graph_of_an_awkward_database(awkward: Database) -> None:
    graph = to_networkx(awkward)
    assert graph.nodes["Übrige"] == {
        "rows": 0,
        "columns": {"id": "integer", "value": "number"},
        "pkey_col": "id",
        "time_col": None,
    }
    assert graph.nodes["my visits"]["columns"]["select"] == "time"
    assert graph.nodes["staff/2"]["columns"]["born"] == "date"
    assert graph.number_of_edges("staff/2", "my visits") == 2
    assert graph.edges["staff/2", "my visits", "host"] == {"fkey_col": "host", "num_missing": 2, "num_childless": 2}
    assert list(nx.selfloop_edges(graph, keys=True)) == [("staff/2", "staff/2", "boss")]
    assert nx.number_weakly_connected_components(graph) == 2
    again = nx.node_link_graph(json.loads(json.dumps(nx.node_link_data(graph))), multigraph=True, directed=True)
    assert nx.utils.graphs_equal(again, graph)


def test_schema_graph_of_a_synthetic_database_is_its_schema() -> None:
    dataset = SyntheticDataset(3)
    graph = to_networkx(dataset.make_db())
    order = {name: place for place, name in enumerate(nx.topological_sort(graph))}
    for table in dataset.schema.tables:
        assert graph.nodes[table.name]["rows"] == table.num_rows
        assert {(key, p) for p, _, key in graph.in_edges(table.name, keys=True)} == set(table.fkeys.items())
        assert all(order[parent] < order[table.name] for parent in table.fkeys.values())
