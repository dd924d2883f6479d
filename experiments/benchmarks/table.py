"""Time and memory of one large synthetic table: 20 feature columns, two parents of 1,000 rows with 10 columns each.

    python -m experiments.benchmarks.table [--rows 10000 100000 1000000] [--seed 0]

One JSON line per size. `us_per_row` is CPU time of links, causal model and columns, without writing; a flat line means
that time grows with rows alone. `max_rss_mb` is the peak of the process so far, so give sizes in rising order.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

import numpy as np

from experiments.benchmarks import pin_to_one_core
from plurel import Config
from plurel.columns import to_column
from plurel.edges import ForeignMessages, Values
from plurel.links import draw_parents
from plurel.schema import TableSchema
from plurel.scm import TableSCM

PARENT_ROWS, PARENT_COLUMNS, COLUMNS = 1_000, 10, 20


def make_table(num_rows: int, seed: int, config: Config) -> list:
    """The feature columns of one table."""
    rng = np.random.default_rng(seed)
    parents = {"key_0": "parent_0", "key_1": "parent_1"}
    foreign = []
    for key, parent in parents.items():
        columns = [Values(rng.normal(size=PARENT_ROWS).astype(np.float32), 0) for _ in range(PARENT_COLUMNS)]
        links = draw_parents(np.ones(PARENT_ROWS), num_rows, config.scm_params, rng)
        foreign.append(ForeignMessages(seed, parent, "table", key, columns, links, config.scm_params))
    schema = TableSchema("table", num_rows, COLUMNS, parents, is_activity=True)
    return [to_column(values, 0.05, config, rng) for values in TableSCM(seed, schema, config).propagate(foreign)]


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=0, help="which causal model")
    args = parser.parse_args(argv)
    pin_to_one_core()
    with np.errstate(over="ignore", invalid="ignore"):
        make_table(1_000, args.seed, Config())  # compiles
        for num_rows in args.rows:
            start = time.process_time()
            make_table(num_rows, args.seed, Config())
            seconds = time.process_time() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            record = {"rows": num_rows, "cpu_seconds": round(seconds, 2), "max_rss_mb": round(peak)}
            print(json.dumps(record | {"us_per_row": round(seconds / num_rows * 1e6, 2)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
