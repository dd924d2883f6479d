"""Every file under conf/ composes and builds the objects that it configures."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import plurel
from experiments.errors import ExperimentError
from experiments.generate import prior_from
from experiments.scaling import check_config
from rfm.model import ModelConfig

CONF = Path(__file__).resolve().parents[2] / "conf"


def names(group: str) -> list[str]:
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def composed(config: str, *overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config, list(overrides))


@pytest.mark.parametrize("profile", names("profile"))
def test_every_profile_is_a_valid_scaling_run(profile: str) -> None:
    cfg = composed("scaling", f"profile={profile}")
    check_config(cfg)
    assert len(cfg.grid.tokens) >= 2
    assert cfg.run.dir == f"runs/{profile}"
    assert OmegaConf.missing_keys(cfg) == set()


@pytest.mark.parametrize("model", names("model"))
def test_every_model_builds(model: str) -> None:
    cfg = composed("scaling", f"model={model}")
    ModelConfig.from_dict(OmegaConf.to_container(cfg.model))


@pytest.mark.parametrize("prior", names("prior"))
def test_every_prior_builds(prior: str) -> None:
    assert isinstance(prior_from(composed("generate", f"prior={prior}").prior), plurel.Config)


def test_the_data_entry_has_a_default_for_all_but_its_source() -> None:
    cfg = composed("data")
    assert OmegaConf.missing_keys(cfg) == {"source"} and cfg.reindex is None


@pytest.mark.parametrize("train", names("train"))
def test_every_training_is_valid(train: str) -> None:
    check_config(composed("scaling", f"train={train}", "grid.tokens=[500000000,1000000000]"))


@pytest.mark.parametrize("experiment", names("experiment"))
def test_the_paper_protocol_is_section_7(experiment: str) -> None:
    cfg = composed("pretrain", f"experiment={experiment}", "corpus.path=x")
    assert (cfg.schedule, cfg.train.lr, cfg.train.weight_decay, list(cfg.train.betas)) == (
        "one_cycle",
        5e-4,
        0.1,
        [0.9, 0.999],
    )
    assert (cfg.train.batch_size, cfg.train.ctx_len, cfg.train.gradient_clip, cfg.train.objective) == (
        128,
        1024,
        1.0,
        "paper",
    )
    assert cfg.model.num_blocks == 12 and cfg.seed == 0


def test_all_complaints_come_at_once() -> None:
    cfg = composed("scaling", "grid.tokens=[0,5]", "grid.schedule=cosine", "transfer.protocol=online")
    with pytest.raises(ExperimentError, match=r"grid\.tokens.*grid\.schedule.*transfer\.protocol"):
        check_config(cfg)
