"""Every file under conf/ composes and builds the objects that it configures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import plurel
from analysis import published
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


@pytest.mark.parametrize("transfer", names("transfer"))
def test_every_list_of_real_databases_composes(transfer: str) -> None:
    scaling, comparison = composed("scaling", f"transfer={transfer}"), composed("comparison", f"transfer={transfer}")
    assert scaling.transfer.datasets == comparison.transfer.datasets
    assert len(set(scaling.transfer.datasets)) == len(scaling.transfer.datasets) > 0


def test_the_relbench_list_has_every_task_of_the_paper() -> None:
    listed = {name.rpartition("/")[2] for name in composed("scaling", "transfer=relbench").transfer.datasets}
    assert listed == {dataset for dataset, _, _ in published._TRANSFER}


@pytest.mark.parametrize(
    ("prior", "model", "ctx_len"), [("paper", "tiny", 64), ("main", "small", 512), ("diverse", "nano", 256)]
)
def test_grids_over_prior_model_and_context_are_one_command(prior: str, model: str, ctx_len: int) -> None:
    cfg = composed(
        "scaling", "profile=cpu", f"prior={prior}", f"model={model}", f"train.ctx_len={ctx_len}", "train.warmup_steps=5"
    )
    check_config(cfg)
    assert (cfg.prior.name, cfg.train.ctx_len) == (prior, ctx_len)


@pytest.mark.parametrize("entry", ["finetune", "continue_pretraining"])
def test_entry_points_compose(entry: str) -> None:
    given = ["dataset=x", "task=y"] if entry == "finetune" else ["datasets=[x,y]"]
    assert OmegaConf.missing_keys(composed(entry, *given)) == set()


@pytest.mark.parametrize("model", names("model"))
def test_every_model_builds(model: str) -> None:
    cfg = composed("scaling", f"model={model}")
    ModelConfig.from_dict(OmegaConf.to_container(cfg.model))


@pytest.mark.parametrize("prior", names("prior"))
def test_every_prior_builds(prior: str) -> None:
    assert isinstance(prior_from(composed("generate", f"prior={prior}").prior), plurel.Config)


@pytest.mark.parametrize("cluster", names("cluster"))
def test_every_cluster_composes(cluster: str) -> None:
    if cluster in ("jobs", "slurm"):
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra `cluster`")
    overrides = [f"cluster={cluster}", "corpus.path=x", "corpus.parts=3", "workers=4"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("generate", overrides, return_hydra_config=True)
    assert cfg.cluster.kind == ("ray" if cluster == "ray" else "local")
    if cluster in ("jobs", "slurm"):
        assert cfg.hydra.launcher._target_.endswith("SlurmLauncher" if cluster == "slurm" else "LocalLauncher")
        assert cfg.hydra.sweeper.params["corpus.part"] == "range(0,3)"
        assert cfg.hydra.launcher.cpus_per_task == 4


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


def test_every_number_of_databases_has_a_cell() -> None:
    given = ["corpus.num_databases=[4,16]", "grid.tokens=[65536,262144]"]
    check_config(composed("scaling", *given, "grid.tokens_per_database=16384"))
    with pytest.raises(ExperimentError, match=r"tokens_per_database must be null or at least 16384"):
        check_config(composed("scaling", *given, "grid.tokens_per_database=16383"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corpus.num_databases=4", "corpus.num_databases must be a list"),
        ("corpus.num_databases=[1,2.5]", "corpus.num_databases must be a list of distinct positive whole numbers"),
        ("grid.tokens=65536", "grid.tokens must be a list"),
        ("grid.tokens=[4096,4096]", "grid.tokens must be a list of distinct"),
        ("transfer.datasets=nycflights13", "transfer.datasets must be a list"),
    ],
)
def test_a_value_that_is_no_list_is_named(override: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=re.escape(message)):
        check_config(composed("scaling", "profile=smoke", override))
