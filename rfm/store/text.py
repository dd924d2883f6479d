"""The text table: every string of a root's stores once, and its embedding.

    <root>/texts/
        texts.json       # format version, model, width, identity
        strings.jsonl    # one JSON string a line; the line number is the id; only ever appended to
        embeddings.f16   # float16, row i embeds line i, little-endian, only ever appended to

Both long files grow at the end alone, so an interruption leaves at most one torn record there. Reading leaves it out,
the next addition writes over it, and `embed` goes on after the last complete row: no string is embedded twice.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from rfm.errors import RfmError
from rfm.store.encoders import TextEncoder, load_encoder

TEXT_FORMAT_VERSION = 1
FOLDER = "texts"
_BATCH = 512


class TextTable:
    """Strings with ids 0..n-1 in order of first appearance. One process at a time may add to a table."""

    def __init__(self, root: Path, meta: dict, encoder: TextEncoder | None = None) -> None:
        self.root = root
        self.path = root / FOLDER
        self.model: str = meta["model"]
        self.d_text: int = meta["d_text"]
        self.identity: str = meta["identity"]
        self._encoder = encoder
        self.strings: list[str]
        self.strings, self._strings_end = _read_strings(self.path / "strings.jsonl")
        self._ids = {string: i for i, string in enumerate(self.strings)}
        self._num_embedded = self._count_embedded()
        self._embeddings: np.ndarray | None = None

    @classmethod
    def open_or_create(cls, root: Path | str, model: str = "minilm") -> TextTable:
        """The table of this root, made if there is none.

        Raises:
            RfmError: the table was made with another text model or format version, or is damaged.
        """
        root = Path(root)
        if (root / FOLDER / "texts.json").exists():
            table = cls(root, _read_meta(root / FOLDER / "texts.json"))
            if table.model != model:
                raise RfmError(
                    f"{table.path} holds texts of model {table.model!r}, not {model!r}; choose another store folder"
                )
            return table
        encoder = load_encoder(model)
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        for name in ("strings.jsonl", "embeddings.f16"):  # left by a creation that was cut short
            (root / FOLDER / name).write_bytes(b"")
        meta = {"version": TEXT_FORMAT_VERSION, "model": model, "d_text": encoder.d_text, "identity": uuid.uuid4().hex}
        partial = root / FOLDER / "texts.json.partial"
        partial.write_text(json.dumps(meta), encoding="utf-8")
        os.replace(partial, root / FOLDER / "texts.json")
        return cls(root, meta, encoder)

    @classmethod
    def open(cls, root: Path | str) -> TextTable:
        """The existing table of this root, whatever its model."""
        return cls(Path(root), _read_meta(Path(root) / FOLDER / "texts.json"))

    def __len__(self) -> int:
        return len(self.strings)

    def __reduce__(self) -> tuple:
        return TextTable.open, (self.root,)  # worker processes map the file instead of copying it

    def ids(self, strings: Iterable[str]) -> np.ndarray:
        """int32 ids of the strings; new ones are added to the table and on disk before this returns.

        Raises:
            RfmError: there are new ones, and others were added since this object read the table.
        """
        strings = list(strings)
        new = [s for s in dict.fromkeys(strings) if s not in self._ids]
        if new:
            self._check_latest()
            lines = "".join(json.dumps(s) + "\n" for s in new).encode("ascii")
            with _append_after(self.path / "strings.jsonl", self._strings_end) as file:
                file.write(lines)
            self._strings_end += len(lines)
            self._ids.update((s, len(self.strings) + i) for i, s in enumerate(new))
            self.strings += new
        return np.fromiter((self._ids[s] for s in strings), dtype=np.int32, count=len(strings))

    def embed(self, progress: bool = False) -> None:
        """Embeds the strings that have no embedding yet, in batches that are kept as they are done; raises as `ids`."""
        missing = self.strings[self._num_embedded :]
        if not missing:
            return
        self._check_latest()
        if self._encoder is None:
            self._encoder = load_encoder(self.model)
        bar = tqdm(total=len(missing), desc="texts", unit="text", disable=not progress, leave=False)
        with bar, _append_after(self.path / "embeddings.f16", 2 * self.d_text * self._num_embedded) as file:
            for start in range(0, len(missing), _BATCH):
                batch = missing[start : start + _BATCH]
                file.write(self._encode(batch).tobytes())
                file.flush()
                self._num_embedded += len(batch)
                bar.update(len(batch))
        self._embeddings = None

    @property
    def embeddings(self) -> np.ndarray:
        """float16 (number of strings, d_text), memory-mapped, rows of length one.

        Raises:
            RfmError: some strings have no embedding yet.
        """
        if self._num_embedded < len(self.strings):
            missing = len(self.strings) - self._num_embedded
            raise RfmError(f"{self.path}: {missing} strings have no embedding yet; call embed()")
        if self._embeddings is None or len(self._embeddings) != self._num_embedded:
            shape = (self._num_embedded, self.d_text)
            self._embeddings = (
                np.memmap(self.path / "embeddings.f16", dtype="<f2", mode="r", shape=shape)
                if self._num_embedded
                else np.zeros(shape, dtype=np.float16)
            )
        return self._embeddings

    def _check_latest(self) -> None:
        """Refuses to write where others have added strings: theirs would be cut off, and ids of their stores lost."""
        with open(self.path / "strings.jsonl", "rb") as file:
            file.seek(self._strings_end)
            if b"\n" in file.read():  # a torn record has no end
                raise RfmError(
                    f"{self.path} was extended since it was opened, by another process or object; open it again"
                )

    def _encode(self, batch: Sequence[str]) -> np.ndarray:
        vectors = self._encoder.encode(batch)
        if vectors.shape != (len(batch), self.d_text):
            raise RfmError(f"{self.path}: model {self.model!r} gave {vectors.shape}, the table is {self.d_text} wide")
        return np.ascontiguousarray(vectors, dtype="<f2")

    def _count_embedded(self) -> int:
        """The number of complete rows of the embeddings."""
        path = self.path / "embeddings.f16"
        complete = path.stat().st_size // (2 * self.d_text) if path.exists() else 0
        if complete > len(self.strings):
            raise RfmError(f"{path} has {complete} rows for {len(self.strings)} strings; delete the store folder")
        return complete


def _read_meta(path: Path) -> dict:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RfmError(f"no text table at {path.parent}; build a store first") from None
    except (OSError, ValueError) as error:
        raise RfmError(f"{path}: unreadable or damaged ({error}); delete the store folder") from None
    if not isinstance(meta, dict) or meta.get("version") != TEXT_FORMAT_VERSION:
        raise RfmError(f"{path}: not a text table of format {TEXT_FORMAT_VERSION}; delete the store folder")
    return meta


def _read_strings(path: Path) -> tuple[list[str], int]:
    """All complete lines, and where the last of them ends in bytes."""
    strings, end = [], 0
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    strings.append(json.loads(line))
                    end += len(line)
    except FileNotFoundError:
        return [], 0
    except ValueError as error:
        raise RfmError(f"{path}: damaged ({error}); delete the store folder") from None
    return strings, end


def _append_after(path: Path, end: int) -> BinaryIO:
    """The file opened for writing after byte `end`; a torn record there is cut off."""
    file = open(path, "r+b")  # noqa: SIM115 - the caller closes it
    file.truncate(end)
    file.seek(end)
    return file
