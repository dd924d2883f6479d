"""Spoilt priors: each gives a usable prior or one PlurelError that names the key, never anything else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurel import Config, PlurelError
from plurel.presets import PRESETS
from plurel.schema import draw_schema

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**12), st.floats(), st.text(max_size=6), st.just([]), st.just({}),
    st.lists(st.one_of(st.integers(-5, 50), st.floats(), st.text(max_size=3), st.none()), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.builds(lambda kind, value: {"kind": kind, "value": value}, st.sampled_from(["range", "set", "sett", 3]),
              st.lists(st.one_of(st.integers(-5, 50), st.floats(-3, 3), st.text(max_size=3), st.none()), max_size=3)),
)  # fmt: skip


def paths(tree: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths to every value of a prior's dictionary."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths(value, (*path, key))


@st.composite
def spoilt_priors(draw: Any) -> tuple[dict, list[tuple]]:
    """A prior's dictionary with one or two things wrong, and where."""
    tree = copy.deepcopy(Config.preset(draw(st.sampled_from(sorted(PRESETS)))).to_dict())
    spoilt = []
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(sorted(paths(tree), key=str)))
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "replace", "delete", "rename", "reverse"])):
            case "replace":
                parent[path[-1]] = draw(JUNK)
            case "delete":
                del parent[path[-1]]
            case "rename" if isinstance(parent, dict):
                parent[str(path[-1]) + draw(st.sampled_from(["s", "x", ""]))[:1]] = parent.pop(path[-1])
            case "reverse" if isinstance(parent[path[-1]], list):
                parent[path[-1]].reverse()
        spoilt.append(path)
    return tree, spoilt


@given(spoilt_priors())
@settings(max_examples=150, deadline=None)
def test_spoilt_priors(spoilt: tuple[dict, list[tuple]]) -> None:
    tree, places = spoilt
    try:
        config = Config.from_dict(tree)
        config.hash()
    except PlurelError as error:
        keys = [str(key) for path in places for key in path if isinstance(key, str)]
        assert any(key in str(error) for key in keys)
        return
    assert Config.from_dict(config.to_dict()) == config
    if config.database_params.num_tables_choices.value[-1] <= 100:
        draw_schema(0, config)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("database_params.num_tables_choices", {"kind": "range", "value": [20, 3]}, "num_tables_choices.*reversed"),
        ("scm_params.activation_choices", {"kind": "set", "value": []}, "activation_choices.*empty"),
        ("diversity_params.hidden_state_prob", 1.5, r"hidden_state_prob must lie in \[0, 1\]"),
        ("database_params.column_nan_perc_choices", {"kind": "range", "value": [0.5, 1.5]}, "column_nan_perc_choices"),
        ("scm_params.activation_choices", {"kind": "set", "value": ["reluu"]}, "activation_choices.*mean relu"),
        ("scm_parms", {}, "no key 'scm_parms'.*'scm_params'"),
        ("database_params.num_rows_entity_table_choices", {"kind": "range", "value": [0, 5]}, "num_rows_entity"),
        ("val_split", 0.95, "val_split and test_split"),
        ("database_params.min_window_days", 10**6, "min_window_days"),
        ("database_params.min_timestamp", "yesterday-ish", "min_timestamp"),
        ("schema_file", "/no/such/file.sql", "schema_file|cannot be read"),
        ("rows", {"Album": 0}, "rows.Album"),
        ("rows", {"Album": 5}, "rows are of tables of a schema_file"),
        ("rows", [["Album"]], "rows"),
        ("name", "a/b", "name must consist"),
    ],
)
def test_one_thing_wrong_is_named(path: str, value: Any, words: str) -> None:
    *parents, key = path.split(".")
    tree = {key: value}
    for parent in reversed(parents):
        tree = {parent: tree}
    with pytest.raises(PlurelError, match=words):
        Config.from_dict(tree).hash()
