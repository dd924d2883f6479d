"""What a model of given sizes costs: parameters, operations per token, memory."""

from __future__ import annotations

from dataclasses import dataclass

from rfm.label_history import SUMMARY_SIZE
from rfm.model.config import ModelConfig

NUM_SCALAR_TYPES = 3  # number, datetime, boolean; text is the fourth type


@dataclass(frozen=True)
class Cost:
    """Operations count a multiply and an add as two, and only matrix products.

    Attributes:
        params: trained numbers, as released (paper, section 5).
        forward, backward: of one token, products with the weights of the blocks. The projections of a batch's distinct
            strings and the decoding of its hidden cells are left out: they are not paid for each token.
        attention_forward, attention_backward: of one token, products between queries, keys and values.
        state_bytes: of training in float32 with AdamW: weights, gradients and two moments. Activations are not in it.
    """

    params: int
    forward: int
    backward: int
    attention_forward: float
    attention_backward: float
    state_bytes: int

    @property
    def training(self) -> float:
        """Operations of one token forwards and backwards."""
        return self.forward + self.backward + self.attention_forward + self.attention_backward


def cost(config: ModelConfig, keys_per_cell: float) -> Cost:
    """The cost of a model.

    Args:
        keys_per_cell: cells that a cell attends to, summed over the three attentions: 3 L where all pairs of a context
            of L cells are computed (`sdpa`); some 40 to 60 where only the pairs of the masks are (`segment`).
    """
    d, text, width = config.d_model, config.d_text, config.d_model // config.num_heads
    block_matrices = 3 * 4 * d * d + 3 * d * config.d_ff
    block = block_matrices + 4 * d + 3 * 2 * width  # four norms; norms of queries and keys
    encoders = NUM_SCALAR_TYPES * 2 * d + 2 * (text + 1) * d
    d_hidden = d + config.label_history
    decoders = (NUM_SCALAR_TYPES + text) * (d_hidden + 1)
    norms_and_masks = 5 * d + 4 * d + d
    history = (SUMMARY_SIZE + 1) * d if config.label_history else 0
    params = config.num_blocks * block + encoders + decoders + norms_and_masks + history
    forward = 2 * config.num_blocks * block_matrices
    attention = 4.0 * config.num_blocks * keys_per_cell * d  # scores and their product with the values
    return Cost(
        params=params,
        forward=forward,
        backward=2 * forward,
        attention_forward=attention,
        attention_backward=2.5 * attention,  # scores again, then four products
        state_bytes=4 * 4 * params,
    )
