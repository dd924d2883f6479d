"""Two runs side by side: differences of laws with intervals, gains in the metric's direction, nothing unescaped."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.power_law import PowerLawFit, fit_power_law
from analysis.report import write_comparison
from analysis.report.comparison import law_differences

X = 2.0 ** np.arange(9)


def law(exponent: float, noise: float, seed: int) -> PowerLawFit:
    rng = np.random.default_rng(seed)
    return fit_power_law(X, 0.1 * X**-exponent + 0.36 + noise * rng.normal(size=len(X)), seed=seed)


def test_exponents_that_differ_are_told_from_those_that_do_not() -> None:
    exponent, floor = law_differences(law(0.4, 1e-4, 0), law(0.8, 1e-4, 1))
    assert exponent["differs"] and exponent["interval"][0] < 0.4 < exponent["interval"][1]
    assert not floor["differs"]
    assert not law_differences(law(0.4, 3e-3, 0), law(0.5, 3e-3, 1))[0]["differs"]
    assert law_differences(law(0.4, 1e-4, 0), "no law was fitted") == []


def test_equal_laws_are_called_different_rarely() -> None:
    called = [law_differences(law(0.5, 1e-3, s), law(0.5, 1e-3, s + 100))[0]["differs"] for s in range(60)]
    assert sum(called) <= 7  # 5 % is 3 of 60; more than 7 has a chance of 1 %


def test_page_shows_both_runs_and_the_gain(make_run: Callable, make_transfer: Callable) -> None:
    better = make_transfer()
    at = (better["model"] == "zero-shot") & (better["metric"] == "mae")
    better.loc[at, "value"] -= 10
    evil = "<script>alert(1)</script>"
    path = write_comparison(make_run("one"), make_run("two", transfer=better, prior=evil))
    assert path.name == "compare-one-two.html"
    page = path.read_text()
    assert evil not in page and "&lt;script&gt;alert(1)" in page and page.count("<script") == 2
    assert '<td class="number up" data-label="gain" data-value="10.0">+10.0</td>' in page
    assert "Other validation databases" in page  # neither run recorded on which it was validated
    assert page.count("not shown to differ") == 2  # over S three fitted points leave no interval
    charts = json.loads(page.split('id="charts">')[1].split("</script>")[0])
    assert {s["group"] for s in charts["chart-laws"]["views"][0]["series"]} == {"one", "two"}


def test_runs_of_one_name_are_refused(make_run: Callable) -> None:
    run_dir = make_run()
    with pytest.raises(AnalysisError, match="both runs are named 'demo'"):
        write_comparison(run_dir, run_dir)
