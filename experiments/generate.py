"""python -m experiments.generate: a corpus of synthetic databases as RelBench-3 folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

import plurel
from experiments.errors import user_errors


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


@hydra.main(version_base="1.3", config_path="../conf", config_name="generate")
def main(cfg: DictConfig) -> None:
    with user_errors():
        prior = prior_from(cfg.prior)
        folders = generate(
            Path(cfg.corpus.path),
            prior,
            count=cfg.corpus.size,
            first_seed=cfg.corpus.first_seed,
            max_fkeys=cfg.corpus.max_fkeys,
            workers=cfg.workers,
        )
        if cfg.report:
            write_reports(Path(cfg.corpus.path), prior, folders)
        print(f"{len(folders)} databases in {cfg.corpus.path}")


if __name__ == "__main__":
    main()
