"""A prior is data: strict, hashable, the same from Python and from YAML."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from plurel import Choices, Config, PlurelError

PAPER = Path(__file__).resolve().parents[2] / "conf" / "prior" / "paper.yaml"


def leaves(tree: dict, path: tuple = ()) -> list[tuple]:
    return [p for k, v in tree.items() for p in (leaves(v, (*path, k)) if isinstance(v, dict) else [(*path, k)])]


def test_the_yaml_file_spells_out_every_default() -> None:
    tree = yaml.safe_load(PAPER.read_text())
    assert Config.from_dict(tree) == Config() == Config.preset("paper")
    assert set(leaves(tree)) == set(leaves(Config().to_dict()))


def test_round_trip_and_hash() -> None:
    tree = Config().to_dict()
    assert Config.from_dict(yaml.safe_load(yaml.safe_dump(tree))) == Config()
    hashes = {Config().hash()}
    for path in leaves(tree):
        if path[-1] in ("kind", "value", "name", "earliest", "latest"):
            continue
        changed = copy.deepcopy(tree)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = inner[path[-1]] + (1 if isinstance(inner[path[-1]], int) else -0.001)
        hashes.add(Config.from_dict(changed).hash())
    numbers = [p for p in leaves(tree) if p[-1] not in ("kind", "value", "name", "earliest", "latest")]
    assert len(hashes) == 1 + len(numbers)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"database_params": {"num_table": 3}}, "did you mean 'num_tables'"),
        ({"database_params": {"num_tables": {"kind": "range", "value": [20, 3]}}}, "num_tables.*reversed"),
        ({"database_params": {"num_tables": {"kind": "set", "value": []}}}, "num_tables.*empty"),
        ({"database_params": {"num_tables": {"kind": "any", "value": [1]}}}, "must be range or set"),
        ({"database_params": {"link_diagonal": 1.5}}, r"link_diagonal must lie in \[0, 1\]"),
        ({"scm_params": {"activations": {"kind": "set", "value": ["rlu"]}}}, "'rlu'; did you mean relu"),
        ({"scm_params": {"layout": {"kind": "set", "value": ["ErdosRenji"]}}}, "did you mean ErdosRenyi"),
        ({"val_split": 0.9, "test_split": 0.8}, "val_split and test_split"),
        ({"database_params": {"earliest": "2030-01-01"}}, "min_window_days"),
        ({"scm_params": {"extra_nodes": "three"}}, "must be of type int"),
        ({"scm_params": [1]}, "must be a mapping"),
        ({"scm_params": {"noise_shapes": {"kind": "set", "value": [[-1, 2]]}}}, "noise_shapes.*pairs"),
        ({"scm_params": {"noise_shapes": {"kind": "set", "value": [3]}}}, "noise_shapes.*pairs"),
        ({"scm_params": {"d_embedding": 0}}, "d_embedding must be at least 1"),
        ({"scm_params": {"extra_nodes": -100}}, "extra_nodes must be at least 0"),
        ({"scm_params": {"cycle_fracs": {"kind": "set", "value": [0]}}}, "cycle_fracs must lie in"),
        ({"scm_params": {"layout": {"kind": "range", "value": [0, 1]}}}, "scm_params.layout must be of kind set"),
        ({"dag_params": {"ba_edges": 0}}, "ba_edges must be at least 1"),
        ({"dag_params": {"ws_neighbours": {"kind": "set", "value": ["two"]}}}, "ws_neighbours must be whole numbers"),
        ({"database_params": {"link_off_diagonal": {"kind": "set", "value": [0.1]}}}, "link_off_diagonal.*kind range"),
        ({"database_params": {"missing_rate": {"kind": "range", "value": [float("nan"), 1]}}}, "missing_rate.*range"),
        ({"name": "../elsewhere"}, "name must consist of letters"),
    ],
)
def test_bad_values_name_the_key(tree: dict, message: str) -> None:
    with pytest.raises(PlurelError, match=message):
        Config.from_dict(tree)


def test_whole_numbers_may_stand_for_real_ones() -> None:
    """[0, 2] for a real parameter is the interval, not the numbers 0, 1 and 2; and the same prior as [0.0, 2.0]."""
    whole, real = (
        Config.from_dict({"scm_params": {"trend_exponent": {"kind": "range", "value": v}}})
        for v in ([0, 2], [0.0, 2.0])
    )
    assert whole == real
    assert whole.hash() == real.hash() == Config().hash()
    rng = np.random.default_rng(0)
    assert len({whole.scm_params.trend_exponent.draw(rng) for _ in range(50)}) == 50


def test_all_complaints_come_together() -> None:
    with pytest.raises(PlurelError, match=r"link_diagonal.*categorical_prob"):
        Config.from_dict({"database_params": {"link_diagonal": -1.0}, "scm_params": {"categorical_prob": 2.0}})


def test_choices_draw_what_they_say() -> None:
    rng = np.random.default_rng(0)
    whole = Choices("range", (2, 5))
    counts = np.bincount([whole.draw(rng) for _ in range(4000)], minlength=6)
    assert counts[:2].sum() == 0
    assert stats.chisquare(counts[2:]).pvalue > 1e-3
    drawn = np.bincount([Choices("range", (3, 6)).draw_reciprocal(rng) for _ in range(6000)])[3:]
    expected = 1 / np.arange(3, 7)
    assert stats.chisquare(drawn, 6000 * expected / expected.sum()).pvalue > 1e-3
    assert {Choices("set", ("a", "b")).draw(rng) for _ in range(50)} == {"a", "b"}


def test_importing_plurel_needs_no_torch() -> None:
    code = "import sys, plurel; plurel.SyntheticDataset, plurel.generate_corpus; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
