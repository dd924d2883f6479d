"""Features of a task's seeds for models of flat tables: joins and aggregates over at most two foreign keys, in SQL.

A path leaves the seed's entity row over one or two foreign keys, up (to the row that a key names) or down (to the
rows that name it). A path that only goes up ends in one row, whose columns are features. Any other ends in a stream
of rows, of which a seed sees those up to its cutoff: their number, and of each number and boolean column mean,
deviation, minimum, maximum and last value; number and mean again over windows before the cutoff.

Time-safe by construction: the time of a joined row is the latest on its path, and all that a seed learns of a stream
is one look-up, the newest sum at or before its cutoff (an ASOF join over running sums). The cutoff is the seed's time,
under `relbench` also the split's timestamp. Labels come in as `trivial.history_sum` lets the protocol see them; the
target of an autocomplete task is no other feature, and columns that a task names as leaking are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from experiments.baselines.seeds import SPLITS, task_seeds
from experiments.baselines.trivial import class_history, entity_pools, history_mean, history_sum
from rfm.store import NEVER, NO_TIME, Store, TaskInfo, TextTable
from rfm.store.source import Source, open_source

WINDOWS_DAYS = (7, 30, 90, 365)
HISTORY_LENGTHS = (1, 3, 10, None)
MAX_CATEGORIES, MIN_CATEGORY_ROWS = 100, 10
"""Of a text column the most frequent values of train seeds are categories, each with enough seeds."""
TEXT_COMPONENTS = 8
"""Principal components of the embeddings of a text column with more values than that."""
_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Features:
    """One row per seed of each split, in the task's row order; NaN where missing."""

    splits: dict[str, np.ndarray]  # float64 (rows, columns)
    names: list[str]
    is_categorical: np.ndarray  # bool (columns,)


@dataclass(frozen=True)
class Stream:
    """Rows that a seed looks up by a key: `relation` has columns key, time (seconds) and `values`."""

    name: str
    relation: str
    seed_key: str
    values: list[str]
    has_time: bool


def make_features(folder: Path, store: Store, texts: TextTable, task: str, protocol: str) -> Features:
    """All features of a task; columns that do not vary over train seeds are left out.

    Args:
        folder: the RelBench-3 folder that the store was built from.
    """
    return _Builder(open_source(folder), store, texts, store.tasks[task], protocol).build()


class _Builder:
    """The SQL of one task's features."""

    def __init__(self, source: Source, store: Store, texts: TextTable, info: TaskInfo, protocol: str) -> None:
        self.source, self.store, self.texts, self.info, self.protocol = source, store, texts, info, protocol
        self.tables = source.manifest.tables
        hidden = {*info.remove_columns, *([(info.entity_table, info.target_col)] if _is_autocomplete(info) else [])}
        self.columns: dict[str, list[tuple[str, str]]] = {}  # table -> (column, type) that may be a feature
        self.db = duckdb.connect(config={"threads": 1})
        for name, spec in self.tables.items():
            path = str(source.table_path(name))
            file = self.db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).df()
            keys = {spec.pkey, *spec.fkeys}
            typed = zip(file["column_name"], file["column_type"], strict=True)
            self.columns[name] = [(c, _kind(t)) for c, t in typed if c not in keys and (name, c) not in hidden]
            time = NO_TIME
            if spec.time_col:
                time = f"coalesce(CAST(floor(epoch({_q(spec.time_col)})) AS BIGINT), {NEVER})"
            sql = (
                f"SELECT *, file_row_number AS _row, {time} AS _time FROM read_parquet('{path}', file_row_number=true)"
            )
            self.db.execute(f"CREATE TABLE {_q(name)} AS {sql}")
        seeds = task_seeds(store, info.name, protocol)
        entity = seeds.entity - store.tables[info.entity_table].first_row
        frame = {"seed": np.arange(len(entity)), "split": seeds.split, "entity": entity, "time": seeds.time}
        self.seeds = pd.DataFrame(frame | {"cutoff": seeds.cutoff})
        self.db.register("seed_frame", self.seeds)
        self.db.execute("CREATE TABLE seeds AS SELECT * FROM seed_frame")

    def build(self) -> Features:
        frames = [self._calendar(), self._labels(), self._single_rows()]
        frames += [self._stream(stream) for stream in self._streams()]
        table = pd.concat(frames, axis=1)
        in_train = (self.seeds["split"] == 0).to_numpy()
        texts = [column for column in table if not pd.api.types.is_numeric_dtype(table[column])]
        embedded = [self._components(table[c], in_train) for c in texts if table[c].nunique() > MAX_CATEGORIES]
        for column in texts:
            table[column] = _codes(table[column], in_train)
        table = pd.concat([table, *embedded], axis=1)
        values = table.to_numpy(np.float64, na_value=np.nan)
        varies = [not _is_constant(column) for column in values[in_train].T]
        values = values[:, varies]
        names = [name for name, kept in zip(table.columns, varies, strict=True) if kept]
        splits = {name: values[self.seeds["split"] == i] for i, name in enumerate(SPLITS)}
        return Features(splits, names, np.array([name in texts for name in names]))

    def _components(self, column: pd.Series, in_train: np.ndarray) -> pd.DataFrame:
        """The first principal components, over train seeds, of the embedded texts; NaN where there is none."""
        ids = {string: i for i, string in enumerate(self.texts.strings)}
        known = column.map(ids).astype(np.float64)
        found = np.full((len(column), TEXT_COMPONENTS), np.nan)
        has = known.notna().to_numpy()
        if (has & in_train).sum() > TEXT_COMPONENTS:
            vectors = np.asarray(self.texts.embeddings[known[has].astype(np.int64)], np.float32)
            train = vectors[in_train[has]]
            _, axes = np.linalg.eigh(np.cov(train, rowvar=False))  # eigenvalues rise
            found[has] = (vectors - train.mean(0)) @ axes[:, : -TEXT_COMPONENTS - 1 : -1]
        names = [f"{column.name}.component_{i}" for i in range(TEXT_COMPONENTS)]
        return pd.DataFrame(found, columns=names, index=column.index)

    def _calendar(self) -> pd.DataFrame:
        known = self.seeds["time"] != NO_TIME
        time = pd.to_datetime(self.seeds["time"].where(known), unit="s")
        return pd.DataFrame({"seed.day_of_year": time.dt.day_of_year, "seed.weekday": time.dt.day_of_week})

    def _labels(self) -> pd.DataFrame:
        """What the protocol shows of the entity's labels, or of labels that share a parent with the seed.

        Means of the last labels, shrunk to the train mean; of a multiclass task shares of each class.
        """
        target = self.store.task_targets(self.info.name, "train")
        classes = np.arange(len(self.info.classes))
        prior = (target[~np.isnan(target), None] == classes).mean(0) if len(classes) else float(np.nanmean(target))
        history, options = class_history if len(classes) else history_mean, (self.protocol, self.info.timedelta_s)
        found = {}
        for number, pool in enumerate(entity_pools(self.store, self.info.name)):
            for k in HISTORY_LENGTHS:
                means = np.concatenate([history(pool, split, k, *options, prior) for split in range(3)])
                name = f"labels{number}.mean_last_{k or 'all'}"
                found |= {f"{name}.{c}": means[:, c] for c in classes} if len(classes) else {name: means}
            counts = [history_sum(pool, split, None, *options)[1] for split in range(3)]
            found[f"labels{number}.count"] = np.concatenate(counts)
        return pd.DataFrame(found)

    def _single_rows(self) -> pd.DataFrame:
        """Columns of the entity row and of the visible rows above it."""
        table = self.info.entity_table
        selected, joins, level = [], f"JOIN {_q(table)} AS e ON e._row = s.entity", [("e", table, "entity")]
        for _ in range(3):  # the entity, one key up, two keys up
            above = []
            for alias, name, path in level:
                selected += [_single(alias, path, column, kind) for column, kind in self.columns[name]]
                for number, (fkey, parent) in enumerate(self.tables[name].fkeys.items()):
                    up = f"{alias}_{number}"
                    on = f"{up}._row = {alias}.{_q(fkey)} AND {up}._time <= s.cutoff"
                    above.append((up, parent, f"{path}.{fkey}", f" LEFT JOIN {_q(parent)} AS {up} ON {on}"))
            joins, level = joins + "".join(join for *_, join in above), [node[:3] for node in above]
        if not selected:
            return pd.DataFrame(index=self.seeds.index)
        return self._fetch(f"SELECT {', '.join(selected)} FROM seeds s {joins} ORDER BY s.seed")

    def _streams(self) -> list[Stream]:
        """All paths of at most two foreign keys that go down somewhere."""
        table = self.info.entity_table
        found = []
        for child, fkey in self._children(table):
            found.append(self._down(child, fkey, "s.entity", f"{child}.{fkey}"))
            found += self._down_up(child, fkey)
            found += self._down_down(child, fkey)
        for own, parent in self.tables[table].fkeys.items():
            key = f"(SELECT e.{_q(own)} FROM {_q(table)} e WHERE e._row = s.entity)"
            found += [self._down(c, f, key, f"{own}<-{c}.{f}") for c, f in self._children(parent)]
        return found

    def _children(self, table: str) -> list[tuple[str, str]]:
        return [(name, f) for name, spec in self.tables.items() for f, parent in spec.fkeys.items() if parent == table]

    def _down(self, child: str, fkey: str, seed_key: str, name: str) -> Stream:
        columns = self._numbers(child)
        values = ", ".join(["c._time AS time", *(f"c.{_q(c)}::DOUBLE AS v{i}" for i, c in enumerate(columns))])
        relation = f"SELECT c.{_q(fkey)} AS key, {values} FROM {_q(child)} c"
        return Stream(name, relation, seed_key, columns, self.tables[child].time_col is not None)

    def _down_up(self, child: str, fkey: str) -> list[Stream]:
        return [
            self._over(child, fkey, parent, f"t._row = c.{_q(other)}", f"{child}.{fkey}->{other}")
            for other, parent in self.tables[child].fkeys.items()
            if other != fkey and self._numbers(parent)
        ]

    def _down_down(self, child: str, fkey: str) -> list[Stream]:
        return [
            self._over(child, fkey, grandchild, f"t.{_q(other)} = c._row", f"{child}.{fkey}<-{grandchild}.{other}")
            for grandchild, other in self._children(child)
        ]

    def _over(self, child: str, fkey: str, table: str, on: str, name: str) -> Stream:
        """Rows of `table`, joined by `on`, that the entity reaches over its child rows; known once both are."""
        columns = self._numbers(table)
        values = "".join(f", t.{_q(c)}::DOUBLE AS v{i}" for i, c in enumerate(columns))
        relation = (
            f"SELECT c.{_q(fkey)} AS key, greatest(c._time, t._time) AS time{values}"
            f" FROM {_q(child)} c JOIN {_q(table)} t ON {on}"
        )
        has_time = any(self.tables[spec].time_col is not None for spec in (child, table))
        return Stream(name, relation, "s.entity", columns, has_time)

    def _numbers(self, table: str) -> list[str]:
        return [column for column, kind in self.columns[table] if kind == "number"]

    def _stream(self, stream: Stream) -> pd.DataFrame:
        """The features of one stream: running sums per key, looked up at the cutoff and at the start of each window."""
        at = range(len(stream.values))
        sums = [f"sum(v{i}) AS s{i}, sum(v{i} * v{i}) AS q{i}, count(v{i}) AS c{i}" for i in at]
        ends = [f"min(v{i}) AS a{i}, max(v{i}) AS b{i}, avg(v{i}) AS l{i}" for i in at]
        running = ["sum(n) OVER p AS n", "min(time) OVER p AS first"]
        for i in at:
            running += [f"coalesce(sum({x}{i}) OVER p, 0) AS {x}{i}" for x in "sqc"]
            running += [f"min(a{i}) OVER p AS a{i}", f"max(b{i}) OVER p AS b{i}"]
            running.append(f"last_value(l{i} IGNORE NULLS) OVER p AS l{i}")
        windows = WINDOWS_DAYS if stream.has_time else ()
        selected = [f"coalesce(w.n, 0) AS {_q(f'{stream.name}.count')}"]
        if stream.has_time:
            for moment, column in (("last", "time"), ("first", "first")):
                selected.append(f"(k.cutoff - w.{column}) / {_DAY}.0 AS {_q(f'{stream.name}.days_since_{moment}')}")
        selected += [f"coalesce(w.n, 0) - coalesce(w{d}.n, 0) AS {_q(f'{stream.name}.count_{d}d')}" for d in windows]
        for i, column in enumerate(stream.values):
            selected += _statistics(i, f"{stream.name}.{column}", windows)
        lookups = [
            f" ASOF LEFT JOIN r w{d} ON w{d}.key = k.key AND w{d}.time <= k.cutoff - {d * _DAY}" for d in windows
        ]
        return self._fetch(f"""
            WITH g AS (SELECT {", ".join(["key", "time", "count(*) AS n", *sums, *ends])} FROM ({stream.relation})
                       WHERE key IS NOT NULL AND time < {NEVER} GROUP BY key, time),
                 r AS (SELECT key, time, {", ".join(running)} FROM g
                       WINDOW p AS (PARTITION BY key ORDER BY time ROWS UNBOUNDED PRECEDING)),
                 k AS (SELECT s.seed, s.cutoff, {stream.seed_key} AS key FROM seeds s)
            SELECT {", ".join(selected)} FROM k ASOF LEFT JOIN r w ON w.key = k.key AND w.time <= k.cutoff
            {"".join(lookups)} ORDER BY k.seed""")

    def _fetch(self, sql: str) -> pd.DataFrame:
        return self.db.execute(sql).df()


def _statistics(i: int, name: str, windows: tuple[int, ...]) -> list[str]:
    """SQL of the features of value `i` of a stream."""
    mean = f"w.s{i} / nullif(w.c{i}, 0)"
    found = [f"{mean} AS {_q(f'{name}.mean')}"]
    variance = f"w.q{i} / nullif(w.c{i}, 0) - ({mean}) * ({mean})"
    found.append(f"sqrt(abs({variance})) AS {_q(f'{name}.std')}")  # rounding may leave a small negative number
    found += [f"w.{x}{i} AS {_q(f'{name}.{what}')}" for x, what in (("a", "min"), ("b", "max"), ("l", "last"))]
    for d in windows:
        total = f"(w.s{i} - coalesce(w{d}.s{i}, 0)) / nullif(w.c{i} - coalesce(w{d}.c{i}, 0), 0)"
        found.append(f"{total} AS {_q(f'{name}.mean_{d}d')}")
    return found


def _single(alias: str, path: str, column: str, kind: str) -> str:
    value = f"{alias}.{_q(column)}"
    shown = {
        "number": f"{value}::DOUBLE",
        "time": f"(s.cutoff - epoch({value})) / {_DAY}.0",
        "text": f"{value}::VARCHAR",
    }[kind]
    return f"{shown} AS {_q(f'{path}.{column}')}"


def _kind(sql_type: str) -> str:
    """number (booleans among them), time or text."""
    if sql_type.startswith(("TIMESTAMP", "DATE")):
        return "time"
    numbers = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER")
    numbers += ("UBIGINT", "FLOAT", "DOUBLE", "DECIMAL")
    return "number" if sql_type.startswith(numbers) else "text"


def _codes(texts: pd.Series, in_train: np.ndarray) -> pd.Series:
    """The frequent values of train seeds as 0, 1, ...; NaN for all others."""
    counts = texts[in_train].value_counts()
    frequent = counts[counts >= MIN_CATEGORY_ROWS].sort_index().sort_values(ascending=False, kind="stable")
    codes = {value: code for code, value in enumerate(frequent.index[:MAX_CATEGORIES])}
    return texts.map(codes).astype(np.float64)


def _is_constant(column: np.ndarray) -> bool:
    known = column[~np.isnan(column)]
    return len(known) == 0 or (len(known) == len(column) and bool((known == known[0]).all()))


def _is_autocomplete(info: TaskInfo) -> bool:
    return info.kind == "autocomplete"


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
