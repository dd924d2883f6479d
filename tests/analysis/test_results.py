"""Rows come back as written; what does not fit the schema is named by file and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.results import SCHEMA, loss_grid, read_results, write_rows


def test_cells_are_merged_in_order_with_their_types(tmp_path: Path, make_row: Callable) -> None:
    for n in (2, 1):
        rows = [make_row(num_databases=n, value=0.1 * n, tokens=32 * 10**9), make_row(num_databases=n, dataset="db")]
        write_rows(tmp_path / "results" / f"n{n}.parquet", rows)
    results = read_results(tmp_path)
    assert list(results.columns) == list(SCHEMA)
    assert results["num_databases"].tolist() == [1, 1, 2, 2]
    assert results["tokens"].dtype == np.int64 and results["value"].dtype == np.float64
    pd.testing.assert_frame_equal(read_results(tmp_path / "results" / "n2.parquet"), results[2:].reset_index(drop=True))
    merged = tmp_path / "results.parquet"
    results.to_parquet(merged, index=False)
    pd.testing.assert_frame_equal(read_results(merged), results)


def test_diverged_loss_is_kept(tmp_path: Path, make_row: Callable) -> None:
    write_rows(tmp_path / "cell.parquet", [make_row(value=float("nan"))])
    results = read_results(tmp_path / "cell.parquet")
    assert results["value"].isna().all()
    results.to_parquet(tmp_path / "merged.parquet", index=False)
    pd.testing.assert_frame_equal(read_results(tmp_path / "merged.parquet"), results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("seed"), "row 0 lacks column 'seed'"),
        (lambda row: row.update(sede=1), "row 0 has unknown column 'sede'"),
        (lambda row: row.update(tokens="many"), "column 'tokens' must be int64"),
        (lambda row: row.update(tokens=1.5), "column 'tokens' must be int64"),
        (lambda row: row.update(run=3), "column 'run' must be string"),
        (lambda row: row.update(git=None), "column 'git' must be string, not null"),
    ],
)
def test_bad_row_is_refused_and_nothing_is_written(
    tmp_path: Path, make_row: Callable, change: Callable[[dict], None], message: str
) -> None:
    row = make_row()
    change(row)
    path = tmp_path / "results" / "cell.parquet"
    with pytest.raises(AnalysisError, match=message) as caught:
        write_rows(path, [row])
    assert str(path) in str(caught.value)
    assert not list(tmp_path.rglob("*.parquet"))


def test_half_written_cell_is_not_read(tmp_path: Path, make_row: Callable) -> None:
    write_rows(tmp_path / "results" / "a.parquet", [make_row()])
    (tmp_path / "results" / ".b.parquet.tmp").write_bytes(b"PAR1 half")
    assert len(read_results(tmp_path)) == 1


def test_damaged_file_is_named(tmp_path: Path, make_row: Callable) -> None:
    path = tmp_path / "results" / "a.parquet"
    write_rows(path, [make_row()])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(AnalysisError, match=r"a\.parquet is not a readable parquet file") as caught:
        read_results(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_column_is_named_with_its_file(tmp_path: Path, make_row: Callable) -> None:
    (tmp_path / "results").mkdir()
    pd.DataFrame([make_row()]).drop(columns="flops").to_parquet(tmp_path / "results" / "b.parquet")
    with pytest.raises(AnalysisError, match=r"b\.parquet: no column 'flops'"):
        read_results(tmp_path)


def test_wrong_type_is_named_with_its_file(tmp_path: Path, make_row: Callable) -> None:
    pd.DataFrame([make_row(value="high")]).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(AnalysisError, match=r"c\.parquet: column 'value' must be double"):
        read_results(tmp_path / "c.parquet")


def test_measurement_that_is_there_twice_is_named_with_the_second_file(tmp_path: Path, make_row: Callable) -> None:
    for name in ("a", "b"):
        write_rows(tmp_path / "results" / f"{name}.parquet", [make_row(seed=3)])
    with pytest.raises(AnalysisError, match=r"b\.parquet: this measurement is there twice: .*seed=3"):
        read_results(tmp_path)


def test_empty_and_absent_folders_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="holds no results"):
        read_results(tmp_path)
    with pytest.raises(AnalysisError, match="no such file"):
        read_results(tmp_path / "nowhere")
    with pytest.raises(AnalysisError, match="no rows to write"):
        write_rows(tmp_path / "x.parquet", [])


def test_loss_grid_is_the_mean_over_seeds_and_only_of_the_validation_loss(
    make_grid: Callable, make_row: Callable
) -> None:
    losses = np.array([[0.5, 0.4], [0.45, 0.35]])
    both = [make_grid(losses + 0.01 * seed, [8, 1], [2048, 1024], seed=seed) for seed in (0, 1, 2)]
    other = pd.DataFrame([make_row(dataset="paper-1", value=9.0), make_row(metric="auroc", value=9.0)])
    grid = loss_grid(pd.concat([*both, other]).sample(frac=1, random_state=0))
    assert grid.index.tolist() == [1, 8] and grid.columns.tolist() == [1024, 2048]
    np.testing.assert_allclose(grid.to_numpy(), losses[::-1, ::-1] + 0.01)


def test_a_diverged_seed_is_not_averaged_away(make_grid: Callable) -> None:
    losses = np.array([[0.5, 0.4]])
    diverged = losses.copy()
    diverged[0, 1] = np.nan
    grid = loss_grid(pd.concat([make_grid(losses, [1], [1, 2]), make_grid(diverged, [1], [1, 2], seed=1)]))
    assert grid.loc[1, 1] == 0.5 and np.isnan(grid.loc[1, 2])


def test_two_runs_are_not_averaged(make_grid: Callable) -> None:
    one = make_grid(np.array([[0.5]]), [1], [1])
    with pytest.raises(AnalysisError, match=r"results of 2 runs \(a, r\)"):
        loss_grid(pd.concat([one, one.assign(run="a")]))
    with pytest.raises(AnalysisError, match="no validation loss"):
        loss_grid(one.assign(metric="auroc"))
