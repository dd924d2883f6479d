"""Tokens per second on a CPU: inference at the paper's size beside the reference, and a training step; JSON lines.

    python -m experiments.benchmarks.model [--ctx 1024] [--batch 2] [--threads 1] [--seconds 10] [--profile]

Inference: our forward in float32 and bfloat16 on the batch of shared/peers/model_forward.py, then that script, then
ours again, all on one thread; the ratio takes the mean of our two. `error` is the largest difference of a prediction
between the two precisions, relative to the largest prediction. Training: forward, backward, clipping and AdamW of the
nano size at context 256, batch 16, `--threads` threads; `--profile` adds where the time goes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from torch.profiler import ProfilerActivity, profile

from experiments.benchmarks.parity import to_batch
from experiments.benchmarks.sampler import PEERS_HOME
from experiments.runtime import keep_memory
from rfm.batch import Batch
from rfm.model import ModelConfig, RelationalTransformer, masked_cell_loss

PEERS = Path(__file__).resolve().parents[3] / "shared" / "peers"
CONF = Path(__file__).resolve().parents[2] / "conf" / "model"


def rate(work: Callable[[], object], tokens: int, seconds: float) -> dict[str, float]:
    """Median and best tokens per second of repeated calls, after two untimed ones."""
    work(), work()
    times: list[float] = []
    while sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    times.sort()
    return {"tokens_per_second": round(tokens / times[len(times) // 2], 1), "best": round(tokens / times[0], 1)}


def peer_batch(ctx: int, size: int) -> Batch:
    """The batch that the peer's script times, in our terms."""
    spec = importlib.util.spec_from_file_location("model_parity", PEERS / "model_parity.py")
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    return to_batch(peer.build_batch(ctx, size, peer.SIZES["full"]["d_text"], 0))


def load_model(name: str) -> RelationalTransformer:
    """New weights of a size of conf/model."""
    torch.manual_seed(0)
    return RelationalTransformer(ModelConfig.from_dict(yaml.safe_load((CONF / f"{name}.yaml").read_text())))


def measure_inference(args: argparse.Namespace) -> dict[str, float]:
    """Prints our records; returns tokens per second by precision."""
    torch.set_num_threads(1)
    batch, model = peer_batch(args.ctx, args.batch), load_model("paper").eval()
    predictions, found = {}, {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            model = model.to(dtype)
            name = str(dtype).removeprefix("torch.")
            predictions[name] = torch.cat([yhat.float() for yhat in model.decode(model(batch)).values()], -1)
            record = {"what": "forward", "ctx": args.ctx, "batch": args.batch, "dtype": name, "threads": 1}
            record |= rate(lambda model=model: model(batch), batch.num_tokens, args.seconds)
            if dtype == torch.bfloat16:
                error = (predictions["bfloat16"] - predictions["float32"]).abs().max()
                record["error"] = round(float(error / predictions["float32"].abs().max()), 4)
            print(json.dumps(record), flush=True)
            found[name] = record["tokens_per_second"]
    return found


def measure_peer(args: argparse.Namespace) -> float:
    """The reference's tokens per second on the same batch, by its own script."""
    command = [PEERS_HOME / "venv" / "bin" / "python", PEERS / "model_forward.py"]
    command += ["--ctx", str(args.ctx), "--bs", str(args.batch), "--seconds", str(args.seconds)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    record = json.loads(done.stdout.strip().splitlines()[-1])
    print(json.dumps({"what": "peer"} | record), flush=True)
    return record["tokens_per_second"]


def measure_training(args: argparse.Namespace) -> None:
    """Prints tokens per second of a training step, and a profile if asked."""
    torch.set_num_threads(args.threads)
    batch, model = peer_batch(256, 16), load_model("nano").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        loss = masked_cell_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    record = {"what": "training step", "model": "nano", "ctx": 256, "batch": 16, "threads": args.threads}
    record |= rate(step, batch.row_idx.numel(), args.seconds)
    print(json.dumps(record), flush=True)
    if args.profile:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for _ in range(5):
                step()
        events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        shares = {event.key: round(event.self_cpu_time_total / total, 3) for event in events[:15]}
        print(json.dumps({"what": "share of the time", **shares}), flush=True)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ctx", type=int, default=1024, help="cells of a context, inference")
    parser.add_argument("--batch", type=int, default=2, help="contexts, inference")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of training")
    parser.add_argument("--seconds", type=float, default=10.0, help="timed seconds per measurement")
    parser.add_argument("--profile", action="store_true")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    args = parse_args(argv)
    if not (PEERS / "model_parity.py").is_file():
        print(f"{PEERS} is not there: it makes the batch that both sides read", file=sys.stderr)
        return 2
    keep_memory()
    measure_training(args)
    before = measure_inference(args)
    if not (PEERS_HOME / "venv" / "bin" / "python").exists():
        print(json.dumps({"what": "peer", "skipped": f"not installed in {PEERS_HOME}"}), flush=True)
        return 0
    peer, after = measure_peer(args), measure_inference(args)
    ratios = {name: round((before[name] + after[name]) / 2 / peer, 1) for name in before}
    print(json.dumps({"what": "ratio", "ctx": args.ctx, **ratios}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
