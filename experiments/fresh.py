"""N without an end: databases that are generated while training runs, used for some steps, and thrown away.

The databases of a seed are numbered, and a plan (`cells.FreshPlan`) says which of them feed which step. Which databases
a batch sees is thus a function of (seed, step) alone, whatever the number of workers and wherever a training resumes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import plurel
from experiments.cells import FreshPlan
from experiments.errors import ExperimentError
from plurel.exports.relbench_folder import write_folder
from rfm.batch import Batch
from rfm.datamodule import BatchSource
from rfm.store import Store, TextTable, build_store

FIRST_SEED, SEEDS_PER_RUN = 10**7, 10**6
"""Databases of a run's seed k come from the prior's seeds [FIRST_SEED + k SEEDS_PER_RUN, ... + SEEDS_PER_RUN)."""


def first_fresh_seed(seed: int) -> int:
    """The prior's seed of the first database of a run's seed."""
    return FIRST_SEED + seed * SEEDS_PER_RUN


class FreshDatabases:
    """Generates the databases of a seed ahead of time in worker processes; keeps those of the present window alone.

    Args:
        folder: of the temporary databases and their stores; emptied by `close`.
        texts: strings known already; the databases' own are added to a copy in `folder`, as jobs beside this one do.
        first_seed: of the prior; further ones follow, those with too many foreign keys left out.
        make_batches: batches from the stores of a window and their text table.
        workers: processes; so many databases are also made ahead.
    """

    def __init__(
        self,
        folder: Path,
        prior: plurel.Config,
        plan: FreshPlan,
        texts: TextTable,
        make_batches: Callable[[list[Store], TextTable], BatchSource],
        *,
        first_seed: int,
        max_fkeys: int,
        workers: int,
    ) -> None:
        self.folder, self.prior, self.plan, self.workers = folder, prior, plan, workers
        shutil.copytree(texts.path, folder / "stores" / texts.path.name, dirs_exist_ok=True)
        self.texts = TextTable.open(folder / "stores")
        self.max_fkeys, self._make_batches = max_fkeys, make_batches
        self._seeds, self._next_seed = [], first_seed
        self._pool: ProcessPoolExecutor | None = None
        self._made: dict[int, Future[Path]] = {}
        self._stores: dict[int, Store] = {}
        self._source = lru_cache(maxsize=1)(self._source_of)

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """The batch of a step (`BatchSource`); waits for databases that are not ready yet."""
        return self._source(self.plan.databases(step)).batch(step, rank, world_size)

    def close(self) -> None:
        """Stops the workers and removes what is left."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._made.clear()
        self._stores.clear()
        self._source.cache_clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _source_of(self, numbers: range) -> BatchSource:
        for number in range(numbers.start, numbers.stop + self.workers):
            if number not in self._made:
                self._made[number] = self._processes().submit(_generate, self._seed(number), self.folder, self.prior)
        for number in [n for n in self._made if n < numbers.start]:
            del self._made[number]
            self._discard(self._stores.pop(number, None))
        for number in numbers:
            if number not in self._stores:
                self._stores[number] = build_store(self._wait(number), self.folder / "stores", self.texts)
        self.texts.embed()
        return self._make_batches([self._stores[number] for number in numbers], self.texts)

    def _wait(self, number: int) -> Path:
        try:
            return self._made[number].result()
        except BrokenProcessPool as error:
            raise ExperimentError(
                "a process that generates databases died, most likely for lack of memory; lower workers="
            ) from error

    def _seed(self, number: int) -> int:
        while len(self._seeds) <= number:
            if plurel.max_foreign_keys(self._next_seed, self.prior) <= self.max_fkeys:
                self._seeds.append(self._next_seed)
            self._next_seed += 1
        return self._seeds[number]

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:  # spawned, not forked: this process runs threads
            self._pool = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))
        return self._pool

    def _discard(self, store: Store | None) -> None:
        if store is not None:
            shutil.rmtree(store.path, ignore_errors=True)
            shutil.rmtree(self.folder / "databases" / store.name, ignore_errors=True)


def _generate(seed: int, folder: Path, prior: plurel.Config) -> Path:
    dataset = plurel.SyntheticDataset(seed, prior)
    path = folder / "databases" / f"{prior.name}-{seed}"
    write_folder(dataset, path)
    return path
