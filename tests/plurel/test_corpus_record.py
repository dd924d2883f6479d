"""A corpus is made again from its corpus.yaml, wherever that lies; jobs share one; what cannot be is refused first."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from plurel import Config, PlurelError, corpus_recipe, generate_corpus, load_corpus
from plurel.executors import RayExecutor

TINY = {
    "num_tables_choices": {"kind": "range", "value": [3, 3]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [10, 20]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [30, 40]},
    "num_cols_choices": {"kind": "range", "value": [3, 5]},
}
PRIOR = Config.from_dict({"name": "tiny", "database_params": TINY})


def content(corpus: Path) -> dict[str, bytes]:
    files = (path for path in corpus.rglob("*") if path.is_file())
    return {path.relative_to(corpus).as_posix(): path.read_bytes() for path in files}


def test_a_corpus_is_made_again_from_its_record_alone(tmp_path: Path) -> None:
    generate_corpus(tmp_path / "old", [5, 2], PRIOR, progress=False)
    (tmp_path / "mail").mkdir()
    record = tmp_path / "mail" / "corpus.yaml"
    record.write_bytes((tmp_path / "old" / "corpus.yaml").read_bytes())
    prior, seeds = corpus_recipe(record)
    generate_corpus(tmp_path / "new", seeds, prior, progress=False)
    assert content(tmp_path / "new") == content(tmp_path / "old")


def test_a_schema_file_travels_with_its_corpus(tmp_path: Path) -> None:
    schema = tmp_path / "shop.sql"
    schema.write_text(
        "CREATE TABLE shop (id INT PRIMARY KEY, size REAL NOT NULL);\n"
        "CREATE TABLE sale (id INT PRIMARY KEY, shop_id INT REFERENCES shop (id), price REAL);\n"
    )
    prior = Config.from_dict({"name": "shop", "database_params": TINY, "schema_file": str(schema)})
    generate_corpus(tmp_path / "old", [0], prior, progress=False)
    (tmp_path / "old" / "schema.sql").write_text("CREATE TABLE shop (id INT PRIMARY KEY, size REAL);")
    with pytest.raises(PlurelError, match="it was altered"):
        corpus_recipe(tmp_path / "old")
    generate_corpus(tmp_path / "old", [0], prior, progress=False)  # mends it
    schema.unlink()
    (tmp_path / "old").rename(tmp_path / "moved")
    prior, seeds = corpus_recipe(tmp_path / "moved")
    generate_corpus(tmp_path / "new", seeds, prior, progress=False)
    assert content(tmp_path / "new") == content(tmp_path / "moved")


def test_no_column_name_leads_out_of_the_corpus(tmp_path: Path) -> None:
    """A task is named after its column and is a folder: the next column takes the place of one with slashes."""
    schema = tmp_path / "shop.sql"
    schema.write_text(
        'CREATE TABLE sale (id INT PRIMARY KEY, at DATE, "/../../../evil" REAL, "EUR/kg" REAL NOT NULL, tax REAL);'
    )
    prior = Config.from_dict({"name": "shop", "schema_file": str(schema), "rows": {"sale": 300}})
    (folder,) = generate_corpus(tmp_path / "corpus", [0], prior, progress=False)
    assert [path.parent.name for path in folder.rglob("tasks/**/manifest.yaml")] == ["sale-tax"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "shop.sql"]


def test_parts_of_one_corpus_make_the_whole(tmp_path: Path) -> None:
    generate_corpus(tmp_path / "whole", range(5), PRIOR, progress=False)
    parts = [generate_corpus(tmp_path / "parts", range(5), PRIOR, part=(i, 3), progress=False) for i in (1, 2)]
    assert [[folder.name for folder in part] for part in parts] == [["tiny-1", "tiny-4"], ["tiny-2"]]
    with pytest.raises(PlurelError, match="tiny-0"):
        load_corpus(tmp_path / "parts")
    generate_corpus(tmp_path / "parts", range(5), PRIOR, part=(0, 3), progress=False)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    with pytest.raises(PlurelError, match="part 3 of 3"):
        generate_corpus(tmp_path / "parts", range(5), PRIOR, part=(3, 3), progress=False)


def test_another_prior_is_refused_by_the_key_that_differs(tmp_path: Path) -> None:
    generate_corpus(tmp_path, [0], PRIOR, progress=False)
    other = Config.from_dict({"name": "tiny", "database_params": TINY, "dag_params": {"ba_m": 3}})
    with pytest.raises(PlurelError, match=r"dag_params\.ba_m is 2 there, 3 here"):
        generate_corpus(tmp_path, [0], other, progress=False)


@pytest.mark.parametrize(
    ("key", "value", "message"), [("version", 0, "version 0"), ("prior_hash", "0" * 16, "it was altered")]
)
def test_a_record_of_another_version_or_altered_is_no_recipe(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    generate_corpus(tmp_path, [0], PRIOR, progress=False)
    file = tmp_path / "corpus.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {key: value}))
    with pytest.raises(PlurelError, match=message):
        corpus_recipe(file)
    if key == "version":
        with pytest.raises(PlurelError, match=message):
            generate_corpus(tmp_path, [1], PRIOR, progress=False)
        with pytest.raises(PlurelError, match=message):
            load_corpus(tmp_path)


def test_a_path_that_cannot_be_written_is_refused_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plurel.corpus._make", lambda *_: pytest.fail("work began"))
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "corpus", Path("/proc/corpus")):
        with pytest.raises(PlurelError, match=f"{path} cannot be written to"):
            generate_corpus(path, [0], PRIOR, progress=False)


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_makes_the_same_corpus(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra `cluster`")
    generate_corpus(tmp_path / "here", range(6), PRIOR, progress=False)
    with RayExecutor(workers=2) as executor:
        generate_corpus(tmp_path / "ray", range(6), PRIOR, executor=executor, progress=False)
    assert content(tmp_path / "ray") == content(tmp_path / "here")
