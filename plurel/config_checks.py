"""What can be wrong with a prior. All rules are checked together, and each complaint names its key."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from plurel.activations import ACTIVATION_NAMES
from plurel.aggregate import AGGREGATIONS
from plurel.child_aggregates import AGGREGATES
from plurel.choices import Choices
from plurel.columns import TRANSFORMS
from plurel.composite import MECHANISMS
from plurel.dag import EDGE_WEIGHTS, LAYOUTS
from plurel.event_times import ARRIVALS
from plurel.hidden_state import HIDDEN_STATES
from plurel.initialisers import INITIALISERS
from plurel.sources import SOURCES

if TYPE_CHECKING:
    from plurel.config import Config

STYPES = ("categorical", "numerical")
PROPAGATION_MODES = ("type_eager", "type_lazy")
_LEAST_CHANCE = 1e-3  # that two random days are min_window_days apart; others are drawn again


def complaints(config: Config) -> Iterator[str]:
    """Yields one sentence for each value of the prior that cannot be used; none if it is sound."""
    # it becomes part of a folder's name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", config.name):
        yield f"name must consist of letters, digits, '.', '_' and '-', not {config.name!r}"
    yield from _whole_numbers(config)
    yield from _real_numbers(config)
    yield from _names(config)
    yield from _noise_shapes(config.scm_params.node_noise_shape_choices)
    if not 0 < config.val_split < config.test_split < 1:
        yield f"val_split and test_split must be 0 < {config.val_split} < {config.test_split} < 1"
    yield from _window(config)
    if config.rows and config.schema_file is None:
        yield "rows are of tables of a schema_file, and there is none; random schemas draw theirs"
    for table, count in config.rows or ():
        if type(count) is not int or count < 1:
            yield f"rows.{table} must be a whole number from 1 on, not {count!r}"


def _whole_numbers(config: Config) -> Iterator[str]:
    database, scm, dag = config.database_params, config.scm_params, config.dag_params
    ranges = {
        "database_params.num_tables_choices": (database.num_tables_choices, 2),
        "database_params.num_cols_choices": (database.num_cols_choices, 1),
        "database_params.num_rows_entity_table_choices": (database.num_rows_entity_table_choices, 1),
        "database_params.num_rows_activity_table_choices": (database.num_rows_activity_table_choices, 1),
        "scm_params.bi_hsbm_levels_choices": (scm.bi_hsbm_levels_choices, 1),
        "scm_params.bi_hsbm_clusters_per_level_choices": (scm.bi_hsbm_clusters_per_level_choices, 1),
        "scm_params.num_categories_choices": (scm.num_categories_choices, 2),
        "scm_params.mlp_num_layers_choices": (scm.mlp_num_layers_choices, 2),
        "dag_params.layered_depth_choices": (dag.layered_depth_choices, 1),
        "dag_params.ws_k_choices": (dag.ws_k_choices, 2),
    }
    for key, (choices, least) in ranges.items():
        if not all(type(v) is int and v >= least for v in choices.value):
            yield f"{key} must be whole numbers from {least} on, not {_shown(choices)}"
    if database.num_cols_choices.kind != "range":
        yield "database_params.num_cols_choices must be of kind range: it is drawn in proportion to 1 / k"
    least_of = {
        "scm_params.mlp_emb_dim": (scm.mlp_emb_dim, 1),
        "scm_params.edge_knots": (scm.edge_knots, 0),
        "scm_params.propagate_batch_size": (scm.propagate_batch_size, 1),
        "dag_params.ba_m": (dag.ba_m, 1),
        "dag_params.ba_max_in_degree": (dag.ba_max_in_degree, 1),
    }
    for key, (value, least) in least_of.items():
        if value < least:
            yield f"{key} must be at least {least}, not {value}"
    if scm.edge_knots == 1:
        yield "scm_params.edge_knots must be 0 (exact) or at least 2, not 1"


def _real_numbers(config: Config) -> Iterator[str]:
    database, scm, dag = config.database_params, config.scm_params, config.dag_params
    diversity = config.diversity_params
    anything = (-1e6, 1e6)
    choices_within = {
        "database_params.column_nan_perc_choices": (database.column_nan_perc_choices, 0, 1),
        "scm_params.bi_hsbm_off_diagonal_choices": (scm.bi_hsbm_off_diagonal_choices, 0, 1),
        "scm_params.scm_col_node_perc_choices": (scm.scm_col_node_perc_choices, 0.01, 1),
        "scm_params.node_noise_alpha_choices": (scm.node_noise_alpha_choices, 0.5, 100),
        "scm_params.node_noise_beta_choices": (scm.node_noise_beta_choices, 0.5, 100),
        "scm_params.ts_trend_alpha_choices": (scm.ts_trend_alpha_choices, 0, 1000),
        "scm_params.activity_table_ts_trend_scale_choices": (scm.activity_table_ts_trend_scale_choices, *anything),
        "scm_params.ts_cycle_freq_perc_choices": (scm.ts_cycle_freq_perc_choices, 0.001, 1000),
        "scm_params.activity_table_ts_cycle_scale_choices": (scm.activity_table_ts_cycle_scale_choices, *anything),
        "scm_params.ts_ar_rho_choices": (scm.ts_ar_rho_choices, 0, 0.999),
        "scm_params.ts_value_scale_choices": (scm.ts_value_scale_choices, 1e-6, 1e6),
        "scm_params.mlp_weight_density_choices": (scm.mlp_weight_density_choices, 0, 1),
        "diversity_params.popularity_exponent_choices": (diversity.popularity_exponent_choices, 0, 10),
        "diversity_params.inactive_parent_choices": (diversity.inactive_parent_choices, 0, 1),
        "diversity_params.missing_key_choices": (diversity.missing_key_choices, 0, 1),
        "diversity_params.zero_choices": (diversity.zero_choices, 0, 1),
        "diversity_params.root_choices": (diversity.root_choices, 0, 1),
        "diversity_params.snapshot_choices": (diversity.snapshot_choices, 0, config.val_split),
        "diversity_params.season_strength_choices": (diversity.season_strength_choices, 0, 10),
        "scm_params.source_beta_alpha_choices": (scm.source_beta_alpha_choices, 0.01, 1000),
        "scm_params.source_beta_beta_choices": (scm.source_beta_beta_choices, 0.01, 1000),
        "scm_params.cat_label_permute_prob_choices": (scm.cat_label_permute_prob_choices, 0, 1),
        "scm_params.cat_label_reverse_prob_choices": (scm.cat_label_reverse_prob_choices, 0, 1),
        "dag_params.er_p_choices": (dag.er_p_choices, 0, 1),
        "dag_params.ws_rewire_p_choices": (dag.ws_rewire_p_choices, 0, 1),
    }
    for key, (choices, low, high) in choices_within.items():
        if not all(_is_number(v) and low <= v <= high for v in choices.value):
            yield f"{key} must lie in [{low:g}, {high:g}], not {_shown(choices)}"
    if scm.bi_hsbm_off_diagonal_choices.kind != "range":
        yield "scm_params.bi_hsbm_off_diagonal_choices must be of kind range: every pair of blocks draws its own"
    for key, value in vars(diversity).items():
        if key.endswith("_prob") and not 0 <= value <= 1:
            yield f"diversity_params.{key} must lie in [0, 1], not {value}"
    values_within = {
        "scm_params.bi_hsbm_diagonal": (scm.bi_hsbm_diagonal, 0, 1),
        "scm_params.entity_table_ts_trend_scale": (scm.entity_table_ts_trend_scale, *anything),
        "scm_params.entity_table_ts_cycle_scale": (scm.entity_table_ts_cycle_scale, *anything),
        "scm_params.activity_table_ts_noise_scale": (scm.activity_table_ts_noise_scale, 0, 1000),
        "scm_params.entity_table_ts_noise_scale": (scm.entity_table_ts_noise_scale, 0, 1000),
        "scm_params.activation_log_scale": (scm.activation_log_scale, 0, 10),
        "scm_params.activation_limit": (scm.activation_limit, 1, 1e15),
        "scm_params.embedding_limit": (scm.embedding_limit, 1, 1e15),
        "dag_params.ba_sink_edge_dropout": (dag.ba_sink_edge_dropout, 0, 1),
        "dag_params.ba_flip_leaf_edge_prob": (dag.ba_flip_leaf_edge_prob, 0, 1),
        "dag_params.layered_edge_dropout_p": (dag.layered_edge_dropout_p, 0, 1),
    }
    for key, (value, low, high) in values_within.items():
        if not low <= value <= high:
            yield f"{key} must lie in [{low:g}, {high:g}], not {value}"


def _names(config: Config) -> Iterator[str]:
    database, scm, dag = config.database_params, config.scm_params, config.dag_params
    diversity = config.diversity_params
    known_names = {
        "database_params.table_layout_choices": (database.table_layout_choices, LAYOUTS),
        "database_params.col_transform_choices": (database.col_transform_choices, TRANSFORMS),
        "scm_params.scm_layout_choices": (scm.scm_layout_choices, LAYOUTS),
        "scm_params.col_stype_choices": (scm.col_stype_choices, STYPES),
        "scm_params.activation_choices": (scm.activation_choices, ACTIVATION_NAMES),
        "scm_params.initialization_choices": (scm.initialization_choices, INITIALISERS),
        "scm_params.propagation_agg_choices": (scm.propagation_agg_choices, AGGREGATIONS),
        "scm_params.source_gen_type_choices": (scm.source_gen_type_choices, SOURCES),
        "scm_params.propagation_mode_choices": (scm.propagation_mode_choices, PROPAGATION_MODES),
        "diversity_params.hidden_state_choices": (diversity.hidden_state_choices, HIDDEN_STATES),
        "diversity_params.aggregate_choices": (diversity.aggregate_choices, AGGREGATES),
        "diversity_params.arrival_choices": (diversity.arrival_choices, ARRIVALS),
        "diversity_params.mechanism_choices": (diversity.mechanism_choices, MECHANISMS),
        "dag_params.edge_weight_dist_choices": (dag.edge_weight_dist_choices, EDGE_WEIGHTS),
    }
    for key, (choices, known) in known_names.items():
        if choices.kind != "set":
            yield f"{key} must be of kind set, options out of {', '.join(known)}"
            continue
        for name in choices.value:
            if not isinstance(name, str) or name not in known:
                near = difflib.get_close_matches(str(name), known, n=1) or [", ".join(known)]
                yield f"{key}: unknown name {name!r}; did you mean {near[0]}?"


def _noise_shapes(choices: Choices | None) -> Iterator[str]:
    for shape in () if choices is None else choices.value:
        is_pair = isinstance(shape, tuple) and len(shape) == 2 and all(_is_number(v) and 0.5 <= v <= 100 for v in shape)
        if choices.kind != "set" or not is_pair:
            yield f"scm_params.node_noise_shape_choices must be pairs (a, b) in [0.5, 100], not {_shown(choices)}"
            return


def _window(config: Config) -> Iterator[str]:
    params = config.database_params
    try:
        first, last = pd.Timestamp(params.min_timestamp), pd.Timestamp(params.max_timestamp)
    except ValueError:
        yield "database_params.min_timestamp and max_timestamp must be dates, such as 1990-01-01"
        return
    if first.tz is not None or last.tz is not None:
        yield "database_params.min_timestamp and max_timestamp must be dates without a time zone, such as 1990-01-01"
        return
    days, least = (last - first).days, params.min_window_days
    # 20 days leave whole days for both splits at 80 % and 90 %
    if not 20 <= least <= days:
        yield "database_params.min_window_days must be at least 20 and fit between min_timestamp and max_timestamp"
    elif (days + 1 - least) * (days + 2 - least) < _LEAST_CHANCE * (days + 1) ** 2:
        yield (
            f"database_params.min_window_days of {least} is met by hardly any two of the {days} days between "
            f"min_timestamp and max_timestamp; give at most {int(0.95 * days)}, or dates further apart"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(choices: Choices) -> str:
    return f"{choices.kind} {list(choices.value)}"
