"""Context cells per second on one core, beside the published sampler where it is installed; JSON lines.

    python -m experiments.benchmarks.sampler --db FOLDER --task NAME [--ctx 256,1024] [--split train]

FOLDER is a RelBench-3 folder. Seed rows are taken in random order, 32 a batch. `tokens_per_second` counts the cells,
padding left out, of contexts alone; `batch_tokens_per_second` of contexts joined into the tensors that a model reads,
with the distinct strings of a batch gathered once each. The peer runs afterwards on the same core; it copies two
384-wide vectors for every cell, so the two do not do the same work.
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
from pathlib import Path

import numpy as np
import torch

from experiments.benchmarks import pin_to_one_core
from rfm.batch import make_batch
from rfm.errors import RfmError
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.store import build_stores

PEERS_HOME = Path(os.environ.get("PEERS_HOME", Path.home() / ".cache" / "plurel-peers"))
PEER_SCRIPT = Path(__file__).resolve().parents[3] / "shared" / "peers" / "sampler.py"
NOTE = "the peer also copies two 384-wide vectors per token"


def timed(work: Callable[[int], int], seconds: float) -> dict[str, float]:
    """Calls `work(0)` untimed, then `work(1)`, `work(2)`, ... for `seconds`; each returns the tokens it made."""
    work(0)
    tokens = calls = 0
    cpu, start = time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        calls += 1
        tokens += work(calls)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    rates = {"tokens_per_second": round(tokens / wall), "tokens_per_cpu_second": round(tokens / cpu)}
    return {"batches": calls, "tokens": tokens, "seconds": round(wall, 3)} | rates


def measure(args: argparse.Namespace, store_root: Path) -> list[dict]:
    """One record per context length, of our own sampler."""
    (store,), texts = build_stores([args.db], store_root, text_model="hash", progress=False)
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

        record = {"what": "sampler", "db": store.name, "task": args.task, "split": args.split, "ctx": ctx_len}
        record |= {"protocol": args.protocol, "policy": args.policy, "batch": args.batch}
        record |= timed(lambda call, draw=draw: draw(call).num_tokens, args.seconds)
        record["fill"] = round(record["tokens"] / (record["batches"] * args.batch * ctx_len), 4)
        batches = timed(lambda call, draw=draw: make_batch(draw(call), texts).num_tokens, args.seconds)
        record["batch_tokens_per_second"] = batches["tokens_per_second"]
        print(json.dumps(record), flush=True)
        records.append(record)
    return records


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
        ratio = mine["tokens_per_second"] / peer["tokens_per_second"]
        print(json.dumps({"what": "ratio", "ctx": mine["ctx"], "ours_over_peer": round(ratio, 2), "note": NOTE}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
