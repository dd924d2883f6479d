"""Each string is kept and embedded once, through interruptions too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rfm.errors import RfmError
from rfm.store import TextTable
from rfm.store.encoders import HashEncoder, load_encoder


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts how often each string reaches the encoder."""
    counts: Counter = Counter()
    encode = HashEncoder.encode

    def counting(self: HashEncoder, strings: Sequence[str]) -> np.ndarray:
        if "stop" in strings and counts["stop"] == 0:
            counts["stop"] += 1
            raise KeyboardInterrupt
        counts.update(strings)
        return encode(self, strings)

    monkeypatch.setattr(HashEncoder, "encode", counting)
    return counts


def test_ids_are_stable_and_each_string_is_embedded_once(tmp_path: Path, embedded: Counter) -> None:
    texts = TextTable.open_or_create(tmp_path, "hash")
    assert texts.ids(["b", "a", "b", "Zürich\n", ""]).tolist() == [0, 1, 0, 2, 3]
    texts.embed()
    assert texts.ids(["a", "new"]).tolist() == [1, 4]
    texts.embed()
    again = TextTable.open_or_create(tmp_path, "hash")
    again.embed()
    assert again.strings == ["b", "a", "Zürich\n", "", "new"]
    assert set(embedded.values()) == {1} and len(embedded) == 5
    np.testing.assert_array_equal(again.embeddings, texts.embeddings)
    assert again.embeddings.dtype == np.float16 and not again.embeddings.flags.writeable


def test_an_interruption_loses_at_most_the_batch_at_work(tmp_path: Path, embedded: Counter) -> None:
    texts = TextTable.open_or_create(tmp_path, "hash")
    strings = [f"s{i}" for i in range(1500)]
    texts.ids([*strings, "stop"])
    with pytest.raises(KeyboardInterrupt):
        texts.embed()
    again = TextTable.open_or_create(tmp_path, "hash")
    with pytest.raises(RfmError, match="477 strings have no embedding yet"):
        _ = again.embeddings
    again.embed()
    assert max(embedded[s] for s in strings) == 1
    np.testing.assert_array_equal(again.embeddings, HashEncoder().encode([*strings, "stop"]))


def test_torn_records_are_left_out_and_overwritten(tmp_path: Path, embedded: Counter) -> None:
    texts = TextTable.open_or_create(tmp_path, "hash")
    texts.ids(["one", "two"])
    texts.embed()
    with open(texts.path / "strings.jsonl", "ab") as file:
        file.write(b'"thr')
    with open(texts.path / "embeddings.f16", "ab") as file:
        file.write(b"\0" * 37)
    again = TextTable.open_or_create(tmp_path, "hash")
    assert again.strings == ["one", "two"] and len(again.embeddings) == 2
    again.ids(["four"])
    again.embed()
    fresh = TextTable.open(tmp_path)
    assert fresh.strings == ["one", "two", "four"]
    np.testing.assert_array_equal(fresh.embeddings, HashEncoder().encode(["one", "two", "four"]))


def test_a_table_that_others_extended_is_not_written_over(tmp_path: Path, embedded: Counter) -> None:
    first = TextTable.open_or_create(tmp_path, "hash")
    first.ids(["a"])
    second = TextTable.open(tmp_path)
    second.ids(["b"])
    second.embed()
    assert first.ids(["a"]).tolist() == [0]  # reading is harmless
    for write in (lambda: first.ids(["c"]), first.embed):
        with pytest.raises(RfmError, match="texts was extended since it was opened.*; open it again"):
            write()
    again = TextTable.open(tmp_path)
    assert again.strings == ["a", "b"] and again.ids(["c"]).tolist() == [2]
    again.embed()
    np.testing.assert_array_equal(again.embeddings, HashEncoder().encode(["a", "b", "c"]))


def test_hash_vectors_are_unit_and_differ(tmp_path: Path) -> None:
    vectors = HashEncoder().encode(["a", "b", ""]).astype(float)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert np.abs(vectors[0] @ vectors[1]) < 0.9


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(RfmError, match="no text table"):
        TextTable.open(tmp_path)
    texts = TextTable.open_or_create(tmp_path, "hash")
    with pytest.raises(RfmError, match="of model 'hash', not 'minilm'; choose another store folder"):
        TextTable.open_or_create(tmp_path, "minilm")
    texts.ids(["a"])
    (texts.path / "strings.jsonl").write_bytes(b'"a\n')
    with pytest.raises(RfmError, match="strings.jsonl: damaged"):
        TextTable.open(tmp_path)
    (texts.path / "strings.jsonl").write_bytes(b"")
    (texts.path / "embeddings.f16").write_bytes(b"\0" * 128)
    with pytest.raises(RfmError, match="1 rows for 0 strings"):
        TextTable.open(tmp_path)
    (texts.path / "texts.json").write_text('{"version": 0}')
    with pytest.raises(RfmError, match="not a text table of format"):
        TextTable.open(tmp_path)


def test_an_unknown_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RfmError, match="text model './no-such-model' cannot be loaded") as caught:
        TextTable.open_or_create(tmp_path, "./no-such-model")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "texts").exists()


def test_minilm_comes_with_the_installation() -> None:
    encoder = load_encoder("minilm")
    vectors = encoder.encode(["late flights", "delayed departures", "colour of a shirt"]).astype(float)
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
