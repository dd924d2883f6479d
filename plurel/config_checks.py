"""What can be wrong with a prior. All rules are checked together, and each complaint names its key."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from plurel.choices import Choices
from plurel.dag import LAYOUTS
from plurel.functions import ACTIVATIONS, INITIALISERS

if TYPE_CHECKING:
    from plurel.config import Config


def complaints(config: Config) -> Iterator[str]:
    """Yields one sentence for each value of the prior that cannot be used; none if it is sound."""
    # it becomes part of a folder's name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", config.name):
        yield f"name must consist of letters, digits, '.', '_' and '-', not {config.name!r}"
    yield from _whole_numbers(config)
    yield from _real_numbers(config)
    yield from _names(config)
    yield from _noise_shapes(config.scm_params.noise_shapes)
    if not 0 < config.val_split < config.test_split < 1:
        yield f"val_split and test_split must be 0 < {config.val_split} < {config.test_split} < 1"
    yield from _window(config)


def _whole_numbers(config: Config) -> Iterator[str]:
    database, scm, dag = config.database_params, config.scm_params, config.dag_params
    ranges = {
        "database_params.num_tables": (database.num_tables, 2),
        "database_params.columns_per_table": (database.columns_per_table, 1),
        "database_params.entity_rows": (database.entity_rows, 1),
        "database_params.activity_rows": (database.activity_rows, 1),
        "database_params.link_levels": (database.link_levels, 1),
        "database_params.link_clusters": (database.link_clusters, 1),
        "scm_params.num_categories": (scm.num_categories, 2),
        "dag_params.layered_depth": (dag.layered_depth, 1),
    }
    for key, (choices, least) in ranges.items():
        if not choices.is_integer or choices.value[0] < least:
            yield f"{key} must be a range of whole numbers from {least} on, not {_shown(choices)}"
    if not all(type(v) is int and v >= 2 for v in dag.ws_neighbours.value):
        yield f"dag_params.ws_neighbours must be whole numbers from 2 on, not {_shown(dag.ws_neighbours)}"
    least_of = {
        "scm_params.extra_nodes": (scm.extra_nodes, 0),
        "scm_params.d_embedding": (scm.d_embedding, 1),
        "dag_params.ba_edges": (dag.ba_edges, 1),
    }
    for key, (value, least) in least_of.items():
        if value < least:
            yield f"{key} must be at least {least}, not {value}"


def _real_numbers(config: Config) -> Iterator[str]:
    database, scm, dag = config.database_params, config.scm_params, config.dag_params
    choices_within = {
        "database_params.missing_rate": (database.missing_rate, 0, 1),
        "database_params.link_off_diagonal": (database.link_off_diagonal, 0, 1),
        "dag_params.er_edge_prob": (dag.er_edge_prob, 0, 1),
        "dag_params.ws_rewire_prob": (dag.ws_rewire_prob, 0, 1),
        "scm_params.column_node_frac": (scm.column_node_frac, 0.01, 1),
        "scm_params.cycle_fracs": (scm.cycle_fracs, 0.001, 1000),
        "scm_params.trend_exponent": (scm.trend_exponent, 0, 1000),
    }
    for key, (choices, low, high) in choices_within.items():
        if not all(_is_number(v) and low <= v <= high for v in choices.value):
            yield f"{key} must lie in [{low}, {high}], not {_shown(choices)}"
    if database.link_off_diagonal.kind != "range":
        yield "database_params.link_off_diagonal must be of kind range: every pair of blocks draws its own"
    values_within = {
        "database_params.link_diagonal": (database.link_diagonal, 1),
        "scm_params.categorical_prob": (scm.categorical_prob, 1),
        "scm_params.activity_noise": (scm.activity_noise, 1000),
        "scm_params.entity_noise": (scm.entity_noise, 1000),
        "dag_params.ba_sink_dropout": (dag.ba_sink_dropout, 1),
        "dag_params.layered_dropout": (dag.layered_dropout, 1),
    }
    for key, (value, high) in values_within.items():
        if not 0 <= value <= high:
            yield f"{key} must lie in [0, {high}], not {value}"


def _names(config: Config) -> Iterator[str]:
    known_names = {
        "database_params.table_layout": (config.database_params.table_layout, LAYOUTS),
        "scm_params.layout": (config.scm_params.layout, LAYOUTS),
        "scm_params.activations": (config.scm_params.activations, ACTIVATIONS),
        "scm_params.initialisers": (config.scm_params.initialisers, INITIALISERS),
    }
    for key, (choices, known) in known_names.items():
        if choices.kind != "set":
            yield f"{key} must be of kind set, options out of {', '.join(known)}"
            continue
        for name in choices.value:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1) or [", ".join(known)]
                yield f"{key}: unknown name {name!r}; did you mean {near[0]}?"


def _noise_shapes(choices: Choices) -> Iterator[str]:
    for shape in choices.value:
        is_pair = isinstance(shape, tuple) and len(shape) == 2 and all(_is_number(v) and v > 0 for v in shape)
        if choices.kind != "set" or not is_pair:
            yield f"scm_params.noise_shapes must be a set of pairs (a, b) above 0, not {_shown(choices)}"
            return


def _window(config: Config) -> Iterator[str]:
    params = config.database_params
    try:
        days = (pd.Timestamp(params.latest) - pd.Timestamp(params.earliest)).days
    except ValueError:
        days = -1
    # 20 days leave whole days for both splits at 80 % and 90 %
    if not 20 <= params.min_window_days <= days:
        yield "database_params.min_window_days must be at least 20 and fit between earliest and latest (dates)"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(choices: Choices) -> str:
    return f"{choices.kind} {list(choices.value)}"
