"""A mutated database gives a store that equals an independent reading of its files, or one line about what is wrong."""

from __future__ import annotations

import datetime as dt
import decimal
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from rfm.errors import RfmError
from rfm.random_keys import item_keys
from rfm.sampler import ContextSampler
from rfm.store import NEVER, NO_TIME, SemType, Store, TextTable, build_store

FLOAT32_MAX = float(np.finfo(np.float32).max)

Mutation = Callable[[Path, np.random.Generator], None]

VALUES: dict[str, tuple[pa.DataType, Callable[[np.random.Generator], Any]]] = {
    "bool": (pa.bool_(), lambda r: bool(r.integers(2))),
    "int8": (pa.int8(), lambda r: int(r.integers(-128, 128))),
    "bits": (pa.int64(), lambda r: int(r.integers(2))),
    "uint64": (pa.uint64(), lambda r: int(r.integers(2**63, 2**64, dtype=np.uint64))),
    "half": (pa.float16(), lambda r: np.float16(r.normal())),
    "double": (pa.float64(), lambda r: float(r.choice([0.0, -1.5, np.inf, -np.inf, np.nan, 1e300, 1e-300, 3e38]))),
    "decimal": (pa.decimal128(20, 4), lambda r: decimal.Decimal(int(r.integers(-(10**9), 10**9))) / 10000),
    "wide decimal": (pa.decimal256(50, 10), lambda r: decimal.Decimal(int(r.integers(-(10**9), 10**9)))),
    "seconds": (pa.timestamp("s"), lambda r: dt.datetime(2000, 1, 1) + dt.timedelta(days=int(r.integers(9000)))),
    "zoned": (
        pa.timestamp("us", tz="Asia/Tokyo"),
        lambda r: dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=int(r.integers(3000))),
    ),
    "nanoseconds": (pa.timestamp("ns"), lambda r: int(r.integers(10**18, 2 * 10**18))),
    "far": (pa.timestamp("us"), lambda r: dt.datetime(int(r.choice([1, 1500, 2020, 9999])), 1, 1)),
    "date": (pa.date32(), lambda r: dt.date(int(r.integers(1900, 2100)), 3, 1)),
    "date64": (pa.date64(), lambda r: dt.date(int(r.integers(1900, 2100)), 3, 1)),
    "time of day": (pa.time32("s"), lambda r: dt.time(int(r.integers(24)))),
    "duration": (pa.duration("ms"), lambda r: dt.timedelta(milliseconds=int(r.integers(10**9)))),
    "text": (
        pa.string(),
        lambda r: str(r.choice(["", "a", "1.5", "None", "x\ny", "ßπ", "\x00", "null"])),
    ),
    "bytes": (pa.binary(), lambda r: bytes(r.integers(0, 256, 3, dtype=np.uint8))),
    "list": (pa.list_(pa.int32()), lambda r: r.integers(0, 3, int(r.integers(3))).tolist()),
    "struct": (pa.struct([("x", pa.int32())]), lambda r: {"x": int(r.integers(5))}),
    "null": (pa.null(), lambda r: None),
}


def parquet_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def manifests(folder: Path) -> list[Path]:
    return sorted(folder.rglob("manifest.yaml"))


def choose(rng: np.random.Generator, items: list) -> Any:
    return items[int(rng.integers(len(items)))]


def read(folder: Path, rng: np.random.Generator) -> tuple[Path, pa.Table] | None:
    """A random file that can still be read, and has a column."""
    files = [path for path in parquet_files(folder) if path.stat().st_size]
    if not files:
        return None
    path = choose(rng, files)
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    return (path, table) if table.num_columns else None


def on_table(change: Callable[[pa.Table, np.random.Generator], pa.Table]) -> Mutation:
    def mutate(folder: Path, rng: np.random.Generator) -> None:
        found = read(folder, rng)
        if found is not None:
            path, table = found
            pq.write_table(change(table, rng), path)

    return mutate


def random_column(rng: np.random.Generator, num_rows: int) -> pa.Array:
    kind, draw = VALUES[choose(rng, sorted(VALUES))]
    missing = rng.choice([0.0, 0.3, 1.0], p=[0.5, 0.4, 0.1])
    values = [None if rng.random() < missing else draw(rng) for _ in range(num_rows)]
    array = pa.array(values, kind)
    is_plain = pa.types.is_string(kind) or pa.types.is_integer(kind)
    return array.dictionary_encode() if is_plain and rng.random() < 0.3 else array


def retype(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    i = int(rng.integers(table.num_columns))
    return table.set_column(i, table.column_names[i], random_column(rng, table.num_rows))


def add_column(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    names = ["extra", "", "user_id", "time", "ö b", "primary_key", "a" * 300]
    return table.append_column(choose(rng, names), random_column(rng, table.num_rows))


def change_cells(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """A few values of a number column become odd ones."""
    numbers = [i for i, field in enumerate(table.schema) if pa.types.is_integer(field.type)]
    if not numbers or not table.num_rows:
        return table
    i = choose(rng, numbers)
    values = table.column(i).to_pylist()
    for _ in range(int(rng.integers(1, 4))):
        values[int(rng.integers(len(values)))] = choose(rng, [None, -1, 0, 1, 5, 10**6, 2**62])
    return table.set_column(i, table.column_names[i], pa.array(values, pa.int64()))


def rename_column(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    names = list(table.column_names)
    names[int(rng.integers(len(names)))] = choose(rng, ["renamed", "", names[0]])
    return table.rename_columns(names)


def reorder_rows(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return table.take(pa.array(rng.permutation(table.num_rows)))


def repeat_rows(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, int(rng.integers(3)))])


def drop_rows(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return table.slice(0, int(rng.integers(table.num_rows + 1)) if rng.random() < 0.5 else 0)


def drop_column(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return table.remove_column(int(rng.integers(table.num_columns)))


def damage_bytes(folder: Path, rng: np.random.Generator) -> None:
    files = parquet_files(folder) + manifests(folder)
    if not files:
        return
    path = choose(rng, files)
    content = bytearray(path.read_bytes())
    how = rng.integers(4)
    if how == 0 or not content:
        path.write_bytes(b"")
    elif how == 1:
        path.write_bytes(bytes(content[: int(rng.integers(len(content)))]))
    elif how == 2:
        path.write_bytes(rng.integers(0, 256, 200, dtype=np.uint8).tobytes())
    elif path.suffix == ".yaml":  # flipped bits of data pages are other data, or crash arrow itself
        for _ in range(int(rng.integers(1, 6))):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        path.write_bytes(bytes(content))


def remove_file(folder: Path, rng: np.random.Generator) -> None:
    files = parquet_files(folder) + manifests(folder)
    if files:
        choose(rng, files).unlink()


ODD = [
    None,
    "",
    0,
    -3,
    1.5,
    True,
    [],
    ["users"],
    {},
    {"users": 1},
    "users",
    "orders",
    "score",
    "nobody",
    "2020-02-30",
    "x: y",
]


def change_manifest(folder: Path, rng: np.random.Generator) -> None:
    """Sets, adds or takes away an entry somewhere in a manifest."""
    if not manifests(folder):
        return
    path = choose(rng, manifests(folder))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return
    node = content
    while isinstance(node, dict) and node:
        key = choose(rng, list(node))
        inner = node[key]
        if isinstance(inner, dict) and inner and rng.random() < 0.7:
            node = inner
            continue
        if rng.random() < 0.3:
            del node[key]
        else:
            node[choose(rng, [key, key, "sem_types", "remove_columns", "time_col", "fkeys"])] = choose(rng, ODD)
        break
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


MUTATIONS: list[Mutation] = [
    *(on_table(change) for change in (retype, retype, retype, add_column, change_cells, change_cells)),
    *(on_table(change) for change in (rename_column, reorder_rows, repeat_rows, drop_rows, drop_column)),
    damage_bytes,
    remove_file,
    change_manifest,
    change_manifest,
    change_manifest,
]


def mutate(folder: Path, rng: np.random.Generator) -> None:
    """One or two mutations."""
    for _ in range(int(rng.integers(1, 3))):
        choose(rng, MUTATIONS)(folder, rng)


def expected_cell(value: object) -> float | str | None:
    """What a value should be in a store: a number, a string, or nothing."""
    if value is None:
        return None
    if isinstance(value, (pd.Timestamp, dt.datetime)):
        time = pd.Timestamp(value)
        time = (time.tz_convert("UTC").tz_localize(None) if time.tz else time).as_unit("us")
        return (time - pd.Timestamp("1970-01-01").as_unit("us")).total_seconds()
    if isinstance(value, dt.date):
        return float((value - dt.date(1970, 1, 1)).days * 86_400)
    if isinstance(value, (pd.Timedelta, dt.timedelta)):
        return value.total_seconds()
    if isinstance(value, (bool, int, float, decimal.Decimal, np.floating)):
        return float(value) if abs(float(value)) <= FLOAT32_MAX else None
    return str(value)


def check_store(store: Store, folder: Path, texts: TextTable) -> None:
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    tables = {name: pq.read_table(folder / "db" / f"{name}.parquet", partitioning=None) for name in manifest["tables"]}
    for name, table in tables.items():
        info, spec = store.tables[name], manifest["tables"][name]
        assert info.num_rows == table.num_rows
        fkeys = spec.get("fkeys") or {}
        as_text = {c for c, t in (spec.get("sem_types") or {}).items() if t == "text"}
        for i, content in enumerate(table.to_pylist()):
            row = info.first_row + i
            got = store.cells(row)
            wanted = {c: expected_cell(v) for c, v in content.items() if c != spec.get("pkey") and c not in fkeys}
            wanted = {c: v for c, v in wanted.items() if v is not None and v == v}
            assert list(got) == list(wanted)
            for column, value in wanted.items():
                stored = store.column(name, column)
                if stored.sem_type is SemType.TEXT:
                    assert isinstance(value, str) or column in as_text
                    assert texts.strings[got[column]] == value or column in as_text
                else:
                    mean, std = stored.stats["whole"]
                    assert got[column] == pytest.approx(value, rel=1e-9, abs=1e-5 * max(std, abs(value - mean)))
            time_col = spec.get("time_col")
            time = None if time_col is None else expected_cell(content[time_col])
            assert store.row_time[row] == (NO_TIME if time_col is None else NEVER if time is None else np.floor(time))
            parents = [
                store.tables[parent].first_row + int(content[column])
                for column, parent in fkeys.items()
                if content[column] is not None and 0 <= content[column] < tables[parent].num_rows
            ]
            assert store.parent_row[store.parent_offset[row] : store.parent_offset[row + 1]].tolist() == parents
    check_tasks(store, folder)


def check_tasks(store: Store, folder: Path) -> None:
    """Targets against the label files; contexts of the first and the last seed of each task can be drawn."""
    for task, info in store.tasks.items():
        for split in ("train", "val", "test"):
            rows, target = store.task_rows(task, split), store.task_targets(task, split)
            path = folder / "tasks" / task / f"{split}.parquet"
            if task in store.labels and path.exists():
                labels = pq.read_table(path, partitioning=None).to_pylist()
                wanted = [label.get(info.target_col) for label in labels]
                assert len(wanted) == len(target)
                named: dict[str, float] = {}
                for got, value in zip(target, wanted, strict=True):
                    known = value is not None and value == value
                    if info.classes:
                        assert known != np.isnan(got) and (not known or named.setdefault(str(value), got) == got)
                    else:
                        number = float(value) if known else np.nan
                        assert got == pytest.approx(number if np.isfinite(number) else np.nan, nan_ok=True)
                assert len(set(named.values())) == len(named)
                entities = store.parent_row[store.parent_offset[rows]] - store.tables[info.entity_table].first_row
                assert entities.tolist() == [int(label[info.entity_col]) for label in labels]
            if len(rows) and (info.classes or store.columns[info.target_column].sem_type is not SemType.TEXT):
                sampler = ContextSampler(store, ctx_len=16, task=task, split=split, protocol="relbench", policy="mixed")
                sampler.sample(rows[[0, -1]], info.target_column, item_keys(0, rows[[0, -1]]))


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fuzz(seeds: range, write_fuzz_shop: Callable[[Path], Path], base: Path) -> list[str]:
    """The message of every database that was refused."""
    original = write_fuzz_shop(base / "original" / "shop")
    messages = []
    for seed in seeds:
        folder, root = base / "mutated" / "shop", base / "root"
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(original, folder)
        mutate(folder, np.random.default_rng(seed))
        before = content_of(folder)
        texts = TextTable.open_or_create(root, "hash")
        try:
            store = build_store(folder, root, texts)
        except RfmError as error:
            messages.append(str(error))
            assert messages[-1].strip() and "\n" not in messages[-1], f"seed {seed}"
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        else:
            try:
                check_store(store, folder, texts)
            except BaseException as error:
                raise AssertionError(f"seed {seed}: the store differs: {error}") from error
        assert content_of(folder) == before, f"seed {seed}"
    return messages


def test_forty_mutated_databases(fuzz_shop: Callable[[Path], Path], tmp_path: Path) -> None:
    messages = fuzz(range(40), fuzz_shop, tmp_path)
    assert 5 < len(messages) < 35


@pytest.mark.slow
def test_five_hundred_mutated_databases(fuzz_shop: Callable[[Path], Path], tmp_path: Path) -> None:
    messages = fuzz(range(1000, 1500), fuzz_shop, tmp_path)
    assert 100 < len(messages) < 450
    assert len(set(messages)) > 60
