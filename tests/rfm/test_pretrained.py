"""Models that come with the package: they load, are small, predict on any store, and have a card."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import rfm
from rfm.pretrained import pretrained_models

HOME = Path(rfm.__file__).parent / "pretrained"


@pytest.mark.parametrize("name", pretrained_models())
def test_each_is_small_and_its_card_names_the_baseline(name: str) -> None:
    assert sum(path.stat().st_size for path in (HOME / name).iterdir()) <= 8e6
    card = (HOME / name / "README.md").read_text()
    assert "label history" in card and "Limits" in card and "seed" in card


def test_plurel_small_has_learnt_that_the_past_tells_the_future(tmp_path: Path, write_shop) -> None:
    """Half of the users are active at every time, the others never; no column says so, only past labels do."""
    folder = write_shop(tmp_path / "shop", 0)
    for split in ("train", "val", "test"):
        path = folder / "tasks" / "user-active" / f"{split}.parquet"
        labels = pd.read_parquet(path)
        labels["is_active"] = (labels.user_id * 7 % 12 < 6).astype(int)
        labels.to_parquet(path)
    store = rfm.Store.build(folder, tmp_path / "stores" / "shop", progress=False)
    model = rfm.load_pretrained("plurel-small")
    probability = rfm.predict_task(model, store, store.texts, "user-active", "test", ctx_len=128, progress=False)
    is_active = store.task_targets("user-active", "test") == 1
    assert 0 < is_active.sum() < len(is_active)
    assert roc_auc_score(is_active, probability) > 0.9


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(rfm.RfmError, match="did you mean 'plurel-small'"):
        rfm.load_pretrained("plurel-smal")
