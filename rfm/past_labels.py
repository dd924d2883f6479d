"""What is known of past labels when a seed is asked about: the latest of any entity, and what a regression says.

The labels of a column are read when it is first a target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rfm._context_arrays import Graph, Output, Rules, new_scratch
from rfm._context_kernel import list_own_labels
from rfm.contexts import Contexts
from rfm.label_history import label_means
from rfm.label_regression import MAX_LABELS, LabelRegression
from rfm.latest_labels import Labels, LatestLabels
from rfm.store import NEVER, NO_TIME, SemType, Store

Horizons = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of each row: last visible row time, last visible label time, and whether labels without a time are shown."""


class _Column(NamedTuple):
    """The labels of one column, whatever the entity."""

    latest: LatestLabels
    regression: LabelRegression


class PastLabels:
    """The past labels of every column of a store, as far as the rules of a sampler show them.

    Args:
        horizons: how far each of some rows sees.
        num_fkeys: the most foreign keys of any row.
    """

    def __init__(
        self,
        store: Store,
        graph: Graph,
        rules: Rules,
        horizons: Callable[[np.ndarray], Horizons],
        num_fkeys: int,
    ) -> None:
        self._store, self._graph, self._rules, self._horizons = store, graph, rules, horizons
        self._num_fkeys = num_fkeys
        self._columns: dict[int, _Column] = {}

    def note(self, contexts: Contexts, rows: np.ndarray, columns: np.ndarray, label_limit: np.ndarray) -> None:
        """Fills `latest_mean`, `latest_count` and `forecast` from labels that are closed and older than the seed.

        Args:
            contexts: of the seeds `rows` and `columns`, with their own labels.
            label_limit: int64 (B,), last visible label time.
        """
        time = np.asarray(self._store.row_time[rows])
        until = np.minimum(label_limit, time - 1)
        places = {
            column: np.flatnonzero((columns == column) & (time != NO_TIME) & (time != NEVER))
            for column in np.unique(columns).tolist()
            if self._shows(column)
        }
        past = {column: self._read(column) for column in places}
        for column, at in places.items():
            contexts.latest_mean[at], contexts.latest_count[at] = past[column].latest.until(until[at])
        means = label_means(contexts)
        for column, at in places.items():
            contexts.forecast[at] = past[column].regression.forecast(until[at], means[at])

    def _shows(self, column: int) -> bool:
        is_removed = self._rules.removed[column] and self._rules.removed_everywhere
        return self._rules.sem_type[column] != SemType.TEXT and not is_removed

    def _read(self, column: int) -> _Column:
        if column not in self._columns:
            scale, shift = float(self._rules.scale[column]), float(self._rules.shift[column])
            labels = Labels.of_column(self._store, column, scale, shift, self._rules.split_limit)
            latest = LatestLabels(labels)
            fitted = labels.every(max(1, -(-len(labels.row) // MAX_LABELS)))
            means = self._means_before(fitted, column, latest)
            self._columns[column] = _Column(latest, LabelRegression(fitted.time, fitted.value, means))
        return self._columns[column]

    def _means_before(self, labels: Labels, column: int, latest: LatestLabels) -> np.ndarray:
        """What a context of each label's row says of past labels by `label_means`."""
        known = Contexts.empty(np.zeros(len(labels.row), np.uint64), 0, 1)
        out = Output.of(known)
        horizons, columns = self._horizons(labels.row), np.full(len(labels.row), column)
        scratch = new_scratch(0, self._num_fkeys, 1)
        list_own_labels(self._graph, self._rules, labels.row, columns, *horizons, out, scratch)
        known.latest_mean[:], known.latest_count[:] = latest.until(np.minimum(horizons[1], labels.time - 1))
        return label_means(known)
