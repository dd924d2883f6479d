"""The relational transformer and its loss."""

from rfm.model.config import ModelConfig
from rfm.model.cost import Cost, cost
from rfm.model.loss import masked_cell_loss, sequence_losses
from rfm.model.masks import RelationalMasks
from rfm.model.transformer import RelationalTransformer

__all__ = [
    "Cost",
    "ModelConfig",
    "RelationalMasks",
    "RelationalTransformer",
    "cost",
    "masked_cell_loss",
    "sequence_losses",
]
