"""The context of one seed row, for people: which rows and labels a prediction may look at, and what the budget cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from rfm.contexts import Contexts
from rfm.errors import RfmError
from rfm.sampler import ContextSampler, shown_statistics
from rfm.store import NEVER, NO_TIME, Column, SemType, Store, TextTable


@dataclass(frozen=True)
class ContextRow:
    """A row of the context; `hops` from the seed along foreign keys, None where the rows between are not in it."""

    number: int
    table: str
    row: int  # of its table
    hops: int | None
    time: pd.Timestamp | None
    parents: tuple[int, ...]  # numbers of context rows
    cells: dict[str, str]  # column -> value in its unit
    is_label: bool


@dataclass(frozen=True)
class ContextExplanation:
    """What `explain_context` found; prints as text, shows as HTML in a notebook.

    Attributes:
        visible_labels, visible_children: rows that time and protocol allow: closed labels of the seed's entity, and
            database rows that point to the entity (in a task with a label table) or to the seed itself.
        shown_labels, shown_children: how many of them the context holds.
        own_labels, latest_labels: how many past labels of the entity, and of any entity, enter the means that go with
            the target (`rfm.label_history`).
        forecast, forecast_error: what a regression fitted to past labels says of the target, in its unit (a boolean:
            the part that is true), and how far off it has been lately; None where there is no past label or no number.
    """

    database: str
    task: str | None
    target: str
    protocol: str
    policy: str
    ctx_len: int
    num_cells: int
    rows: tuple[ContextRow, ...]
    visible_labels: int
    shown_labels: int
    visible_children: int
    shown_children: int
    own_labels: int
    latest_labels: int
    forecast: float | None
    forecast_error: float | None

    @property
    def facts(self) -> dict[str, str]:
        """What a reader wants first."""
        return {
            "target": self.target,
            "seed's time": _show_time(self.rows[0].time),
            "protocol": self.protocol,
            "policy": self.policy,
            "cells": f"{self.num_cells} of {self.ctx_len}",
            "rows": str(len(self.rows)),
            "own labels shown": f"{self.shown_labels} of {self.visible_labels} visible",
            "children shown": f"{self.shown_children} of {self.visible_children} visible",
            "means of past labels": f"over up to {self.own_labels} own ones and {self.latest_labels} of any entity",
            "their forecast": "none" if self.forecast is None else f"{self.forecast:.4g} ± {self.forecast_error:.2g}",
        }

    def __str__(self) -> str:
        lines = [f"Context of {self.rows[0].table} row {self.rows[0].row} in {self.database}"]
        lines += [f"  {name}: {value}" for name, value in self.facts.items()]
        for row in self.rows:
            hops = "?" if row.hops is None else row.hops
            parents = f" -> {', '.join(f'#{p}' for p in row.parents)}" if row.parents else ""
            kind = " [label]" if row.is_label else ""
            lines.append(f"#{row.number} {row.table} row {row.row}{kind}, {hops} hops, {_show_time(row.time)}{parents}")
            lines += [f"    {column} = {value}" for column, value in row.cells.items()]
        return "\n".join(lines)

    def to_html(self, path: str | Path | None = None) -> str:
        """The page, also written to `path` if one is given; one file without outside references."""
        environment = Environment(
            loader=PackageLoader("rfm"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        page = environment.get_template("context.html").render(
            context=self, drawing=_layout(self.rows), time=_show_time
        )
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def _repr_html_(self) -> str:
        return self.to_html()


def explain_context(
    sampler: ContextSampler, row: int, column: int | None = None, *, key: int = 0, texts: TextTable | None = None
) -> ContextExplanation:
    """The context that `sampler` draws for one seed row.

    Args:
        row: of the store, such as an element of `store.task_rows(task, split)`.
        column: the target, id of a column of the row's table; default: the task's.
        key: the item's random key.
        texts: the store's text table, to show strings instead of their ids.

    Raises:
        RfmError: as `ContextSampler.sample`, or without a column where the sampler has no task.
    """
    store, task = sampler.store, sampler.task
    if column is None:
        if task is None:
            raise RfmError("explain_context: give the target column; the sampler has no task that names one")
        column = task.target_column
    contexts = sampler.sample(np.array([row]), column, np.array([key], np.uint64))
    rows = _read_rows(sampler, contexts, texts)
    labels, children = sampler.visible_labels(row), sampler.visible_children(row)
    shown = contexts.row_id[0][contexts.row_id[0] >= 0]
    target = store.columns[column]
    return ContextExplanation(
        database=store.name,
        task=None if task is None else task.name,
        target=f"{target.name} of {target.table}",
        protocol=sampler.protocol,
        policy=sampler.policy,
        ctx_len=sampler.ctx_len,
        num_cells=contexts.num_tokens,
        rows=rows,
        visible_labels=len(labels),
        shown_labels=int(np.isin(labels, shown).sum()),
        visible_children=len(children),
        shown_children=int(np.isin(children, shown).sum()),
        own_labels=int(contexts.own_count[0]),
        latest_labels=int(contexts.latest_count[0]),
        **_forecast(sampler, contexts, column),
    )


def _forecast(sampler: ContextSampler, contexts: Contexts, column: int) -> dict[str, float | None]:
    if not contexts.latest_count[0]:
        return {"forecast": None, "forecast_error": None}
    mean, std = sampler.store.columns[column].stats[shown_statistics(sampler.protocol)]
    forecast, error = contexts.forecast[0].tolist()
    return {"forecast": mean + std * forecast, "forecast_error": std * error}


def _read_rows(sampler: ContextSampler, contexts: Contexts, texts: TextTable | None) -> tuple[ContextRow, ...]:
    store, names = sampler.store, list(sampler.store.tables)
    numbers = contexts.row_idx[0]
    hops = _hops(contexts)
    rows = []
    for number in range(int(numbers.max()) + 1):
        cells = np.flatnonzero(numbers == number).tolist()
        row = int(contexts.row_id[0, cells[0]])
        table = store.tables[names[store.row_table[row]]]
        rows.append(
            ContextRow(
                number=number,
                table=table.name,
                row=row - table.first_row,
                hops=hops[number],
                time=_timestamp(int(store.row_time[row])),
                parents=tuple(p for p in contexts.parent_idx[0, cells[0]].tolist() if p >= 0),
                cells={
                    store.columns[contexts.column_idx[0, i]].name: _show(sampler, contexts, i, texts) for i in cells
                },
                is_label=table.is_label,
            )
        )
    return tuple(rows)


def _hops(contexts: Contexts) -> list[int | None]:
    """Steps from row 0 along foreign keys in either direction, within the context."""
    numbers, parents = contexts.row_idx[0], contexts.parent_idx[0]
    neighbours: list[set[int]] = [set() for _ in range(int(numbers.max()) + 1)]
    for number, of_row in zip(numbers.tolist(), parents.tolist(), strict=True):
        for parent in of_row:
            if number >= 0 and parent >= 0:
                neighbours[number].add(parent)
                neighbours[parent].add(number)
    hops: list[int | None] = [None] * len(neighbours)
    hops[0], reached = 0, [0]
    for row in reached:
        for other in sorted(neighbours[row]):
            if hops[other] is None:
                hops[other] = hops[row] + 1
                reached.append(other)
    return hops


def _show(sampler: ContextSampler, contexts: Contexts, i: int, texts: TextTable | None) -> str:
    """The value of the cell at position i, in its column's unit."""
    if contexts.is_target[0, i]:
        return "?"
    column = _column(sampler.store, contexts, i)
    if column.sem_type is SemType.TEXT:
        text = int(contexts.cell_text[0, i])
        return f"text {text}" if texts is None else texts.strings[text]
    mean, std = column.stats[shown_statistics(sampler.protocol)]
    value = float(contexts.value[0, i]) * std + mean
    if column.sem_type is SemType.BOOLEAN:
        return "true" if value > 0.5 else "false"
    if column.sem_type is SemType.DATETIME:
        # a float32 of standard deviations: good to some minutes; numpy also knows days that pandas does not
        return str(np.datetime64(round(value / 3600) // 24, "D"))
    decimals = math.ceil(5 - math.log10(std))  # the context holds float32 of standard deviations
    return f"{round(value, decimals) + 0.0:.6g}"


def _column(store: Store, contexts: Contexts, i: int) -> Column:
    return store.columns[contexts.column_idx[0, i]]


def _timestamp(seconds: int) -> pd.Timestamp | None:
    return None if seconds in (NO_TIME, NEVER) else pd.Timestamp(seconds, unit="s")


def _show_time(time: pd.Timestamp | None) -> str:
    return "no time" if time is None else time.strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")


_STEP_X, _STEP_Y, _MARGIN = 190, 22, 14


def _layout(rows: tuple[ContextRow, ...]) -> dict:
    """Places of the rows, one column per hop; width and height of the drawing in pixels."""
    depths = sorted({row.hops for row in rows if row.hops is not None})
    columns = {hops: place for place, hops in enumerate([*depths, None])}
    filled: dict[int, int] = {}
    places = {}
    for row in rows:
        place = columns[row.hops]
        places[row.number] = (_MARGIN + place * _STEP_X, _MARGIN + 16 + filled.get(place, 0) * _STEP_Y)
        filled[place] = filled.get(place, 0) + 1
    return {
        "places": places,
        "hues": {table: i % 6 for i, table in enumerate(dict.fromkeys(row.table for row in rows))},
        "heads": {_MARGIN + place * _STEP_X: f"{hops} hops" for hops, place in columns.items() if hops is not None},
        "width": 2 * _MARGIN + (max(filled) + 1) * _STEP_X,
        "height": 2 * _MARGIN + 16 + max(filled.values()) * _STEP_Y,
    }
