"""Speed of the model beside the reference, and its cost against context length, width and depth; JSON lines.

    python -m experiments.benchmarks.model [--ctx 1024] [--batch 2] [--seconds 10] [--threads 2] [--profile]
    python -m experiments.benchmarks.model --scaling
    python -m experiments.benchmarks.model --accelerator cuda [--ctx 1024] [--batch 128]

Inference: our forward in float32 and bfloat16 on the batch of shared/peers/model_forward.py, then that script, then
ours again, all on one thread and in CPU seconds, which other jobs do not count in; the ratio takes the mean of our two.
`error` is the largest difference of a prediction between the two precisions, relative to the largest prediction.
Training: forward, backward, clipping and AdamW of the nano size at context 256, batch 16, on `--threads` threads;
`--profile` adds where the time goes. The third command is that of experiments/benchmarks/gpu.py.
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

import plurel
from experiments.benchmarks import gpu, model_scaling
from experiments.benchmarks.parity import to_batch
from experiments.benchmarks.sampler import PEERS_HOME
from experiments.benchmarks.timing import generated_stores, rate, training_step
from experiments.runtime import keep_memory
from rfm.batch import Batch
from rfm.model import ModelConfig, RelationalTransformer

PEERS = Path(__file__).resolve().parents[3] / "shared" / "peers"
CONF = Path(__file__).resolve().parents[2] / "conf" / "model"
ON_CPU_CLOCK = (
    "import runpy, sys, time; time.perf_counter = time.process_time; sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


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
            record |= rate(lambda model=model: model(batch), batch.num_tokens, args.seconds, time.process_time)
            if dtype == torch.bfloat16:
                error = (predictions["bfloat16"] - predictions["float32"]).abs().max()
                record["error"] = round(float(error / predictions["float32"].abs().max()), 4)
            print(json.dumps(record), flush=True)
            found[name] = record["tokens_per_second"]
    return found


def measure_peer(args: argparse.Namespace) -> float:
    """The reference's tokens per CPU second on the same batch, by its own script."""
    command = [PEERS_HOME / "venv" / "bin" / "python", "-c", ON_CPU_CLOCK, PEERS / "model_forward.py"]
    command += ["--ctx", args.ctx, "--bs", args.batch, "--seconds", args.seconds]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    record = json.loads(done.stdout.strip().splitlines()[-1])
    print(json.dumps({"what": "peer"} | record), flush=True)
    return record["tokens_per_second"]


def measure_training(args: argparse.Namespace) -> None:
    """Prints tokens per second of a training step, and a profile if asked."""
    torch.set_num_threads(args.threads)
    batch, step = peer_batch(256, 16), training_step(load_model("nano"))
    clock: Callable[[], float] = time.process_time if args.threads == 1 else time.perf_counter
    record = {"what": "training step", "model": "nano", "ctx": 256, "batch": 16, "threads": args.threads}
    record |= rate(lambda: step(batch), batch.row_idx.numel(), args.seconds, clock)
    print(json.dumps(record), flush=True)
    if args.profile:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for _ in range(5):
                step(batch)
        events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        shares = {event.key: round(event.self_cpu_time_total / total, 3) for event in events[:15]}
        print(json.dumps({"what": "share of the time", **shares}), flush=True)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accelerator", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--ctx", type=int, default=1024, help="cells of a context")
    parser.add_argument("--batch", type=int, help="contexts; default: 2 on a CPU, 128 on a GPU")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of training on a CPU")
    parser.add_argument("--seconds", type=float, default=10.0, help="timed seconds per measurement")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--scaling", action="store_true", help="cost per token instead, on one thread of a CPU")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="of the GPU in bfloat16; default: H100")
    args = parser.parse_args(argv)
    args.batch = args.batch or (2 if args.accelerator == "cpu" else 128)
    return args


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    args = parse_args(argv)
    keep_memory()
    if args.accelerator == "cuda":
        return gpu.run(load_model("paper").config, args)
    if args.scaling:
        torch.set_num_threads(1)
        with generated_stores(plurel.Config()) as (stores, texts):
            model_scaling.run(stores, texts, args.seconds)
        return 0
    if not (PEERS / "model_parity.py").is_file():
        print(f"{PEERS} is not there: it makes the batch that both sides read", file=sys.stderr)
        return 2
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
