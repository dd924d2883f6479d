"""How contexts of a real task are drawn, the same for fine-tuning and for prediction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from omegaconf import DictConfig

from experiments.errors import ExperimentError

PROTOCOLS = ("paper", "temporal", "relbench")
POLICIES = ("paper", "history", "mixed")


@dataclass(frozen=True)
class TaskContexts:
    """What a context may see (`protocol`), in which order (`policy`), its cells, and the batches it comes in.

    Raises:
        ExperimentError: for an unknown protocol or policy.
    """

    protocol: str
    policy: str
    ctx_len: int
    max_bfs_width: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        for key, value, known in (("protocol", self.protocol, PROTOCOLS), ("policy", self.policy, POLICIES)):
            if value not in known:
                raise ExperimentError(f"{key} is {value!r}; it must be one of {', '.join(known)}")

    @classmethod
    def from_config(cls, protocol: str, policy: str, train: DictConfig, seed: int) -> TaskContexts:
        """Sizes as in pretraining: `train` is the configuration group."""
        return cls(protocol, policy, train.ctx_len, train.max_bfs_width, train.batch_size, seed)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of rfm.predict.predict_task and rfm.datamodule.TaskBatches."""
        return asdict(self)
