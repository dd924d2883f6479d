"""Priors by name, each as its differences from the defaults of plurel.config (which are `main`)."""

from __future__ import annotations

from typing import Any


def _set(*options: Any) -> dict[str, Any]:
    return {"kind": "set", "value": list(options)}


def _range(low: float, high: float) -> dict[str, Any]:
    return {"kind": "range", "value": [low, high]}


# paper.md, section 3
_PAPER: dict[str, Any] = {
    "database_params": {"col_transform_choices": _set("identity")},
    "scm_params": {
        "scm_layout_choices": _set("ErdosRenyi", "BarabasiAlbert", "RandomTree", "ReverseRandomTree", "Layered"),
        "activation_choices": _set("relu", "elu", "selu", "silu", "softsign", "tanh"),
        "node_noise_shape_choices": _set([0.5, 0.5], [2.0, 2.0], [2.0, 3.0], [2.0, 4.0], [4.0, 1.0]),
        "ts_ar_rho_choices": _range(0.0, 0.0),
        "ts_value_scale_choices": _set(1),
        "propagation_agg_choices": _set("sum"),
        "mlp_num_layers_choices": _range(2, 2),
        "mlp_weight_density_choices": _range(1.0, 1.0),
        "activation_log_scale": 0.0,
        "activation_limit": 1e15,
        "embedding_limit": 1e15,
        "source_gen_type_choices": _set("ts"),
        "propagation_mode_choices": _set("type_eager"),
    },
    "dag_params": {"edge_weight_dist_choices": _set("gaussian")},
}
# the wishes of the published code's users (paper.md, section 4), and what label history lives on (section 6)
_DIVERSE: dict[str, Any] = {
    "diversity_params": {
        "hidden_state_prob": 0.6,
        "skewed_degree_prob": 0.5,
        "nullable_key_prob": 0.2,
        "heavy_tail_prob": 0.15,
        "zero_inflation_prob": 0.15,
        "integer_prob": 0.2,
        "text_prob": 0.3,
        "missing_by_value_prob": 0.2,
        "forecast_task_prob": 0.3,
        "self_reference_prob": 0.15,
        "child_aggregate_prob": 0.2,
        "event_time_prob": 0.7,
        "creation_time_prob": 0.12,
        "date_prob": 0.05,
        "ordinal_prob": 0.1,
        "composite_prob": 0.2,
    }
}
PRESETS: dict[str, dict[str, Any]] = {"main": {}, "paper": _PAPER, "diverse": _DIVERSE}
