"""The configuration of an entry point, composed in Python as its command line would compose it."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from experiments.errors import ExperimentError

CONF = Path(__file__).resolve().parents[1] / "conf"


def load_settings(name: str, *overrides: str) -> DictConfig:
    """What `python -m experiments.<name> <overrides>` would run with; `load_settings("pretrain", "max_steps=100")`.

    Raises:
        ExperimentError: for an unknown entry point, key or choice.
    """
    if not (CONF / f"{name}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "base"))
        raise ExperimentError(f"no entry point {name!r}; there are {known}")
    GlobalHydra.instance().clear()  # an earlier cell of a notebook may have left one
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(name, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ExperimentError(f"settings of {name}: {str(error).splitlines()[0]}") from error
