"""A prior is data: strict, hashable, the same from Python and from YAML."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from plurel import (
    Choices,
    Config,
    DAGParams,
    DatabaseParams,
    DiversityParams,
    PlurelError,
    SCMParams,
    SyntheticDataset,
    corpus_recipe,
    generate_corpus,
)
from plurel.presets import PRESETS

PRIORS = Path(__file__).resolve().parents[2] / "conf" / "prior"
UNSHAPED = ("name", "cache_dir")


def leaves(tree: dict, path: tuple = ()) -> list[tuple]:
    return [p for k, v in tree.items() for p in (leaves(v, (*path, k)) if isinstance(v, dict) else [(*path, k)])]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_yaml_files_spell_out_the_presets(name: str) -> None:
    tree = yaml.safe_load((PRIORS / f"{name}.yaml").read_text())
    assert Config.from_dict(tree) == Config.preset(name)
    assert set(leaves(tree)) == set(leaves(Config.preset(name).to_dict()))


def test_every_yaml_file_is_a_preset_and_the_default_is_main() -> None:
    assert sorted(path.stem for path in PRIORS.glob("*.yaml")) == sorted(PRESETS)
    assert Config() == Config.preset("main")
    with pytest.raises(PlurelError, match="known: main, paper"):
        Config.preset("papper")


def test_round_trip_and_hash() -> None:
    tree = Config().to_dict()
    assert Config.from_dict(yaml.safe_load(yaml.safe_dump(tree))) == Config()
    hashes = {Config().hash()}
    numbers = [path for path in leaves(tree) if path[-1] not in UNSHAPED and isinstance(_at(tree, path), int | float)]
    for path in numbers:
        changed = copy.deepcopy(tree)
        step = 0.001 if _at(tree, path) == 0 else -0.001
        _at(changed, path[:-1])[path[-1]] += 1 if isinstance(_at(tree, path), int) else step
        hashes.add(Config.from_dict(changed).hash())
    assert len(hashes) == 1 + len(numbers) > 10


def _at(tree: dict, path: tuple) -> object:
    for key in path:
        tree = tree[key]
    return tree


def test_a_script_written_for_the_published_package_runs() -> None:
    """The names of plurel 1.1.0's parameters, its ranges as lists, timestamps and enumerations."""

    class Stype(Enum):
        numerical = "numerical"
        categorical = "categorical"

    config = Config(
        database_params=DatabaseParams(
            num_tables_choices=Choices(kind="range", value=[3, 5]),
            num_rows_entity_table_choices=Choices(kind="range", value=[50, 60]),
            num_rows_activity_table_choices=Choices(kind="range", value=[70, 80]),
            min_timestamp=pd.Timestamp("2000-01-01"),
        ),
        scm_params=SCMParams(
            scm_layout_choices=Choices(kind="set", value=["Layered"]),
            col_stype_choices=Choices(kind="set", value=[Stype.numerical]),
            propagate_batch_size=4096,
        ),
        dag_params=DAGParams(er_p_choices=Choices(kind="range", value=[0.1, 0.2]), ba_m=1),
        val_split=0.7,
    )
    db = SyntheticDataset(seed=1, config=config).get_db()
    assert 3 <= len(db.table_dict) <= 5
    assert config.database_params.min_timestamp == "2000-01-01"
    with pytest.raises(PlurelError, match="write 'relu' instead of the function"):
        SCMParams(activation_choices=Choices(kind="set", value=[torch.nn.functional.relu]))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"database_params": {"num_table_choices": 3}}, "did you mean 'num_tables_choices'"),
        ({"database_params": {"num_tables_choices": {"kind": "range", "value": [20, 3]}}}, "num_tables.*reversed"),
        ({"database_params": {"num_tables_choices": {"kind": "set", "value": []}}}, "num_tables.*empty"),
        ({"database_params": {"num_tables_choices": {"kind": "any", "value": [1]}}}, "must be range or set"),
        ({"database_params": {"num_tables_choices": {"kind": "set", "value": 3}}}, "choices are a list"),
        ({"database_params": {"num_cols_choices": {"kind": "set", "value": [3]}}}, "num_cols.*kind range"),
        ({"database_params": {"col_transform_choices": {"kind": "set", "value": ["lg"]}}}, "did you mean log"),
        ({"diversity_params": {"event_time_prob": 1.5}}, r"event_time_prob must lie in \[0, 1\]"),
        ({"diversity_params": {"self_reference_prob": -0.1}}, r"self_reference_prob must lie in \[0, 1\]"),
        ({"diversity_params": {"ordinal_probs": 0.1}}, "did you mean 'ordinal_prob'"),
        (
            {"diversity_params": {"root_choices": {"kind": "range", "value": [0, 2]}}},
            r"root_choices must lie in \[0, 1",
        ),
        ({"diversity_params": {"arrival_choices": {"kind": "set", "value": ["bursty"]}}}, "did you mean bursts"),
        ({"diversity_params": {"aggregate_choices": {"kind": "set", "value": ["means"]}}}, "did you mean mean"),
        ({"diversity_params": {"mechanism_choices": {"kind": "set", "value": ["tree"]}}}, "mechanism_choices.*'tree'"),
        ({"diversity_params": {"season_strength_choices": {"kind": "set", "value": [-1]}}}, "season_strength.*10"),
        (
            {"diversity_params": {"snapshot_choices": {"kind": "range", "value": [0.1, 0.9]}}},
            r"snapshot_choices must lie in \[0, 0.8\]",
        ),
        ({"scm_params": {"bi_hsbm_diagonal": 1.5}}, r"bi_hsbm_diagonal must lie in \[0, 1\]"),
        ({"scm_params": {"activation_choices": {"kind": "set", "value": ["rlu"]}}}, "'rlu'; did you mean relu"),
        ({"scm_params": {"scm_layout_choices": {"kind": "set", "value": ["ErdosRenji"]}}}, "did you mean ErdosRenyi"),
        ({"scm_params": {"propagation_agg_choices": {"kind": "set", "value": ["mean"]}}}, "unknown name 'mean'"),
        ({"scm_params": {"col_stype_choices": {"kind": "set", "value": ["number"]}}}, "did you mean numerical"),
        ({"val_split": 0.9, "test_split": 0.8}, "val_split and test_split"),
        ({"database_params": {"min_timestamp": "2030-01-01"}}, "min_window_days"),
        ({"database_params": {"min_timestamp": "1990-01-01T00:00+01:00"}}, "min_timestamp .* without a time zone"),
        (
            {"database_params": {"min_window_days": 12784}},
            "min_window_days of 12784 is met by hardly any.* at most 12144",
        ),
        ({"scm_params": {"edge_knots": "three"}}, "must be of type int"),
        ({"scm_params": {"edge_knots": 1}}, "edge_knots must be 0"),
        ({"scm_params": [1]}, "must be a mapping"),
        ({"scm_params": {"node_noise_shape_choices": {"kind": "set", "value": [[-1, 2]]}}}, "noise_shape.*pairs"),
        ({"scm_params": {"node_noise_shape_choices": {"kind": "set", "value": [3]}}}, "noise_shape.*pairs"),
        ({"scm_params": {"node_noise_alpha_choices": {"kind": "range", "value": [0, 1]}}}, "alpha_choices must lie"),
        ({"scm_params": {"mlp_emb_dim": 0}}, "mlp_emb_dim must be at least 1"),
        ({"scm_params": {"mlp_num_layers_choices": {"kind": "range", "value": [0, 2]}}}, "mlp_num_layers.*from 2 on"),
        ({"scm_params": {"ts_cycle_freq_perc_choices": {"kind": "set", "value": [0]}}}, "cycle_freq.*must lie in"),
        ({"scm_params": {"scm_layout_choices": {"kind": "range", "value": [0, 1]}}}, "layout_choices.*kind set"),
        ({"dag_params": {"ba_m": 0}}, "ba_m must be at least 1"),
        ({"dag_params": {"ws_k_choices": {"kind": "set", "value": ["two"]}}}, "ws_k_choices must be whole numbers"),
        ({"scm_params": {"bi_hsbm_off_diagonal_choices": {"kind": "set", "value": [0.1]}}}, "off_diagonal.*range"),
        ({"database_params": {"column_nan_perc_choices": {"kind": "range", "value": [float("nan"), 1]}}}, "nan_perc"),
        ({"name": "../elsewhere"}, "name must consist of letters"),
    ],
)
def test_bad_values_name_the_key(tree: dict, message: str) -> None:
    with pytest.raises(PlurelError, match=message):
        Config.from_dict(tree)


def test_whole_numbers_may_stand_for_real_ones() -> None:
    """[0, 2] for a real parameter is the interval, not the numbers 0, 1 and 2; and the same prior as [0.0, 2.0]."""
    whole, real = (
        Config.from_dict({"scm_params": {"ts_trend_alpha_choices": {"kind": "range", "value": v}}})
        for v in ([0, 2], [0.0, 2.0])
    )
    assert whole == real
    assert whole.hash() == real.hash() == Config().hash()
    rng = np.random.default_rng(0)
    assert len({whole.scm_params.ts_trend_alpha_choices.draw(rng) for _ in range(50)}) == 50


def test_a_prior_in_python_is_the_one_that_its_corpus_records(tmp_path: Path) -> None:
    """Whole numbers for real ones, numbers of numpy, paths and mappings: all as a prior file would hold them."""
    config = Config(
        scm_params=SCMParams(
            embedding_limit=100,
            edge_knots=np.int64(8),
            ts_value_scale_choices=Choices("set", [np.float64(0.5), 2]),
            node_noise_shape_choices=Choices("set", [[0.5, np.float32(0.5)]]),
        ),
        dag_params={"ba_sink_edge_dropout": 0},
        diversity_params=DiversityParams(text_prob=1),
        val_split=np.float64(0.75),
        cache_dir=tmp_path,
    )
    generate_corpus(tmp_path, [], config, progress=False)
    assert corpus_recipe(tmp_path) == (config, [])
    assert Config.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: DatabaseParams(num_tables_choices=5),
            r"DatabaseParams\.num_tables_choices must be .* of type Choices",
        ),
        (lambda: Config(scm_params=[]), r"Config\.scm_params must be a mapping of keys or of type SCMParams"),
        (lambda: Config(scm_params={"edge_knot": 2}), "did you mean 'edge_knots'"),
        (lambda: Config(name=3), r"Config\.name must be of type str, not 3"),
        (lambda: Config(val_split="0.8"), r"Config\.val_split must be of type float, not '0\.8'"),
        (lambda: SCMParams(edge_knots=2.5), r"SCMParams\.edge_knots must be of type int, not 2\.5"),
        (lambda: Config(cache_dir=3), r"Config\.cache_dir must be of type str"),
        (lambda: DatabaseParams(min_timestamp=None), r"DatabaseParams\.min_timestamp must be of type str"),
    ],
)
def test_types_are_those_of_a_prior_file(make: Callable[[], object], message: str) -> None:
    with pytest.raises(PlurelError, match=message):
        make()


def test_all_complaints_come_together() -> None:
    with pytest.raises(PlurelError, match=r"activation_limit.*ba_sink_edge_dropout"):
        Config.from_dict({"scm_params": {"activation_limit": 0.1}, "dag_params": {"ba_sink_edge_dropout": 2.0}})


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
