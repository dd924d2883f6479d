"""Our databases beside the published generator's (PyPI plurel 1.1.0): are they draws from one distribution?

    python -m experiments.benchmarks.distribution --prior main [--measure peer ours] [--peer-seeds 1 61] [--seeds 1 81]
    python -m experiments.benchmarks.distribution --prior main --measure        # table and figure from the record alone

The published databases are made once, into --peer-cache, by the peer's own Python (some 10 s of CPU each; interrupted,
it goes on where it stopped). Every database is measured by database_statistics, and the two samples are compared by
two_samples with the database as the unit. Writes <prior>.parquet (side, seed, statistic, value), <prior>.csv (the
table) and <prior>.png to experiments/results/distribution/; a side that is not measured keeps its rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from relbench.base import Database
from tqdm import tqdm

from experiments.benchmarks.database_statistics import measure
from experiments.benchmarks.generator import PEERS_HOME
from experiments.benchmarks.two_samples import compare
from experiments.errors import ExperimentError, user_errors
from plurel import Config, SyntheticDataset
from plurel.keys import open_database

RESULTS = Path(__file__).resolve().parents[1] / "results" / "distribution"
PEER_SCRIPT = Path(__file__).with_name("distribution_peer.py")
# of both sides; a published database of the full size takes 10 to 20 s, and `main` has been compared at it
SIZES: dict[str, dict[str, list[int]]] = {
    "main": {},
    "paper": {
        "num_tables_choices": [3, 8],
        "num_rows_entity_table_choices": [100, 200],
        "num_rows_activity_table_choices": [400, 1000],
    },
}
COLOURS = {"ours": "#0072b2", "peer": "#d55e00"}
NAMES = {"ours": "ours", "peer": "plurel 1.1.0"}


def peer_databases(prior: str, seeds: range, cache: Path) -> Iterator[tuple[int, Database]]:
    """The published generator's, made where they are not there yet; seeds that it cannot make are left out.

    Raises:
        ExperimentError: if the peer is not installed, or stops.
    """
    python = PEERS_HOME / "venv" / "bin" / "python"
    if not python.exists():
        raise ExperimentError(f"{python} is not there; install the published package by shared/peers/setup.sh")
    command = [str(python), str(PEER_SCRIPT), "--prior", prior, "--out", str(cache)]
    command += ["--sizes", json.dumps(SIZES[prior]), "--seeds", str(seeds.start), str(seeds.stop)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # its plurel, not ours
    if subprocess.run(command, env=environment).returncode:
        raise ExperimentError("the published generator stopped; its own message is above")
    folders = {seed: cache / prior / f"plurel-{seed}" for seed in seeds}
    made = {seed: folder for seed, folder in folders.items() if not (folder / "failed.txt").exists()}
    print(f"peer: {len(made)} of {len(seeds)} seeds make a database", flush=True)
    for seed, folder in tqdm(made.items(), desc="peer", unit="db"):
        yield seed, open_database(folder)


def our_databases(prior: str, seeds: range) -> Iterator[tuple[int, Database]]:
    """Ours, by seed."""
    tree = Config.preset(prior).to_dict()
    tree["database_params"] |= {name: {"kind": "range", "value": bounds} for name, bounds in SIZES[prior].items()}
    config = Config.from_dict(tree)
    for seed in tqdm(seeds, desc="ours", unit="db"):
        yield seed, SyntheticDataset(seed, config).make_db()


def measure_all(side: str, databases: Iterator[tuple[int, Database]]) -> pd.DataFrame:
    """Columns side, seed, statistic, value."""
    frames = [measure(db).assign(side=side, seed=seed) for seed, db in databases]
    return pd.concat(frames)[["side", "seed", "statistic", "value"]].astype({"value": np.float32})


def put(record: Path, side: str, measured: pd.DataFrame) -> None:
    """Puts the rows of one side into the record, in place of its earlier ones."""
    record.parent.mkdir(parents=True, exist_ok=True)
    if record.exists():
        others = pd.read_parquet(record)
        measured = pd.concat([others[others["side"] != side], measured])
    measured = measured.sort_values(["side", "seed", "statistic"], kind="stable")
    measured.to_parquet(record, compression="zstd", index=False)


def draw(measured: pd.DataFrame, table: pd.DataFrame, path: Path) -> None:
    """Distribution functions of both sides, a panel a statistic; each database weighs the same."""
    columns = 5
    rows = -(-len(table) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(16, 2.15 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(table) :]:
        axis.remove()
    for axis, test in zip(axes.flat, table.itertuples(), strict=False):
        group = measured[measured["statistic"] == test.statistic]
        for side, values in group.groupby("side"):
            weight = 1 / values.groupby("seed")["value"].transform("size").to_numpy()
            order = np.argsort(values["value"].to_numpy(), kind="stable")
            height = np.cumsum(weight[order]) / weight.sum()
            axis.step(values["value"].to_numpy()[order], height, where="post", color=COLOURS[side], lw=1.4)
        where, _, what = test.statistic.partition(": ")
        axis.set_title(f"{where}\n{what}", fontsize=7.5)
        verdict = "differs" if test.p_holm < 0.05 else ""
        axis.text(0.97, 0.06, f"D {test.distance:.2f} {verdict}", transform=axis.transAxes, ha="right", fontsize=7.5)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    handles = [plt.Line2D([], [], color=COLOURS[side], lw=2, label=NAMES[side]) for side in COLOURS]
    figure.legend(handles=handles, loc="lower right", ncols=2, frameon=False, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", choices=("main", "paper"), required=True)
    parser.add_argument("--measure", nargs="*", choices=("peer", "ours"), default=("peer", "ours"))
    parser.add_argument("--peer-seeds", type=int, nargs=2, default=(1, 61), metavar=("A", "B"), help="A, ..., B - 1")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 81), metavar=("A", "B"), help="ours")
    parser.add_argument("--peer-cache", type=Path, default=Path.home() / ".cache" / "plurel-distribution")
    parser.add_argument("--permutations", type=int, default=20_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measures, compares, prints; returns the exit code."""
    args = parse_args(argv)
    matplotlib.use("agg")
    record = args.results / f"{args.prior}.parquet"
    with user_errors():
        for side in args.measure:
            if side == "peer":
                databases = peer_databases(args.prior, range(*args.peer_seeds), args.peer_cache)
            else:
                databases = our_databases(args.prior, range(*args.seeds))
            put(record, side, measure_all(side, databases))
        measured = pd.read_parquet(record)
        if measured["side"].nunique() < 2:
            return 0
        table = compare(measured, args.permutations)
        table.to_csv(record.with_suffix(".csv"), index=False, float_format="%.4g")
        draw(measured, table, record.with_suffix(".png"))
        print(table.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
