"""Cost per token on one thread of a CPU against context length, width and depth, for each backend; JSON lines."""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from experiments.benchmarks.timing import rate, training_step
from rfm.batch import Batch
from rfm.datamodule import PretrainBatches
from rfm.model import ModelConfig, RelationalTransformer
from rfm.model.backends import BackendName
from rfm.store import Store, TextTable

TOKENS = 4096  # of a batch, whatever its contexts' length
DRAWS = 64
"""Batches of which the fullest is measured: a small database does not fill a long context."""
NANO = ModelConfig(num_blocks=4, d_model=64, num_heads=2, d_ff=192, d_text=384)
CONTEXTS = (128, 256, 512, 1024, 2048, 4096)
WIDTHS = (64, 128, 256)
DEPTHS = (2, 4, 8, 16)


def of_width(width: int) -> ModelConfig:
    """The nano size with another width; heads stay 32 wide."""
    return replace(NANO, d_model=width, num_heads=width // 32, d_ff=3 * width)


def measure(sizes: ModelConfig, batch: Batch, backend: BackendName, seconds: float) -> dict[str, float]:
    """CPU microseconds per cell, forwards alone and of a training step."""
    torch.manual_seed(0)
    model = RelationalTransformer(sizes, attention=backend)
    with torch.inference_mode():
        forward = rate(lambda: model(batch), batch.num_tokens, seconds, time.process_time)
    step = training_step(model)
    training = rate(lambda: step(batch), batch.num_tokens, seconds, time.process_time)
    found = {"forward_us": forward["tokens_per_second"], "training_us": training["tokens_per_second"]}
    return {name: round(1e6 / tokens_per_second, 1) for name, tokens_per_second in found.items()}


def _draw(source: PretrainBatches, steps: Iterator[int]) -> Batch:
    return source.batch(next(steps), 0, 1)


def run(stores: Sequence[Store], texts: TextTable, seconds: float) -> None:
    """Prints one record per backend and size: context lengths at the nano size, the others at context 256.

    `batch_us` is what it costs to draw the contexts and join them into tensors.
    """
    sizes = [(NANO, ctx) for ctx in CONTEXTS]
    sizes += [(of_width(width), 256) for width in WIDTHS[1:]]
    sizes += [(replace(NANO, num_blocks=depth), 256) for depth in DEPTHS if depth != NANO.num_blocks]
    for size, ctx in sizes:
        source = PretrainBatches(stores, texts, ctx_len=ctx, batch_size=TOKENS // ctx, seed=0)
        batches = [source.batch(step, 0, 1) for step in range(DRAWS)]  # which also read the labels of most columns
        batch, mean_tokens = max(batches, key=lambda b: b.num_tokens), sum(b.num_tokens for b in batches) / DRAWS
        steps = itertools.count(DRAWS)
        drawn = rate(functools.partial(_draw, source, steps), mean_tokens, seconds, time.process_time)
        common = {"what": "scaling", "ctx": ctx, "width": size.d_model, "depth": size.num_blocks}
        common |= {"batch_us": round(1e6 / drawn["tokens_per_second"], 2)}
        for backend in ("segment", "sdpa"):
            record = common | {"cells": batch.num_tokens, "backend": backend}
            print(json.dumps(record | measure(size, batch, backend, seconds)), flush=True)
