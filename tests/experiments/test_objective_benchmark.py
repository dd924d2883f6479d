"""The benchmark of objectives trains each of them on the same corpus and keeps what is finished."""

from __future__ import annotations

from pathlib import Path

import plurel
from experiments.benchmarks import objective

SMALL = {
    "num_tables_choices": {"kind": "range", "value": [3, 4]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [30, 40]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [60, 90]},
}


def test_one_row_for_each_objective_and_length(tmp_path: Path) -> None:
    prior = plurel.Config.from_dict({"name": "small", "database_params": SMALL})
    for name, seed in (("corpus", 0), ("validation", 9)):
        plurel.generate_corpus(tmp_path / name, [seed], prior, progress=False)
    folders = [f"--{name}={tmp_path / name}" for name in ("corpus", "validation", "out")]
    tiny = ["profile=smoke", "grid.tokens=[4096,8192]", "threads=1", "train.accelerator=cpu", "train.warmup_steps=1"]
    args = objective.parse_args([*folders, "--objectives=paper,dense:0.3", "--seeds=0", *tiny])
    found = objective.run(args)
    assert found[["objective", "tokens"]].values.tolist() == [
        ["paper", 4096],
        ["paper", 8192],
        ["dense:0.3", 4096],
        ["dense:0.3", 8192],
    ]
    assert found["loss"].notna().all() and objective.table(found).shape == (2, 2)
    assert objective.run(args).equals(found)
