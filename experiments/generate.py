"""python -m experiments.generate: a corpus of synthetic databases as RelBench-3 folders."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

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


@hydra.main(version_base="1.3", config_path="../conf", config_name="generate")
def main(cfg: DictConfig) -> None:
    with user_errors():
        folders = generate(
            Path(cfg.corpus.path),
            prior_from(cfg.prior),
            count=cfg.corpus.size,
            first_seed=cfg.corpus.first_seed,
            max_fkeys=cfg.corpus.max_fkeys,
            workers=cfg.workers,
        )
        print(f"{len(folders)} databases in {cfg.corpus.path}")


if __name__ == "__main__":
    main()
