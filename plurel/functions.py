"""Random functions of the causal model: perceptrons, and codes for categories made of them (paper.md, 3 and 4).

Thousands are drawn together: all that tells one from another is drawn here, its weights where it is evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from plurel.activations import ACTIVATIONS
from plurel.initialisers import INITIALISERS
from plurel.kernels.activate import FORMULAS
from plurel.kernels.bits import draw_streams
from plurel.kernels.node import Functions
from plurel.kernels.perceptron import Perceptrons

if TYPE_CHECKING:
    from plurel.config import SCMParams

_INITIALISER = {name: number for number, name in enumerate(INITIALISERS)}
_FORMULA = {name: FORMULAS.index(formula) for name, (formula, _, _) in ACTIVATIONS.items()}
_COEFFICIENTS = {name: numbers for name, (_, *numbers) in ACTIVATIONS.items()}


def draw_perceptrons(count: int, params: SCMParams, rng: np.random.Generator) -> Perceptrons:
    """Independent perceptrons: x @ weight, activation, ..., @ weight; hidden layers are as wide as the embedding.

    Activations belong to the layers. (The code published with the paper draws one anew at every call, so that the
    mechanism of each row is another; its release 1.1.0 fixes it, as here.)
    """
    depths = params.mlp_num_layers_choices.draws(count, rng)
    deepest = int(depths.max(initial=2))
    spread = params.activation_log_scale
    names = params.activation_choices.value
    activations = params.activation_choices.draws((count, deepest - 1), rng, {n: i for i, n in enumerate(names)})
    return Perceptrons(
        streams=draw_streams(count, rng),
        depths=depths,
        initialisers=params.initialization_choices.draws((count, deepest), rng, _INITIALISER),
        densities=np.maximum(params.mlp_weight_density_choices.draws((count, deepest), rng), 1e-6).astype(np.float32),
        formulas=np.array([_FORMULA[name] for name in names])[activations],
        coefficients=np.array([_COEFFICIENTS[name] for name in names], dtype=np.float32)[activations],
        gains=np.exp(rng.uniform(-spread, spread, (count, deepest - 1))).astype(np.float32),
        width=params.mlp_emb_dim,
        limit=float(params.activation_limit),
    )


def draw_functions(num_categories: Sequence[int], params: SCMParams, rng: np.random.Generator) -> Functions:
    """Functions from each of several numbers (0) or categories to a vector, or from vectors to them."""
    count = len(num_categories)
    return Functions(
        draw_perceptrons(count, params, rng),
        np.array(num_categories, dtype=np.int64),
        params.initialization_choices.draws(count, rng, _INITIALISER),
    )
