"""A trained model on disk, to share:

    <folder>/
      model.safetensors   the parameters, under the names of the released weights (paper, section 5)
      config.json         the sizes (ModelConfig)

Both are written to a temporary sibling and renamed; config.json comes last. The paper's own files (`*.pt`, a
dictionary of tensors) are read too: their sizes follow from the shapes, all but the head size, which is the length
of a q_norm.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rfm.errors import RfmError
from rfm.model import ModelConfig, RelationalTransformer

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"


def save_checkpoint(model: RelationalTransformer, path: str | Path) -> Path:
    """Writes the model's parameters and, beside them, config.json; returns the parameter file.

    Args:
        path: a folder (model.safetensors goes inside), or a name that ends in .safetensors.
    """
    path = Path(path)
    weights = path if path.suffix == ".safetensors" else path / WEIGHTS_NAME
    weights.parent.mkdir(parents=True, exist_ok=True)
    temporary = weights.with_name(f".{weights.name}.tmp")
    save_file({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, temporary)
    os.replace(temporary, weights)
    config = weights.with_name(CONFIG_NAME)
    temporary = config.with_name(f".{config.name}.tmp")
    temporary.write_text(json.dumps(model.config.to_dict(), indent=1) + "\n")
    os.replace(temporary, config)
    return weights


def load_checkpoint(path: str | Path) -> RelationalTransformer:
    """The model of a checkpoint: float32, on the CPU, in evaluation mode.

    Args:
        path: a .safetensors file, the folder that holds model.safetensors, or a released .pt file.

    Raises:
        RfmError: for a missing or damaged file, a missing configuration, or a parameter that is missing, unexpected,
            of another shape or not finite, naming it.
    """
    path = Path(path)
    weights = path / WEIGHTS_NAME if path.is_dir() else path
    if not weights.is_file():
        raise RfmError(f"no checkpoint at {weights}; give a folder with {WEIGHTS_NAME}, a .safetensors or a .pt file")
    if weights.suffix == ".safetensors":
        state = _read_safetensors(weights)
        config = _read_config(weights.with_name(CONFIG_NAME))
    elif weights.suffix == ".pt":
        state = _read_pt(weights)
        config = _infer_config(state, weights)
    else:
        raise RfmError(f"{weights} is neither a .safetensors nor a .pt file")
    with torch.device("meta"):  # no second set of random weights
        model = RelationalTransformer(config)
    _check_state(model.state_dict(), state, weights)
    model.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model.eval()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise RfmError(f"{path} is damaged ({_one_line(error)}); save the checkpoint again") from error


def _read_config(path: Path) -> ModelConfig:
    if not path.is_file():
        raise RfmError(f"no {CONFIG_NAME} beside the weights: {path} is missing; it holds the model's sizes")
    try:
        values = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RfmError(f"{path} is damaged ({_one_line(error)}); it must hold the model's sizes as JSON") from error
    if not isinstance(values, dict):
        raise RfmError(f"{path} holds a {type(values).__name__}; it must hold the model's sizes as a JSON object")
    try:
        return ModelConfig.from_dict(values)
    except RfmError as error:
        raise RfmError(f"{path}: {error}") from error


def _read_pt(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises whatever a foreign or damaged byte leads it to
        raise RfmError(f"{path} is not a file of plain tensors ({_one_line(error)})") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RfmError(f"{path} does not hold a dictionary of tensors, name -> parameter")
    # a compiled model saves its parameters under this prefix
    return {str(name).removeprefix("_orig_mod."): value for name, value in state.items()}


def _infer_config(state: Mapping[str, Tensor], path: Path) -> ModelConfig:
    def shape(name: str, num_axes: int) -> torch.Size:
        if name not in state:
            raise RfmError(f"{path}: parameter {name} is missing")
        if state[name].dim() != num_axes:
            raise RfmError(
                f"{path}: parameter {name} has shape {tuple(state[name].shape)}; it must have {num_axes} axes"
            )
        return state[name].shape

    d_model, d_text = shape("enc_dict.text.weight", 2)
    head_size = shape("blocks.0.attns.col.q_norm.weight", 1)[0]
    blocks = {name.split(".")[1] for name in state if name.startswith("blocks.")}
    if not head_size or d_model % head_size:
        raise RfmError(f"{path}: q_norm has length {head_size}, which does not divide the model's width {d_model}")
    return ModelConfig(
        num_blocks=len(blocks),
        d_model=d_model,
        num_heads=d_model // head_size,
        d_ff=shape("blocks.0.ffn.w1.weight", 2)[0],
        d_text=d_text,
    )


def _check_state(want: Mapping[str, Tensor], got: Mapping[str, Tensor], path: Path) -> None:
    for name in want:
        if name not in got:
            raise RfmError(f"{path}: parameter {name} is missing")
    for name, value in got.items():
        if name not in want:
            nearest = difflib.get_close_matches(name, list(want), n=1)
            raise RfmError(
                f"{path}: unexpected parameter {name}" + (f"; nearest known: {nearest[0]}" if nearest else "")
            )
        if value.shape != want[name].shape:
            raise RfmError(
                f"{path}: parameter {name} has shape {tuple(value.shape)}; "
                f"the configuration asks for {tuple(want[name].shape)}"
            )
        if not value.is_floating_point() or not torch.isfinite(value).all():
            raise RfmError(f"{path}: parameter {name} holds values that are not finite numbers; the training diverged")


def _one_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
