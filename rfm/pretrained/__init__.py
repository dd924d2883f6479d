"""Models that come with the package: rfm/pretrained/<name>/, a checkpoint with its card (README.md)."""

from __future__ import annotations

import difflib
from pathlib import Path

from rfm.checkpoint import CONFIG_NAME, load_checkpoint
from rfm.errors import RfmError
from rfm.model import RelationalTransformer

_HOME = Path(__file__).parent


def pretrained_models() -> list[str]:
    """Their names."""
    return sorted(path.parent.name for path in _HOME.glob(f"*/{CONFIG_NAME}"))


def load_pretrained(name: str) -> RelationalTransformer:
    """The model called `name`: float32, on the CPU, in evaluation mode. What it was trained on and scores: its card.

    Raises:
        RfmError: for an unknown name.
    """
    known = pretrained_models()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
        raise RfmError(f"no pretrained model is called {name!r}; {hint}")
    return load_checkpoint(_HOME / name)
