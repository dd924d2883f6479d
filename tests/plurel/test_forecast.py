"""Forecast tasks: relbench reads them, and their labels are what a plain count over the tables gives."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import relbench

import plurel
from plurel.child_aggregates import snapshot
from plurel.exports.relbench_folder import write_folder
from plurel.sql.ddl import quoted

SMALL = {
    "num_tables_choices": {"kind": "range", "value": [4, 6]},
    "num_rows_entity_table_choices": {"kind": "range", "value": [30, 60]},
    "num_rows_activity_table_choices": {"kind": "range", "value": [300, 500]},
}
PRIOR = {"name": "small", "database_params": SMALL, "diversity_params": {"forecast_task_prob": 1.0}}
REAL_TIMES = {
    "forecast_task_prob": 1.0,
    "event_time_prob": 1.0,
    "creation_time_prob": 0.4,
    "child_aggregate_prob": 0.5,
    "self_reference_prob": 0.5,
    "nullable_key_prob": 0.3,
}


@pytest.fixture(scope="module", params=[{}, REAL_TIMES], ids=["even", "real"])
def prior(request) -> plurel.Config:
    return plurel.Config.from_dict(PRIOR | {"diversity_params": PRIOR["diversity_params"] | request.param})


@pytest.fixture(scope="module")
def datasets(prior, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, relbench.base.Dataset]:
    folders = [tmp_path_factory.mktemp("forecast") / f"small-{seed}" for seed in range(4)]
    for seed, folder in enumerate(folders):
        write_folder(plurel.SyntheticDataset(seed, prior), folder)
    return {folder: relbench.load_dataset(folder) for folder in folders}


def forecasts(datasets):
    for folder, dataset in datasets.items():
        for path in sorted(folder.glob("tasks/*/train.parquet")):
            yield dataset, dataset.load_task(path.parent.name), path.parent


def test_labels_are_those_of_a_plain_count(datasets) -> None:
    kinds = set()
    for dataset, task, folder in forecasts(datasets):
        db = dataset.get_db(upto_test_timestamp=False)
        child, fkey, kind = folder.name.split("-")
        events, entities = db.table_dict[child].df, db.table_dict[task.entity_table]
        created = None if entities.time_col is None else entities.df[entities.time_col]
        kinds.add(kind)
        for split in ("train", "val", "test"):
            labels = task.get_table(split, mask_input_cols=False).df
            assert len(labels) and not labels.duplicated(["row_idx", "timestamp"]).any()
            for _, label in labels.sample(min(20, len(labels)), random_state=0).iterrows():
                end = label.timestamp + task.timedelta
                if created is not None:
                    assert created.iloc[int(label.row_idx)] <= label.timestamp
                rows = events[(events.date > label.timestamp) & (events.date <= end) & (events[fkey] == label.row_idx)]
                if kind == "mean":
                    column = _mean_column(folder)
                    assert label.target == pytest.approx(rows[column].mean(), rel=1e-5, abs=1e-6)
                else:
                    assert label.target == (len(rows) if kind == "count" else len(rows) > 0)
    assert kinds == {"active", "count", "mean"}


def _mean_column(folder: Path) -> str:
    return (folder / "manifest.yaml").read_text().split('AVG(e."')[1].split('"')[0]


def test_files_hold_what_relbench_makes_from_the_sql(datasets) -> None:
    for dataset, task, folder in forecasts(datasets):
        again = dataset.load_task(folder.name, regenerate=True)
        for split in ("train", "val", "test"):
            tables = [t.get_table(split, mask_input_cols=False).df for t in (task, again)]
            pd.testing.assert_frame_equal(*tables, check_dtype=False)


def test_windows_close_in_their_split_and_within_the_database(datasets) -> None:
    for dataset, task, _ in forecasts(datasets):
        times = {s: task.get_table(s, mask_input_cols=False).df.timestamp for s in ("train", "val", "test")}
        assert times["train"].max() + task.timedelta <= dataset.val_timestamp
        assert times["val"].max() + task.timedelta <= dataset.test_timestamp
        last = dataset.get_db(upto_test_timestamp=False).max_timestamp
        assert times["test"].min() >= dataset.test_timestamp and times["test"].max() + task.timedelta <= last


def test_nothing_is_asked_before_the_day_that_features_sum_up_to(datasets, prior) -> None:
    for dataset, task, folder in forecasts(datasets):
        seed = int(folder.parent.parent.name.removeprefix("small-"))
        since = snapshot(seed, prior, plurel.SyntheticDataset(seed, prior).schema)
        first = task.get_table("train", mask_input_cols=False).df.timestamp.min()
        sums_up = prior.diversity_params.child_aggregate_prob > 0
        assert first >= since if sums_up else first < dataset.val_timestamp - 5 * task.timedelta


def test_no_task_without_the_option(tmp_path: Path) -> None:
    prior = plurel.Config.from_dict(PRIOR | {"diversity_params": {}})
    write_folder(plurel.SyntheticDataset(0, prior), tmp_path / "small-0")
    assert not list((tmp_path / "small-0").glob("tasks/*/*.parquet"))


@pytest.mark.parametrize(
    ("child", "time", "has_tasks"),
    [('the "sales"', "at", True), ("Timestamps", "at", False), ("sales", "at noon", False), ("sales", "from", False)],
)
def test_names_are_quoted_and_those_that_relbench_trips_over_have_no_task(
    tmp_path: Path, child: str, time: str, has_tasks: bool
) -> None:
    parent, time, key, number = map(quoted, ('a "shop"', time, 'the "shop"', 'feature_"EUR"'))
    (tmp_path / "shop.sql").write_text(
        f"CREATE TABLE {parent} (no INT PRIMARY KEY, size REAL);"
        f"CREATE TABLE {quoted(child)} ({time} TIMESTAMP, {key} INT REFERENCES {parent}, {number} REAL NOT NULL);"
    )
    config = plurel.Config.from_dict(PRIOR | {"schema_file": str(tmp_path / "shop.sql"), "rows": {child: 400}})
    kinds = set()
    for seed in range(6):
        folder = tmp_path / f"shop-{seed}"
        write_folder(plurel.SyntheticDataset(seed, config), folder)
        kinds |= {path.parent.name.split("-")[-1] for path in folder.glob("tasks/*/train.parquet")}
    assert {"count", "mean"} <= kinds if has_tasks else not kinds
