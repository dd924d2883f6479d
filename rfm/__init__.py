"""Relational foundation models: stores, contexts, the relational transformer, training and prediction."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfm.checkpoint import load_checkpoint, save_checkpoint
    from rfm.errors import RfmError
    from rfm.explain import explain_context
    from rfm.model import ModelConfig, RelationalTransformer
    from rfm.predict import predict_task
    from rfm.pretrained import load_pretrained
    from rfm.sampler import ContextSampler
    from rfm.store import Store, TextTable, build_stores, reindex_database

__all__ = [
    "ContextSampler",
    "ModelConfig",
    "RelationalTransformer",
    "RfmError",
    "Store",
    "TextTable",
    "build_stores",
    "explain_context",
    "load_checkpoint",
    "load_pretrained",
    "predict_task",
    "reindex_database",
    "save_checkpoint",
]

# torch takes seconds to import; a store needs none of it
_LAZY = {
    "ContextSampler": "sampler",
    "ModelConfig": "model",
    "RelationalTransformer": "model",
    "RfmError": "errors",
    "Store": "store",
    "TextTable": "store",
    "build_stores": "store",
    "explain_context": "explain",
    "load_checkpoint": "checkpoint",
    "load_pretrained": "pretrained",
    "predict_task": "predict",
    "reindex_database": "store",
    "save_checkpoint": "checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'rfm' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"rfm.{_LAZY[name]}"), name)
