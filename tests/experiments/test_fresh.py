"""Fresh databases: a batch is a function of (seed, step), whatever the workers and wherever a training starts."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import plurel
from experiments.cells import FreshPlan
from experiments.fresh import FreshDatabases, first_fresh_seed
from experiments.pretrain import pretrain_batches
from rfm.batch import Batch
from rfm.store import SemType, TextTable

SMALL = {
    "num_tables_choices": {"kind": "range", "value": [3, 4]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [20, 30]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [40, 60]},
}
TRAIN = {"ctx_len": 24, "batch_size": 4, "label_share": 0.0, "policy": "mixed", "max_bfs_width": 16}
TRAIN |= {"objective": "dense", "mask_rate": 0.15}


def fresh(folder: Path, workers: int) -> FreshDatabases:
    prior = plurel.Config.from_dict({"name": "small", "database_params": SMALL})
    texts = TextTable.open_or_create(folder, "hash")
    cfg = OmegaConf.create(TRAIN)
    return FreshDatabases(
        folder / "databases", prior, FreshPlan(window=2, steps_each=2), texts,
        lambda stores, texts: pretrain_batches(stores, texts, cfg, seed=5),
        first_seed=first_fresh_seed(0), max_fkeys=5, workers=workers,
    )  # fmt: skip


def content(batch: Batch) -> dict[str, np.ndarray]:
    """What a model sees: the numbering of texts depends on what a table held before, their embeddings do not."""
    names = [field.name for field in fields(batch) if "text" not in field.name and field.name != "name_idx"]
    shown = {name: getattr(batch, name).numpy() for name in names}
    embedded = {name: batch.text_embeddings[getattr(batch, name)].numpy() for name in ("name_idx", "text_idx")}
    embedded["text_idx"] = embedded["text_idx"] * (shown["sem_type"] == SemType.TEXT)[..., None]
    embedded["name_idx"] = embedded["name_idx"] * ~shown["is_padding"][..., None]
    return shown | embedded


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Batch], list[Batch], list[list[str]]]:
    """Steps 0 to 5 with one worker, then steps 3 to 5 alone with two; and what lay on the disk after each."""
    folder = tmp_path_factory.mktemp("one")
    databases, kept, batches = fresh(folder, 1), [], []
    for step in range(6):
        batches.append(databases.batch(step, 0, 1))
        stores = (folder / "databases" / "stores").iterdir()
        kept.append(sorted(p.name for p in stores if p.name != "texts"))
    databases.close()
    kept.append(sorted(p.name for p in folder.iterdir()))
    databases = fresh(tmp_path_factory.mktemp("two"), 2)
    later = [databases.batch(step, 0, 1) for step in range(3, 6)]
    databases.close()
    return batches, later, kept


def test_batches_do_not_depend_on_workers_nor_on_the_first_step(runs) -> None:
    batches, later, _ = runs
    for one, other in zip(batches[3:], later, strict=True):
        one, other = content(one), content(other)
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_only_the_window_is_on_the_disk_and_nothing_afterwards(runs) -> None:
    kept = runs[2]
    assert [len(names) for names in kept[:6]] == [2] * 6
    assert kept[0] == kept[1] != kept[2] == kept[3] != kept[4]
    assert kept[1][1] == kept[2][0]  # the younger one stays
    assert "databases" not in kept[6]


def test_runs_side_by_side_add_their_strings_to_tables_of_their_own(tmp_path: Path) -> None:
    """Two jobs of one grid share the strings of its fixed databases alone."""
    shared = TextTable.open_or_create(tmp_path, "hash")
    shared.ids(["known"])
    shared.embed()
    cfg, prior = OmegaConf.create(TRAIN), plurel.Config.from_dict({"name": "small", "database_params": SMALL})
    runs = [
        FreshDatabases(
            tmp_path / name, prior, FreshPlan(window=1, steps_each=1), shared,
            lambda stores, texts: pretrain_batches(stores, texts, cfg, seed=5),
            first_seed=first_fresh_seed(seed), max_fkeys=5, workers=1,
        )
        for seed, name in enumerate(("a", "b"))
    ]  # fmt: skip
    assert [run.texts.strings for run in runs] == [["known"]] * 2
    for k, run in enumerate(runs):
        run.texts.ids([f"own {k}"])
    assert [TextTable.open(run.texts.root).strings[1:] for run in runs] == [["own 0"], ["own 1"]]
    assert TextTable.open(tmp_path).strings == ["known"]
    for run in runs:
        run.close()
