"""Places that cannot be written to, and corpora of another prior or version: one clear error before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from plurel import Config, PlurelError, SyntheticDataset, generate_corpus, load_corpus, to_duckdb, to_sqlite

TINY = {
    "database_params": {
        "num_tables_choices": {"kind": "range", "value": [2, 2]},
        "num_rows_entity_table_choices": {"kind": "range", "value": [20, 20]},
        "num_rows_activity_table_choices": {"kind": "range", "value": [20, 20]},
    }
}


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_db(self: SyntheticDataset) -> None:
        raise AssertionError("a database was made")

    monkeypatch.setattr(SyntheticDataset, "make_db", make_db)


def blocked(tmp_path: Path) -> Path:
    """A path below a file, which not even root can write to."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "below"


def test_a_corpus_in_no_place(tmp_path: Path, no_work: None) -> None:
    path = blocked(tmp_path)
    with pytest.raises(PlurelError, match=rf"{path}.*cannot be written"):
        generate_corpus(path / "corpus", [0], Config.from_dict(TINY), progress=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path, no_work: None) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PlurelError, match="cannot be written"):
        generate_corpus(tmp_path / "corpus", [0], Config.from_dict(TINY), progress=False)


def test_exports_in_no_place(tmp_path: Path) -> None:
    db = SyntheticDataset(0, Config.from_dict(TINY)).make_db()
    for export in (to_sqlite, to_duckdb):
        with pytest.raises(PlurelError, match="cannot be written"):
            export(db, blocked(tmp_path) / "x.db")


def test_an_impossible_schema_stops_a_corpus_before_it_starts(tmp_path: Path, no_work: None) -> None:
    (tmp_path / "cycle.sql").write_text(
        "CREATE TABLE a (i int PRIMARY KEY REFERENCES b); CREATE TABLE b (i int PRIMARY KEY REFERENCES a);"
    )
    config = Config.from_dict(TINY | {"schema_file": str(tmp_path / "cycle.sql")})
    with pytest.raises(PlurelError, match="cycle"):
        generate_corpus(tmp_path / "corpus", [0], config, progress=False)
    assert not (tmp_path / "corpus").exists()


def test_a_corpus_of_another_prior_or_version(tmp_path: Path) -> None:
    path, config = tmp_path / "corpus", Config.from_dict(TINY)
    generate_corpus(path, [0], config, progress=False)
    with pytest.raises(PlurelError, match=r"holds a corpus of prior main .*, not main .*choose another path"):
        generate_corpus(path, [0], Config.from_dict(TINY | {"val_split": 0.7}), progress=False)
    record = yaml.safe_load((path / "corpus.yaml").read_text())
    (path / "corpus.yaml").write_text(yaml.safe_dump(record | {"version": 1}))
    with pytest.raises(PlurelError, match="version 1"):
        generate_corpus(path, [0], config, progress=False)
    with pytest.raises(PlurelError, match="corpus of version 1, and this package"):
        load_corpus(path)
