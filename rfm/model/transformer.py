"""The relational transformer: a token is one non-missing cell, keys between tables are attention masks.

Parameter names are those of the released weights (paper, section 5). Axes: B sequences, L cells, D model width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfm.batch import Batch
from rfm.errors import RfmError
from rfm.label_history import FORECAST, SUMMARY_SIZE
from rfm.model.attention import MaskedAttention
from rfm.model.backends import ATTENTIONS, Attention, BackendName, check_backend, choose_backend, make_attentions
from rfm.model.config import ModelConfig
from rfm.model.embedding import TYPES, embed_cells
from rfm.model.norm import RMSNorm, rms_normalise


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x), no biases."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(d_model, d_ff, bias=False)
        self.w2 = nn.Linear(d_ff, d_model, bias=False)
        self.w3 = nn.Linear(d_model, d_ff, bias=False)

    def forward(self, x: Tensor, gain: Tensor) -> Tensor:
        """Of x * gain: x (..., D), gain (D,) -> (..., D)."""
        return self.w2(F.silu(F.linear(x, self.w1.weight * gain)) * F.linear(x, self.w3.weight * gain))


class Block(nn.Module):
    """Column, feature and neighbour attention, then a feed-forward layer; each pre-norm with a residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: RMSNorm(config.d_model) for name in (*ATTENTIONS, "ffn")})
        self.attns = nn.ModuleDict({name: MaskedAttention(config.d_model, config.num_heads) for name in ATTENTIONS})
        self.ffn = FeedForward(config.d_model, config.d_ff)

    def forward(self, x: Tensor, attentions: dict[str, Attention]) -> Tensor:
        """x (B, L, D) -> (B, L, D)."""
        for name in ATTENTIONS:
            x = x + self.attns[name](rms_normalise(x), self.norms[name].weight, attentions[name])
        return x + self.ffn(rms_normalise(x), self.norms["ffn"].weight)


class RelationalTransformer(nn.Module):
    """Batch of contexts -> one vector per cell -> predictions of every type (paper, section 5).

    Args:
        attention: how attention is computed, see `rfm.model.backends`; the result is the same.
    """

    def __init__(self, config: ModelConfig, attention: BackendName = "auto") -> None:
        super().__init__()
        check_backend(attention)
        self.config, self.attention = config, attention
        d_model, d_text = config.d_model, config.d_text
        widths = {name: d_text if name == "text" else 1 for name in TYPES}
        self.enc_dict = nn.ModuleDict({t: nn.Linear(w, d_model) for t, w in (widths | {"col_name": d_text}).items()})
        d_hidden = d_model + config.label_history
        self.dec_dict = nn.ModuleDict({t: nn.Linear(d_hidden, w) for t, w in widths.items()})
        self.norm_dict = nn.ModuleDict({name: RMSNorm(d_model) for name in (*TYPES, "col_name")})
        self.mask_embs = nn.ParameterDict({t: nn.Parameter(torch.randn(d_model)) for t in TYPES})
        self.history = nn.Linear(SUMMARY_SIZE, d_model) if config.label_history else None
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.num_blocks)])
        self.norm_out = RMSNorm(d_model)
        if config.label_history:
            start_from_forecast(self.dec_dict)

    def forward(self, batch: Batch) -> Tensor:
        """Hidden vectors (B, L, D), after the last norm; zeros on padding. Masked values are not read.

        With `label_history` (B, L, D + 1): the last number is the forecast from past labels, on the target cell.

        Raises:
            RfmError: if the batch's text embeddings have another width than the model's d_text.
        """
        if batch.text_embeddings.shape[-1] != self.config.d_text:
            raise RfmError(
                f"the model reads text embeddings of width {self.config.d_text}, the batch holds width "
                f"{batch.text_embeddings.shape[-1]}; build the stores with the text model of the model's training"
            )
        x = embed_cells(batch, self.enc_dict, self.norm_dict, self.mask_embs)
        if self.history is not None:
            x = x + batch.is_target[..., None] * self.history(batch.label_summary)[:, None]
        attentions = self.attentions(batch, x)
        for block in self.blocks:
            x = block(x, attentions)
        hidden = self.norm_out(x)
        if self.history is None:
            return hidden
        forecast = batch.is_target * batch.label_summary[:, FORECAST, None]
        return torch.cat([hidden, forecast[..., None].to(hidden.dtype)], dim=-1)

    def attentions(self, batch: Batch, x: Tensor) -> dict[str, Attention]:
        """The attentions of every block, made once for cells x (B, L, D)."""
        dtype = _compute_dtype(x)
        backend = choose_backend(self.attention, x.device, self.config.d_model // self.config.num_heads, dtype)
        return make_attentions(batch, backend, dtype)

    def decode(self, hidden: Tensor) -> dict[str, Tensor]:
        """Predictions of every type from hidden vectors: (..., D) -> type -> (..., 1), or (..., d_text) for text.

        Numbers and datetimes are standardised values, booleans are logits.
        """
        return {name: decoder(hidden) for name, decoder in self.dec_dict.items()}


def start_from_forecast(decoders: nn.ModuleDict) -> None:
    """Lets a new model predict the forecast from past labels, so that it learns what the rest of a context adds to it.

    The last input of a decoder is the forecast, in standard deviations; the slope of a logit is that of a boolean
    that is true as often as false.
    """
    for name, slope in (("number", 1.0), ("boolean", 2.0)):
        nn.init.zeros_(decoders[name].weight)
        nn.init.zeros_(decoders[name].bias)
        nn.init.constant_(decoders[name].weight[:, -1], slope)


def _compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which attention runs on x: autocast's, if it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
