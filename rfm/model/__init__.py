"""The relational transformer and its loss."""

from rfm.model.config import ModelConfig
from rfm.model.loss import masked_cell_loss, sequence_losses
from rfm.model.masks import RelationalMasks
from rfm.model.transformer import RelationalTransformer

__all__ = ["ModelConfig", "RelationalMasks", "RelationalTransformer", "masked_cell_loss", "sequence_losses"]
