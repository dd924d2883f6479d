"""What the benchmarks of the model share: timed calls, a training step, contexts of generated databases."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import plurel
from rfm.batch import Batch
from rfm.model import RelationalTransformer, masked_cell_loss
from rfm.store import Store, TextTable, build_stores


def rate(
    work: Callable[[], object], tokens: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median and best tokens per second of repeated calls, after two untimed ones."""
    work(), work()
    times: list[float] = []
    while not times or sum(times) < seconds:
        start = clock()
        work()
        times.append(clock() - start)
    times.sort()
    return {"tokens_per_second": round(tokens / times[len(times) // 2], 1), "best": round(tokens / times[0], 1)}


def training_step(model: RelationalTransformer, autocast: torch.dtype | None = None) -> Callable[[Batch], None]:
    """A function that does forward, backward, clipping and AdamW on a batch."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, fused=True)

    def step(batch: Batch) -> None:
        with torch.autocast(batch.value.device.type, dtype=autocast, enabled=autocast is not None):
            loss = masked_cell_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


@contextmanager
def generated_stores(prior: plurel.Config, num_databases: int = 4) -> Iterator[tuple[list[Store], TextTable]]:
    """Stores of new databases and their texts, embedded in the paper's width; they go when the context ends."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        plurel.generate_corpus(corpus, list(range(num_databases)), prior, progress=False)
        yield build_stores(plurel.load_corpus(corpus), Path(folder) / "store", text_model="minilm", progress=False)
