"""Our model beside stored outputs of the reference: the largest differences, for each attention backend.

    python -m experiments.benchmarks.parity case=FOLDER [backends=sdpa,segment]

FOLDER holds state, batch, expected and, if wanted, grads as .safetensors, as shared/peers/parity does; sizes are read
off the weights, except the heads, from the width of a query norm. One JSON line per backend; exit code 1 if an output,
the loss or a gradient differs by more than 1e-5.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from experiments.errors import ExperimentError, user_errors
from rfm.batch import Batch
from rfm.label_history import SUMMARY_SIZE
from rfm.model import ModelConfig, RelationalTransformer, masked_cell_loss
from rfm.model.embedding import TYPES

TOLERANCE = 1e-5


def to_batch(reference: dict[str, Tensor]) -> Batch:
    """The reference's batch in our terms: rows numbered within a context, unique strings, one value per cell."""
    is_padding = reference["is_padding"]
    row_idx = torch.full_like(reference["node_idxs"], -1)
    parent_idx = torch.full_like(reference["f2p_nbr_idxs"], -1)
    for b, nodes in enumerate(reference["node_idxs"].tolist()):
        local: dict[int, int] = {}
        for node in nodes:
            if node >= 0:
                local.setdefault(node, len(local))
        for i, node in enumerate(nodes):
            row_idx[b, i] = local.get(node, -1)
            for j, parent in enumerate(reference["f2p_nbr_idxs"][b, i].tolist()):
                parent_idx[b, i, j] = local.get(parent, -1) if parent >= 0 else -1
    column = reference["table_name_idxs"].long() * 100_000 + reference["col_name_idxs"]
    cells = is_padding.numel()
    value = sum(reference[f"{t}_values"].squeeze(-1) for t in ("number", "datetime", "boolean"))
    strings = torch.cat([reference["col_name_values"].reshape(cells, -1), reference["text_values"].reshape(cells, -1)])
    unique, position = strings.unique(dim=0, return_inverse=True)
    is_text = reference["sem_types"] == TYPES.index("text")
    return Batch(
        row_idx=row_idx,
        parent_idx=parent_idx,
        column_idx=torch.where(is_padding, -1, column).int(),
        sem_type=reference["sem_types"].long(),
        value=value,
        is_padding=is_padding,
        is_masked=reference["masks"],
        is_target=reference["is_targets"],
        name_idx=position[:cells].view(is_padding.shape),
        text_idx=torch.where(is_text, position[cells:].view(is_padding.shape), 0),
        text_embeddings=unique,
        label_summary=torch.zeros(len(value), SUMMARY_SIZE),
        seed_row=torch.zeros(len(value), dtype=torch.int64),
        store_idx=torch.zeros(len(value), dtype=torch.int64),
    )


def sizes_of(state: dict[str, Tensor]) -> ModelConfig:
    """The sizes of a model with these weights."""
    d_model, d_text = state["enc_dict.text.weight"].shape
    return ModelConfig(
        num_blocks=1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
        d_model=d_model,
        num_heads=d_model // len(state["blocks.0.attns.col.q_norm.weight"]),
        d_ff=len(state["blocks.0.ffn.w1.weight"]),
        d_text=d_text,
    )


def differences(case: Path, backend: str) -> dict[str, float]:
    """Largest absolute difference of each prediction, of the loss and, if stored, of all gradients.

    Raises:
        ExperimentError: if a file of the case is missing.
    """
    files = {name: case / f"{name}.safetensors" for name in ("state", "batch", "expected", "grads")}
    missing = [str(path) for name, path in files.items() if name != "grads" and not path.is_file()]
    if missing:
        raise ExperimentError(f"not a parity case: {', '.join(missing)} missing")
    state, batch, want = (load_file(files[name]) for name in ("state", "batch", "expected"))
    model = RelationalTransformer(sizes_of(state), attention=backend)
    model.load_state_dict(state, strict=True)
    ours = to_batch(batch)
    with torch.no_grad():
        predictions = model.decode(model(ours))
    found = {name: float((yhat - want[f"yhat_{name}"]).abs().max()) for name, yhat in predictions.items()}
    loss = masked_cell_loss(model, ours)
    found["loss"] = abs(loss.item() - want["loss"].item())
    if files["grads"].is_file():
        loss.backward()
        grads = load_file(files["grads"])
        found["gradients"] = max(float((p.grad - grads[n]).abs().max()) for n, p in model.named_parameters())
    return found


def main(arguments: list[str] | None = None) -> int:
    """Compares and prints; returns the exit code."""
    options = dict(part.partition("=")[::2] for part in (sys.argv[1:] if arguments is None else arguments))
    with user_errors():
        if not {"case"} <= set(options) <= {"case", "backends"}:
            raise ExperimentError("usage: python -m experiments.benchmarks.parity case=FOLDER [backends=sdpa,segment]")
        worst = 0.0
        for backend in options.get("backends", "sdpa,segment").split(","):
            found = differences(Path(options["case"]), backend)
            worst = max(worst, *found.values())
            print(json.dumps({"backend": backend} | {name: float(f"{x:.1e}") for name, x in found.items()}), flush=True)
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
