"""Databases and corpora: determinism, the key contract of the format's own client, and what happens to damage."""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
import sys
import time
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
from plurel.columns import is_kept
from plurel.schema import draw_schema
from plurel.scm import TableSCM

SMALL = Config.from_dict(
    {
        "name": "small",
        "database_params": {
            "num_tables_choices": {"kind": "range", "value": [3, 6]},
            "num_rows_entity_table_choices": {"kind": "range", "value": [20, 40]},
            "num_rows_activity_table_choices": {"kind": "range", "value": [100, 200]},
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
            entity, activity = params.num_rows_entity_table_choices, params.num_rows_activity_table_choices
            rows = entity if name in referenced else activity
            assert rows.value[0] <= len(table) <= rows.value[1]
            assert (table.time_col is None) == (name in referenced)
            features = [c for c in table.df if c.startswith("feature_")]
            assert 1 <= len(features) <= 40
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


def test_the_key_contract_holds_in_whole_and_cut_databases() -> None:
    """Keys are 0 ... n - 1 in order of time; what lies after the test timestamp is gone from the cut database."""
    for seed in range(3):
        dataset = SyntheticDataset(seed, SMALL)
        whole, cut = dataset.get_db(upto_test_timestamp=False), dataset.get_db()
        for name, table in whole.table_dict.items():
            for db in (whole, cut):
                df = db.table_dict[name].df
                assert (df["row_idx"] == np.arange(len(df))).all()
                assert table.time_col is None or df["date"].is_monotonic_increasing
            if table.time_col is None:
                assert len(cut.table_dict[name]) == len(table)
            else:
                expected = table.df[table.df["date"] <= dataset.test_timestamp]
                assert 0 < len(cut.table_dict[name]) == len(expected) < len(table)
                assert table.df["date"].diff().dropna().dt.total_seconds().std() <= 1  # evenly spaced, whole seconds
            pd.testing.assert_frame_equal(cut.table_dict[name].df, table.df.iloc[: len(cut.table_dict[name])])


def test_every_table_keeps_a_feature() -> None:
    """Where all of a table's booleans would be constant, its causal model is drawn again, or the prior refused."""
    few = {"num_cols_choices": {"kind": "range", "value": [1, 1]}}
    tree = SMALL.to_dict() | {"scm_params": {"col_stype_choices": {"kind": "set", "value": ["categorical"]}}}
    redrawn = 0
    for seed in range(8):
        config = Config.from_dict(tree | {"database_params": tree["database_params"] | few})
        dataset = SyntheticDataset(seed, config)
        for name, table in dataset.make_db().table_dict.items():
            assert [c for c in table.df if c.startswith("feature_")] == ["feature_0"]
            first = TableSCM(seed, next(t for t in dataset.schema.tables if t.name == name), config)
            if not table.fkey_col_to_pkey_table:
                redrawn += not is_kept(first.propagate()[0])
    assert redrawn > 0
    one_row = {"num_rows_entity_table_choices": {"kind": "range", "value": [1, 1]}}
    with pytest.raises(PlurelError, match=r"every column of table_\d+ is a constant boolean"):
        SyntheticDataset(0, Config.from_dict(tree | {"database_params": tree["database_params"] | one_row})).make_db()


@pytest.mark.parametrize("seed", [-1, 1.5, "one", None])
def test_seeds_are_whole_numbers(seed: object) -> None:
    with pytest.raises(PlurelError, match="a seed is a whole number"):
        SyntheticDataset(seed)
    assert SyntheticDataset(np.int64(3), SMALL).seed == 3


def test_windows_leave_room_for_both_splits() -> None:
    for seed in range(300):
        schema = draw_schema(seed, Config())
        assert (schema.end - schema.start).days >= 30
        assert schema.start < schema.val_timestamp < schema.test_timestamp < schema.end


@pytest.mark.parametrize(("preset", "share"), [("paper", 0.25), ("main", 0.15)])
def test_children_depend_on_their_parents(preset: str, share: float) -> None:
    """Parents tell their children's values apart far more often than parents assigned at random do."""
    linked = by_chance = total = 0
    for seed in range(6):
        db = SyntheticDataset(seed, Config.preset(preset)).make_db()
        rng = np.random.default_rng(0)
        for table in db.table_dict.values():
            for fkey in table.fkey_col_to_pkey_table:
                for column in [c for c in table.df if c.startswith("feature_")][:5]:
                    values = table.df[column].astype(float).rank()
                    between = values.groupby(table.df[fkey]).mean().var()
                    one, two = (values.groupby(rng.permutation(table.df[fkey])).mean().var() for _ in range(2))
                    linked, by_chance, total = linked + (between > 1.2 * one), by_chance + (two > 1.2 * one), total + 1
    assert linked > share * total
    assert linked > 3 * by_chance


def test_pretraining_seeds_keep_to_the_limit_and_nest() -> None:
    seeds = pretraining_seeds(Config(), 30, start=5, max_fkeys=2)
    assert seeds[0] >= 5
    assert pretraining_seeds(Config(), 10, start=5, max_fkeys=2) == seeds[:10]
    assert all(max_foreign_keys(s, Config()) <= 2 for s in seeds)
    assert any(max_foreign_keys(s, Config()) > 2 for s in range(5, seeds[-1]))


def test_a_limit_that_no_seed_keeps_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plurel.schema._SEEDS_IN_VAIN", 30)
    with pytest.raises(PlurelError, match="30 databases up to seed 34 have a table of more than 0 foreign keys"):
        pretraining_seeds(Config(), 1, start=5, max_fkeys=0)


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


@pytest.mark.parametrize("content", [b"\xff\xfe\x80", b"[]", b"{"])
def test_damaged_records_are_named(tmp_path: Path, content: bytes) -> None:
    (folder,) = generate_corpus(tmp_path, [0], SMALL, progress=False)
    before = digest(folder)
    (folder / "files.json").write_bytes(content)
    with pytest.raises(PlurelError, match=r"files\.json is damaged"):
        load_corpus(tmp_path)
    generate_corpus(tmp_path, [0], SMALL, progress=False)
    assert digest(folder) == before
    (tmp_path / "corpus.yaml").write_bytes(content)
    with pytest.raises(PlurelError, match=r"corpus\.yaml is damaged"):
        load_corpus(tmp_path)


def test_a_folder_of_another_prior_is_never_taken_for_ours(tmp_path: Path) -> None:
    """Even where the record that would tell is gone."""
    other = Config.from_dict(SMALL.to_dict() | {"val_split": 0.7})
    (expected,) = generate_corpus(tmp_path / "expected", [0], SMALL, progress=False)
    (folder,) = generate_corpus(tmp_path / "corpus", [0], other, progress=False)
    (tmp_path / "corpus" / "corpus.yaml").unlink()
    generate_corpus(tmp_path / "corpus", [0], SMALL, progress=False)
    assert digest(folder) == digest(expected)


def test_a_killed_generation_continues(tmp_path: Path) -> None:
    """SIGKILL at some point in the middle: whole folders stay, the rest is made, nothing else remains."""
    code = (
        "import sys, yaml\nfrom plurel import Config, generate_corpus\n"
        "generate_corpus(sys.argv[1], range(40), Config.from_dict(yaml.safe_load(sys.argv[2])), progress=False)"
    )
    corpus = tmp_path / "corpus"
    process = subprocess.Popen([sys.executable, "-c", code, str(corpus), json.dumps(SMALL.to_dict())])
    deadline = time.monotonic() + 60
    while not (corpus / "small-1").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = sorted(p.name for p in corpus.glob("small-*"))
    assert 2 <= len(done) < 40
    with pytest.raises(PlurelError, match="missing or half-written"):
        load_corpus(corpus)
    (corpus / ".small-39.tmp").mkdir(exist_ok=True)  # where a kill during the writing leaves its files
    (corpus / ".small-39.tmp" / "manifest.yaml").write_text("half")
    stamps = {name: (corpus / name / "files.json").stat().st_mtime_ns for name in done}
    folders = generate_corpus(corpus, range(40), SMALL, workers=2, progress=False)
    assert folders == load_corpus(corpus)
    assert {name: (corpus / name / "files.json").stat().st_mtime_ns for name in done} == stamps
    assert sorted(p.name for p in corpus.iterdir()) == sorted(["corpus.yaml", *(p.name for p in folders)])
    again = generate_corpus(tmp_path / "again", [0, 1, 2, 39], SMALL, progress=False)
    assert [digest(p) for p in again] == [digest(folders[i]) for i in (0, 1, 2, 39)]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        generate_corpus(tmp_path, [0], SMALL, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["corpus.yaml"]


def test_the_public_client_accepts_a_default_database(tmp_path: Path, shared: Path) -> None:
    (folder,) = generate_corpus(tmp_path, [9], progress=False)
    check = [sys.executable, str(shared / "peers" / "check_folder.py"), str(folder)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


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
