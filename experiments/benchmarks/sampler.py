"""Context cells per second on one core, beside the published sampler where it is installed; JSON lines.

    python -m experiments.benchmarks.sampler --db FOLDER --task NAME [--ctx 256,1024] [--split train]

FOLDER is a RelBench-3 folder. Seed rows are taken in random order, 32 a batch. `tokens_per_second` counts the cells,
padding left out, of contexts alone; `batch_tokens_per_second` of contexts joined into the tensors that a model reads,
with the distinct strings of a batch gathered once each. The peer runs afterwards on the same core; it copies two
384-wide vectors for every cell, so the two do not do the same work. Where other programs share the core, compare
`*_per_cpu_second`. The lines `threads` are of one sampler that several threads share, each on batches of its own, on as
many cores as there are threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from experiments.benchmarks import pin_to_one_core
from rfm.batch import make_batch
from rfm.errors import RfmError
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.store import Store

PEERS_HOME = Path(os.environ.get("PEERS_HOME", Path.home() / ".cache" / "plurel-peers"))
PEER_SCRIPT = Path(__file__).resolve().parents[3] / "shared" / "peers" / "sampler.py"
ROUNDS = 5
NOTE = "the peer also copies two 384-wide vectors per token"


def timed(work: Callable[[int], int], seconds: float, clock: Callable[[], float] = time.process_time) -> dict:
    """Calls `work(0)` untimed, then `work(1)`, `work(2)`, ... for `seconds`; each returns the tokens it made.

    `clock` counts CPU seconds: of the process, or `time.thread_time` of one thread.
    """
    work(0)
    tokens = calls = 0
    cpu, start = clock(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        calls += 1
        tokens += work(calls)
    wall, cpu = time.perf_counter() - start, clock() - cpu
    rates = {"tokens_per_second": round(tokens / wall), "tokens_per_cpu_second": round(tokens / cpu)}
    return {"batches": calls, "tokens": tokens, "seconds": round(wall, 3)} | rates


def measure(args: argparse.Namespace, store_root: Path) -> list[dict]:
    """One record per context length, of our own sampler."""
    store = Store.build(args.db, store_root / "db", "hash", progress=False)
    rows = store.task_rows(store.task(args.task).name, args.split)
    records = []
    for ctx_len in args.ctx:
        sampler = ContextSampler(
            store, ctx_len=ctx_len, task=args.task, split=args.split, protocol=args.protocol, policy=args.policy
        )
        order = np.random.default_rng(0).permutation(rows)

        def draw(call: int, sampler=sampler, order=order):
            chosen = order[np.arange(call * args.batch, (call + 1) * args.batch) % len(order)]
            return sampler.sample(chosen, sampler.task.target_column, item_keys(call, chosen))

        def count(call: int, draw=draw) -> int:
            return draw(call).num_tokens

        def count_batch(call: int, draw=draw) -> int:
            return make_batch(draw(call), store.texts).num_tokens

        facts = {"db": store.name, "task": args.task, "split": args.split, "ctx": ctx_len}
        facts |= {"protocol": args.protocol, "policy": args.policy, "batch": args.batch}
        record = {"what": "sampler"} | facts | timed(count, args.seconds)
        record["fill"] = round(record["tokens"] / (record["batches"] * args.batch * ctx_len), 4)
        batches = timed(count_batch, args.seconds)
        record |= {f"batch_{key}": batches[key] for key in ("tokens_per_second", "tokens_per_cpu_second")}
        print(json.dumps(record), flush=True)
        records.append(record)
        for work, name in ((count, "contexts"), (count_batch, "batches")):
            print(json.dumps({"what": "threads", "of": name} | facts | scaling(work, args.threads, args.seconds)))
    return records


def scaling(work: Callable[[int], int], threads: int, seconds: float) -> dict[str, float]:
    """How many times the tokens of one thread on one core `threads` make on as many cores.

    `ratio` is of tokens per second, the median of five pairs of runs one after the other. Where other programs share
    the cores it says little; `ratio_of_cpu` then tells whether the threads cost one another anything: `threads` times
    the tokens per CPU second of each, over those of a thread alone.
    """
    own = getattr(os, "sched_getaffinity", lambda _: None)(0)
    rates: dict[int, list[tuple[float, float]]] = {1: [], threads: []}
    for _ in range(ROUNDS):
        for count, of_count in rates.items():
            unpin(count)
            with ThreadPoolExecutor(count) as pool:
                parts = list(pool.map(lambda i: _timed_thread(work, i, seconds / ROUNDS), range(count)))
            wall, cpu = (sum(part[key] for part in parts) for key in ("tokens_per_second", "tokens_per_cpu_second"))
            of_count.append((wall, cpu))
    if own is not None:
        os.sched_setaffinity(0, own)
    ratio, ratio_of_cpu = np.median(np.array(rates[threads]) / np.array(rates[1]), axis=0)
    known = {f"tokens_per_second_{count}": round(float(np.median(pairs, axis=0)[0])) for count, pairs in rates.items()}
    return {"threads": threads, "ratio": round(float(ratio), 2), "ratio_of_cpu": round(float(ratio_of_cpu), 2)} | known


def _timed_thread(work: Callable[[int], int], thread: int, seconds: float) -> dict:
    """Each thread has batches of its own."""
    return timed(lambda call: work(1000 * thread + call), seconds, time.thread_time)


def unpin(cores: int) -> None:
    """Lets this process use its last `cores` cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(range(os.cpu_count() - cores, os.cpu_count())))


def measure_peer(args: argparse.Namespace) -> list[dict]:
    """The peer's own records; none where it is not installed."""
    python = PEERS_HOME / "venv" / "bin" / "python"
    if not (python.exists() and PEER_SCRIPT.exists()):
        print(json.dumps({"what": "peer", "skipped": f"{python} or {PEER_SCRIPT} is not there"}), flush=True)
        return []
    command = [str(python), str(PEER_SCRIPT), "--db", str(args.db), "--task", args.task, "--split", args.split]
    command += ["--ctx", ",".join(map(str, args.ctx)), "--batch", str(args.batch), "--seconds", str(args.seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(json.dumps({"what": "peer", "failed": done.stderr.strip().splitlines()[-1:]}), flush=True)
        return []
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for record in records:
        print(json.dumps(record), flush=True)
    return [record for record in records if record["what"] == "sampler"]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", type=Path, required=True, help="RelBench-3 folder")
    parser.add_argument("--task", required=True)
    parser.add_argument("--split", default="train", choices=("train", "val", "test"))
    parser.add_argument("--ctx", default="256,1024", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--batch", type=int, default=32, help="contexts per call")
    parser.add_argument("--seconds", type=float, default=5.0, help="timed seconds per measurement")
    parser.add_argument("--threads", type=int, default=2, help="cores of the measurement with threads")
    parser.add_argument("--protocol", default="paper", choices=("paper", "temporal", "relbench"))
    parser.add_argument("--policy", default="paper", choices=("paper", "history", "mixed"))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    args = parse_args(argv)
    torch.set_num_threads(1)
    pin_to_one_core()
    try:
        with tempfile.TemporaryDirectory() as root:
            ours = measure(args, Path(root))
    except RfmError as error:
        print(error, file=sys.stderr)
        return 2
    for mine, peer in zip(ours, measure_peer(args), strict=False):
        by_wall, by_cpu = (mine[key] / peer[key] for key in ("tokens_per_second", "tokens_per_cpu_second"))
        ratios = {"ours_over_peer": round(by_wall, 2), "ours_over_peer_per_cpu_second": round(by_cpu, 2)}
        print(json.dumps({"what": "ratio", "ctx": mine["ctx"]} | ratios | {"note": NOTE}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
