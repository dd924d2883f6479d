"""Profile intervals equal a brute-force search, cover as they say, and show what the paper's points allow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import least_squares

from analysis.errors import AnalysisError
from analysis.floor_profile import profile_floor
from analysis.power_law import fit_power_law
from analysis.published import PAPER_LAWS, paper_points


def papers_fitted_points(axis: str) -> tuple[np.ndarray, np.ndarray]:
    points = paper_points(axis)
    points = points[~points["held_out"]]
    return points["x"].to_numpy() / PAPER_LAWS[axis].unit, points["loss"].to_numpy()


def test_interval_of_the_floor_ends_where_scipys_refits_cross_the_threshold() -> None:
    x, y = papers_fitted_points("tokens")
    profile = profile_floor(x, y)
    free = fit_power_law(x, y, bootstrap=0)
    threshold = free.rmse**2 * len(x) * (1 + stats.f.ppf(0.95, 1, 3) / 3)

    def loss(floor: float) -> float:
        return 2 * least_squares(lambda p: p[0] * x ** -p[1] + floor - y, (0.01, 0.9), xtol=1e-14, ftol=1e-14).cost

    floors = profile.table["floor"].to_numpy()
    for end, beyond in zip(profile.floor_interval, (-1, 1), strict=True):
        at = int(np.argmin(np.abs(floors - end)))
        assert loss(end) <= threshold * (1 + 1e-6)
        assert loss(floors[at + beyond]) > threshold
        assert abs(floors[at + beyond] - end) < 3e-4


def test_floor_and_exponent_rise_together_and_the_free_fit_is_among_them() -> None:
    x, y = papers_fitted_points("num_databases")
    profile = profile_floor(x, y)
    free = fit_power_law(x, y, bootstrap=0)
    assert (profile.floor, profile.exponent) == pytest.approx((free.floor, free.exponent), rel=1e-6)
    best = profile.table.loc[profile.table["rmse"].idxmin()]
    assert (best["floor"], best["exponent"]) == pytest.approx((free.floor, free.exponent), rel=1e-5)
    assert (np.diff(profile.table["exponent"]) >= 0).all()
    assert profile.exponent_interval[0] < 0.05 and profile.exponent_interval[1] > 0.7
    assert "jointly from floor 0 " in repr(profile)


def test_published_law_in_tokens_is_a_line_through_the_logs_of_the_excess() -> None:
    x, y = papers_fitted_points("tokens")
    slope, intercept = np.polyfit(np.log(x), np.log(y - 0.36), 1)
    assert (-slope, np.exp(intercept)) == pytest.approx((0.46, 0.0155), abs=1e-3)
    on_the_loss = fit_power_law(x, y, floor=0.36, bootstrap=0)
    assert on_the_loss.exponent == pytest.approx(0.58, abs=5e-3)


@pytest.mark.parametrize("noise", [0.0005, 0.002])
def test_profile_intervals_cover_as_they_say(noise: float) -> None:
    rng = np.random.default_rng(0)
    x = 2.0 ** np.arange(9)
    hits = []
    for _ in range(200):
        profile = profile_floor(x, 0.07 * x**-0.38 + 0.36 + noise * rng.normal(size=len(x)))
        (low, high), (least, most) = profile.floor_interval, profile.exponent_interval
        hits.append((low <= 0.36 <= high, least <= 0.38 <= most))
    assert ((np.mean(hits, axis=0) >= 0.90) & (np.mean(hits, axis=0) <= 0.98)).all(), np.mean(hits, axis=0)


def test_three_points_have_no_profile() -> None:
    with pytest.raises(AnalysisError, match="3 points at 3 distinct x"):
        profile_floor([1, 2, 4], [3, 2, 1.5])


@pytest.mark.parametrize("y", [[1, 2, 3, 4, 5], [2, 2, 2, 2, 2]])
def test_points_that_do_not_fall_have_no_profile(y: list[float]) -> None:
    with pytest.raises(AnalysisError, match="y does not fall with x"):
        profile_floor([1, 2, 4, 8, 16], y)
