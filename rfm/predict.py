"""A trained model applied to every row of a task, and to the fixed validation cells of many databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from tqdm.auto import tqdm

from rfm.batch import make_batch
from rfm.classes import ask_class, class_probabilities
from rfm.compatibility import check_text_table
from rfm.contexts import Contexts
from rfm.errors import RfmError
from rfm.model import RelationalTransformer, sequence_losses
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler, Policy, Protocol, shown_statistics
from rfm.store import SemType, Store, TextTable


def predict_task(
    model: RelationalTransformer,
    store: Store,
    texts: TextTable,
    task: str,
    split: str,
    *,
    protocol: Protocol = "temporal",
    policy: Policy = "mixed",
    ctx_len: int,
    batch_size: int = 32,
    seed: int = 0,
    max_bfs_width: int = 128,
    chosen: np.ndarray | None = None,
    progress: bool = True,
) -> np.ndarray:
    """One prediction for every row of a split, in the task's own order; rows with a hidden target included.

    A row's prediction depends on its context alone: not on `batch_size`, nor on the other rows.

    Args:
        protocol, policy, max_bfs_width: of the contexts, see `ContextSampler`.
        seed: of the contexts' random rows.
        chosen: positions of the rows to predict; default: all.
        progress: shows a bar.

    Returns:
        float64 (rows,): the probability of true for a binary classification; for a regression the value in the
        column's unit. For a multiclass task float64 (rows, classes): their probabilities (see `rfm.classes`), in the
        order of `store.tasks[task].classes`.

    Raises:
        RfmError: for an unknown task, split, protocol or policy, a text table that is not the store's or not of
            the model's width, or the target of a regression that is no number.
    """
    check_text_table([store], texts)
    sampler = ContextSampler(
        store,
        ctx_len=ctx_len,
        task=task,
        split=split,
        protocol=protocol,
        policy=policy,
        max_bfs_width=max_bfs_width,
        label_history=model.config.label_history,
    )
    info = store.tasks[task]
    column = store.columns[info.target_column]
    if not info.classes and column.sem_type not in (SemType.NUMBER, SemType.BOOLEAN):
        found = column.sem_type.name.lower()
        raise RfmError(f"task {task} of {store.name}: target {column.name} is {found}, not number or boolean")
    rows = store.task_rows(task, split)
    keys = item_keys(seed, np.arange(len(rows)))
    if chosen is not None:
        rows, keys = rows[chosen], keys[chosen]
    raw = np.empty((len(rows), max(1, len(info.classes))), np.float64)
    with _inference(model):
        label, full = f"{store.name} {task} {split}", _device(model).type == "cuda"
        for part in _parts(len(rows), batch_size, label, progress, full):
            contexts = sampler.sample(rows[part], column.id, keys[part])
            questions = [ask_class(contexts, info, k, protocol) for k in range(len(info.classes))] or [contexts]
            for k, question in enumerate(questions):
                raw[part, k] = _answers(model, question, texts)
    if info.classes:
        return class_probabilities(raw)
    raw = raw[:, 0]
    if column.sem_type == SemType.BOOLEAN:
        return np.exp(-np.logaddexp(0.0, -raw))  # the logistic function, without overflow
    mean, std = column.stats[shown_statistics(protocol)]
    return raw * std + mean


def _answers(model: RelationalTransformer, contexts: Contexts, texts: TextTable) -> np.ndarray:
    """What the model says about each target, the first cell: standardised value or logit, float64 (B,)."""
    batch = make_batch(contexts, texts).to(_device(model))
    head = SemType(int(contexts.sem_type[0, 0])).name.lower()
    return model.decode(model(batch)[:, 0])[head].squeeze(-1).double().cpu().numpy()


def validation_loss(
    model: RelationalTransformer,
    stores: Sequence[Store],
    texts: TextTable,
    seeds: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    ctx_len: int,
    policy: Policy = "mixed",
    batch_size: int = 32,
    max_bfs_width: int = 128,
    progress: bool = True,
) -> np.ndarray:
    """Mean loss of the given cells of each database, every cell hidden alone (paper, section 7).

    Args:
        seeds: store index, row and column of each cell, see `rfm.seeds.validation_seeds`.
        policy, max_bfs_width: of the contexts, see `ContextSampler`.
        progress: shows a bar.

    Returns:
        float64 (stores,); NaN for a store without a seed.

    Raises:
        RfmError: for a text table that is not the store's or not of the model's width.
    """
    check_text_table(stores, texts)
    store_idx, rows, columns = seeds
    keys = item_keys(0, rows, columns)
    losses = np.empty(len(rows), np.float64)
    contexts = {"ctx_len": ctx_len, "policy": policy, "max_bfs_width": max_bfs_width}
    contexts["label_history"] = model.config.label_history
    samplers = {i: ContextSampler(stores[i], **contexts) for i in np.unique(store_idx)}
    with _inference(model):
        for part in _parts(len(rows), batch_size, "validation", progress, _device(model).type == "cuda"):
            groups = [part[store_idx[part] == i] for i in np.unique(store_idx[part])]
            drawn = [samplers[store_idx[g[0]]].sample(rows[g], columns[g], keys[g]) for g in groups]
            batch = make_batch(drawn, texts).to(_device(model))
            losses[np.concatenate(groups)] = sequence_losses(model, batch).double().cpu().numpy()
    return np.array([losses[store_idx == i].mean() if (store_idx == i).any() else np.nan for i in range(len(stores))])


@contextmanager
def _inference(model: RelationalTransformer) -> Iterator[None]:
    """Evaluation mode without gradients; the model's own mode comes back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def _parts(num_items: int, batch_size: int, label: str, progress: bool, full: bool) -> Iterator[np.ndarray]:
    """Positions 0 .. num_items - 1 in slices of `batch_size`; the last one is shorter, or `full` of its last position.

    On a GPU attention compiles for each new size, which takes longer than the same row some times over.
    """
    if batch_size < 1:
        raise RfmError(f"batch_size is {batch_size}; it must be at least 1")
    with tqdm(total=num_items, desc=label, disable=not progress, unit="row") as bar:
        for start in range(0, num_items, batch_size):
            end = min(start + batch_size, num_items)
            yield np.minimum(np.arange(start, start + batch_size if full else end), num_items - 1)
            bar.update(end - start)


def _device(model: RelationalTransformer) -> torch.device:
    return next(model.parameters()).device
