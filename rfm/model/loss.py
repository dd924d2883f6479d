"""The loss of masked-cell prediction (paper, section 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rfm.batch import Batch
from rfm.model.embedding import TYPES
from rfm.model.transformer import RelationalTransformer

BOOLEAN = TYPES.index("boolean")


def sequence_losses(model: RelationalTransformer, batch: Batch) -> Tensor:
    """Loss of each sequence, float32 (B,): the mean over its masked cells; 0 for a sequence without one.

    Number and datetime: Huber, delta 1, on standardised values. Boolean: cross entropy with the logit, against
    value > 0. Masked text has no loss; `Batch.validate` refuses it.
    """
    hidden = model(batch)
    sequence, cell = batch.is_masked.nonzero(as_tuple=True)  # M masked cells; only these are decoded
    predictions = model.decode(hidden[sequence, cell])
    scalar = {name: yhat.float().squeeze(-1) for name, yhat in predictions.items() if name != "text"}  # (M,)
    value, sem_type = batch.value[sequence, cell].float(), batch.sem_type[sequence, cell]
    yhat = torch.where(sem_type == TYPES.index("datetime"), scalar["datetime"], scalar["number"])
    loss = torch.where(
        sem_type == BOOLEAN,
        F.binary_cross_entropy_with_logits(scalar["boolean"], (value > 0).float(), reduction="none"),
        F.huber_loss(yhat, value, delta=1.0, reduction="none"),
    )
    # keeps the text decoder in the graph with a zero gradient, so that many devices need no search for unused weights
    loss = loss + 0.0 * predictions["text"].float().sum(-1)
    zeros = torch.zeros(len(batch.is_masked), device=loss.device)
    count = zeros.index_add(0, sequence, torch.ones_like(loss))
    return zeros.index_add(0, sequence, loss) / count.clamp(min=1)


def masked_cell_loss(model: RelationalTransformer, batch: Batch) -> Tensor:
    """Mean of `sequence_losses` over the sequences of the batch; a scalar, float32."""
    return sequence_losses(model, batch).mean()
