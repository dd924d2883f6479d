"""The data card counts what a real library reads, shows databases of the corpus, and names what is damaged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import relbench

import plurel
from analysis.report.data_card import DataCard
from experiments.data_card import count_database, differing_options, example_names, write_data_card
from experiments.errors import ExperimentError
from plurel.choices import Choices


@pytest.fixture(scope="module")
def prior() -> plurel.Config:
    small = dataclasses.replace(
        plurel.Config().database_params,
        num_tables_choices=Choices("range", (3, 4)),
        num_rows_entity_table_choices=Choices("range", (20, 30)),
        num_rows_activity_table_choices=Choices("range", (40, 60)),
        num_cols_choices=Choices("range", (3, 4)),
    )
    return dataclasses.replace(plurel.Config.preset("diverse"), database_params=small, name="tiny")


@pytest.fixture
def run_dir(tmp_path: Path, prior: plurel.Config) -> Path:
    for pool, seeds in (("train", [0, 1]), ("validation", [7])):
        plurel.generate_corpus(tmp_path / "corpus" / pool, seeds, prior, progress=False)
    return tmp_path


def test_card_is_what_relbench_reads(run_dir: Path, prior: plurel.Config) -> None:
    write_data_card(run_dir)
    card = json.loads((run_dir / "data_card.json").read_text())
    assert (card["prior"], card["prior_hash"]) == ("tiny", prior.hash())
    assert (card["num_databases"], card["num_validation"]) == (2, 1)
    for entry in card["databases"]:
        folder = run_dir / "corpus" / "train" / entry["name"]
        tables = relbench.load_dataset(folder).get_db(upto_test_timestamp=False).table_dict.values()
        assert entry["tables"] == len(tables)
        assert entry["rows"] == sum(len(table.df) for table in tables)
        assert entry["foreign_keys"] == sum(len(table.fkey_col_to_pkey_table) for table in tables)
        keys = [[*t.fkey_col_to_pkey_table, t.pkey_col, t.time_col] for t in tables]
        assert entry["columns"] == sum(
            len(set(t.df.columns) - set(names)) for t, names in zip(tables, keys, strict=True)
        )
    read = DataCard.read(run_dir)
    assert [example.name for example in read.examples] == card["examples"]
    assert read.options["hidden state prob"] == "0.6" and read.options["num tables"] == "3 to 4"


def test_a_card_stays_where_the_corpora_are_gone(run_dir: Path, tmp_path: Path) -> None:
    path = write_data_card(run_dir)
    before = path.read_bytes()
    (run_dir / "corpus").rename(run_dir / "moved")
    assert write_data_card(run_dir) == path and path.read_bytes() == before
    assert write_data_card(tmp_path / "nothing") is None


def test_damage_is_named(run_dir: Path) -> None:
    train = run_dir / "corpus" / "train"
    table = sorted((train / "tiny-0" / "db").glob("*.parquet"))[0]
    content = table.read_bytes()
    table.write_bytes(content[:50])
    with pytest.raises(ExperimentError, match=rf"{table.name} cannot be read"):
        count_database(train / "tiny-0")
    table.write_bytes(content)
    (train / "corpus.yaml").write_text("name: tiny\n")
    with pytest.raises(ExperimentError, match=r"corpus\.yaml is damaged \(key 'seeds'\)"):
        write_data_card(run_dir)
    (train / "corpus.yaml").write_text("- 1\n")
    with pytest.raises(ExperimentError, match=r"corpus\.yaml must hold a mapping"):
        write_data_card(run_dir)


def test_examples_are_the_smallest_the_middle_and_the_largest() -> None:
    databases = [dict(name=f"d{tables}", tables=tables) for tables in (9, 3, 7, 5, 4)]
    assert example_names(databases) == ["d3", "d5", "d9"]
    assert example_names(databases[:2]) == ["d3", "d9"] and example_names(databases[:1]) == ["d9"]


def test_options_are_the_differences_from_main(prior: plurel.Config) -> None:
    assert differing_options(plurel.Config.preset("main").to_dict()) == {}
    assert differing_options(plurel.Config.preset("paper").to_dict())["scm_params.mlp_num_layers_choices"] == "2"
    at_home = prior.to_dict() | {"schema_file": "/home/me/shop.sql"}
    assert differing_options(at_home)["schema_file"] == "shop.sql"
