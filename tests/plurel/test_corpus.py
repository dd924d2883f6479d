"""Databases and corpora: determinism, the key contract of the format's own client, and what happens to damage."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench
from relbench.manifest import validate_dataset_manifest

from plurel import (
    Config,
    PlurelError,
    SyntheticDataset,
    generate_corpus,
    load_corpus,
    max_foreign_keys,
    pretraining_seeds,
)
from plurel.schema import draw_schema

SMALL = Config.from_dict(
    {
        "name": "small",
        "database_params": {
            "num_tables": {"kind": "range", "value": [3, 6]},
            "entity_rows": {"kind": "range", "value": [20, 40]},
            "activity_rows": {"kind": "range", "value": [100, 200]},
        },
    }
)


def digest(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()


def test_bytes_do_not_depend_on_process_workers_or_order(tmp_path: Path) -> None:
    one = generate_corpus(tmp_path / "one", [3, 1, 2], SMALL, progress=False)
    two = generate_corpus(tmp_path / "two", [1, 2, 3], SMALL, workers=2, progress=False)
    assert [p.name for p in one] == ["small-3", "small-1", "small-2"]
    assert sorted(map(digest, one)) == sorted(map(digest, two))
    assert len({digest(p) for p in one}) == 3


def test_a_database_is_the_same_in_another_process_with_other_threads() -> None:
    code = (
        "from plurel import SyntheticDataset\nimport pandas as pd\n"
        "db = SyntheticDataset(5).make_db()\n"
        "print([int(pd.util.hash_pandas_object(t.df).sum() % 2**53) for t in db.table_dict.values()])"
    )
    outputs = []
    for threads in ("1", "3"):
        env = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PATH": ""}
        outputs.append(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        )
    here = [
        int(pd.util.hash_pandas_object(t.df).sum() % 2**53) for t in SyntheticDataset(5).make_db().table_dict.values()
    ]
    assert json.loads(outputs[0].stdout) == json.loads(outputs[1].stdout) == here


def test_relbench_loads_and_scores_every_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = set()
    for folder in generate_corpus(tmp_path, range(4), SMALL, progress=False):
        dataset = relbench.load_dataset(folder)
        validate_dataset_manifest(dataset.manifest, dataset.db_dir)
        dataset.get_db()
        dataset.get_db(upto_test_timestamp=False)
        for name in dataset.get_task_names():
            task = dataset.load_task(name)
            kinds.add(task.task_type.value)
            for split in ("train", "val", "test"):
                table = task.get_table(split, mask_input_cols=False)
                assert len(table.df) > 0
                if task.task_type.value == "regression" or table.df[task.target_col].nunique() == 2:
                    assert np.isfinite(list(task.evaluate(rng.random(len(table.df)), table).values())).all()
    assert kinds == {"binary_classification", "regression"}


def test_the_papers_ranges_hold() -> None:
    """Section 3: tables, rows, columns, missing values and dates of default databases."""
    config, params = Config(), Config().database_params
    for seed in range(3):
        dataset = SyntheticDataset(seed)
        db = dataset.make_db()
        assert 3 <= len(db.table_dict) <= 20
        assert pd.Timestamp("1990-01-01") <= db.min_timestamp < dataset.val_timestamp
        assert dataset.val_timestamp < dataset.test_timestamp < db.max_timestamp <= pd.Timestamp("2025-01-01")
        referenced = {p for t in db.table_dict.values() for p in t.fkey_col_to_pkey_table.values()}
        for name, table in db.table_dict.items():
            rows = params.entity_rows if name in referenced else params.activity_rows
            assert rows.value[0] <= len(table) <= rows.value[1]
            assert (table.time_col is None) == (name in referenced)
            features = [c for c in table.df if c.startswith("feature_")]
            assert len(features) <= 40
            assert {table.df[c].dtype.kind for c in features} <= {"b", "f"}
            for column in features:
                values = table.df[column]
                if values.dtype.kind == "f":
                    assert 0.0 < values.isna().mean() < 0.15
                    assert np.isfinite(values.dropna()).all()
                else:
                    assert values.nunique() == 2
            for fkey, parent in table.fkey_col_to_pkey_table.items():
                assert table.df[fkey].between(0, len(db.table_dict[parent]) - 1).all()
        assert max_foreign_keys(seed, config) == max(len(t.fkey_col_to_pkey_table) for t in db.table_dict.values())


def test_windows_leave_room_for_both_splits() -> None:
    for seed in range(300):
        schema = draw_schema(seed, Config())
        assert (schema.end - schema.start).days >= 30
        assert schema.start < schema.val_timestamp < schema.test_timestamp < schema.end


def test_children_depend_on_their_parents() -> None:
    """Parents tell their children's values apart far more often than parents assigned at random do."""
    linked = by_chance = total = 0
    for seed in range(6):
        db = SyntheticDataset(seed).make_db()
        rng = np.random.default_rng(0)
        for table in db.table_dict.values():
            for fkey in table.fkey_col_to_pkey_table:
                for column in [c for c in table.df if c.startswith("feature_")][:5]:
                    values = table.df[column].astype(float).rank()
                    between = values.groupby(table.df[fkey]).mean().var()
                    one, two = (values.groupby(rng.permutation(table.df[fkey])).mean().var() for _ in range(2))
                    linked, by_chance, total = linked + (between > 1.2 * one), by_chance + (two > 1.2 * one), total + 1
    assert linked > 0.25 * total
    assert linked > 5 * by_chance


def test_pretraining_seeds_keep_to_the_limit_and_nest() -> None:
    seeds = pretraining_seeds(Config(), 30, start=5, max_fkeys=2)
    assert seeds[0] >= 5
    assert pretraining_seeds(Config(), 10, start=5, max_fkeys=2) == seeds[:10]
    assert all(max_foreign_keys(s, Config()) <= 2 for s in seeds)
    assert any(max_foreign_keys(s, Config()) > 2 for s in range(5, seeds[-1]))


@pytest.mark.parametrize("damage", ["truncated", "missing", "extra", "half-written"])
def test_damage_is_noticed_named_and_made_again(tmp_path: Path, damage: str) -> None:
    folders = generate_corpus(tmp_path, [0, 1], SMALL, progress=False)
    before, untouched = digest(folders[0]), (folders[1] / "manifest.yaml").stat().st_mtime_ns
    victim = next((folders[0] / "db").glob("*.parquet"))
    if damage == "truncated":
        victim.write_bytes(victim.read_bytes()[:-7])
    elif damage == "missing":
        victim.unlink()
    elif damage == "extra":
        (folders[0] / "db" / "stray.parquet").write_bytes(b"x")
    else:
        (folders[0] / "files.json").unlink()
    with pytest.raises(PlurelError, match="small-0"):
        load_corpus(tmp_path)
    assert generate_corpus(tmp_path, [0, 1], SMALL, progress=False) == folders == load_corpus(tmp_path)
    assert digest(folders[0]) == before
    assert (folders[1] / "manifest.yaml").stat().st_mtime_ns == untouched


def test_a_corpus_grows_but_keeps_its_prior(tmp_path: Path) -> None:
    generate_corpus(tmp_path, [0], SMALL, progress=False)
    generate_corpus(tmp_path, [4, 0], SMALL, progress=False)
    assert [p.name for p in load_corpus(tmp_path)] == ["small-0", "small-4"]
    other = Config.from_dict(SMALL.to_dict() | {"val_split": 0.7})
    with pytest.raises(PlurelError, match="holds a corpus of prior small"):
        generate_corpus(tmp_path, [0], other, progress=False)
    with pytest.raises(PlurelError, match="distinct"):
        generate_corpus(tmp_path / "new", [1, 1], SMALL, progress=False)
    with pytest.raises(PlurelError, match=r"no corpus\.yaml"):
        load_corpus(tmp_path / "nowhere")
    (tmp_path / "corpus.yaml").write_text("version: [")
    with pytest.raises(PlurelError, match="damaged"):
        load_corpus(tmp_path)
