"""The envelope equals a brute-force search, ties go to the cheaper cell, diverged cells are never the best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.envelope import lower_envelope
from analysis.errors import AnalysisError

few_values = st.sampled_from([0.36, 0.37, 0.4, 0.5, float("nan")])  # few of them, so that ties occur


@given(losses=arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=few_values), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_envelope_equals_brute_force(make_grid: Callable, losses: np.ndarray, data: st.DataObject) -> None:
    num_databases = [2**i for i in range(losses.shape[0])]
    tokens = [1000 * 2**j for j in range(losses.shape[1])]
    results = make_grid(losses, num_databases, tokens)
    results = results.iloc[data.draw(st.permutations(range(len(results))))]
    for over, other in (("num_databases", "tokens"), ("tokens", "num_databases")):
        envelope = lower_envelope(results, over=over)
        assert envelope.columns.tolist() == ["x", "loss", other]
        assert envelope["x"].tolist() == (num_databases if over == "num_databases" else tokens)
        for _, (x, loss, best) in envelope.iterrows():
            cells = results[(results[over] == x) & results["value"].notna()]
            if cells.empty:
                assert np.isnan(loss) and best is pd.NA
            else:
                assert loss == cells["value"].min()
                assert best == cells.loc[cells["value"] == loss, other].min()


def test_envelope_of_incomplete_grid_uses_what_is_there(make_grid: Callable) -> None:
    results = make_grid(np.array([[0.5, 0.4], [0.45, 0.35]]), [1, 2], [10, 20])
    envelope = lower_envelope(results[~((results["num_databases"] == 2) & (results["tokens"] == 20))])
    assert envelope["loss"].tolist() == [0.4, 0.45] and envelope["tokens"].tolist() == [20, 10]


def test_unknown_axis_is_refused(make_grid: Callable) -> None:
    with pytest.raises(AnalysisError, match="over='steps' is no axis"):
        lower_envelope(make_grid(np.array([[0.5]]), [1], [1]), over="steps")
