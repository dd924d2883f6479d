"""Stores of real databases, built once for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rfm.store import Store, build_stores


@pytest.fixture(scope="session")
def rel_f1_store(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    stores, _ = build_stores(
        [shared / "data" / "rel-f1"], tmp_path_factory.mktemp("store"), text_model="hash", progress=False
    )
    return stores[0]
