"""A prior as data: frozen dataclasses of numbers and names, to and from plain dictionaries (YAML), with a hash.

The defaults are the prior `main` (paper.md, section 4: the newer prior of the published code), under the field names
of its release 1.1.0, so that scripts written for it run unchanged. Further priors are in plurel.presets.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd

from plurel.activations import ACTIVATION_NAMES
from plurel.choices import Choices
from plurel.config_checks import complaints
from plurel.errors import PlurelError
from plurel.initialisers import INITIALISERS


def _range(low: float, high: float) -> Any:
    return field(default_factory=lambda: Choices("range", (low, high)))


def _set(*options: Any) -> Any:
    return field(default_factory=lambda: Choices("set", options))


class _Params:
    """Holds every value in the type of its field, whether it comes from Python or YAML: one prior has one hash.

    Reads a range such as [0, 2] as real numbers where the default is one of real numbers. Choices draws whole numbers
    from a range of whole numbers, so that a prior file that says 0 for 0.0 would otherwise draw 0 or 1 as the rate of
    missing values.
    """

    def __post_init__(self) -> None:
        _set_typed(self)
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, Choices) or not value.is_integer or item.default_factory is dataclasses.MISSING:
                continue
            default = item.default_factory()
            if default.kind == "range" and not default.is_integer:
                object.__setattr__(self, item.name, Choices("range", tuple(map(float, value.value))))


@dataclass(frozen=True)
class DatabaseParams(_Params):
    """Tables, sizes and dates of a database.

    Attributes:
        table_layout_choices: graph families of the schema; an edge is a foreign key, parent -> child.
        num_rows_entity_table_choices, num_rows_activity_table_choices: rows of tables with and without children.
        num_cols_choices: feature columns k of a table, drawn with probability proportional to 1 / k.
        min_timestamp, max_timestamp: dates between which the window of a database is drawn.
        column_nan_perc_choices: per table, the part of missing values in its number columns.
        col_transform_choices: the last step of a number column; see plurel.columns.
        min_window_days: shortest window; shorter draws are repeated, so that both splits have days of their own.
    """

    table_layout_choices: Choices = _set("BarabasiAlbert", "ReverseRandomTree", "WattsStrogatz")
    num_tables_choices: Choices = _range(3, 20)
    num_rows_entity_table_choices: Choices = _range(500, 1000)
    num_rows_activity_table_choices: Choices = _range(2000, 5000)
    num_cols_choices: Choices = _range(3, 40)
    min_timestamp: str = "1990-01-01"
    max_timestamp: str = "2025-01-01"
    column_nan_perc_choices: Choices = _range(0.01, 0.1)
    col_transform_choices: Choices = _set("identity", "rank_uniform", "log", "sqrt", "standardize")
    min_window_days: int = 30

    def __post_init__(self) -> None:
        for name in ("min_timestamp", "max_timestamp"):
            value = getattr(self, name)
            if isinstance(value, pd.Timestamp):
                object.__setattr__(self, name, str(value.date()))
        super().__post_init__()


@dataclass(frozen=True)
class SCMParams(_Params):
    """The structural causal model of a table, and the links of its foreign keys.

    Attributes:
        scm_col_node_perc_choices: columns / (columns + hidden nodes), roughly: nodes = c + ceil(c / it) + 3.
        col_stype_choices: "categorical" or "numerical", drawn for each node.
        node_noise_alpha_choices, node_noise_beta_choices: (a, b) of the Beta noise of a node.
        node_noise_shape_choices: pairs (a, b), which replace the two ranges; None: the two ranges.
        bi_hsbm_*: the hierarchical stochastic block model of a foreign key.
        ts_*, *_table_ts_*: of sources that are series: trend, cycle and autoregressive noise.
        propagation_agg_choices: how a node joins what its parents say: sum, max, product or logexp.
        mlp_emb_dim: width of the vectors that edges carry.
        mlp_weight_density_choices: part of a weight matrix that is not zero.
        activation_log_scale: an activation is scaled by exp(U(-s, s)) and then limited to ±activation_limit.
        embedding_limit: what one parent says is limited to ±embedding_limit.
        source_gen_type_choices: what a node without parents holds: ts, uniform, gaussian, beta or mixed.
        propagation_mode_choices: type_eager, categories are categories all the way; type_lazy, all nodes are numbers
            and categorical columns are cut into classes at the end.
        cat_label_permute_prob_choices, cat_label_reverse_prob_choices: of the classes of type_lazy.
        edge_knots: an edge is evaluated at that many quantiles of its parent and interpolated linearly between them;
            0: exactly, at every value.
        propagate_batch_size: rows evaluated together; the values do not depend on it.
    """

    scm_layout_choices: Choices = _set(
        "ErdosRenyi",
        "BarabasiAlbert",
        "RandomTree",
        "ReverseRandomTree",
        "Layered",
        "WattsStrogatz",
        "RandomCauchy",
    )
    scm_col_node_perc_choices: Choices = _range(0.3, 0.9)
    num_categories_choices: Choices = _range(2, 10)
    col_stype_choices: Choices = _set("categorical", "numerical")
    initialization_choices: Choices = _set(*INITIALISERS)
    activation_choices: Choices = _set(*ACTIVATION_NAMES)
    node_noise_alpha_choices: Choices = _range(0.5, 5.0)
    node_noise_beta_choices: Choices = _range(0.5, 5.0)
    node_noise_shape_choices: Choices | None = None
    bi_hsbm_levels_choices: Choices = _range(1, 5)
    bi_hsbm_clusters_per_level_choices: Choices = _range(1, 3)
    bi_hsbm_diagonal: float = 0.9
    bi_hsbm_off_diagonal_choices: Choices = _range(0.001, 0.002)
    ts_trend_alpha_choices: Choices = _range(0.0, 2.0)
    activity_table_ts_trend_scale_choices: Choices = _set(-1, 1)
    entity_table_ts_trend_scale: float = 0.0
    ts_cycle_freq_perc_choices: Choices = _set(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    activity_table_ts_cycle_scale_choices: Choices = _set(-1, 1)
    entity_table_ts_cycle_scale: float = 0.0
    activity_table_ts_noise_scale: float = 0.05
    entity_table_ts_noise_scale: float = 1.0
    ts_ar_rho_choices: Choices = _range(0.0, 0.9)
    ts_value_scale_choices: Choices = _set(0.01, 0.1, 1, 10, 100)
    propagation_agg_choices: Choices = _set("sum", "max", "product", "logexp")
    mlp_emb_dim: int = 32
    mlp_num_layers_choices: Choices = _range(2, 4)
    mlp_weight_density_choices: Choices = _range(0.3, 1.0)
    activation_log_scale: float = 1.0
    activation_limit: float = 1e6
    embedding_limit: float = 1e4
    source_gen_type_choices: Choices = _set("ts", "uniform", "gaussian", "beta", "mixed")
    source_beta_alpha_choices: Choices = _range(0.5, 5.0)
    source_beta_beta_choices: Choices = _range(0.5, 5.0)
    propagation_mode_choices: Choices = _set("type_eager", "type_lazy")
    cat_label_permute_prob_choices: Choices = _range(0.3, 1.0)
    cat_label_reverse_prob_choices: Choices = _range(0.2, 0.8)
    edge_knots: int = 64
    propagate_batch_size: int = 256


@dataclass(frozen=True)
class DAGParams(_Params):
    """Parameters of the graph families; see plurel.dag. Weights of a causal graph's edges share one distribution."""

    ba_sink_edge_dropout: float = 0.4
    ba_flip_leaf_edge_prob: float = 0.0
    ba_max_in_degree: int = 4
    ba_m: int = 2
    er_p_choices: Choices = _range(0.3, 0.8)
    ws_k_choices: Choices = _set(2, 4)
    ws_rewire_p_choices: Choices = _range(0.1, 0.3)
    layered_depth_choices: Choices = _range(2, 8)
    layered_edge_dropout_p: float = 0.1
    edge_weight_dist_choices: Choices = _set("gaussian", "lognormal", "cauchy", "uniform")


@dataclass(frozen=True)
class DiversityParams(_Params):
    """What real databases have and the published priors lack, each with a chance of its own; all off is `main`.

    Attributes:
        hidden_state_prob: per table with children, that its rows have a state that no column shows and that shapes
            the rows which point to them; see plurel.hidden_state.
        hidden_state_choices: how the state moves over the window: constant, drift or switch.
        skewed_degree_prob: per foreign key, that parents differ in popularity: the weight of the r-th is r^-exponent.
        popularity_exponent_choices: that exponent.
        inactive_parent_choices: the part of parents without any child, where popularity differs.
        nullable_key_prob: per foreign key, that it may be missing.
        missing_key_choices: the part of rows where it is.
        heavy_tail_prob, zero_inflation_prob, integer_prob: per number column, one after the other.
        zero_choices: the part of zeros of a zero-inflated column.
        text_prob: per categorical column, that it holds a word for each class, instead of one boolean for all.
        missing_by_value_prob: per number column, that its missing values depend on the numbers themselves.
        forecast_task_prob: per foreign key from a table with a time to another one, that a task looks forward along it;
            see plurel.forecast.
        self_reference_prob: per table, that its rows point to earlier ones of it; see plurel.self_reference.
        root_choices: the part of them that do not.
        child_aggregate_prob: per foreign key to a table without time, that a column of it sums up the rows that point
            to it; see plurel.child_aggregates.
        aggregate_choices: count, mean or latest.
        snapshot_choices: until which part of the window events are summed up; it ends before val_split.
        event_time_prob: per activity table, that its rows arrive as events do, not at even steps; always where it
            points to rows that have a time. See plurel.event_times.
        arrival_choices: of an entity's events: poisson, bursts, fading or lifetime.
        season_strength_choices: how much hours, weekdays and months differ, of real times; 0: not at all.
        creation_time_prob: per table with children, that its rows come to be within the window; always where it points
            to such a table.
        date_prob, ordinal_prob: per number column, one after the other, that it holds dates that are not the row's
            time, or ordered words such as low and high.
        composite_prob: per node with parents in a causal model, that its values come from them by another mechanism
            than perceptrons; see plurel.composite.
        mechanism_choices: interaction, threshold, decision_tree or periodic.
    """

    hidden_state_prob: float = 0.0
    hidden_state_choices: Choices = _set("constant", "drift", "switch")
    skewed_degree_prob: float = 0.0
    popularity_exponent_choices: Choices = _range(0.5, 1.5)
    inactive_parent_choices: Choices = _range(0.0, 0.5)
    nullable_key_prob: float = 0.0
    missing_key_choices: Choices = _range(0.01, 0.3)
    heavy_tail_prob: float = 0.0
    zero_inflation_prob: float = 0.0
    zero_choices: Choices = _range(0.2, 0.8)
    integer_prob: float = 0.0
    text_prob: float = 0.0
    missing_by_value_prob: float = 0.0
    forecast_task_prob: float = 0.0
    self_reference_prob: float = 0.0
    root_choices: Choices = _range(0.02, 0.3)
    child_aggregate_prob: float = 0.0
    aggregate_choices: Choices = _set("count", "mean", "latest")
    snapshot_choices: Choices = _range(0.1, 0.4)
    event_time_prob: float = 0.0
    arrival_choices: Choices = _set("poisson", "bursts", "fading", "lifetime")
    season_strength_choices: Choices = _range(0.0, 1.5)
    creation_time_prob: float = 0.0
    date_prob: float = 0.0
    ordinal_prob: float = 0.0
    composite_prob: float = 0.0
    mechanism_choices: Choices = _set("interaction", "threshold", "decision_tree", "periodic")


@dataclass(frozen=True)
class Config:
    """A prior over databases.

    Attributes:
        val_split, test_split: the parts of the window's days before the validation and the test timestamp.
        cache_dir: accepted from scripts written for 1.1.0; databases are made anew, corpora keep them.
        schema_file: the path of SQL whose schema the databases follow; None: schemas are drawn too. Of the chances in
            diversity_params only skewed_degree_prob, nullable_key_prob, composite_prob and forecast_task_prob matter
            then: all else is as the schema declares it.
        rows: rows of tables of schema_file by name, others are drawn; a mapping, kept as pairs.
        name: a word for folders and reports.

    Raises:
        PlurelError: for a value of another type or out of range, or an unknown name, naming the key.
    """

    database_params: DatabaseParams = field(default_factory=DatabaseParams)
    scm_params: SCMParams = field(default_factory=SCMParams)
    dag_params: DAGParams = field(default_factory=DAGParams)
    val_split: float = 0.8
    test_split: float = 0.9
    cache_dir: str | None = None
    schema_file: str | None = None
    name: str = "main"
    diversity_params: DiversityParams = field(default_factory=DiversityParams)
    rows: tuple[tuple[str, int], ...] | None = None

    def __post_init__(self) -> None:
        _set_typed(self)
        if self.rows is not None:
            object.__setattr__(self, "rows", _rows(self.rows))
        found = list(complaints(self))
        if found:
            raise PlurelError("prior: " + "; ".join(found))

    @classmethod
    def preset(cls, name: str) -> Config:
        """The prior `paper`, `main` or `diverse`.

        Raises:
            PlurelError: for an unknown name.
        """
        from plurel.presets import PRESETS

        if name not in PRESETS:
            raise PlurelError(f"no prior is called {name!r}; known: {', '.join(PRESETS)}")
        return cls.from_dict(PRESETS[name] | {"name": name})

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Config:
        """The prior of a plain dictionary, such as a YAML file holds; a key that is left out keeps its default.

        Raises:
            PlurelError: for an unknown key (naming the nearest known one) or a value out of range.
        """
        return _build(cls, tree, "prior")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries; from_dict gives the same prior again."""
        return _plain(self)

    def hash(self) -> str:
        """Sixteen hexadecimal digits that change with any value that shapes a database."""
        tree = self.to_dict()
        del tree["cache_dir"]
        file, rows = tree.pop("schema_file"), tree.pop("rows")
        if file is not None:  # its content, wherever it lies
            tree["schema"] = [hashlib.sha256(_content(file)).hexdigest(), rows]
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


_hints = cache(get_type_hints)


def _set_typed(params: Any) -> None:
    """Gives each field the value that a prior file would give it.

    Raises:
        PlurelError: for a value of another type, naming class and field.
    """
    for name, kind in _hints(type(params)).items():
        value = _value(kind, getattr(params, name), f"{type(params).__name__}.{name}")
        object.__setattr__(params, name, value)


def _rows(rows: Any) -> tuple[tuple[str, int], ...]:
    try:
        return tuple(sorted(dict(rows).items()))
    except (TypeError, ValueError):
        raise PlurelError(f"prior.rows must map names of tables to their rows, not {rows!r}") from None


def _content(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise PlurelError(f"prior.schema_file {file}: the schema cannot be read ({error})") from error


def _build(kind: type, tree: Any, where: str) -> Any:
    if not isinstance(tree, Mapping):
        raise PlurelError(f"{where} must be a mapping of keys or of type {kind.__name__}, not {tree!r}")
    hints = _hints(kind)
    values = {}
    for key, value in tree.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(hints)}"
            raise PlurelError(f"{where} has no key {key!r}{hint}")
        values[key] = _value(hints[key], value, f"{where}.{key}")
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in values and _is_required(f)]
    if missing:
        raise PlurelError(f"{where} lacks the key {missing[0]!r}")
    try:
        return kind(**values)
    except PlurelError as error:
        raise PlurelError(f"{where}: {error}" if kind is Choices else str(error)) from None


def _is_required(item: dataclasses.Field) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, types.UnionType):  # such as Choices | None
        if value is None:
            return None
        kind = get_args(kind)[0]
    if dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else _build(kind, value, where)
    if kind is str or kind is int or kind is float:
        if isinstance(value, np.generic):
            value = value.item()
        if kind is str and isinstance(value, Path):
            value = str(value)
        accepted = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise PlurelError(f"{where} must be of type {kind.__name__}, not {value!r}")
        return kind(value)
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
