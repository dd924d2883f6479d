"""A prior as data: frozen dataclasses of numbers and names, to and from plain dictionaries (YAML), with a hash.

The defaults are the paper's prior (section 3), and its only home; conf/prior/paper.yaml spells them out.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from plurel.choices import Choices
from plurel.config_checks import complaints
from plurel.errors import PlurelError


def _range(low: float, high: float) -> Any:
    return field(default_factory=lambda: Choices("range", (low, high)))


def _set(*options: Any) -> Any:
    return field(default_factory=lambda: Choices("set", options))


class _Params:
    """Reads a range such as [0, 2] as real numbers where the default is one of real numbers.

    Choices draws whole numbers from a range of whole numbers, so that a prior file that says 0 for 0.0 would
    otherwise draw 0 or 1 as the rate of missing values.
    """

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, Choices) or not value.is_integer:
                continue
            default = item.default_factory()
            if default.kind == "range" and not default.is_integer:
                object.__setattr__(self, item.name, Choices("range", tuple(map(float, value.value))))


@dataclass(frozen=True)
class DatabaseParams(_Params):
    """Tables, keys and links of a database.

    Attributes:
        table_layout: graph families of the schema; an edge is a foreign key, parent -> child.
        columns_per_table: feature columns k of a table, drawn with probability proportional to 1 / k.
        entity_rows, activity_rows: rows of tables with and without children.
        missing_rate: per table, the chance of a missing value in its number columns.
        earliest, latest: dates between which the window of a database is drawn.
        min_window_days: shortest window; shorter draws are repeated, so that both splits have days of their own.
        link_*: the hierarchical stochastic block model of a foreign key.
    """

    num_tables: Choices = _range(3, 20)
    table_layout: Choices = _set("BarabasiAlbert", "ReverseRandomTree", "WattsStrogatz")
    columns_per_table: Choices = _range(3, 40)
    entity_rows: Choices = _range(500, 1000)
    activity_rows: Choices = _range(2000, 5000)
    missing_rate: Choices = _range(0.01, 0.1)
    earliest: str = "1990-01-01"
    latest: str = "2025-01-01"
    min_window_days: int = 30
    link_levels: Choices = _range(1, 5)
    link_clusters: Choices = _range(1, 3)
    link_diagonal: float = 0.9
    link_off_diagonal: Choices = _range(0.001, 0.002)


@dataclass(frozen=True)
class SCMParams(_Params):
    """The structural causal model of a table.

    Attributes:
        layout: graph families of the causal graph.
        column_node_frac: columns / (columns + hidden nodes), roughly: nodes = c + ceil(c / frac) + extra_nodes.
        categorical_prob: chance that a node is categorical, else numerical.
        d_embedding: width of the vectors that edges add up.
        noise_shapes: (a, b) of the Beta noise of a node.
        trend_exponent, cycle_fracs: of the sources' trend and cycle (period = ceil(rows x frac)).
        activity_noise, entity_noise: scale of the sources' noise; entity tables have neither trend nor cycle.
    """

    layout: Choices = _set("ErdosRenyi", "BarabasiAlbert", "RandomTree", "ReverseRandomTree", "Layered")
    column_node_frac: Choices = _range(0.3, 0.9)
    extra_nodes: int = 3
    categorical_prob: float = 0.5
    num_categories: Choices = _range(2, 10)
    d_embedding: int = 32
    activations: Choices = _set("relu", "elu", "selu", "silu", "softsign", "tanh")
    initialisers: Choices = _set(
        "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "truncated_normal", "sparse"
    )
    noise_shapes: Choices = _set((0.5, 0.5), (2.0, 2.0), (2.0, 3.0), (2.0, 4.0), (4.0, 1.0))
    trend_exponent: Choices = _range(0.0, 2.0)
    cycle_fracs: Choices = _set(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    activity_noise: float = 0.05
    entity_noise: float = 1.0


@dataclass(frozen=True)
class DAGParams(_Params):
    """Parameters of the graph families; see plurel.dag."""

    er_edge_prob: Choices = _range(0.3, 0.8)
    ba_edges: int = 2
    ba_sink_dropout: float = 0.4
    ws_neighbours: Choices = _set(2, 4)
    ws_rewire_prob: Choices = _range(0.1, 0.3)
    layered_depth: Choices = _range(2, 8)
    layered_dropout: float = 0.1


@dataclass(frozen=True)
class Config:
    """A prior over databases. `val_split` and `test_split` are the parts of the window's days before each timestamp.

    Raises:
        PlurelError: for a value out of range or an unknown name, naming the key.
    """

    name: str = "paper"
    database_params: DatabaseParams = field(default_factory=DatabaseParams)
    scm_params: SCMParams = field(default_factory=SCMParams)
    dag_params: DAGParams = field(default_factory=DAGParams)
    val_split: float = 0.8
    test_split: float = 0.9

    def __post_init__(self) -> None:
        found = list(complaints(self))
        if found:
            raise PlurelError("prior: " + "; ".join(found))

    @classmethod
    def preset(cls, name: str) -> Config:
        """A prior by name.

        Raises:
            PlurelError: for an unknown name.
        """
        if name != "paper":
            raise PlurelError(f"no prior is called {name!r}; known: paper")
        return cls()

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
        """Sixteen hexadecimal digits that change with any value of the prior."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


def _build(kind: type, tree: Any, where: str) -> Any:
    if not isinstance(tree, Mapping):
        raise PlurelError(f"{where} must be a mapping of keys, not {tree!r}")
    hints = get_type_hints(kind)
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
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where)
    if kind is str or kind is int or kind is float:
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
