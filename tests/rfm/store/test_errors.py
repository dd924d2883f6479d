"""What a user can break is told in one line that names the place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import relbench

from rfm.errors import RfmError
from rfm.store import Store, TextTable, build_store, build_stores, reindex_database


def rewrite(folder: Path, part: str, **columns: object) -> None:
    """Replaces or adds columns of a parquet file (None: takes the column away)."""
    path = folder / f"{part}.parquet"
    frame = pd.read_parquet(path)
    for name, values in columns.items():
        frame = frame.drop(columns=name) if values is None else frame.assign(**{name: values})
    frame.to_parquet(path, index=False)


def edit(folder: Path, part: str, pattern: str, new: str) -> None:
    path = folder / part / "manifest.yaml"
    text, count = re.subn(pattern, new, path.read_text())
    assert count
    path.write_text(text)


DAMAGES = {
    "damaged parquet": (
        lambda f: (f / "db" / "orders.parquet").write_bytes(b"PAR1 not a parquet file PAR1"),
        r"table 'orders': damaged parquet file .*orders\.parquet",
    ),
    "missing table": (lambda f: (f / "db" / "users.parquet").unlink(), r"table 'users': no file .*users\.parquet"),
    "missing key column": (lambda f: rewrite(f, "db/orders", user_id=None), r"table 'orders'.*\['user_id'\]"),
    "primary key": (
        lambda f: rewrite(f, "db/users", user_id=[0, 1, 2, 4, 3]),
        r"table 'users': primary key 'user_id' must be 0..n-1 in row order, but row 3 has 4",
    ),
    "key of strings": (lambda f: rewrite(f, "db/orders", user_id=["x"] * 60), r"'orders': key 'user_id' must hold int"),
    "key of fractions": (
        lambda f: rewrite(f, "db/orders", user_id=[0.5] * 60),
        r"'orders': key 'user_id' must hold integers, but row 0 has 0\.5",
    ),
    "time of strings": (
        lambda f: rewrite(f, "db/orders", time=["yesterday"] * 60),
        r"table 'orders': time column 'time' must be a timestamp or date, got .*string; row 0 holds 'yesterday'",
    ),
    "time out of range": (
        lambda f: rewrite(f, "db/orders", time=np.array(["2020-01-01"] * 59 + ["9999-12-31"], "datetime64[s]")),
        r"table 'orders': time column 'time' has 9999-12-31T00:00:00 in row 59; times must lie between 1677",
    ),
    "label time out of range": (
        lambda f: rewrite(f, "tasks/user-spend/val", date=np.array(["1500-01-01"], "datetime64[s]")),
        r"task 'user-spend': val labels: time column 'date' has 1500-01-01T00:00:00 in row 0",
    ),
    "sem_types of an unknown column": (
        lambda f: edit(f, ".", "pkey: user_id\n", "pkey: user_id\n    sem_types: {nam: text}\n"),
        r"sem_types: table 'users' has no feature column 'nam'; did you mean 'name'",
    ),
    "unknown sem_type": (
        lambda f: edit(f, ".", "pkey: user_id\n", "pkey: user_id\n    sem_types: {name: txt}\n"),
        r"sem_types of users.name has no type 'txt'; did you mean 'text'",
    ),
    "sem_type that does not fit": (
        lambda f: edit(f, ".", "pkey: user_id\n", "pkey: user_id\n    sem_types: {name: number}\n"),
        r"table 'users': column 'name': .*string cannot be read as number",
    ),
    "time of numbers": (lambda f: rewrite(f, "db/orders", time=range(60)), r"'orders': time column 'time' must be"),
    "unknown entity": (
        lambda f: rewrite(f, "tasks/user-spend/val", user=[7]),
        r"task 'user-spend': val labels: entity column 'user' names 7 in row 0, but the table has rows 0\.\.4",
    ),
    "label without time": (
        lambda f: rewrite(f, "tasks/user-spend/val", date=pd.to_datetime([None])),
        r"task 'user-spend': val labels: row 0 has no time in 'date'",
    ),
    "missing target": (
        lambda f: rewrite(f, "tasks/user-spend/train", spend=None, spent=[1.0, 2.0, 3.0]),
        r"task 'user-spend': train labels has no column 'spend'; did you mean 'spent'",
    ),
    "missing labels": (
        lambda f: (f / "tasks" / "user-churn" / "val.parquet").unlink(),
        r"task 'user-churn': val labels: no file .*val\.parquet",
    ),
    "no manifest": (lambda f: (f / "manifest.yaml").unlink(), r"is not a RelBench-3 dataset: it has no manifest.yaml"),
    "broken manifest": (lambda f: (f / "manifest.yaml").write_text("a: [1"), r"manifest.yaml: unreadable or damaged"),
    "manifest of a list": (lambda f: (f / "manifest.yaml").write_text("- 1"), r"not a RelBench-3 manifest"),
    "unknown entity table": (
        lambda f: edit(f, "tasks/user-spend", "entity_table: users", "entity_table: user"),
        r"task 'user-spend': the database has no table 'user'; did you mean 'users'",
    ),
    "unknown target": (
        lambda f: edit(f, "tasks/order-score", "target_col: score", "target_col: scores"),
        r"task 'order-score': table 'orders' has no column 'scores'; did you mean 'score'",
    ),
    "target is a key": (
        lambda f: edit(f, "tasks/order-score", "target_col: score", "target_col: user_id"),
        r"'user_id' is a key",
    ),
    "misspelt remove_columns": (
        lambda f: edit(f, "tasks/order-score", r"\Z", "remove_column: [[orders, paid]]\n"),
        r"unknown key 'remove_column'; did you mean 'remove_columns'",
    ),
    "removed column unknown": (
        lambda f: edit(f, "tasks/order-score", r"\Z", "remove_columns: [[orders, payed]]\n"),
        r"remove_columns: table 'orders' has no column 'payed'; did you mean 'paid'",
    ),
    "no duration": (
        lambda f: edit(f, "tasks/user-spend", "timedelta: 10 days", "timedelta: soon"),
        r"task 'user-spend': timedelta 'soon' is not a duration",
    ),
    "no date": (lambda f: edit(f, ".", "val_timestamp: '?2020-02-01'?", "val_timestamp: never"), r"'never' is not"),
    "null for a date": (
        lambda f: edit(f, ".", "val_timestamp: '?2020-02-01'?", "val_timestamp: null"),
        "None is not a da",
    ),
    "no text for a date": (
        lambda f: edit(f, ".", "test_timestamp: '?2020-03-01'?", "test_timestamp: ''"),
        "'' is not a d",
    ),
    "no time": (
        lambda f: edit(f, ".", "val_timestamp: '?2020-02-01'?", "val_timestamp: NaT"),
        "val_timestamp 'NaT' is not",
    ),
    "name of a folder": (lambda f: edit(f, ".", "name: shop", "name: a/b"), r"'a/b' cannot be the name of a store"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_source_is_named_and_leaves_no_store(
    damage: str, shop: Path, tmp_path: Path, texts: TextTable
) -> None:
    break_it, message = DAMAGES[damage]
    break_it(shop)
    with pytest.raises(RfmError, match=message) as caught:
        build_store(shop, tmp_path / "root", texts)
    assert "\n" not in str(caught.value)
    assert [p.name for p in (tmp_path / "root").iterdir()] == ["texts"]


def folder_content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_reindexing_gives_the_same_database(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    """Keys become names and the rows of `users` are turned round; the copy is the shop again, in that order."""
    want = build_store(shop, tmp_path / "want", TextTable.open_or_create(tmp_path / "want", "hash"))
    users = pd.read_parquet(shop / "db" / "users.parquet").iloc[::-1]
    users.assign(user_id=[f"u{i}" for i in users.user_id]).to_parquet(shop / "db" / "users.parquet", index=False)
    orders = pd.read_parquet(shop / "db" / "orders.parquet")
    named = [f"u{i}" for i in orders.user_id]
    orders.assign(user_id=["nobody", *named[1:]]).to_parquet(shop / "db" / "orders.parquet", index=False)
    for path in (shop / "tasks").glob("*/*.parquet"):
        labels = pd.read_parquet(path)
        labels.assign(user=[f"u{i}" for i in labels.user]).to_parquet(path, index=False)
    before = folder_content(shop)
    with pytest.raises(RfmError, match=r"\('u4' in row 0\); `rfm.reindex_database"):
        build_store(shop, tmp_path / "root", texts)
    copy = reindex_database(shop, tmp_path / "copy")
    assert folder_content(shop) == before
    store = build_store(copy, tmp_path / "root", texts)
    first = want.tables["orders"].first_row
    for row in range(first, first + 60):
        assert store.cells(row).keys() == want.cells(row).keys()
        (parent,) = want.parent_row[want.parent_offset[row] : want.parent_offset[row + 1]]
        got = store.parent_row[store.parent_offset[row] : store.parent_offset[row + 1]].tolist()
        assert got == ([] if row == first else [4 - parent])  # the first names nobody
    for split in ("train", "val", "test"):
        rows, wanted = store.task_rows("user-spend", split), want.task_rows("user-spend", split)
        np.testing.assert_array_equal(store.task_targets("user-spend", split), want.task_targets("user-spend", split))
        assert (store.parent_row[store.parent_offset[rows]] == 4 - want.parent_row[want.parent_offset[wanted]]).all()


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user_id", ["a", "b", "a", "c", "d"], r"table 'users': primary key 'user_id' has 'a' again in row 2"),
        ("user_id", ["a", "b", None, "c", "d"], r"table 'users': primary key 'user_id' is missing in row 2"),
        ("user_id", [[i] for i in range(5)], r"table 'users': primary key 'user_id' is list<.*>; keys must be numbers"),
        ("user_id", [{"a": i} for i in range(5)], r"table 'users': primary key 'user_id' is struct<.*>; keys must be"),
        ("user_id", [4, 5, 6, 7, 8], r"task 'user-churn': train labels: row 0 names 3, which 'users' does not have"),
    ],
)
def test_reindexing_refuses_keys_that_name_no_single_row(
    column: str, values: list, message: str, shop: Path, tmp_path: Path
) -> None:
    rewrite(shop, "db/users", **{column: values})
    if isinstance(values[0], str):
        rewrite(shop, "db/orders", **{column: ["a"] * 60})
    with pytest.raises(RfmError, match=message):
        reindex_database(shop, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(RfmError, match="exists; name a new folder"):
        reindex_database(shop, shop)


def test_no_such_folder(tmp_path: Path, texts: TextTable) -> None:
    with pytest.raises(RfmError, match="no such folder"):
        build_store("nowhere", tmp_path / "root", texts)


def test_a_hub_that_cannot_be_reached(tmp_path: Path, texts: TextTable, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> None:
        raise ConnectionError(f"no route to the host of {name}\nmore lines")

    monkeypatch.setattr(relbench, "load_dataset", offline)
    with pytest.raises(RfmError, match=r"'org/repo/data': no such folder, and the RelBench Hub .*no route"):
        build_store("org/repo/data", tmp_path / "root", texts)


def test_two_sources_of_one_name(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RfmError, match="both named 'shop'"):
        build_stores([shop, shop], tmp_path / "root", "hash", progress=False)


def test_unknown_names_get_the_nearest_one(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    with pytest.raises(RfmError, match="no task 'user-spent'; did you mean 'user-spend'"):
        store.task_rows("user-spent", "train")
    with pytest.raises(RfmError, match="'user-order' of shop is not supported: recommendation"):
        store.task("user-order")
    with pytest.raises(RfmError, match="no column 'scoer'; did you mean 'score'"):
        store.column("orders", "scoer")
    with pytest.raises(RfmError, match="split 'dev': choose one of train, val, test"):
        store.task_rows("user-spend", "dev")
    with pytest.raises(RfmError, match="statistics 'all': choose"):
        store.column_stats("all")


def break_version(path: Path) -> None:
    meta = json.loads((path / "store.json").read_text())
    (path / "store.json").write_text(json.dumps(meta | {"version": 0}))


def break_keys(path: Path) -> None:
    meta = json.loads((path / "store.json").read_text())
    (path / "store.json").write_text(json.dumps(meta | {"colour": 1}))


STORE_DAMAGES = {
    "version": (break_version, "store format 0, this code reads 3"),
    "unknown key": (break_keys, "missing or unknown keys"),
    "json": (lambda p: (p / "store.json").write_text("{"), "store.json: unreadable or damaged"),
    "no json": (lambda p: (p / "store.json").unlink(), "is not a store"),
    "size": (lambda p: np.save(p / "row_time.npy", np.zeros(3, dtype=np.int64)), r"row_time.npy: .*\(3,\)"),
    "type": (lambda p: np.save(p / "row_split.npy", np.load(p / "row_split.npy").astype(float)), "row_split.npy: <f8"),
    "missing": (lambda p: (p / "cell_value.npy").unlink(), "cell_value.npy is missing"),
    "cut off": (
        lambda p: (p / "cell_value.npy").write_bytes((p / "cell_value.npy").read_bytes()[:-100]),
        "cell_value.npy: unreadable or damaged",
    ),
}


@pytest.mark.parametrize("damage", STORE_DAMAGES)
def test_a_damaged_store_is_named_and_built_again(damage: str, shop: Path, tmp_path: Path, texts: TextTable) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    cells = np.array(store.cell_value)
    break_it, message = STORE_DAMAGES[damage]
    break_it(store.path)
    with pytest.raises(RfmError, match=message):
        Store.open(store.path)
    assert np.array_equal(build_store(shop, tmp_path / "root", texts).cell_value, cells)
