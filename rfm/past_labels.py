"""What is known of past labels when a seed is asked about: the latest of any entity, and what a regression says.

The regression reads the entity's past labels (`rfm.label_history`) and what the rows around the seed's parents were
like (`rfm.parent_features`). The labels of a column are read when it is first a target, once for all samplers of a
store that show the same labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rfm._context_arrays import Graph, Output, Rules, new_scratch
from rfm._context_kernel import list_own_labels
from rfm.contexts import Contexts
from rfm.label_history import NUM_MEANS, label_means
from rfm.label_regression import MAX_LABELS, LabelRegression
from rfm.latest_labels import Labels, LatestLabels
from rfm.parent_features import ParentFeatures
from rfm.store import NEVER, NO_TIME, SemType, Store

Horizons = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of each row: last visible row time, last visible label time, and whether labels without a time are shown."""


class _Column(NamedTuple):
    """The labels of one column, whatever the entity."""

    latest: LatestLabels
    parents: ParentFeatures
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

    def note(self, contexts: Contexts, rows: np.ndarray, columns: np.ndarray, horizons: Horizons) -> None:
        """Fills `latest_mean`, `latest_count` and `forecast` from labels and rows that are older than the seed.

        Args:
            contexts: of the seeds `rows` and `columns`, with their own labels.
            horizons: how far each seed sees.
        """
        time = np.asarray(self._store.row_time[rows])
        seen, until = np.minimum(horizons[0], time - 1), np.minimum(horizons[1], time - 1)
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
            features = np.concatenate([means[at], past[column].parents.before(rows[at], seen[at])], axis=1)
            contexts.forecast[at] = past[column].regression.forecast(until[at], features)

    def _shows(self, column: int) -> bool:
        is_removed = self._rules.removed[column] and self._rules.removed_everywhere
        return self._rules.sem_type[column] != SemType.TEXT and not is_removed

    def _read(self, column: int) -> _Column:
        if column not in self._columns:
            scale, shift = float(self._rules.scale[column]), float(self._rules.shift[column])
            labels = Labels.of_column(self._store, column, scale, shift, self._rules.split_limit)
            latest, parents = LatestLabels(labels), ParentFeatures(self._store, self._graph, self._rules, column)
            fitted = labels.every(max(1, -(-len(labels.row) // MAX_LABELS)))
            features, kinds = self._before(fitted, column, latest, parents)
            regression = LabelRegression(fitted.time, fitted.value, features, kinds)
            self._columns[column] = _Column(latest, parents, regression)
        return self._columns[column]

    def _before(
        self, labels: Labels, column: int, latest: LatestLabels, parents: ParentFeatures
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a seed in the place of each label would be told of labels and parents, and the kinds of features."""
        known = Contexts.empty(np.zeros(len(labels.row), np.uint64), 0, 1)
        out = Output.of(known)
        horizons, columns = self._horizons(labels.row), np.full(len(labels.row), column)
        scratch = new_scratch(0, self._num_fkeys, 1)
        list_own_labels(self._graph, self._rules, labels.row, columns, *horizons, out, scratch)
        known.latest_mean[:], known.latest_count[:] = latest.until(np.minimum(horizons[1], labels.time - 1))
        around = parents.before(labels.row, np.minimum(horizons[0], labels.time - 1))
        kinds = np.concatenate([np.zeros(NUM_MEANS, np.int8), parents.kinds])
        return np.concatenate([label_means(known), around], axis=1), kinds
