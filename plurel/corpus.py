"""A corpus: one RelBench-3 folder per seed, and corpus.yaml, from which anyone makes it again.

<corpus>/
  corpus.yaml        see plurel.corpus_record
  schema.sql         of a prior with a schema file, its copy
  <name>-<seed>/     see plurel.exports.relbench_folder
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path

from tqdm import tqdm

from plurel.config import Config
from plurel.corpus_record import RECORD, CorpusRecord, check_writable
from plurel.database import SyntheticDataset
from plurel.errors import PlurelError
from plurel.executors import local_processes
from plurel.exports.relbench_folder import VERSION, damage, identity, write_folder
from plurel.random_streams import checked_seed


def generate_corpus(
    path: str | Path,
    seeds: Sequence[int],
    config: Config | None = None,
    workers: int = 1,
    *,
    executor: Executor | None = None,
    part: tuple[int, int] = (0, 1),
    progress: bool = True,
) -> list[Path]:
    """Makes the databases of `seeds` below `path` and returns their folders, in the order of the seeds.

    Whole folders are kept, damaged or half-written ones made again; a corpus may be extended by further seeds. The
    bytes of a folder depend on the prior and its seed alone.

    Args:
        path: the corpus; one call at a time may write to it, unless several have parts of the same seeds.
        seeds: of the databases, any whole numbers from 0 on.
        config: the prior; None: Config().
        workers: processes of this machine.
        executor: makes the databases in place of `workers`, such as plurel.executors.RayExecutor.
        part: (i, n): only every n-th database, from the i-th on, for n calls that share the work.
        progress: show a bar with databases and cells a second, and the time left.

    Raises:
        PlurelError: if seeds repeat or are negative, `path` cannot be written to or holds a corpus of another prior or
            version, or the prior's schema cannot be used.
    """
    path, config = Path(path), Config() if config is None else config
    seeds = [checked_seed(seed) for seed in seeds]
    if len(set(seeds)) != len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise PlurelError(f"seeds of a corpus must be distinct; {twice} is there {seeds.count(twice)} times")
    if workers < 1:
        raise PlurelError(f"workers must be at least 1, got {workers}")
    first, step = part
    if not 0 <= first < step:
        raise PlurelError(f"part {first} of {step} parts is not there; parts are 0, ..., parts - 1")
    if seeds:
        SyntheticDataset(seeds[0], config)  # a schema file that cannot be used is refused before any work
    _record(path, config, seeds)
    folders = {seed: path / f"{config.name}-{seed}" for seed in seeds[first::step]}
    todo = [seed for seed, folder in folders.items() if damage(folder, identity(config, seed)) is not None]
    made = _make_all(todo, folders, config, workers, executor)  # before the bar, which starts a thread
    whole = len(folders) - len(todo)
    with tqdm(total=len(folders), initial=whole, desc=path.name, unit="db", disable=not progress) as bar:
        cells, start = 0, time.perf_counter()
        for cells_of_database in made:
            cells += cells_of_database
            bar.set_postfix_str(f"{cells / (time.perf_counter() - start):,.0f} cells/s", refresh=False)
            bar.update()
    return list(folders.values())


def load_corpus(path: str | Path) -> list[Path]:
    """The folders of a complete corpus, in the order of its seeds.

    Raises:
        PlurelError: if there is no corpus, or a database is missing, incomplete or altered, naming the file.
    """
    record = _read(Path(path))
    record.check_version()
    folders = [Path(path) / f"{record.name}-{seed}" for seed in record.seeds]
    for seed, folder in zip(record.seeds, folders, strict=True):
        problem = damage(folder, {"version": VERSION, "prior_hash": record.prior_hash, "seed": seed})
        if problem is not None:
            raise PlurelError(f"{problem}; generate the corpus again, which keeps what is whole")
    return folders


def corpus_recipe(path: str | Path) -> tuple[Config, list[int]]:
    """The prior and the seeds of a corpus, from its folder or its corpus.yaml (a schema file's copy lies beside it).

    generate_corpus(elsewhere, seeds, config) makes the same corpus, byte for byte on the same kind of processor.

    Raises:
        PlurelError: if there is none, it was altered, or another version of the generator made it.
    """
    path = Path(path)
    record = _read(path.parent if path.name == RECORD else path)
    return record.config(), record.seeds


def _read(folder: Path) -> CorpusRecord:
    record = CorpusRecord.read(folder)
    if record is None:
        raise PlurelError(f"{folder} holds no {RECORD}; make a corpus with plurel.generate_corpus")
    return record


def _record(path: Path, config: Config, seeds: list[int]) -> None:
    """Writes or extends corpus.yaml; refuses a corpus of another prior or version."""
    previous = CorpusRecord.read(path) if path.is_dir() else None
    known: list[int] = []
    if previous is not None:
        previous.check_same(config)
        known = previous.seeds
    check_writable(path)
    is_known = set(known)
    everything = known + [seed for seed in seeds if seed not in is_known]
    CorpusRecord.of(path, config, everything).write(config.schema_file)


def _make_all(
    todo: Sequence[int], folders: dict[int, Path], config: Config, workers: int, executor: Executor | None
) -> Iterator[int]:
    """Starts the workers, and yields the cells of each database when it is made."""
    if executor is None and (workers == 1 or len(todo) < 2):
        return (_make(seed, folders[seed], config) for seed in todo)
    pool = executor or local_processes(min(workers, len(todo)))
    futures = [pool.submit(_make, seed, folders[seed], config) for seed in todo]
    return _results(futures, None if pool is executor else pool)


def _results(futures: Sequence[Future], own_pool: Executor | None) -> Iterator[int]:
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        if own_pool is not None:
            own_pool.shutdown(wait=True, cancel_futures=True)


def _make(seed: int, folder: Path, config: Config) -> int:
    db = write_folder(SyntheticDataset(seed, config), folder)
    return sum(table.df.size for table in db.table_dict.values())
