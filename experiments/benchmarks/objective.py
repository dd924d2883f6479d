"""Validation loss against tokens for several objectives: same corpus, model, contexts and steps; a CSV and a table.

    python -m experiments.benchmarks.objective --corpus DIR --validation DIR --out DIR \\
        [--objectives paper,dense:0.15,dense:0.3] [--seeds 0,1,2] [key=value ...]

Both folders are made by experiments.generate. A length of training is
a run of its own with a warm-up, a constant rate and a decay over its last fifth, as in a scaling grid. The loss is
that of the target cell alone, every other cell visible, on the same cells of the validation databases for all.
key=value changes the configuration of experiments.scaling; finished runs are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import plurel
from analysis.results import read_results
from experiments.cells import grid_cells
from experiments.errors import user_errors
from experiments.grid import Grid
from experiments.runtime import quiet_libraries, set_threads
from experiments.scaling import check_config
from experiments.training import RunLogs
from rfm.model import ModelConfig
from rfm.seeds import validation_seeds
from rfm.store import build_stores

CONF = Path(__file__).resolve().parents[2] / "conf"
TOKENS = [65_536, 131_072, 262_144, 524_288]


def objective_overrides(text: str) -> list[str]:
    """Overrides of the configuration for "paper" or "dense:0.15"."""
    name, _, rate = text.partition(":")
    return [f"train.objective={name}"] + ([f"train.mask_rate={rate}"] if rate else [])


def configuration(args: argparse.Namespace, objective: str, seed: int, num_databases: int) -> DictConfig:
    """The scaling configuration of one run."""
    own = [f"seed={seed}", f"corpus.num_databases=[{num_databases}]", f"grid.tokens={TOKENS}", "logger.wandb=disabled"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("scaling", [*own, *objective_overrides(objective), *args.overrides])
    check_config(cfg)
    return cfg


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of the loss, one row per objective, one column per length."""
    grouped = results.groupby(["objective", "tokens"], sort=False)["loss"]
    cells = grouped.mean().map("{:.4f}".format) + " ± " + grouped.std(ddof=1).map("{:.4f}".format)
    return cells.unstack()


def run(args: argparse.Namespace) -> pd.DataFrame:
    """Trains what is missing; one row per objective, seed and length."""
    quiet_libraries()
    pools = [plurel.load_corpus(folder) for folder in (args.corpus, args.validation)]
    stores, texts = build_stores([*pools[0], *pools[1]], args.out / "store", text_model="minilm")
    training, held_out = stores[: len(pools[0])], stores[len(pools[0]) :]
    rows = []
    for seed in args.seeds:
        for objective in args.objectives:
            cfg = configuration(args, objective, seed, len(training))
            set_threads(cfg.threads)
            run_dir = args.out / f"{objective.replace(':', '-')}-seed{seed}"
            model = ModelConfig.from_dict(OmegaConf.to_container(cfg.model))
            cells = validation_seeds(held_out, cfg.validation.tasks_per_database, cfg.validation.rows_per_task)
            Grid(run_dir, training, held_out, cells, texts, model, cfg, RunLogs(run_dir, None)).run(grid_cells(cfg))
            found = read_results(run_dir).query("dataset == 'synthetic-val'")
            columns = {"tokens": found["tokens"], "loss": found["value"], "wall_s": found["wall_s"].round(1)}
            rows.append(pd.DataFrame({"objective": objective, "seed": seed} | columns).sort_values("tokens"))
    return pd.concat(rows, ignore_index=True)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for folder in ("corpus", "validation", "out"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    parser.add_argument("--objectives", type=lambda text: text.split(","), default="paper,dense:0.15,dense:0.3")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default="0,1,2")
    args, args.overrides = parser.parse_known_args(argv)
    return args


def main() -> None:
    with user_errors():
        args = parse_args()
        results = run(args)
        results.to_csv(args.out / "objective.csv", index=False)
        print(table(results).to_string())


if __name__ == "__main__":
    main()
