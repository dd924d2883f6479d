"""python -m experiments.generate: a corpus of synthetic databases as RelBench-3 folders."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

import plurel
from experiments.errors import user_errors
from plurel.corpus_record import check_writable
from plurel.executors import RayExecutor


def prior_from(cfg: DictConfig) -> plurel.Config:
    """The prior of a composed configuration; strict about unknown keys and ranges."""
    return plurel.Config.from_dict(OmegaConf.to_container(cfg, resolve=True))


def generate(
    path: Path, prior: plurel.Config, *, count: int, first_seed: int, max_fkeys: int, workers: int
) -> list[Path]:
    """The first `count` databases from `first_seed` on whose tables have at most `max_fkeys` foreign keys.

    A smaller count is a prefix of a larger one. What is complete and undamaged in `path` is kept.
    """
    seeds = plurel.pretraining_seeds(prior, count, start=first_seed, max_fkeys=max_fkeys)
    return plurel.generate_corpus(path, seeds, prior, workers=workers)


def write_reports(path: Path, prior: plurel.Config, folders: Sequence[Path]) -> None:
    """A page per database, path/reports/<name>-<seed>.html; a page younger than its folder is kept."""
    for folder in tqdm(folders, desc="reports", unit="page"):
        page = path / "reports" / f"{folder.name}.html"
        if not page.exists() or page.stat().st_mtime_ns < (folder / "manifest.yaml").stat().st_mtime_ns:
            seed = int(folder.name.rpartition("-")[2])
            plurel.describe(folder, page, dataset=plurel.SyntheticDataset(seed, prior))


def executor_of(cfg: DictConfig) -> AbstractContextManager[Executor | None]:
    """What makes the databases in place of `workers` local processes, if anything."""
    if cfg.cluster.kind == "ray":
        return RayExecutor(cfg.cluster.address, cfg.workers)
    return nullcontext()


@hydra.main(version_base="1.3", config_path="../conf", config_name="generate")
def main(cfg: DictConfig) -> None:
    corpus = cfg.corpus
    with user_errors():
        if corpus.remake is None:
            prior = prior_from(cfg.prior)
            check_writable(Path(corpus.path))
            seeds = plurel.pretraining_seeds(prior, corpus.size, start=corpus.first_seed, max_fkeys=corpus.max_fkeys)
        else:
            prior, seeds = plurel.corpus_recipe(corpus.remake)
        part = (corpus.part, corpus.parts)
        with executor_of(cfg) as executor:
            folders = plurel.generate_corpus(
                corpus.path, seeds, prior, workers=cfg.workers, executor=executor, part=part
            )
        if cfg.report:
            write_reports(Path(corpus.path), prior, folders)
        print(f"{len(folders)} databases in {corpus.path}")


if __name__ == "__main__":
    main()
