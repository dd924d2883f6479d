"""`Store.build` makes what `build_stores` makes, and touches nothing else; `Store.open` tells of a newer source."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench

import rfm
from rfm.errors import RfmError
from rfm.store import Store, TextTable, build_store, build_stores
from rfm.store.source import list_sources


def build(source: object, path: Path) -> Store:
    return Store.build(source, path, "hash", progress=False)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    return {file.name: np.load(file) for file in path.glob("*.npy")}


def content_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_after(store: Store, path: Path, content: bytes) -> None:
    """Writes the file, one second later than the store was."""
    path.write_bytes(content)
    later = (store.path / "store.json").stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


def warnings_of(path: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Store.open(path)
    return [str(warning.message) for warning in caught]


def test_one_database_is_built_as_many_are(shop: Path, tmp_path: Path) -> None:
    store = build(shop, tmp_path / "stores" / "mine")
    (wanted,), texts = build_stores([shop], tmp_path / "root", "hash", progress=False)
    assert store.path == tmp_path / "stores" / "mine" and store.name == wanted.name == "shop"
    assert sorted(path.name for path in store.path.parent.iterdir()) == ["mine", "texts"]
    got, expected = arrays_of(store.path), arrays_of(wanted.path)
    assert got.keys() == expected.keys() and len(got) > 11
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array)
    assert (store.columns, store.tables, store.tasks) == (wanted.columns, wanted.tables, wanted.tasks)
    assert store.fingerprint == wanted.fingerprint
    assert store.texts.strings == texts.strings
    np.testing.assert_array_equal(store.texts.embeddings, texts.embeddings)
    assert store.texts is store.texts
    assert rfm.Store is Store


def test_stores_side_by_side_share_their_texts(shop: Path, tmp_path: Path) -> None:
    first, second = build(shop, tmp_path / "root" / "a"), build(str(shop), tmp_path / "root" / "b")
    assert first.text_table == second.text_table == second.texts.identity
    assert len(set(second.texts.strings)) == len(second.texts)
    third = build(relbench.load_dataset(shop), tmp_path / "root" / "c")
    np.testing.assert_array_equal(third.cell_text, first.cell_text)


def test_an_unchanged_source_is_kept_and_a_changed_one_built_again(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "stores" / "shop"
    build(shop, path)
    before = content_of(tmp_path / "stores"), (path / "store.json").stat().st_mtime_ns
    build(shop, path)
    assert (content_of(tmp_path / "stores"), (path / "store.json").stat().st_mtime_ns) == before
    users = pd.read_parquet(shop / "db" / "users.parquet").assign(name="Zoe")
    users.to_parquet(shop / "db" / "users.parquet", index=False)
    store = build(shop, path)
    assert store.texts.strings[store.cells(0)["name"]] == "Zoe"
    assert sorted(p.name for p in path.parent.iterdir()) == ["shop", "texts"]


def test_a_corpus_is_not_one_database(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(shop, tmp_path / "corpus" / "a")
    with pytest.raises(RfmError, match="corpus is a corpus of 1 databases; name one, or build all with build_stores"):
        build(tmp_path / "corpus", tmp_path / "root" / "a")
    with pytest.raises(RfmError, match="'nowhere': no such folder"):
        build("nowhere", tmp_path / "root" / "a")
    with pytest.raises(RfmError, match="not a RelBench-3 dataset: it has no manifest.yaml"):
        build(shop / "db", tmp_path / "root" / "a")
    assert not (tmp_path / "root").exists()


def test_an_unfinished_database_is_none_of_a_corpus(shop: Path, tmp_path: Path) -> None:
    for name in ("a", ".b.partial"):
        shutil.copytree(shop, tmp_path / "corpus" / name)
    assert list_sources(tmp_path / "corpus") == [tmp_path / "corpus" / "a"]


@pytest.mark.parametrize("name", ["texts", ".."])
def test_a_name_that_no_store_can_have(name: str, shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RfmError, match="cannot be a store's folder"):
        build(shop, tmp_path / "root" / name)


def test_another_text_model_is_told(shop: Path, tmp_path: Path) -> None:
    build(shop, tmp_path / "root" / "shop")
    with pytest.raises(RfmError, match="of model 'hash', not 'minilm'"):
        Store.build(shop, tmp_path / "root" / "other", progress=False)


def test_a_store_never_takes_the_place_of_anything_else(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    before = content_of(shop)
    with pytest.raises(RfmError, match=r"shop holds .*, which is no part of a store"):
        build(shop, shop)
    with pytest.raises(RfmError, match=r"shop holds .*, which is no part of a store"):
        build_stores([shop], shop.parent, "hash", progress=False)
    assert content_of(shop) == before
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RfmError, match="notes holds notes"):
        build_store(shop, tmp_path, texts, "notes")
    assert (tmp_path / "notes").read_text() == "mine"
    (tmp_path / "root" / "empty").mkdir()
    assert build_store(shop, tmp_path / "root", texts, "empty").name == "shop"


def test_opening_tells_of_a_source_that_was_written_to(shop: Path, tmp_path: Path) -> None:
    store = build(shop, tmp_path / "root" / "shop")
    assert store.source == shop and warnings_of(store.path) == []
    file = shop / "tasks" / "user-spend" / "val.parquet"
    write_after(store, file, file.read_bytes())
    (message,) = warnings_of(store.path)
    assert str(shop) in message and "build it again" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(store))  # workers need not repeat it
        build(shop, store.path)  # the same content: the store is valid
    assert warnings_of(store.path) == []
    with pytest.warns(UserWarning, match="build it again"):
        write_after(store, file, b"no parquet")
        Store.open(store.path)


@pytest.mark.parametrize("change", ["rename", "remove"])
def test_opening_tells_of_files_that_were_exchanged(change: str, shop: Path, tmp_path: Path) -> None:
    """A file of an older date moved into place, or one removed, changes the date of its folder alone."""
    store = build(shop, tmp_path / "root" / "shop")
    before = (store.path / "store.json").stat().st_mtime_ns - 10**9
    os.utime(store.path / "store.json", ns=(before, before))
    for path in (shop, *shop.rglob("*")):
        os.utime(path, ns=(before, before))
    assert warnings_of(store.path) == []
    file = shop / "db" / "users.parquet"
    if change == "rename":
        (tmp_path / "older").write_bytes(b"")
        os.utime(tmp_path / "older", ns=(0, 0))
        os.replace(tmp_path / "older", file)
    else:
        file.unlink()
    assert len(warnings_of(store.path)) == 1


def test_opening_raises_the_limit_of_open_files(shop: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    store = build(shop, tmp_path / "root" / "shop")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/dev/fd"))) + 40, hard))
        stores = [Store.open(store.path) for _ in range(10)]
        assert len(stores) == 10 and resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_open_files_are_no_damage(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = build(shop, tmp_path / "root" / "shop")
    before = content_of(store.path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", refuse)
        for act in (lambda: Store.open(store.path), lambda: build(shop, store.path)):
            with pytest.raises(RfmError, match=r"npy: too many open files; raise the limit .*ulimit"):
                act()
    assert content_of(store.path) == before


def test_a_store_outlives_its_source(shop: Path, tmp_path: Path, folder_of: Callable[..., Path]) -> None:
    store = build(shop, tmp_path / "root" / "shop")
    shutil.rmtree(shop)
    shutil.move(tmp_path / "root", tmp_path / "elsewhere")
    assert warnings_of(tmp_path / "elsewhere" / "shop") == []
    moved = Store.open(tmp_path / "elsewhere" / "shop")
    assert moved.source == shop and moved.texts.identity == store.text_table
