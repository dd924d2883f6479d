"""A corpus: one RelBench-3 folder per seed, and corpus.yaml, from which anyone makes it again.

<corpus>/
  corpus.yaml        format version, package version, prior and its hash, name, seeds
  <name>-<seed>/     see plurel.exports.relbench_folder
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from plurel.config import Config
from plurel.database import SyntheticDataset
from plurel.errors import PlurelError
from plurel.exports.relbench_folder import VERSION, damage, identity, write_folder
from plurel.files import replacing
from plurel.random_streams import checked_seed

RECORD = "corpus.yaml"


def generate_corpus(
    path: str | Path,
    seeds: Sequence[int],
    config: Config | None = None,
    workers: int = 1,
    *,
    progress: bool = True,
) -> list[Path]:
    """Makes the databases of `seeds` below `path` and returns their folders, in the order of the seeds.

    Whole folders are kept, damaged or half-written ones made again; a corpus may be extended by further seeds. The
    bytes of a folder depend on the prior and its seed alone. One call at a time may write to a corpus.

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
    folders = {seed: path / f"{config.name}-{seed}" for seed in seeds}
    if seeds:
        SyntheticDataset(seeds[0], config)  # a schema file that cannot be used is refused before any work
    _record(path, config, seeds)
    todo = [seed for seed in seeds if damage(folders[seed], identity(config, seed)) is not None]
    made = _make_all(todo, folders, config, workers)  # before the progress bar, which starts a thread
    with tqdm(total=len(seeds), initial=len(seeds) - len(todo), desc=path.name, unit="db", disable=not progress) as bar:
        for _ in made:
            bar.update()
    return list(folders.values())


def load_corpus(path: str | Path) -> list[Path]:
    """The folders of a complete corpus, in the order of its seeds.

    Raises:
        PlurelError: if there is no corpus, or a database is missing, incomplete or altered, naming the file.
    """
    record = _read_record(Path(path))
    if record is None:
        raise PlurelError(f"{path} holds no {RECORD}; make a corpus with plurel.generate_corpus")
    if record["version"] != VERSION:
        raise PlurelError(f"{path} holds a corpus of version {record['version']}, not {VERSION}; generate it again")
    folders = [Path(path) / f"{record['name']}-{seed}" for seed in record["seeds"]]
    for seed, folder in zip(record["seeds"], folders, strict=True):
        problem = damage(folder, {"version": VERSION, "prior_hash": record["prior_hash"], "seed": seed})
        if problem is not None:
            raise PlurelError(f"{problem}; generate the corpus again, which keeps what is whole")
    return folders


def _make_all(todo: Sequence[int], folders: dict[int, Path], config: Config, workers: int) -> Iterator[None]:
    """Starts the workers, and yields once for each database made."""
    if workers == 1 or len(todo) < 2:
        return (_make(seed, folders[seed], config) for seed in todo)
    pool = ProcessPoolExecutor(min(workers, len(todo)), mp_context=get_context(_start_method()))
    return _results(pool, [pool.submit(_make, seed, folders[seed], config) for seed in todo])


def _results(pool: ProcessPoolExecutor, futures: Sequence[Future]) -> Iterator[None]:
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_method() -> str:
    """A forked worker has all imports at once, a spawned one takes seconds; but a fork beside threads may hang.

    macOS runs threads of its own.
    """
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"


def _make(seed: int, folder: Path, config: Config) -> None:
    write_folder(SyntheticDataset(seed, config), folder)


def _record(path: Path, config: Config, seeds: Sequence[int]) -> None:
    """Writes or extends corpus.yaml; refuses a corpus of another prior or version."""
    known: list[int] = []
    previous = _read_record(path)
    if previous is not None:
        if previous["prior_hash"] != config.hash() or previous["version"] != VERSION:
            raise PlurelError(
                f"{path} holds a corpus of prior {previous['name']} ({previous['prior_hash']}, version "
                f"{previous['version']}), not {config.name} ({config.hash()}, version {VERSION}); choose another path"
            )
        known = previous["seeds"]
    everything = known + [seed for seed in seeds if seed not in set(known)]
    content = {
        "version": VERSION,
        "package": _package_version(),
        "name": config.name,
        "prior_hash": config.hash(),
        "prior": config.to_dict(),
        "seeds": everything,
    }
    with replacing(path / RECORD) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def _package_version() -> str:
    try:
        return metadata.version("relational-scaling")
    except metadata.PackageNotFoundError:  # run from a checkout
        return "not installed"


def _read_record(path: Path) -> dict[str, Any] | None:
    file = path / RECORD
    if not file.exists():
        return None
    try:
        record = yaml.safe_load(file.read_text())
        return {key: record[key] for key in ("version", "name", "prior_hash")} | {"seeds": list(record["seeds"])}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise PlurelError(f"{file} is damaged ({str(error).splitlines()[0]}); delete the corpus or mend it") from error
