"""Cells of synthetic databases per second on one core, beside the published generator where it is installed.

    python -m experiments.benchmarks.generator [--seeds 0 12] [--no-peer]

One JSON line per database, one summary line ("summary": true) and, where the peer is there, its lines and the ratio.
`cells` counts every column of every table, keys and time included; `seconds` is the wall time of make_db() alone and
`cpu_seconds` the steadier figure on a shared machine. Both draw from the same prior, `main`, but different databases
for the same seed, so compare rates, not single seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from experiments.benchmarks import pin_to_one_core
from plurel import SyntheticDataset

PEERS_HOME = Path(os.environ.get("PEERS_HOME", Path.home() / ".cache" / "plurel-peers"))
PEER_SCRIPT = Path(__file__).resolve().parents[3] / "shared" / "peers" / "generator.py"


def measure(seed: int) -> dict:
    """Makes one default database; its size and what it took."""
    cpu, start = time.process_time(), time.perf_counter()
    db = SyntheticDataset(seed).make_db()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    frames = [table.df for table in db.table_dict.values()]
    keys = sum(len(t) * (1 + len(t.fkey_col_to_pkey_table)) for t in db.table_dict.values())
    cells = sum(frame.size for frame in frames)
    record = {"seed": seed, "seconds": round(seconds, 4), "cpu_seconds": round(cpu, 4), "tables": len(frames)}
    return record | {"rows": sum(map(len, frames)), "cells": cells, "feature_cells": cells - keys}


def summary(records: list[dict]) -> dict:
    """Rates over all databases."""
    total = {key: sum(r[key] for r in records) for key in ("seconds", "cpu_seconds", "cells", "feature_cells")}
    return {
        "summary": True,
        "databases": len(records),
        "mean_seconds": round(total["seconds"] / len(records), 4),
        "cells_per_second": round(total["cells"] / total["seconds"], 1),
        "cells_per_cpu_second": round(total["cells"] / total["cpu_seconds"], 1),
        "feature_cells_per_second": round(total["feature_cells"] / total["seconds"], 1),
        "max_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def measure_peer(seeds: tuple[int, int]) -> dict | None:
    """Prints the peer's lines and returns its summary; None where it is not installed or fails."""
    python = PEERS_HOME / "venv" / "bin" / "python"
    if not (python.exists() and PEER_SCRIPT.exists()):
        print(json.dumps({"what": "peer", "skipped": f"{python} or {PEER_SCRIPT} is not there"}), flush=True)
        return None
    command = [str(python), str(PEER_SCRIPT), "--seeds", *map(str, seeds)]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # which may lead to this package
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for record in records:
        print(json.dumps({"what": "peer"} | record), flush=True)
    totals = [record for record in records if record.get("summary")]
    if done.returncode != 0 or not totals:
        print(json.dumps({"what": "peer", "failed": done.stderr.strip().splitlines()[-1:]}), flush=True)
        return None
    return totals[0]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 12), metavar=("A", "B"), help="A, ..., B - 1")
    parser.add_argument("--no-peer", action="store_true", help="leave out the published generator (2 to 3 minutes)")
    args = parser.parse_args(argv)
    if not 0 <= args.seeds[0] < args.seeds[1]:
        parser.error(f"--seeds A B needs 0 <= A < B, not {args.seeds[0]} {args.seeds[1]}")
    return args


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    args = parse_args(argv)
    pin_to_one_core()
    records = []
    for seed in range(*args.seeds):
        records.append(measure(seed))
        print(json.dumps(records[-1]), flush=True)
    ours = summary(records)
    print(json.dumps(ours), flush=True)
    peer = None if args.no_peer else measure_peer(tuple(args.seeds))
    if peer is not None:
        ratio = ours["cells_per_cpu_second"] / peer["cells_per_cpu_second"]
        print(json.dumps({"what": "ratio", "cells_per_cpu_second_ours_over_peer": round(ratio, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
