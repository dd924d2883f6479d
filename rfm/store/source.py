"""A RelBench-3 folder, read strictly: its manifests, its parquet files, its fingerprint."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import relbench
import yaml
from relbench.base import Dataset
from relbench.manifest import DatasetManifest, TaskManifest, validate_dataset_manifest

from rfm.errors import RfmError
from rfm.store.format import FORMAT_VERSION, LABEL_PREFIX, SPLITS, SemType, unknown


@dataclass(frozen=True)
class Source:
    """A folder whose manifests are read and checked; no parquet file is read yet."""

    path: Path
    manifest: DatasetManifest
    tasks: dict[str, TaskManifest]
    sem_types: dict[str, dict[str, SemType]]
    """Table -> column -> type that the manifest asks for, see `columns.py`."""

    @property
    def name(self) -> str:
        return self.manifest.name

    def table_path(self, table: str) -> Path:
        return self.path / "db" / f"{table}.parquet"

    def label_path(self, task: str, split: str) -> Path:
        return self.path / "tasks" / task / f"{split}.parquet"

    def timestamp(self, which: str) -> pd.Timestamp:
        """The `val` or `test` timestamp."""
        text = getattr(self.manifest, f"{which}_timestamp")
        try:
            time = pd.Timestamp(text)
        except ValueError:
            time = pd.NaT
        if pd.isna(time):  # pandas' answer to null, '' and 'NaT'
            raise RfmError(f"{self.path / 'manifest.yaml'}: {which}_timestamp {text!r} is not a date")
        return time


def list_sources(source: str | Path | Dataset) -> list[str | Path | Dataset]:
    """The databases of a corpus folder, by name; of anything else, itself. Hidden folders are unfinished copies."""
    if isinstance(source, Dataset) or not Path(source).is_dir() or (Path(source) / "manifest.yaml").exists():
        return [source]
    folders = sorted(path.parent for path in Path(source).glob("*/manifest.yaml"))
    return [folder for folder in folders if not folder.name.startswith(".")] or [source]


def open_source(source: str | Path | Dataset) -> Source:
    """Opens a folder, or that of a relbench dataset, or fetches a dataset of the RelBench Hub by its name.

    Raises:
        RfmError: neither a folder nor reachable on the Hub; a corpus; a manifest that is missing, damaged or does not
            fit.
    """
    if isinstance(source, Dataset) and not hasattr(source, "dataset_dir"):
        raise RfmError(f"{source!r} lies in no folder; write it as a RelBench-3 folder and give that")
    path = Path(getattr(source, "dataset_dir", source)).expanduser()
    if not path.is_dir():
        path = _fetch(str(source))
    databases = list_sources(path)
    if databases != [path]:
        raise RfmError(f"{path} is a corpus of {len(databases)} databases; name one, or build all with build_stores")
    manifest = _load_manifest(DatasetManifest, path / "manifest.yaml")
    if not manifest.tables:
        raise RfmError(f"{path / 'manifest.yaml'} lists no tables")
    if Path(manifest.name).name != manifest.name or manifest.name in ("", ".", "..", "texts"):
        raise RfmError(f"{path / 'manifest.yaml'}: name {manifest.name!r} cannot be the name of a store's folder")
    tasks = {
        folder.name: _load_task(folder / "manifest.yaml")
        for folder in sorted((path / "tasks").glob("*/"))
        if (folder / "manifest.yaml").exists()
    }
    source = Source(path, manifest, tasks, _read_sem_types(path / "manifest.yaml"))
    _check_tables(source)
    for task, task_manifest in tasks.items():
        _check_removed_columns(source, task, task_manifest)
    return source


def fingerprint(source: Source, text_model: str) -> str:
    """Hash of everything that shapes a store: the content of each file read, the format version and the text model."""
    digest = hashlib.sha256(f"{FORMAT_VERSION}\n{text_model}\n".encode())
    files = [source.path / "manifest.yaml", *(source.table_path(table) for table in source.manifest.tables)]
    for task in source.tasks:
        files.append(source.path / "tasks" / task / "manifest.yaml")
        files += [path for split in SPLITS if (path := source.label_path(task, split)).exists()]
    for path in files:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(source.path).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def last_written(folder: Path) -> int:
    """When anything of a database was last written, added or removed, ns since 1970; 0 if it is not there."""
    paths = [folder / "manifest.yaml"]
    for part in (folder / "db", folder / "tasks"):
        paths += [part, *part.rglob("*")]
    return max((path.stat().st_mtime_ns for path in paths if path.exists()), default=0)


def read_parquet(path: Path, what: str, columns: list[str] | None = None) -> pa.Table:
    """One parquet file, or some of its columns.

    Raises:
        RfmError: naming `what` and the file, when it is missing or damaged.
    """
    with _parquet_errors(path, what):
        return pq.read_table(path, columns=columns, partitioning=None)


def count_rows(path: Path, what: str) -> int:
    """Rows of one parquet file, from its footer; raises as `read_parquet`."""
    with _parquet_errors(path, what):
        return pq.read_metadata(path).num_rows


@contextmanager
def _parquet_errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise RfmError(f"{what}: no file {path}") from None
    except (OSError, pa.ArrowException) as error:
        raise RfmError(f"{what}: damaged parquet file {path} ({_first_line(error)})") from None


def _fetch(name: str) -> Path:
    if name.count("/") < 1 or name.startswith((".", "/", "~")):
        raise RfmError(f"dataset {name!r}: no such folder, and not a Hub name of the form org/repo/dataset")
    try:
        return Path(relbench.load_dataset(name).dataset_dir)
    except Exception as error:  # the Hub client has a wide tree of errors; each means the dataset is not to be had
        raise RfmError(
            f"dataset {name!r}: no such folder, and the RelBench Hub cannot provide it ({_first_line(error)})"
        ) from error


def _load_manifest(cls: type, path: Path) -> DatasetManifest | TaskManifest:
    try:
        manifest = cls.load(path)
    except FileNotFoundError:
        raise RfmError(f"{path.parent} is not a RelBench-3 dataset: it has no {path.name}") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RfmError(f"{path}: unreadable or damaged ({_first_line(error)})") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RfmError(f"{path}: not a RelBench-3 manifest ({type(error).__name__}: {_first_line(error)})") from None
    _check_types(manifest, path)
    return manifest


def _load_task(path: Path) -> TaskManifest:
    """A task manifest. relbench ignores unknown keys; a misspelt `remove_columns` would leak labels unseen."""
    manifest = _load_manifest(TaskManifest, path)
    known = [f.name for f in dataclasses.fields(TaskManifest)]
    for key in set(yaml.safe_load(path.read_text(encoding="utf-8"))) - set(known):
        near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.8)
        if near:
            raise RfmError(f"{path}: unknown key {key!r}; did you mean {near[0]!r}?")
    try:
        manifest.validate()
    except ValueError as error:
        raise RfmError(f"{path}: {_first_line(error)}") from None
    return manifest


def _check_types(manifest: DatasetManifest | TaskManifest, path: Path) -> None:
    """Whether texts are texts and lists lists: YAML reads an unquoted `no` or `1` as another type."""
    entries = {f.name: getattr(manifest, f.name) for f in dataclasses.fields(manifest)}
    for table, spec in entries.pop("tables", {}).items():
        entries |= {f"tables: {table}: {key}": value for key, value in vars(spec).items() if key != "fkeys"}
        entries |= {f"tables: {table}: fkeys: {column}": parent for column, parent in spec.fkeys.items()}
        entries |= {f"tables: name {table!r}": table} | {f"fkeys: column {column!r}": column for column in spec.fkeys}
    pairs = entries.pop("remove_columns", [])
    for name in ("manifest_version", "num_eval_timestamps", "eval_k", "extra_files"):
        entries.pop(name, None)
    for key, value in entries.items():
        is_date = "timestamp" in key and isinstance(value, datetime.date)
        if not (value is None or isinstance(value, str) or is_date):
            raise RfmError(f"{path}: {key} must be a text, got {value!r}")
    is_list = isinstance(pairs, list) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs)
    if not is_list or not all(isinstance(name, str) for pair in pairs for name in pair):
        raise RfmError(f"{path}: remove_columns must be a list of [table, column], got {pairs!r}")


def _read_sem_types(path: Path) -> dict[str, dict[str, SemType]]:
    tables = yaml.safe_load(path.read_text(encoding="utf-8"))["tables"]
    found: dict[str, dict[str, SemType]] = {}
    known = {sem_type.name.lower(): sem_type for sem_type in SemType}
    for table, spec in tables.items():
        wanted = spec.get("sem_types") or {}
        if not isinstance(wanted, dict):
            raise RfmError(f"{path}: sem_types of table {table!r} must map columns to types, got {wanted!r}")
        for column, name in wanted.items():
            if name not in known:
                raise unknown("type", str(name), list(known), f"{path}: sem_types of {table}.{column}")
            found.setdefault(table, {})[column] = known[name]
    return found


def _check_tables(source: Source) -> None:
    schemas = {}
    for table, spec in source.manifest.tables.items():
        if table.startswith(LABEL_PREFIX):
            raise RfmError(f"{source.path}: table names may not start with {LABEL_PREFIX!r}, got {table!r}")
        path = source.table_path(table)
        try:
            schemas[table] = pq.read_schema(path)
        except FileNotFoundError:
            raise RfmError(f"table {table!r}: no file {path}") from None
        except (OSError, pa.ArrowException) as error:
            raise RfmError(f"table {table!r}: damaged parquet file {path} ({_first_line(error)})") from None
        names = schemas[table].names
        for column in (name for name in names if names.count(name) > 1):
            raise RfmError(f"table {table!r}: column {column!r} occurs twice in {path}")
        for column in source.sem_types.get(table, {}):
            if column not in names or column in (spec.pkey, *spec.fkeys):
                raise unknown("feature column", column, names, f"sem_types: table {table!r}")
        for fkey, parent in spec.fkeys.items():
            if parent in source.manifest.tables and source.manifest.tables[parent].pkey is None:
                raise RfmError(f"table {table!r}: foreign key {fkey!r} names {parent!r}, which has no primary key")
    try:
        validate_dataset_manifest(source.manifest, source.path / "db")
    except (ValueError, FileNotFoundError) as error:
        raise RfmError(f"{source.path}: {_first_line(error)}") from None


def _check_removed_columns(source: Source, task: str, manifest: TaskManifest) -> None:
    where = f"task {task!r} of {source.name}: remove_columns"
    for table, column in manifest.remove_columns:
        if table not in source.manifest.tables:
            raise unknown("table", table, list(source.manifest.tables), where)
        names = pq.read_schema(source.table_path(table)).names
        if column not in names:
            raise unknown("column", column, names, f"{where}: table {table!r}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
