"""corpus.yaml: what a corpus holds, and everything that it takes to make it again.

version      of the folders' content, see plurel.exports.relbench_folder
package      version of this package, for the reader
name         of the prior
prior_hash   its hash
prior        the whole prior, as Config.to_dict gives it; a schema file is the copy beside this file, schema.sql
seeds        of the databases
"""

from __future__ import annotations

import filecmp
import os
import shutil
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from plurel.config import Config
from plurel.errors import PlurelError
from plurel.exports.relbench_folder import VERSION

RECORD, SCHEMA = "corpus.yaml", "schema.sql"


@dataclass(frozen=True)
class CorpusRecord:
    """The content of corpus.yaml in `folder`."""

    folder: Path
    version: int
    package: str
    name: str
    prior_hash: str
    prior: dict[str, Any]
    seeds: list[int]

    @classmethod
    def read(cls, folder: Path) -> CorpusRecord | None:
        """The record of a corpus, None where there is none.

        Raises:
            PlurelError: if the file is damaged.
        """
        file = folder / RECORD
        if not file.exists():
            return None
        try:
            record = yaml.safe_load(file.read_text())
            keys = ("version", "package", "name", "prior_hash")
            return cls(
                folder,
                *(record[key] for key in keys),
                prior=dict(record["prior"]),
                seeds=[int(s) for s in record["seeds"]],
            )
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise PlurelError(
                f"{file} is damaged ({str(error).splitlines()[0]}); delete the corpus or mend it"
            ) from error

    @classmethod
    def of(cls, folder: Path, config: Config, seeds: list[int]) -> CorpusRecord:
        """The record of a corpus that this version makes."""
        prior = config.to_dict()
        if config.schema_file is not None:
            prior["schema_file"] = SCHEMA
        return cls(folder, VERSION, _package_version(), config.name, config.hash(), prior, seeds)

    def config(self) -> Config:
        """The prior.

        Raises:
            PlurelError: if it is not the one that prior_hash names, or the record is of another version.
        """
        file = self.folder / RECORD
        self.check_version()
        prior = dict(self.prior)
        if prior.get("schema_file") is not None:
            prior["schema_file"] = str(self.folder / prior["schema_file"])
        config = Config.from_dict(prior)
        if config.hash() != self.prior_hash:
            raise PlurelError(f"{file}: its prior has hash {config.hash()}, not {self.prior_hash}; it was altered")
        return config

    def check_version(self) -> None:
        """Raises PlurelError if another version of the generator made the corpus."""
        if self.version != VERSION:
            raise PlurelError(
                f"{self.folder} holds a corpus of version {self.version}, and this package ({_package_version()}) "
                f"makes version {VERSION}; generate it again elsewhere, or install the package that made it "
                f"({self.package})"
            )

    def check_same(self, config: Config) -> None:
        """Raises PlurelError, naming a key that differs, if the corpus is of another prior or version."""
        self.check_version()
        if self.prior_hash != config.hash():
            old, new = self.prior, CorpusRecord.of(self.folder, config, []).prior
            raise PlurelError(
                f"{self.folder} holds a corpus of prior {self.name} ({self.prior_hash}), not {config.name} "
                f"({config.hash()}): {_difference(old, new)}; choose another path"
            )

    def write(self, schema_file: str | None) -> None:
        """Writes the record, and the copy of a schema file, where they are not there as they should be.

        Jobs that share a corpus all write the same, each under a name of its own first.
        """
        copy = self.folder / SCHEMA
        if schema_file is not None and (not copy.is_file() or not filecmp.cmp(schema_file, copy, shallow=False)):
            shutil.copyfile(schema_file, temporary := self.folder / f".{SCHEMA}.{uuid.uuid4().hex}")
            os.replace(temporary, copy)
        content = {key: value for key, value in vars(self).items() if key != "folder"}
        text, file = yaml.safe_dump(content, sort_keys=False, default_flow_style=None), self.folder / RECORD
        if file.exists() and file.read_text() == text:
            return
        temporary = self.folder / f".{RECORD}.{uuid.uuid4().hex}"
        temporary.write_text(text)
        os.replace(temporary, file)


def check_writable(folder: Path) -> None:
    """Makes the folder if need be.

    Raises:
        PlurelError: if files cannot be made there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PlurelError(f"{folder} cannot be written to ({error.strerror}); choose another path") from error


def _difference(old: dict[str, Any], new: dict[str, Any], where: str = "") -> str:
    """The first key of two trees whose values differ, and both values."""
    for key in [*new, *(key for key in old if key not in new)]:
        left, right = old.get(key), new.get(key)
        if left == right or key == "cache_dir":
            continue
        if isinstance(left, dict) and isinstance(right, dict) and "kind" not in left:
            return _difference(left, right, f"{where}{key}.")
        return f"{where}{key} is {left} there, {right} here"
    return "the content of the schema file differs"


def _package_version() -> str:
    try:
        return metadata.version("relational-scaling")
    except metadata.PackageNotFoundError:  # run from a checkout
        return "not installed"
