"""A multiclass task as one question per class, put to the boolean head: "is the target this class?" (one against rest)

The store keeps the target as a column of texts. For class k, every cell of that column in a context, the hidden one and
the visible labels of other rows, becomes a boolean: true where its text is that of the class. It is named "<target> is
<class> of <table>" and standardised as a boolean column of that name would be. So a model that was pretrained on
boolean columns answers about classes that it has never seen; the probabilities of all classes are brought to sum one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from rfm.contexts import Contexts
from rfm.random_keys import mix64
from rfm.sampler import Protocol, shown_statistics
from rfm.store import SemType, TaskInfo

MULTICLASS = "multiclass_classification"


def ask_class(contexts: Contexts, task: TaskInfo, position: int | np.ndarray, protocol: Protocol) -> Contexts:
    """The contexts with the question for one class.

    Args:
        contexts: of seeds of the multiclass task.
        position: of the class in `task.classes`, int or int (B,), one for each context.
        protocol: whose statistics standardise the answer, see `rfm.sampler`.
    """
    chosen = np.broadcast_to(position, contexts.key.shape)[:, None]  # (B, 1)
    text, name_text = (np.array([getattr(c, key) for c in task.classes], np.int32) for key in ("text", "name_text"))
    mean, std = np.array([c.stats[shown_statistics(protocol)] for c in task.classes]).T
    asked = contexts.column_idx == task.target_column
    answer, own_answer = (
        ((texts == text[chosen]) - mean[chosen]) / std[chosen] for texts in (contexts.cell_text, contexts.own_text)
    )
    return dataclasses.replace(
        contexts,
        sem_type=np.where(asked, np.int8(SemType.BOOLEAN), contexts.sem_type),
        value=np.where(asked, answer.astype(np.float32), contexts.value),
        cell_text=np.where(asked, np.int32(-1), contexts.cell_text),
        name_text=np.where(asked, name_text[chosen], contexts.name_text),
        own_value=np.where(contexts.own_text >= 0, own_answer.astype(np.float32), 0),
        own_text=np.full_like(contexts.own_text, -1),
    )


def ask_drawn_class(contexts: Contexts, task: TaskInfo, protocol: Protocol) -> Contexts:
    """The contexts with a question about one class each, drawn by the item's key: in half of the cases its own.

    For training: the label of every seed must be known. Contexts of a task without classes stay as they are.
    """
    if not task.classes:
        return contexts
    own = (contexts.cell_text[:, :1] == [c.text for c in task.classes]).argmax(axis=1)
    any_class = (mix64(contexts.key) % np.uint64(len(task.classes))).astype(np.int64)
    return ask_class(contexts, task, np.where(contexts.key & np.uint64(1), own, any_class), protocol)


def class_probabilities(logits: np.ndarray) -> np.ndarray:
    """float64 (rows, classes), each row of sum one: the logistic function of every answer, over their sum."""
    probability = np.exp(-np.logaddexp(0.0, -logits))
    return probability / np.maximum(probability.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
