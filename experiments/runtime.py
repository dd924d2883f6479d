"""Process-wide settings that an entry point makes before it works."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings

import torch
from omegaconf import DictConfig, ListConfig


def set_threads(threads: int | None) -> int:
    """Sets torch's threads to `threads`, or to the cores this process may use; returns the number."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    number = threads or available
    torch.set_num_threads(number)
    return number


def process_rank() -> int:
    """Number of this process among those that a launcher (torchrun, SLURM, Lightning) started for one run; 0 alone."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


def several_processes(train: DictConfig) -> list[str]:
    """A complaint if this run is, or would start, more than one process; for commands that do more than train.

    Args:
        train: the `train` group.
    """
    devices, number = train.devices, int(os.environ.get("WORLD_SIZE", 1))
    one_device = devices == 1 or (isinstance(devices, ListConfig) and len(devices) == 1)
    if one_device and train.num_nodes == 1 and number == 1 and process_rank() == 0:
        return []
    return [
        f"train.devices={devices}, train.num_nodes={train.num_nodes}, process {process_rank()} of {number}: this "
        "command trains each model in one process on one device; the cells of a grid run side by side as jobs "
        "(--multirun job.seed=0,1 hydra/launcher=joblib), and experiments.pretrain, continue_pretraining and finetune "
        "train one model on several devices"
    ]


def keep_memory() -> None:
    """Lets memory that one training step frees serve the next: glibc hands large blocks back to the system, and the
    page faults of taking them again were a tenth of a step on the CPU. Does nothing elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
        mallopt(m_mmap_threshold, 2**30)
        mallopt(m_trim_threshold, 2**31 - 1)


def quiet_libraries() -> None:
    """Keeps start-up notes of Lightning and Weights & Biases out of a run of many short trainings."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("lightning.pytorch", "lightning.fabric", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
