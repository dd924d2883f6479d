"""Training on a GPU beside the paper's recipe; JSON lines. Called by experiments.benchmarks.model --accelerator cuda.

The reference is written from the paper (shared/paper.md, section 5): flex attention over three materialised B x L x L
masks, weights and arithmetic in bfloat16. Ours: masks from ids inside the kernel, float32 weights, bfloat16-mixed.
Both train the paper's size on the same batch of contexts of generated databases; each with its feed-forward layers as
they are and compiled. `mfu` is the part of the card's peak that the model's own operations come to, counting only the
pairs of cells that the masks keep; `bytes_per_token` the peak of allocated memory; `busy` the speed with batches from
the sampler divided by that with one batch again and again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace

import torch
from torch.nn.attention.flex_attention import create_block_mask
from torch.utils.data import DataLoader

import plurel
from experiments.benchmarks.timing import generated_stores, rate, training_step
from rfm.batch import Batch
from rfm.datamodule import PretrainBatches, StepDataset
from rfm.model import ModelConfig, RelationalMasks, RelationalTransformer, cost
from rfm.model.backends import ATTENTIONS, Attention
from rfm.model.flex import FlexMask, Rule, compiled

SAMPLER_WORKERS = 8


class MaterialisedTransformer(RelationalTransformer):
    """The reference's way to mask: bool (B, L, L) tensors, read by the kernel."""

    def attentions(self, batch: Batch, x: torch.Tensor) -> dict[str, Attention]:
        """As `RelationalTransformer.attentions`."""
        masks = RelationalMasks.from_batch(batch)
        size, length = batch.row_idx.shape
        make = compiled(create_block_mask) if x.is_cuda else create_block_mask

        def rule(mask: torch.Tensor) -> Rule:
            return lambda b, h, query, key: mask[b, query, key]

        rules = {kind: rule(getattr(masks, kind)) for kind in ATTENTIONS}
        return {kind: FlexMask(make(rules[kind], size, None, length, length, device=x.device)) for kind in ATTENTIONS}


def select(batch: Batch, i: int) -> Batch:
    """Sequence i as a batch of its own."""
    names = [field.name for field in fields(Batch) if field.name != "text_embeddings"]
    return replace(batch, **{name: getattr(batch, name)[i : i + 1] for name in names})


def keys_per_cell(batch: Batch) -> float:
    """Cells that a cell attends to, summed over the three attentions; one sequence after another, masks are large."""
    pairs = 0
    for i in range(len(batch.row_idx)):
        masks = RelationalMasks.from_batch(select(batch, i))
        pairs += sum(int(getattr(masks, kind).sum()) for kind in ATTENTIONS)
    return pairs / batch.num_tokens


def make_side(name: str, sizes: ModelConfig, device: torch.device) -> tuple[RelationalTransformer, Callable]:
    """Model and training step of "ours" or "reference"."""
    torch.manual_seed(0)
    if name == "reference":
        model = MaterialisedTransformer(sizes).to(device, torch.bfloat16)
        return model, training_step(model)
    model = RelationalTransformer(sizes).to(device)
    return model, training_step(model, autocast=torch.bfloat16)


def measure_fixed(step: Callable, batch: Batch, seconds: float) -> dict[str, float]:
    """Tokens per second on one batch, and the peak of memory per token."""
    torch.cuda.reset_peak_memory_stats()

    def work() -> None:
        step(batch)
        torch.cuda.synchronize()

    found = rate(work, batch.row_idx.numel(), seconds)
    return found | {"bytes_per_token": round(torch.cuda.max_memory_allocated() / batch.row_idx.numel())}


def measure_pipeline(step: Callable, source: PretrainBatches, device: torch.device, seconds: float) -> float:
    """Tokens per second with new batches, made by worker processes while the device works."""
    loader = DataLoader(
        StepDataset(source, 0), batch_size=None, num_workers=SAMPLER_WORKERS, pin_memory=True, prefetch_factor=4
    )
    batches = iter(loader)
    for _ in range(2 * SAMPLER_WORKERS):
        step(next(batches).to(device, non_blocking=True))
    torch.cuda.synchronize()
    start, tokens = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        batch = next(batches).to(device, non_blocking=True)
        step(batch)
        tokens += batch.row_idx.numel()
    torch.cuda.synchronize()
    return tokens / (time.perf_counter() - start)


def run(sizes: ModelConfig, args: argparse.Namespace) -> int:
    """Measures and prints; returns the exit code."""
    if not torch.cuda.is_available():
        print("no CUDA device is there", file=sys.stderr)
        return 2
    device = torch.device("cuda")
    torch.set_float32_matmul_precision("high")
    found: dict[str, float] = {}
    with generated_stores(plurel.Config()) as (stores, texts):
        source = PretrainBatches(stores, texts, ctx_len=args.ctx, batch_size=args.batch, seed=0)
        batch = source.batch(0, 0, 1)
        operations = cost(sizes, keys_per_cell(batch)).training
        batch = batch.to(device)
        for name in ("reference", "ours", "reference compiled", "ours compiled"):
            side, _, how = name.partition(" ")
            model, step = make_side(side, sizes, device)
            if how:
                for block in model.blocks:
                    block.ffn.compile(dynamic=False)
            record = measure_fixed(step, batch, args.seconds)
            found[name] = record["tokens_per_second"]
            record["mfu"] = round(found[name] * operations / (args.peak_tflops * 1e12), 3)
            if side == "ours":
                record["busy"] = round(measure_pipeline(step, source, device, args.seconds) / found[name], 3)
            common = {"what": "training step", "side": name, "device": torch.cuda.get_device_name()}
            print(json.dumps(common | {"ctx": args.ctx, "batch": args.batch} | record), flush=True)
            del model, step
            torch.cuda.empty_cache()
    ours, reference = (max(v for k, v in found.items() if k.startswith(side)) for side in ("ours", "reference"))
    print(json.dumps({"what": "ratio", "training": round(ours / reference, 2)}), flush=True)
    return 0
