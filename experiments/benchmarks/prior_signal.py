"""What an entity's past tells of its future in databases of a prior, and what they cost.

    python -m experiments.benchmarks.prior_signal [--seeds 40] [--timed-seeds 8]

One JSON line per prior: `main`, `diverse` without its event and creation times, and `diverse`. Over all foreign keys of
activity tables of `--seeds` databases, mean and median:

counts    rank correlation between an entity's events from 40 % to 80 % of the window and those after 80 %, over the
          entities that exist at 40 %
values    absolute rank correlation between a number and the mean of the same entity's earlier ones
cpu_s     CPU seconds of databases 0 ... `--timed-seeds` - 1 without writing, each the least of three
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator

import numpy as np
from scipy import stats

from experiments.benchmarks import pin_to_one_core
from plurel import Config, SyntheticDataset
from plurel.rows import draw_rows
from plurel.schema import draw_schema

BEFORE, SINCE = 0.4, 0.8  # parts of the window
LEAST_EVENTS = 50


def priors() -> dict[str, Config]:
    """By name."""
    diverse = Config.preset("diverse")
    even = dataclasses.replace(diverse.diversity_params, event_time_prob=0.0, creation_time_prob=0.0)
    return {
        "main": Config(),
        "diverse, even times": dataclasses.replace(diverse, diversity_params=even),
        "diverse": diverse,
    }


def count_correlations(seed: int, config: Config) -> Iterator[float]:
    """Of each foreign key of an activity table with events in both parts."""
    schema = draw_schema(seed, config)
    rows = draw_rows(seed, config, schema)
    for table in (t for t in schema.tables if t.is_activity):
        own = rows[table.name]
        for key, parent in table.fkeys.items():
            entities = rows[parent].parts
            known = own.links[key] >= 0
            middle, late = (own.parts > BEFORE) & (own.parts <= SINCE), own.parts > SINCE
            counts = [np.bincount(own.links[key][known & part], minlength=len(entities)) for part in (middle, late)]
            past, future = (count[entities <= BEFORE] for count in counts)
            if min(past.sum(), future.sum()) >= LEAST_EVENTS and min(np.ptp(past), np.ptp(future)) > 0:
                yield float(stats.spearmanr(past, future).statistic)


def value_correlations(seed: int, config: Config) -> Iterator[float]:
    """Of each number column of an activity table and each of its foreign keys to another table."""
    dataset = SyntheticDataset(seed, config)
    tables = dataset.make_db().table_dict
    for schema in (t for t in dataset.schema.tables if t.is_activity):
        frame = tables[schema.name].df
        for key in schema.fkeys:
            for column in [c for c in frame if c.startswith("feature_") and frame[c].dtype.kind == "f"]:
                ranks = frame[column].rank()
                past = ranks.groupby(frame[key]).transform(lambda v: v.expanding().mean().shift())
                known = past.notna() & ranks.notna()
                if known.sum() >= LEAST_EVENTS and ranks[known].nunique() > 1 and past[known].nunique() > 1:
                    yield abs(float(stats.spearmanr(ranks[known], past[known]).statistic))


def cpu_seconds(seed: int, config: Config) -> float:
    """The least of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        SyntheticDataset(seed, config).make_db()
        times.append(time.process_time() - start)
    return min(times)


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--timed-seeds", type=int, default=8)
    args = parser.parse_args(argv)
    pin_to_one_core()
    SyntheticDataset(0).make_db()  # compiles
    for name, config in priors().items():
        record: dict[str, object] = {"prior": name, "hash": config.hash(), "seeds": args.seeds}
        for what, measure in (("counts", count_correlations), ("values", value_correlations)):
            found = np.array([value for seed in range(args.seeds) for value in measure(seed, config)])
            record |= {f"{what}_mean": round(found.mean(), 3), f"{what}_median": round(float(np.median(found)), 3)}
            record |= {f"{what}_keys": len(found)}
        record["cpu_s"] = round(sum(cpu_seconds(seed, config) for seed in range(args.timed_seeds)), 2)
        print(json.dumps(record), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
