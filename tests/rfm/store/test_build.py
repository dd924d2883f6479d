"""A store holds exactly what its database holds: against row-by-row Python, pandas and known counts."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import relbench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfm.store import NEVER, NO_TIME, SemType, Store, TextTable, build_store, build_stores

EPOCH = dt.datetime(1970, 1, 1)
TIMES = st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2030, 1, 1)).map(lambda t: t.replace(microsecond=0))


def whole(time: dt.timedelta) -> dt.timedelta:
    return dt.timedelta(seconds=int(time.total_seconds()))


COLUMNS = {
    "int": (pa.int32(), st.integers(-1000, 1000), SemType.NUMBER),
    "float": (pa.float64(), st.floats(width=32) | st.just(math.inf) | st.just(1e300), SemType.NUMBER),
    "decimal": (pa.decimal128(9, 2), st.integers(-999, 999).map(lambda i: decimal.Decimal(i) / 4), SemType.NUMBER),
    "half": (pa.float16(), st.floats(-10, 10, width=16).map(np.float16), SemType.NUMBER),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1), SemType.NUMBER),
    "wide": (pa.decimal256(50, 3), st.integers(-(10**20), 10**20).map(decimal.Decimal), SemType.NUMBER),
    "duration": (pa.duration("ms"), st.timedeltas(dt.timedelta(0), dt.timedelta(99)).map(whole), SemType.NUMBER),
    "zone": (pa.timestamp("ms", "Asia/Tokyo"), TIMES.map(lambda t: t.replace(tzinfo=dt.UTC)), SemType.DATETIME),
    "date64": (pa.date64(), TIMES.map(lambda t: t.date()), SemType.DATETIME),
    "clock": (pa.time32("s"), TIMES.map(lambda t: t.time()), SemType.TEXT),
    "bool": (pa.bool_(), st.booleans(), SemType.BOOLEAN),
    "time_us": (pa.timestamp("us"), TIMES, SemType.DATETIME),
    "time_ns": (pa.timestamp("ns"), TIMES, SemType.DATETIME),
    "date": (pa.date32(), TIMES.map(lambda t: t.date()), SemType.DATETIME),
    "text": (pa.string(), st.sampled_from(["", "a", "Zürich", "x\ny", "None"]), SemType.TEXT),
    "category": (pa.dictionary(pa.int8(), pa.large_string()), st.sampled_from(["low", "high"]), SemType.TEXT),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 3), max_size=2), SemType.TEXT),
    "empty": (pa.null(), st.none(), SemType.TEXT),
}


@st.composite
def databases(draw: st.DrawFn) -> dict:
    """One to four tables with or without primary key, time and foreign keys (null, dangling, to themselves)."""
    names = [f"t{i}" for i in range(draw(st.integers(1, 4)))]
    sizes = {name: draw(st.integers(0, 6)) for name in names}
    keyed = [name for name in names if draw(st.booleans())]
    tables = {}
    for name in names:
        n, data, fkeys = sizes[name], {}, {}
        if name in keyed:
            data["id"] = pa.array(range(n), pa.int64())
        for i in range(draw(st.integers(0, 3)) if keyed else 0):
            parent = draw(st.sampled_from(keyed))
            kind = draw(st.sampled_from([pa.int64(), pa.float64()]))
            key = st.none() | st.integers(-1, sizes[parent] + 1)
            data[f"f{i}"] = pa.array(draw(st.lists(key, min_size=n, max_size=n)), kind)
            fkeys[f"f{i}"] = parent
        time_col = "when" if draw(st.booleans()) else None
        if time_col:
            when = draw(st.lists(st.none() | TIMES, min_size=n, max_size=n))
            data[time_col] = pa.array(when, pa.timestamp(draw(st.sampled_from(["s", "ms", "us", "ns"]))))
        for kind in draw(st.lists(st.sampled_from(sorted(COLUMNS)), max_size=4, unique=True)):
            arrow_type, values, _ = COLUMNS[kind]
            cells = draw(st.lists(st.none() | values, min_size=n, max_size=n))
            if pa.types.is_dictionary(arrow_type):
                data[kind] = pa.array(cells, arrow_type.value_type).dictionary_encode().cast(arrow_type)
            else:
                data[kind] = pa.array(cells, arrow_type)
        data = data or {"only": pa.array([1.0] * n)}
        tables[name] = (pa.table(data), "id" if name in keyed else None, time_col, fkeys)
    return tables


def raw(value: object) -> float | str | None:
    """What a value should be in a store: a number, a string, or nothing."""
    if value is None:
        return None
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, dt.datetime):
        value = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return (value - EPOCH).total_seconds()
    if isinstance(value, dt.date):
        return float((value - EPOCH.date()).days * 86400)
    if isinstance(value, (bool, int, float, decimal.Decimal, np.floating)):
        return float(value) if abs(float(value)) <= float(np.finfo(np.float32).max) else None
    return str(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables=databases())
def test_store_equals_the_database_row_by_row(
    tables: dict, tmp_path_factory: pytest.TempPathFactory, folder_of: Callable[..., Path]
) -> None:
    base = tmp_path_factory.mktemp("round")
    texts = TextTable.open_or_create(base / "root", "hash")
    store = build_store(folder_of(base / "base", tables), base / "root", texts)
    first = {name: info.first_row for name, info in store.tables.items()}
    children: dict[int, list] = {row: [] for row in range(len(store.row_table))}
    kept: dict[tuple, list] = {}
    for name, (table, pkey, time_col, fkeys) in tables.items():
        assert store.tables[name].num_rows == table.num_rows
        for i, content in enumerate(table.to_pylist()):
            row = first[name] + i
            assert list(store.tables)[store.row_table[row]] == name and store.row_split[row] == -1
            when = raw(content[time_col]) if time_col else None
            assert store.row_time[row] == (NO_TIME if time_col is None else NEVER if when is None else when)
            expected = {c: raw(v) for c, v in content.items() if c != pkey and c not in fkeys}
            expected = {c: v for c, v in expected.items() if v is not None and v == v}
            got = store.cells(row)
            assert list(got) == list(expected)
            for column, value in expected.items():
                info = store.column(name, column)
                if isinstance(value, str):
                    assert texts.strings[got[column]] == value
                else:
                    assert got[column] == pytest.approx(value, rel=1e-5, abs=1e-5 * max(1, info.stats["whole"][1]))
                    kept.setdefault((name, column), []).append((value, row))
            in_range = [
                first[p] + int(content[f])
                for f, p in fkeys.items()
                if content[f] is not None and 0 <= content[f] < store.tables[p].num_rows
            ]
            assert store.parent_row[store.parent_offset[row] : store.parent_offset[row + 1]].tolist() == in_range
            for parent in in_range:
                children[parent].append((store.row_time[row], row))
    for row, found in children.items():
        slots = slice(store.child_offset[row], store.child_offset[row + 1])
        assert store.child_row[slots].tolist() == [child for _, child in sorted(found)]
    check_statistics(store, kept)


def check_statistics(store: Store, kept: dict) -> None:
    """`kept` holds every raw (value, row) of every numeric column."""
    times = [v for key, values in kept.items() for v in values if store.column(*key).sem_type is SemType.DATETIME]
    for (name, column), values in kept.items():
        info = store.column(name, column)
        values = times if info.sem_type is SemType.DATETIME else values
        for which, chosen in (
            ("whole", [v for v, _ in values]),
            ("train", [v for v, row in values if store.row_time[row] <= store.val_time]),
        ):
            series = pd.Series(chosen, dtype=float)
            std = series.std()
            expected = (series.mean() if chosen else 0.0, 1.0 if len(set(chosen)) < 2 or not std > 0 else std)
            assert info.stats[which] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", sorted(COLUMNS))
def test_types(kind: str, tmp_path: Path, texts: TextTable, folder_of: Callable[..., Path]) -> None:
    table = pa.table({"x": pa.array([None], COLUMNS[kind][0])})
    store = build_store(folder_of(tmp_path / "one", {"t": (table, None, None, {})}), tmp_path / "root", texts)
    assert store.column("t", "x").sem_type is COLUMNS[kind][2]
    assert len(store.cell_column) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 1, None], SemType.BOOLEAN),
        ([0.0, 1.0, np.nan, None], SemType.BOOLEAN),
        ([0, 0, None, None], SemType.NUMBER),  # constant: who knows
        ([1, 1, 1, 1], SemType.NUMBER),
        ([0, 1, 2, None], SemType.NUMBER),
        ([0.0, 0.5, 1.0, None], SemType.NUMBER),
        (["0", "1", None, "0"], SemType.TEXT),
        ([None, None, None, None], SemType.TEXT),
    ],
)
def test_zeros_and_ones_are_booleans(
    values: list, expected: SemType, tmp_path: Path, texts: TextTable, folder_of: Callable[..., Path]
) -> None:
    table = pa.table({"x": pa.array(values)})
    store = build_store(folder_of(tmp_path / "one", {"t": (table, None, None, {})}), tmp_path / "root", texts)
    assert store.column("t", "x").sem_type is expected


@pytest.mark.parametrize(
    ("values", "wanted", "cells"),
    [
        ([2, 3, None], "text", ["2", "3", None]),
        ([2.0, 3.0, None], "text", ["2", "3", None]),
        ([2.5, 3.0, None], "text", ["2.5", "3", None]),
        ([True, False, None], "text", ["true", "false", None]),
        ([1, 1, None], "boolean", [1.0, 1.0, None]),
        ([0, 1, None], "number", [0.0, 1.0, None]),
        ([None, None, None], "datetime", [None, None, None]),
        ([dt.datetime(2020, 1, 2), None, None], "text", ["2020-01-02 00:00:00.000000", None, None]),
    ],
)
def test_the_manifest_overrides_the_type(
    values: list, wanted: str, cells: list, tmp_path: Path, texts: TextTable, folder_of: Callable[..., Path]
) -> None:
    folder = folder_of(tmp_path / "one", {"t": (pa.table({"x": pa.array(values)}), None, None, {})})
    manifest = (folder / "manifest.yaml").read_text()
    (folder / "manifest.yaml").write_text(manifest.replace("fkeys: {}", f"fkeys: {{}}\n    sem_types: {{x: {wanted}}}"))
    store = build_store(folder, tmp_path / "root", texts)
    assert store.column("t", "x").sem_type is SemType[wanted.upper()]
    found = [store.cells(row).get("x") for row in range(3)]
    assert [texts.strings[v] if wanted == "text" and v is not None else v for v in found] == [
        pytest.approx(v, abs=1e-6) if isinstance(v, float) else v for v in cells
    ]


def test_same_column_names_in_every_table_and_twelve_foreign_keys_to_itself(
    tmp_path: Path, texts: TextTable, folder_of: Callable[..., Path]
) -> None:
    rng = np.random.default_rng(0)
    keys = {f"key_{i}": rng.integers(-1, 9, 8) for i in range(12)}  # -1 and 8 dangle
    tables = {
        name: (
            pd.DataFrame({"id": range(8), "value": rng.normal(size=8), **keys}),
            "id",
            None,
            dict.fromkeys(keys, name),
        )
        for name in ("one", "two")
    }
    store = build_store(folder_of(tmp_path / "self", tables), tmp_path / "root", texts)
    assert {c.table for c in store.columns if c.name == "value"} == {"one", "two"}
    for name in tables:
        first = store.tables[name].first_row
        for i in range(8):
            got = store.parent_row[store.parent_offset[first + i] : store.parent_offset[first + i + 1]]
            assert got.tolist() == [first + int(k[i]) for k in keys.values() if 0 <= k[i] < 8]


def test_standardised_values_have_mean_zero_and_deviation_one(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    column = store.column("orders", "score")
    z = store.cell_value[store.cell_column == column.id].astype(float)
    assert z.mean() == pytest.approx(0, abs=1e-6) and z.std(ddof=1) == pytest.approx(1, abs=1e-6)
    mean, std = store.column_stats("train")
    assert (mean[column.id], std[column.id]) == column.stats["train"] != column.stats["whole"]


def test_names_of_columns_are_texts(shop: Path, tmp_path: Path) -> None:
    (store,), texts = build_stores([shop], tmp_path / "root", "hash", progress=False)
    assert texts.strings[store.column("orders", "score").name_text] == "score of orders"
    assert texts.strings[store.column("task:user-spend", "spend").name_text] == "spend of user-spend"
    assert texts.embeddings.shape == (len(texts), texts.d_text)


def test_a_corpus_and_a_relbench_dataset_are_sources(tmp_path: Path, folder_of: Callable[..., Path]) -> None:
    table = {"t": (pd.DataFrame({"x": [1.5, 2.5]}), None, None, {})}
    folders = [folder_of(tmp_path / "corpus" / name, table) for name in ("b", "a")]
    (tmp_path / "corpus" / "corpus.yaml").write_text("prior: x")
    stores, texts = build_stores([tmp_path / "corpus"], tmp_path / "root", "hash", progress=False)
    assert [store.name for store in stores] == ["a", "b"]
    store = build_store(relbench.load_dataset(folders[0]), tmp_path / "other", texts)
    assert store.fingerprint == stores[1].fingerprint


def test_an_unchanged_source_is_not_built_again(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    before = (store.path / "store.json").stat().st_mtime_ns
    assert build_store(shop, tmp_path / "root", texts).fingerprint == store.fingerprint
    assert (store.path / "store.json").stat().st_mtime_ns == before


def test_a_changed_source_is_built_again(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    build_store(shop, tmp_path / "root", texts)
    users = pd.read_parquet(shop / "db" / "users.parquet")
    users["name"] = "Zoe"
    users.to_parquet(shop / "db" / "users.parquet", index=False)
    store = build_store(shop, tmp_path / "root", texts)
    assert texts.strings[store.cells(0)["name"]] == "Zoe"
    assert sorted(p.name for p in (tmp_path / "root").iterdir()) == ["shop", "texts"]


def test_a_store_of_another_text_table_is_built_again(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    old = build_store(shop, tmp_path / "root", texts)
    (tmp_path / "root" / "texts" / "texts.json").unlink()
    new_texts = TextTable.open_or_create(tmp_path / "root", "hash")
    new_texts.ids(["first"])
    new = build_store(shop, tmp_path / "root", new_texts)
    assert new.text_table == new_texts.identity != old.text_table
    assert new_texts.strings[new.cells(0)["name"]] == "Ada"


def test_a_store_whose_texts_were_lost_is_built_again(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    build_store(shop, tmp_path / "root", texts)
    (texts.path / "strings.jsonl").write_bytes(b'"another"\n')
    rest = TextTable.open_or_create(tmp_path / "root", "hash")
    store = build_store(shop, tmp_path / "root", rest)
    assert rest.strings[store.cells(0)["name"]] == "Ada"


def test_a_leftover_of_an_interrupted_build_is_replaced(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    (tmp_path / "root" / ".shop.partial").mkdir()
    (tmp_path / "root" / ".shop.partial" / "row_time.npy").write_bytes(b"half")
    store = build_store(shop, tmp_path / "root", texts)
    assert len(store.row_table) > 0 and not (tmp_path / "root" / ".shop.partial").exists()


def test_stores_are_sent_to_workers_by_path(shop: Path, tmp_path: Path, texts: TextTable) -> None:
    store = build_store(shop, tmp_path / "root", texts)
    message = pickle.dumps((store, texts))
    assert len(message) < 1000
    copy, _ = pickle.loads(message)
    assert np.array_equal(copy.cell_value, store.cell_value) and not copy.cell_value.flags.writeable


def test_known_counts_of_real_databases(shared: Path, tmp_path: Path) -> None:
    sources = [shared / "data" / name for name in ("rel-f1", "movielens-small")]
    (formula, movies), texts = build_stores(sources, tmp_path, "hash", progress=False)
    assert len(formula.row_table) == 120_783  # rows of the nine tables and the three label tables
    assert [info.num_rows for info in movies.tables.values() if not info.is_label] == [
        len(pd.read_parquet(sources[1] / "db" / f"{name}.parquet")) for name in ("users", "movies", "ratings", "tags")
    ]
    feature_cells = sum(
        int(pd.read_parquet(shared / "data/rel-f1/db" / f"{name}.parquet").drop(columns=keys).notna().to_numpy().sum())
        for name, keys in (
            (i.name, [c for c in (i.pkey_col, *i.fkeys) if c]) for i in formula.tables.values() if not i.is_label
        )
    )
    database_rows = int((formula.row_split == -1).sum())
    assert formula.cell_offset[database_rows] == feature_cells
    assert (np.diff(formula.cell_offset)[database_rows:] == 2).all()
    assert len(set(texts.strings)) == len(texts)
