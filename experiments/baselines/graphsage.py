"""A heterogeneous GraphSAGE, trained on one task: what a graph network reaches that sees this database alone.

It sees the rows that the protocol allows, the target of an autocomplete task where the label rule allows it, and no
label tables, as is usual for graph networks on RelBench.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv

from experiments.baselines.neighbours import Neighbourhoods
from experiments.baselines.seeds import SPLITS, task_seeds
from rfm.metrics import task_metrics
from rfm.store import Store, TaskInfo, TextTable


@dataclass(frozen=True)
class GraphSageConfig:
    """Sizes and training; `conf/comparison.yaml` says what each means."""

    d_model: int
    fanout: int
    lr: float
    batch_size: int
    max_steps: int
    check_every: int
    patience: int
    validation_rows: int


class GraphSage(nn.Module):
    """Two rounds of summed messages per edge type, then a linear head on the roots."""

    def __init__(self, hoods: Neighbourhoods, d_model: int) -> None:
        super().__init__()
        d_text = hoods.embeddings.shape[1]
        inputs = {name: hoods.inputs[name] for name in hoods.node_types}
        self.number = nn.ModuleDict({_key(n): nn.Linear(i.width, d_model) for n, i in inputs.items()})
        self.text = nn.ModuleDict(
            {_key(n): nn.Linear(i.text.shape[1] * d_text, d_model) for n, i in inputs.items() if i.text.shape[1]}
        )
        self.layers = nn.ModuleList(
            HeteroConv({kind: SAGEConv(d_model, d_model, aggr="sum") for kind in hoods.edge_types}, aggr="sum")
            for _ in range(hoods.hops)
        )
        self.norms = nn.ModuleList(
            nn.ModuleDict({_key(n): nn.LayerNorm(d_model) for n in inputs}) for _ in range(hoods.hops)
        )
        num_outputs = max(1, len(hoods.info.classes))
        self.head = nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, num_outputs))

    def forward(self, data: HeteroData, entity_table: str, num_roots: int) -> Tensor:
        """One number per root, (num_roots,); of a multiclass task one per class, (num_roots, classes)."""
        x = {name: F.relu(self._encode(name, data[name])) for name in data.node_types}
        for number, (layer, norms) in enumerate(zip(self.layers, self.norms, strict=True)):
            reached = len(self.layers) - number  # nodes further away no longer matter
            edges = {k: data[k].edge_index[:, data[k].hop <= reached] for k in data.edge_types}
            new = layer(x, edges)
            x = {name: F.relu(norms[_key(name)](value)) + x[name] for name, value in new.items()}
        return self.head(x[entity_table][:num_roots]).squeeze(-1)  # a multiclass task has two classes or more

    def _encode(self, name: str, nodes: HeteroData) -> Tensor:
        encoded = self.number[_key(name)](nodes.number)
        return encoded + self.text[_key(name)](nodes.text.flatten(1)) if _key(name) in self.text else encoded


def graphsage_predictions(
    store: Store,
    texts: TextTable,
    task: str,
    protocol: str,
    cfg: GraphSageConfig,
    seed: int,
    *,
    train_rows: np.ndarray,
) -> dict[str, np.ndarray]:
    """{"val" | "test": predictions in the task's row order} of the weights that are best on validation rows.

    Args:
        seed: draws weights, batches, and the validation rows that training is stopped by.
        train_rows: positions in the train split that are trained on; each has a target.
    """
    seeds = task_seeds(store, task, protocol)
    hoods = Neighbourhoods(store, texts, store.tasks[task], seeds, fanout=cfg.fanout)
    target = np.concatenate([store.task_targets(task, split) for split in SPLITS])
    model = _train(hoods, target, train_rows, cfg, seed)
    mean, std = _scale(hoods, target[train_rows])
    found = {}
    for split in ("val", "test"):
        raw = _predict(model, hoods, np.flatnonzero(seeds.split == SPLITS.index(split)), cfg.batch_size)
        found[split] = _from_raw(hoods.info, raw, mean, std)
    return found


def _from_raw(info: TaskInfo, raw: np.ndarray, mean: float, std: float) -> np.ndarray:
    """A model's outputs as predictions: values in the target's unit, or probabilities."""
    if info.task_type == "regression":
        return raw * std + mean
    return softmax(raw, axis=1) if info.classes else expit(raw)


def _train(
    hoods: Neighbourhoods, target: np.ndarray, train_rows: np.ndarray, cfg: GraphSageConfig, seed: int
) -> GraphSage:
    """The weights with the best score on validation rows; it is taken every `check_every` steps."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GraphSage(hoods, cfg.d_model)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    table = hoods.info.entity_table
    mean, std = _scale(hoods, target[train_rows])
    select = task_metrics(hoods.info.task_type, std)[0]
    val = rng.permutation(np.flatnonzero((hoods.seeds.split == 1) & ~np.isnan(target)))[: cfg.validation_rows]
    best, best_score, waited = None, float("nan"), 0
    for step in range(1, cfg.max_steps + 1):
        chosen = rng.choice(train_rows, min(cfg.batch_size, len(train_rows)), replace=False)
        loss = _loss(hoods.info, model(hoods.graph(chosen), table, len(chosen)), (target[chosen] - mean) / std)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % cfg.check_every and step < cfg.max_steps:
            continue
        value = float("nan")
        if len(val):
            prediction = _from_raw(hoods.info, _predict(model, hoods, val, cfg.batch_size), mean, std)
            value = select.compute(target[val], prediction)
        waited += 1
        if best is None or not len(val) or select.better(value, best_score):  # unknown: the last weights are kept
            best, best_score, waited = copy.deepcopy(model.state_dict()), value, 0
        if waited == cfg.patience:
            break
    model.load_state_dict(best)
    return model


def _loss(info: TaskInfo, shown: Tensor, target: np.ndarray) -> Tensor:
    wanted = torch.from_numpy(target)
    if info.classes:
        return F.cross_entropy(shown, wanted.long())
    if info.task_type == "regression":
        return F.mse_loss(shown, wanted.float())
    return F.binary_cross_entropy_with_logits(shown, wanted.float())


def _scale(hoods: Neighbourhoods, target: np.ndarray) -> tuple[float, float]:
    """Mean and deviation that a regression's targets are brought to 0 and 1 by; (0, 1) for a classification."""
    if hoods.info.task_type != "regression":
        return 0.0, 1.0
    return float(target.mean()), float(target.std()) or 1.0


@torch.no_grad()
def _predict(model: GraphSage, hoods: Neighbourhoods, chosen: np.ndarray, batch_size: int) -> np.ndarray:
    """Raw outputs, float64 (seeds,) or (seeds, classes)."""
    parts = np.array_split(chosen, max(1, -(-len(chosen) // batch_size)))
    table = hoods.info.entity_table
    found = [model(hoods.graph(part), table, len(part)).double().numpy() for part in parts]
    return np.concatenate(found)


def _key(table: str) -> str:
    """A module's name may hold no dot."""
    return table.replace(".", "\0")
