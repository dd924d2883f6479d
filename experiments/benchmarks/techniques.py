"""Optional techniques, one at a time: validation loss at equal tokens and at equal time; a CSV and a table.

    python -m experiments.benchmarks.techniques --corpus DIR --validation DIR --out DIR \\
        [--techniques none,zero-init,...] [--seeds 0,1,2] [--steps 128]

Both folders are made by experiments.generate. Every run trains conf/model/nano.yaml as conf/train/default.yaml says, on
one thread: warm-up, constant rate, decay over the last fifth. Its loss is that of the fixed validation cells. Time is
CPU time of the training loop, batches included. Each run is written when it ends and kept by the next call.

| technique | what it changes |
|---|---|
| none | nothing; also trained half as long again, to tell its loss at another technique's time |
| zero-init | the last matrix of every attention and feed-forward layer starts at zero |
| gated | a sigmoid of the normalised input scales the output of each head |
| muon, muon-2x | torch's Muon for the matrices of the blocks, at the rate of AdamW or twice that |
| rows | half of the other visible cells of the target's column are hidden as well: further targets of one task |
| ema | the weights are averaged, exponentially over 20 steps, beside the training of `none` |
| matrix-decay | weight decay on matrices alone; elsewhere it acts on norms, biases and mask vectors as well |
| average | no decay of the rate; the weights are the mean of the last fifth of the steps |
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import plurel
from experiments.errors import user_errors
from experiments.pretrain import make_schedule, pretrain_batches
from experiments.runtime import keep_memory
from rfm.contexts import Contexts
from rfm.model import ModelConfig, RelationalTransformer, masked_cell_loss
from rfm.model.attention import MaskedAttention
from rfm.model.backends import Attention
from rfm.objective import Objective
from rfm.predict import validation_loss
from rfm.random_keys import item_keys
from rfm.seeds import validation_seeds
from rfm.store import Store, TextTable, build_stores

CONF = Path(__file__).resolve().parents[2] / "conf"
TECHNIQUES = ("none", "zero-init", "gated", "muon", "muon-2x", "rows", "matrix-decay", "average")
DECAY_FRAC = 0.2


@dataclass(frozen=True)
class TargetRows:
    """`inner`, and half of the other cells of the target's column."""

    inner: Objective

    def hidden(self, contexts: Contexts, key: int) -> np.ndarray:
        """bool (B, L), as `Objective.hidden`."""
        positions = np.arange(contexts.row_idx.shape[1])
        chosen = item_keys(key + 1, contexts.key[:, None], positions[None, :]) % np.uint64(2) == 0
        same_column = contexts.column_idx == contexts.column_idx[:, :1]
        return self.inner.hidden(contexts, key) | (same_column & chosen)


@dataclass(frozen=True)
class _Scaled:
    attention: Attention
    gate: Tensor  # (B, L, H, 1)

    def attend(self, heads: Tensor, gain: Tensor) -> Tensor:
        return self.attention.attend(heads, gain) * self.gate


class GatedAttention(nn.Module):
    """An attention whose heads are scaled, each by a sigmoid of the input."""

    def __init__(self, inner: MaskedAttention) -> None:
        super().__init__()
        self.inner = inner
        self.gate = nn.Linear(inner.wq.in_features, inner.num_heads, bias=False)

    def forward(self, x: Tensor, gain: Tensor, attention: Attention) -> Tensor:
        """As `MaskedAttention.forward`."""
        gate = torch.sigmoid(self.gate(x * gain))[..., None]
        return self.inner(x, gain, _Scaled(attention, gate))


def make_model(technique: str, config: ModelConfig, seed: int) -> RelationalTransformer:
    """New weights: the same for every technique, but for what it changes."""
    torch.manual_seed(seed)
    model = RelationalTransformer(config)
    for block in model.blocks:
        if technique == "zero-init":
            for last in (*(attn.wo for attn in block.attns.values()), block.ffn.w2):
                nn.init.zeros_(last.weight)
        if technique == "gated":
            block.attns = nn.ModuleDict({name: GatedAttention(attn) for name, attn in block.attns.items()})
    return model


def make_optimizers(technique: str, model: nn.Module, cfg: DictConfig) -> list[tuple[torch.optim.Optimizer, float]]:
    """Optimizers and the peak rate of each."""
    muon, matrices, vectors = [], [], []
    for name, p in model.named_parameters():
        kind = matrices if p.ndim > 1 else vectors
        (muon if technique.startswith("muon") and name.startswith("blocks.") and p.ndim > 1 else kind).append(p)
    decay = cfg.weight_decay
    groups = [
        {"params": matrices, "weight_decay": decay},
        {"params": vectors, "weight_decay": 0.0 if technique == "matrix-decay" else decay},
    ]
    found = [(torch.optim.AdamW(groups, betas=tuple(cfg.betas), fused=True), cfg.lr)]
    if muon:
        rate = cfg.lr * (2 if technique == "muon-2x" else 1)
        found.append((torch.optim.Muon(muon, adjust_lr_fn="match_rms_adamw", weight_decay=decay), rate))
    return found


def train(
    technique: str, stores: Sequence[Store], texts: TextTable, cfg: DictConfig, seed: int, steps: int
) -> tuple[dict[str, nn.Module], float]:
    """The trained model by the name of the result, and CPU seconds."""
    source = pretrain_batches(stores, texts, cfg, seed)
    if technique == "rows":
        source.objective = TargetRows(source.objective)
    model = make_model(technique, ModelConfig.from_dict(yaml.safe_load((CONF / "model/nano.yaml").read_text())), seed)
    optimizers = make_optimizers(technique, model, cfg)
    decay_steps = round(DECAY_FRAC * steps)
    schedule = make_schedule("wsd", steps, 0 if technique == "average" else decay_steps, cfg)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    mean = AveragedModel(model)
    start = time.process_time()
    for step in range(steps):
        loss = masked_cell_loss(model, source.batch(step, 0, 1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), cfg.gradient_clip)
        for optimizer, rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule.factor(step)
            optimizer.step()
            optimizer.zero_grad()
        if technique == "none":
            ema.update_parameters(model)
        if technique == "average" and step >= steps - decay_steps:
            mean.update_parameters(model)
    seconds = time.process_time() - start
    if technique == "none":
        return {"none": model, "ema": ema.module}, seconds
    return {technique: mean.module if technique == "average" else model}, seconds


def run(args: argparse.Namespace) -> pd.DataFrame:
    """Trains what the CSV lacks; seed by seed, so that an early stop leaves whole comparisons."""
    torch.set_num_threads(1)
    cfg = OmegaConf.load(CONF / "train/default.yaml")
    pools = [plurel.load_corpus(folder) for folder in (args.corpus, args.validation)]
    stores, texts = build_stores([*pools[0], *pools[1]], args.out / "store", text_model="minilm")
    training, held_out = stores[: len(pools[0])], stores[len(pools[0]) :]
    cells = validation_seeds(held_out)
    train("none", training, texts, cfg, 0, cfg.warmup_steps)  # compiles what the first run would pay for
    contexts = {"ctx_len": cfg.ctx_len, "policy": cfg.policy, "progress": False}
    path = args.out / "techniques.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    for seed in args.seeds:
        for technique in args.techniques:
            for steps in (args.steps, args.steps * 3 // 2) if technique == "none" else (args.steps,):
                if any((r["technique"], r["seed"], r["steps"]) == (technique, seed, steps) for r in rows):
                    continue
                models, seconds = train(technique, training, texts, cfg, seed, steps)
                for name, model in models.items():
                    loss = float(validation_loss(model, held_out, texts, cells, **contexts).mean())
                    tokens = steps * cfg.batch_size * cfg.ctx_len
                    row = dict(technique=name, seed=seed, steps=steps, tokens=tokens, loss=loss, cpu_s=seconds)
                    rows.append(row)
                    print(row, flush=True)
                pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")
    return pd.DataFrame(rows)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per technique: loss, difference to `none` of the same seed at equal tokens and at equal time.

    The loss of `none` at another time is read off the line through its two lengths, over the logarithm of time.
    """
    steps = results["steps"].min()
    none = results.query("technique == 'none'").set_index(["steps", "seed"])
    short, long = none.loc[steps], none.loc[none.index.get_level_values(0).max()]
    slope = (long["loss"] - short["loss"]).mean() / np.log(long["cpu_s"] / short["cpu_s"]).mean()
    found = {}
    for technique, own in results.query(f"steps == {steps}").groupby("technique", sort=False):
        own = own.set_index("seed")
        time_ratio = (own["cpu_s"] / short["cpu_s"]).median()
        difference = own["loss"] - short["loss"]
        found[technique] = {
            "loss": f"{own['loss'].mean():.4f} ± {own['loss'].std():.4f}",
            "at equal tokens": f"{difference.mean():+.4f} ± {difference.std():.4f}",
            "time": f"{time_ratio:.2f}",
            "at equal time": f"{difference.mean() - slope * np.log(time_ratio):+.4f}",
        }
    return pd.DataFrame(found).T


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for folder in ("corpus", "validation", "out"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    parser.add_argument("--techniques", type=lambda text: text.split(","), default=list(TECHNIQUES))
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default="0,1,2")
    parser.add_argument("--steps", type=int, default=128, help="of 32 contexts of 128 cells")
    return parser.parse_args(argv)


def main() -> None:
    with user_errors():
        args = parse_args()
        keep_memory()
        print(table(run(args)).to_string())


if __name__ == "__main__":
    main()
