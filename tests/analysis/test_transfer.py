"""Lift has the metric's direction, losers are shown, and scores that do not belong together are not averaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.report.transfer_table import transfer_verdict
from analysis.transfer import (
    BASELINES,
    COLUMNS,
    INTERVALS,
    TRAINED,
    compare_models,
    mean_lifts,
    ordered_models,
    read_transfer,
    score_intervals,
)
from experiments.task_models import MODELS


def test_lift_is_positive_where_the_model_is_better(make_transfer: Callable) -> None:
    table = compare_models(make_transfer()).set_index("metric")
    assert table.loc["auroc", "lift:zero-shot"] == pytest.approx(57.2 - 61.9)
    assert table.loc["r2", "lift:zero-shot"] == pytest.approx(-344.5)
    assert table.loc["mae", "lift:fine-tuned"] == pytest.approx(23.5 - 23.4)
    assert table["best"].to_dict() == {"auroc": "fine-tuned", "r2": "label_history", "mae": "fine-tuned"}
    columns = table.columns.tolist()
    assert columns.index("label_history") < columns.index("constant") < columns.index("zero-shot")


def test_a_tie_goes_to_the_baseline(make_transfer: Callable) -> None:
    table = make_transfer()
    table["value"] = 50.0
    assert set(compare_models(table)["best"]) == {"label_history"}


def test_models_without_pretraining_are_baselines(make_transfer: Callable) -> None:
    assert set(BASELINES + TRAINED) == set(MODELS) and not set(BASELINES) & set(TRAINED)
    table = make_transfer()
    others = [
        table[table["model"] == "fine-tuned"].assign(model=model) for model in ("boosting", "graphsage", "scratch")
    ]
    published = table[table["model"] == "fine-tuned"].assign(model="paper zero-shot", protocol="paper")
    every = pd.concat([table, *others])
    lifts = [name for name in compare_models(every) if name.startswith("lift:")]
    assert lifts == ["lift:zero-shot", "lift:fine-tuned"]
    assert [verdict["model"] for verdict in transfer_verdict(pd.concat([every, published]))] == [
        "zero-shot",
        "fine-tuned",
    ]
    assert compare_models(every).set_index("metric").loc["auroc", "best"] == "boosting"  # a tie, and it came first
    assert ordered_models(["continued", "other", "boosting", "label_history"]) == [
        "label_history",
        "boosting",
        "continued",
        "other",
    ]


def test_undefined_scores_stay_undefined(make_transfer: Callable) -> None:
    table = make_transfer()
    table.loc[(table["model"] == "zero-shot") & (table["metric"] == "r2"), "value"] = np.nan
    table.loc[table["metric"] == "auroc", "value"] = np.nan
    compared = compare_models(table).set_index("metric")
    assert np.isnan(compared.loc["r2", "zero-shot"]) and np.isnan(compared.loc["r2", "lift:zero-shot"])
    assert compared.loc["r2", "best"] == "label_history"
    assert compared.loc["auroc", "best"] is None or pd.isna(compared.loc["auroc", "best"])


def test_without_label_history_there_is_no_lift(make_transfer: Callable) -> None:
    table = make_transfer()
    compared = compare_models(table[table["model"] != "label_history"])
    assert compared["lift:zero-shot"].isna().all()


def test_seeds_are_averaged_but_checkpoints_are_not(make_transfer: Callable) -> None:
    table = make_transfer()
    shifted = table.assign(seed=1, value=table["value"] + 2)
    mean = compare_models(pd.concat([table, shifted])).set_index("metric")
    assert mean.loc["auroc", "zero-shot"] == pytest.approx(58.2)
    with pytest.raises(AnalysisError, match="2 checkpoints"):
        compare_models(pd.concat([table, table.assign(tokens=1)]))


def test_csv_is_checked(tmp_path: Path, make_transfer: Callable) -> None:
    path = tmp_path / "transfer.csv"
    make_transfer().to_csv(path, index=False)
    assert set(COLUMNS) <= set(read_transfer(path).columns)
    make_transfer().drop(columns="higher_is_better").to_csv(path, index=False)
    with pytest.raises(AnalysisError, match=r"transfer\.csv: no column 'higher_is_better'"):
        read_transfer(path)
    make_transfer().assign(value="good").to_csv(path, index=False)
    with pytest.raises(AnalysisError, match="column 'value' must hold numbers"):
        read_transfer(path)
    path.write_text("")
    with pytest.raises(AnalysisError, match="not a readable csv"):
        read_transfer(path)
    with pytest.raises(AnalysisError, match="no row of split 'train'; it has val, test"):
        compare_models(make_transfer(), split="train")


def test_a_table_may_be_silent_about_the_checkpoint(make_transfer) -> None:
    table = make_transfer()
    silent = table.drop(columns=["num_databases", "tokens", "seed"])
    pd.testing.assert_frame_equal(compare_models(silent), compare_models(table))


def test_intervals_are_those_of_the_rows_and_of_one_seed_alone(make_transfer: Callable) -> None:
    table = make_transfer(half_width=2.0)
    key = ("nycflights13", "flight-late", "temporal", "auroc", "zero-shot")
    assert score_intervals(table).loc[key].tolist() == pytest.approx([55.2, 59.2, -6.7, -2.7])
    assert score_intervals(make_transfer()).isna().all(axis=None)
    two_seeds = pd.concat([table, table.assign(seed=1)])
    assert score_intervals(two_seeds).isna().all(axis=None)
    pd.testing.assert_frame_equal(compare_models(table), compare_models(make_transfer()))
    for name in INTERVALS:
        with pytest.raises(AnalysisError, match=f"column {name!r} must hold numbers"):
            score_intervals(table.assign(**{name: "wide"}))


def test_mean_lift_is_over_tasks_and_seeds_and_its_interval_takes_tasks_as_independent(make_scores: Callable) -> None:
    lift = np.array([[-2.0, 1.0], [3.0, 4.0]])
    for seeds in (1, 3):  # seeds are scored on the same rows: more of them narrow nothing
        found = mean_lifts(make_scores(lift, [1, 8], [100, 200], seeds=seeds))
        assert found[["num_databases", "tokens"]].to_numpy().tolist() == [[1, 100], [1, 200], [8, 100], [8, 200]]
        assert found["lift"].tolist() == pytest.approx([-2.0, 1.0, 3.0, 4.0])
        np.testing.assert_allclose(found["high"] - found["lift"], 3.0 / np.sqrt(2))
        np.testing.assert_allclose(found["lift"] - found["low"], 3.0 / np.sqrt(2))
        assert set(found["num_tasks"]) == {2}


def test_mean_lift_needs_every_task_of_a_checkpoint_and_a_label_history(make_scores: Callable) -> None:
    scores = make_scores(np.array([[-2.0, 1.0]]), [1], [100, 200])
    lacking = scores[(scores["task"] == "late") | (scores["tokens"] == 200) | (scores["model"] == "label_history")]
    assert mean_lifts(lacking)["lift"].isna().tolist() == [True, False]
    once = pd.concat(
        [scores[scores["model"] == "zero-shot"], scores[scores["tokens"] == 100].query("model != 'zero-shot'")]
    )
    pd.testing.assert_frame_equal(mean_lifts(once), mean_lifts(scores))
    plain = mean_lifts(scores.drop(columns=["lift_lower", "lift_upper"]))
    assert plain["lift"].tolist() == mean_lifts(scores)["lift"].tolist() and plain["low"].isna().all()
    with pytest.raises(AnalysisError, match="no auroc of 'label_history'"):
        mean_lifts(scores[scores["model"] == "zero-shot"])
    with pytest.raises(AnalysisError, match="no column 'tokens'"):
        mean_lifts(scores.drop(columns="tokens"))
    with pytest.raises(AnalysisError, match="no auroc of 'fine-tuned'"):
        mean_lifts(scores, model="fine-tuned")


def test_baselines_without_a_checkpoint_stand_beside_one(make_transfer: Callable) -> None:
    table = make_transfer()
    baselines = table["model"].isin(BASELINES)
    bare = table.assign(**{name: table[name].mask(baselines) for name in ("num_databases", "tokens", "seed")})
    pd.testing.assert_frame_equal(compare_models(bare), compare_models(table))
    other = table[~baselines].assign(tokens=1)
    with pytest.raises(AnalysisError, match="scores of 2 checkpoints"):
        compare_models(pd.concat([bare, other]))
