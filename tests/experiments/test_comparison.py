"""The comparison keeps what is computed, counts wins by intervals, and trains what it says on what it may."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from analysis.transfer import compare_models, read_transfer
from experiments.comparison import check_config, count_wins, entries, run
from experiments.continue_pretraining import other_stores
from experiments.errors import ExperimentError
from experiments.finetune import choose_trained
from experiments.task_models import TaskModels
from rfm.checkpoint import save_checkpoint
from rfm.datamodule import labelled_rows
from rfm.model import ModelConfig
from rfm.module import new_model

CONF = Path(__file__).resolve().parents[2] / "conf"
SIZES = ModelConfig(num_blocks=2, d_model=32, num_heads=2, d_ff=64, d_text=64)
TINY = [
    "model=tiny",
    "model.d_text=64",
    "text_model=hash",
    "threads=1",
    "num_seeds=2",
    "scratch_steps=4",
    "transfer.finetune_steps=3",
]
TINY += ["train.ctx_len=32", "train.batch_size=8", "train.warmup_steps=1", "continued.max_steps=3"]
TINY += ["graphsage.max_steps=4", "graphsage.check_every=2", "graphsage.d_model=8", "graphsage.batch_size=16"]


def composed(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("comparison", list(overrides))


@pytest.fixture
def tiny(tmp_path: Path, write_shop):
    shops = [str(write_shop(tmp_path / f"shop-{seed}", seed)) for seed in range(2)]
    save_checkpoint(new_model(SIZES, 0), tmp_path / "checkpoint")
    places = [f"run.dir={tmp_path / 'run'}", f"store_dir={tmp_path / 'stores'}", f"checkpoint={tmp_path}/checkpoint"]
    return composed(*TINY, *places, f"transfer.datasets=[{','.join(shops)}]", "transfer.tasks=[user-spend]")


def test_every_model_in_one_table_and_nothing_computed_twice(tiny, monkeypatch, capsys) -> None:
    run_dir = run(tiny)
    table = read_transfer(run_dir / "transfer.csv")
    assert set(table["model"]) == set(tiny.models)
    assert {"lower", "upper", "lift_lower", "lift_upper", "seed"} <= set(table)
    assert set(table.loc[table["model"] == "boosting", "seed"]) == {0, 1}
    assert len(compare_models(table)) == 2 * 3  # a task of either database, three metrics
    lifts = pd.read_csv(run_dir / "lifts.csv")
    reference = lifts[lifts["model"] == "label_history"]
    assert (reference[["lift", "lift_lower", "lift_upper"]] == 0).all(axis=None)
    chosen = (table["split"] == "test") & (table["model"] == "boosting") & (table["metric"] == "r2")
    values = table[chosen].groupby("dataset")["value"].mean()
    own = lifts[(lifts["model"] == "boosting") & (lifts["metric"] == "r2")].set_index("dataset")["value"]
    pd.testing.assert_series_equal(own.sort_index(), values.sort_index(), check_names=False, rtol=1e-4)
    assert (run_dir / "pretrained" / "continued-without-shop-1-seed0" / "checkpoint" / "config.json").exists()

    monkeypatch.setattr(TaskModels, "predict", lambda *_: pytest.fail("computed twice"))
    run(tiny)
    pd.testing.assert_frame_equal(read_transfer(run_dir / "transfer.csv"), table)


def test_entries_have_seeds_where_something_is_trained() -> None:
    cfg = composed("num_seeds=2", "label_fracs=[0.1,1]", "models=[label_history,zero-shot,continued,boosting]")
    found = [(e.model, e.seed, e.label_frac) for e in entries(cfg)]
    assert found == [
        ("label_history", 0, 1.0),
        *[("boosting", seed, part) for part in (1.0, 0.1) for seed in (0, 1)],
        ("zero-shot", 0, 1.0),
        ("continued", 0, 1.0),
        ("continued", 1, 1.0),
    ]


def test_wins_are_counted_by_the_interval() -> None:
    rows = [("a", "auroc", 1.0, 0.5, 2.0), ("b", "r2", 1.0, -1.0, 3.0), ("c", "r2", -2.0, -3.0, -1.0)]
    columns = ["task", "metric", "lift", "lift_lower", "lift_upper"]
    lifts = pd.DataFrame(rows, columns=columns).assign(model="boosting", label_frac=1.0)
    history = lifts.assign(model="label_history", lift=0.0)
    (row,) = count_wins(pd.concat([lifts, history])).itertuples()
    assert (row.Index, row.tasks, row.wins, row.clear_wins, row.clear_losses) == ("boosting", 3, 2, 1, 1)
    assert row.mean_lift == 0.0


def test_all_complaints_come_at_once() -> None:
    cfg = composed("models=[boosting]", "label_fracs=[0.1]", "transfer.protocol=online", "num_seeds=0")
    with pytest.raises(ExperimentError, match=r"models.*transfer\.protocol.*num_seeds.*label_fracs"):
        check_config(cfg)


def test_leaving_out_names_what_is_there() -> None:
    stores = [SimpleNamespace(name=f"shop-{i}") for i in range(2)]
    assert [s.name for s in other_stores(stores, "shop-0")] == ["shop-1"]
    with pytest.raises(ExperimentError, match="shop-2 is none of the databases shop-0, shop-1"):
        other_stores(stores, "shop-2")
    with pytest.raises(ExperimentError, match="only database"):
        other_stores(stores[:1], "shop-0")


def test_parts_of_the_labels_are_nested(open_shop, shop_tables) -> None:
    _, store, _ = open_shop(shop_tables)
    known = np.flatnonzero(~np.isnan(store.task_targets("user-spend", "train")))
    parts = {f: set(labelled_rows(store, "user-spend", f, seed=3)[0].tolist()) for f in (0.01, 0.25, 1.0)}
    assert parts[0.01] < parts[0.25] < parts[1.0] == set(known.tolist())
    assert len(parts[0.01]) == 1 and len(parts[0.25]) == round(0.25 * len(known))


def test_last_blocks_train_alone() -> None:
    model = new_model(ModelConfig(num_blocks=3, d_model=16, num_heads=2, d_ff=16, d_text=64), 0)
    choose_trained(model, 1)
    trained = {name.split(".")[0] + "." + name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in trained if name.startswith("blocks")} == {"blocks.2"}
    assert not model.enc_dict["number"].weight.requires_grad and model.dec_dict["number"].weight.requires_grad
    choose_trained(model, None)
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(ExperimentError, match="3 blocks"):
        choose_trained(model, 4)
