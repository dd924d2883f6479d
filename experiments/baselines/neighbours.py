"""The rows around each seed as one graph of PyTorch Geometric: parents, and the latest children that it may see.

torch_geometric's own NeighborLoader needs pyg-lib or torch-sparse, which PyPI does not offer for current torch. Here
each seed grows a tree of its own: a node's neighbours are all its parents and, per child table, the last `fanout`
children at or before the seed's cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.data import HeteroData

from experiments.baselines.seeds import TaskSeeds
from rfm.store import NO_TIME, SemType, Store, TaskInfo, TextTable

_DAY = 24 * 60 * 60
_LARGEST = 10.0  # of a standardised value


@dataclass(frozen=True)
class _Relation:
    """Rows of table `child` that name a row of table `parent`, sorted by parent row, then time."""

    child: str
    parent: str
    parent_row: np.ndarray  # int64 (edges,)
    child_row: np.ndarray  # int64 (edges,)
    times: np.ndarray  # int64, distinct times, rising
    key: np.ndarray  # int64 (edges,), rises with (parent row, time)

    def children(self, parents: np.ndarray, cutoff: np.ndarray, fanout: int) -> tuple[np.ndarray, np.ndarray]:
        """(position in `parents`, child row) of the last `fanout` children of each at or before its cutoff."""
        first = np.searchsorted(self.parent_row, parents, side="left")
        rank = np.searchsorted(self.times, cutoff, side="right")
        end = np.searchsorted(self.key, parents * (len(self.times) + 1) + rank, side="left")
        start = np.maximum(first, end - fanout)
        position, edge = _ranges(start, np.maximum(end, start))
        return position, self.child_row[edge]


class Neighbourhoods:
    """Graphs of batches of seeds. Node inputs are standardised by training rows; ages count from the seed's cutoff.

    Args:
        texts: the store's text table.
        fanout: children of a node per child table.
        hops: length of a path from the seed.
    """

    def __init__(
        self, store: Store, texts: TextTable, info: TaskInfo, seeds: TaskSeeds, *, fanout: int, hops: int = 2
    ) -> None:
        self.store, self.info, self.seeds, self.fanout, self.hops = store, info, seeds, fanout, hops
        self.embeddings = texts.embeddings
        self.tables = {name: table for name, table in store.tables.items() if not table.is_label}
        self.relations = list(_relations(store, list(self.tables)))
        self.inputs = {name: _TableInputs(store, info, name) for name in self.tables}
        related = {name for relation in self.relations for name in (relation.child, relation.parent)}
        self.node_types = [name for name in self.tables if name in related | {info.entity_table}]

    @property
    def edge_types(self) -> list[tuple[str, str, str]]:
        """(table of the neighbour, what it is to the node, table of the node)."""
        found = [(r.child, "child", r.parent) for r in self.relations]
        return found + [(r.parent, "parent", r.child) for r in self.relations]

    def graph(self, chosen: np.ndarray) -> HeteroData:
        """The trees of these seeds; the first len(chosen) nodes of the entity table are their roots, in order.

        Nodes: `number` (nodes, 2 x columns + 1), `text` (nodes, text columns, d_text). Edges: `edge_index` from the
        neighbour to the node, `hop` 1 where the node is a root.
        """
        nodes = {name: [np.zeros((2, 0), np.int64)] for name in self.node_types}  # seed, row
        sizes = dict.fromkeys(self.node_types, 0)
        edges: dict[tuple[str, str, str], list[np.ndarray]] = {kind: [] for kind in self.edge_types}

        def add(table: str, seed: np.ndarray, row: np.ndarray) -> np.ndarray:
            nodes[table].append(np.stack([seed, row]))
            sizes[table] += len(row)
            return np.arange(sizes[table] - len(row), sizes[table])

        root = add(self.info.entity_table, chosen, self.seeds.entity[chosen])
        frontier = [(self.info.entity_table, root, chosen, self.seeds.entity[chosen])]
        for hop in range(1, self.hops + 1):
            reached = []
            for table, node, seed, row in frontier:
                for kind, at, neighbour in self._neighbours(table, seed, row):
                    new = add(kind[0], seed[at], neighbour)
                    edges[kind].append(np.stack([new, node[at], np.full(len(new), hop)]))
                    reached.append((kind[0], new, seed[at], neighbour))
            frontier = reached
        data = HeteroData()
        for table, parts in nodes.items():
            seed, row = np.concatenate(parts, axis=1)
            number, text = self.inputs[table].read(row, self.seeds, seed)
            data[table].number = torch.from_numpy(number)
            data[table].text = torch.from_numpy(np.where((text >= 0)[..., None], self.embeddings[text], 0)).float()
        for kind, parts in edges.items():
            edge = np.concatenate([np.zeros((3, 0), np.int64), *parts], axis=1)
            data[kind].edge_index, data[kind].hop = torch.from_numpy(edge[:2]), torch.from_numpy(edge[2])
        return data

    def _neighbours(self, table: str, seed: np.ndarray, row: np.ndarray) -> Iterator[tuple]:
        """(edge type, positions in `row`, neighbour rows) of visible parents and children."""
        cutoff = self.seeds.cutoff[seed]
        for relation in self.relations:
            if relation.parent == table:
                yield (relation.child, "child", table), *relation.children(row, cutoff, self.fanout)
        offset, parent_row = self.store.parent_offset, self.store.parent_row
        at, slot = _ranges(offset[row], offset[row + 1])
        parent = parent_row[slot].astype(np.int64)
        seen = self.store.row_time[parent] <= cutoff[at]
        at, parent = at[seen], parent[seen]
        for relation in self.relations:
            if relation.child == table:
                info = self.tables[relation.parent]
                own = (parent >= info.first_row) & (parent < info.first_row + info.num_rows)
                yield (relation.parent, "parent", table), at[own], parent[own]


class _TableInputs:
    """The cells of one table as matrices: numbers and dates with NaN, texts as ids with -1 where missing."""

    def __init__(self, store: Store, info: TaskInfo, table: str) -> None:
        spec = store.tables[table]
        kept = [store.columns[i] for i in spec.column_ids if (table, store.columns[i].name) not in info.remove_columns]
        self.first_row, self.row_time = spec.first_row, store.row_time
        numbers = [c for c in kept if c.sem_type is not SemType.TEXT]
        texts = [c for c in kept if c.sem_type is SemType.TEXT]
        self.is_date = np.array([c.sem_type is SemType.DATETIME for c in numbers], bool)
        target = info.target_column if info.kind == "autocomplete" else None
        self.is_target, self.is_text_target = (
            np.array([c.id == target for c in kind], bool) for kind in (numbers, texts)
        )
        stats = [(c.stats["whole"], c.stats["train"]) for c in numbers]
        self.number = np.full((spec.num_rows, len(numbers)), np.nan)
        self.text = np.full((spec.num_rows, len(texts)), -1, np.int64)
        rows = np.arange(spec.first_row, spec.first_row + spec.num_rows)
        at, cell = _ranges(store.cell_offset[rows], store.cell_offset[rows + 1])
        column = np.asarray(store.cell_column[cell])
        for j, c in enumerate(numbers):
            own = column == c.id
            (mean, std), (train_mean, train_std) = stats[j]
            raw = np.asarray(store.cell_value[cell[own]], np.float64) * std + mean
            self.number[at[own], j] = raw if self.is_date[j] else (raw - train_mean) / train_std
        for j, c in enumerate(texts):
            own = column == c.id
            self.text[at[own], j] = store.cell_text[cell[own]]

    @property
    def width(self) -> int:
        return 2 * self.number.shape[1] + 1

    def read(self, rows: np.ndarray, seeds: TaskSeeds, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Float32 (rows, width): values, whether each is known, age of the row; int64 (rows, text columns).

        Args:
            of: (rows,) the seed that reads each row.
        """
        value, text = self.number[rows - self.first_row], self.text[rows - self.first_row]
        time, cutoff = np.asarray(self.row_time[rows]), seeds.cutoff[of]
        if self.is_date.any():
            value[:, self.is_date] = _log_days(cutoff[:, None] - value[:, self.is_date])
        hidden = ~seeds.sees_target(of, rows, time)
        value[np.ix_(hidden, self.is_target)] = np.nan
        text[np.ix_(hidden, self.is_text_target)] = -1
        age = np.where(time == NO_TIME, 0.0, _log_days(cutoff - np.where(time == NO_TIME, cutoff, time)))
        known = ~np.isnan(value)
        value = np.clip(np.where(known, value, 0.0), -_LARGEST, _LARGEST)
        return np.column_stack([value, known, age]).astype(np.float32), text


def _relations(store: Store, tables: list[str]) -> Iterator[_Relation]:
    """Every pair of tables that a foreign key joins; two keys to one table are one relation."""
    for child in tables:
        info = store.tables[child]
        rows = np.arange(info.first_row, info.first_row + info.num_rows)
        at, slot = _ranges(store.parent_offset[rows], store.parent_offset[rows + 1])
        parent_row, child_row = store.parent_row[slot].astype(np.int64), rows[at]
        for parent in dict.fromkeys(info.fkeys.values()):
            first, size = store.tables[parent].first_row, store.tables[parent].num_rows
            own = (parent_row >= first) & (parent_row < first + size)
            order = np.lexsort((store.row_time[child_row[own]], parent_row[own]))
            above, below = parent_row[own][order], child_row[own][order]
            times = np.unique(store.row_time[below])
            key = above * (len(times) + 1) + np.searchsorted(times, store.row_time[below])
            yield _Relation(child, parent, above, below, times, key)


def _ranges(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(i, j) for every j in [start[i], end[i]), i rising."""
    count = np.asarray(end) - np.asarray(start)
    at = np.repeat(np.arange(len(count)), count)
    return at, np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)


def _log_days(seconds: np.ndarray) -> np.ndarray:
    return np.sign(seconds) * np.log1p(np.abs(seconds) / _DAY)
