"""Batches as functions of (seed, step, rank), and the Lightning data module that serves them from any step on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol as Interface

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from rfm.batch import Batch, make_batch
from rfm.classes import ask_drawn_class
from rfm.compatibility import check_text_table
from rfm.errors import RfmError
from rfm.objective import Objective
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler, Policy, Protocol
from rfm.seeds import LabelSeeds, PretrainSeeds
from rfm.store import Store, TextTable


class BatchSource(Interface):
    """The batches of a training run; a batch depends on nothing but the arguments and the source's own seed."""

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """The batch that device `rank` of `world_size` trains on in step `step` (0 is the first)."""
        ...


class PretrainBatches:
    """Contexts of random database cells of many stores (paper, section 7), under protocol `paper`.

    A part of each batch may be train rows of the stores' own tasks instead, with the closed labels before them
    (protocol `temporal`): what a model meets when it is applied to a task. Without any label table, all are cells.

    Args:
        texts: the text table that all stores share.
        ctx_len, batch_size: cells of a context, contexts of a batch (on each device).
        objective: which cells are hidden and trained on; default: the target alone.
        label_share: the part of a batch that predicts labels.
        policy, max_bfs_width, label_history: of the contexts, see `ContextSampler`.

    Raises:
        RfmError: if there is no store, no column to predict in any, a size out of range, or a text table that is not
            theirs.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        texts: TextTable,
        *,
        ctx_len: int,
        batch_size: int,
        seed: int,
        objective: Objective | None = None,
        label_share: float = 0.0,
        policy: Policy = "mixed",
        max_bfs_width: int = 128,
        label_history: bool = True,
    ) -> None:
        check_text_table(stores, texts)
        if not 0 <= label_share <= 1:
            raise RfmError(f"label_share is {label_share}; it must lie in [0, 1]")
        _check_batch_size(batch_size)
        self.stores, self.texts = list(stores), texts
        self.batch_size, self.seed, self.objective = batch_size, seed, objective
        self.seeds = PretrainSeeds(self.stores, seed=seed)
        contexts = {"ctx_len": ctx_len, "policy": policy, "max_bfs_width": max_bfs_width}
        contexts["label_history"] = label_history
        self._samplers = [ContextSampler(s, **contexts) for s in self.stores]
        self.labels = LabelSeeds(self.stores, seed=seed)
        self._num_labels = round(label_share * batch_size) if len(self.labels) else 0
        self._label_samplers = [
            ContextSampler(self.stores[i], task=task, split="train", protocol="temporal", **contexts)
            for i, task in (self.labels.tasks if self._num_labels else ())
        ]

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """The contexts of a step, ordered by store; those of labels behind the others."""
        num_cells = self.batch_size - self._num_labels
        keys = item_keys(self.seed, step, rank, np.arange(self.batch_size))
        cell_keys, label_keys = keys[:num_cells], keys[num_cells:]
        contexts, stores = [], []
        if num_cells:
            store_idx, rows, columns = self.seeds.draw(step, rank, num_cells)
            for i in np.unique(store_idx).tolist():
                own = store_idx == i
                contexts.append(self._samplers[i].sample(rows[own], columns[own], cell_keys[own]))
                stores.append(i)
        if self._num_labels:
            task_idx, rows = self.labels.draw(step, rank, self._num_labels)
            for i in np.unique(task_idx).tolist():
                own, sampler = task_idx == i, self._label_samplers[i]
                drawn = sampler.sample(rows[own], sampler.task.target_column, label_keys[own])
                contexts.append(ask_drawn_class(drawn, sampler.task, sampler.protocol))
                stores.append(self.labels.tasks[i][0])
        return make_batch(contexts, self.texts, self.objective, key=self.seed, store_idxs=stores)


def labelled_rows(store: Store, task: str, label_frac: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the train split, rising, of a random part of the rows with a target, and these rows; int64 each.

    At least one row; the part is a prefix of an order that `seed` draws.

    Raises:
        RfmError: if label_frac lies outside (0, 1].
    """
    if not 0 < label_frac <= 1:
        raise RfmError(f"label_frac is {label_frac}; it must lie in (0, 1]")
    known = np.flatnonzero(~np.isnan(store.task_targets(task, "train")))
    if label_frac < 1 and len(known):
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 2])))
        known = np.sort(rng.permutation(known)[: max(1, round(label_frac * len(known)))])
    return known, store.task_rows(task, "train")[known]


class TaskBatches:
    """Contexts of the train rows of one task, each once per epoch, in an order drawn from (seed, epoch).

    Rows without a target are left out. Epochs follow one another without a gap: a batch may span two.

    Args:
        texts: the store's text table.
        ctx_len, batch_size: cells of a context, contexts of a batch (on each device).
        protocol, policy, max_bfs_width, label_history: of the contexts, see `ContextSampler`.
        label_frac: the part of the train rows, in (0, 1], that is trained on: rows drawn by `seed`, those of a smaller
            part among those of a larger one. Labels that contexts show stay as they are.

    Raises:
        RfmError: if batch_size or label_frac is out of range, the task is unknown or has no train row with a target, or
            the text table is not the store's.
    """

    def __init__(
        self,
        store: Store,
        texts: TextTable,
        task: str,
        *,
        ctx_len: int,
        batch_size: int,
        seed: int,
        protocol: Protocol = "temporal",
        policy: Policy = "mixed",
        max_bfs_width: int = 128,
        label_frac: float = 1.0,
        label_history: bool = True,
    ) -> None:
        check_text_table([store], texts)
        _check_batch_size(batch_size)
        self.texts, self.batch_size, self.seed = texts, batch_size, seed
        self._sampler = ContextSampler(
            store,
            ctx_len=ctx_len,
            task=task,
            split="train",
            protocol=protocol,
            policy=policy,
            max_bfs_width=max_bfs_width,
            label_history=label_history,
        )
        self._column = store.tasks[task].target_column
        _, self.rows = labelled_rows(store, task, label_frac, seed)
        if not len(self.rows):
            raise RfmError(f"task {task} of database {store.name} has no train row with a target; it cannot be trained")

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """The next `batch_size` rows of this device in the endless sequence of epochs."""
        first = (step * world_size + rank) * self.batch_size
        position = np.arange(first, first + self.batch_size)
        epoch, place = np.divmod(position, len(self.rows))
        orders = {e: _permutation(self.seed, e, len(self.rows)) for e in np.unique(epoch).tolist()}
        order = np.array([orders[e][p] for e, p in zip(epoch.tolist(), place, strict=True)])
        keys = item_keys(self.seed, position)
        contexts = self._sampler.sample(self.rows[order], self._column, keys)
        return make_batch(ask_drawn_class(contexts, self._sampler.task, self._sampler.protocol), self.texts)


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise RfmError(f"batch_size is {batch_size}; it must be at least 1")


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    """The order of an epoch; the last ones are kept, for all batches of an epoch ask for it."""
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    return stream.permutation(num_rows)


class StepDataset(IterableDataset):
    """The batches of steps `first_step`, `first_step` + 1, ... without an end.

    With W workers, worker w makes every W-th batch; torch's loader takes from them in turn, which restores the order.
    """

    def __init__(self, source: BatchSource, first_step: int, rank: int = 0, world_size: int = 1) -> None:
        self.source, self.first_step, self.rank, self.world_size = source, first_step, rank, world_size

    def __iter__(self) -> Iterator[Batch]:
        """Ready batches, in the order of their steps."""
        worker = get_worker_info()
        step, stride = (self.first_step, 1) if worker is None else (self.first_step + worker.id, worker.num_workers)
        while True:
            yield self.source.batch(step, self.rank, self.world_size)
            step += stride


class StepDataModule(L.LightningDataModule):
    """Serves a source's batches from the trainer's step on, so that a resumed run sees the batches it would have seen.

    Args:
        num_workers: processes that make batches ahead of time; 0 makes them between two steps.
    """

    def __init__(self, source: BatchSource, num_workers: int = 0) -> None:
        super().__init__()
        self.source, self.num_workers = source, num_workers

    def train_dataloader(self) -> DataLoader:
        """A loader without an end: `max_steps` of the trainer stops it."""
        trainer = self.trainer
        first_step = trainer.global_step * trainer.accumulate_grad_batches
        return DataLoader(
            StepDataset(self.source, first_step, trainer.global_rank, trainer.world_size),
            batch_size=None,  # an element is a whole batch
            num_workers=self.num_workers,
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch on the device; on a GPU the step need not wait for the copy, which comes from pinned memory."""
        return batch.to(device, non_blocking=device.type == "cuda")
