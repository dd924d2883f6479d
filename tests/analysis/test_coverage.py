"""Nominal 95 % intervals cover the truth in 90 to 98 % of 200 made-up experiments, and no noise gives no width."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.power_law import PowerLawFit, fit_power_law
from experiments.benchmarks.coverage import JOINT_LAWS, joint_hits, measure
from experiments.benchmarks.coverage import coverage as joint_coverage

X = 2.0 ** np.arange(10)
LAWS = {"paper": (0.07, 0.38, 0.36), "steep": (1.0, 0.5, 0.36), "language": (0.76, 0.34, 1.69)}
REPLICATES = 200


def coverage(law: tuple[float, float, float], noise: float, *, relative: bool, bootstrap: int) -> dict[str, float]:
    """Share of the replicates whose intervals hold the truth: parameters, the law and a new measurement at 8 times the
    largest x; `relative` noise is in proportion to y, and weighted so."""
    coefficient, exponent, floor = law
    rng = np.random.default_rng(0)
    beyond = X[-1] * 8
    hits: dict[str, list[bool]] = {}
    for seed in range(REPLICATES):
        x = np.append(X, beyond)
        true = coefficient * x**-exponent + floor
        scale = noise * (true if relative else true.mean())
        y = true + scale * rng.normal(size=len(x))
        weights = y**-2 if relative else None
        fit = fit_power_law(x, y, holdout=1, weights=weights, bootstrap=bootstrap, seed=seed)
        for name, truth in zip(fit.ci, law, strict=True):
            hits.setdefault(name, []).append(fit.ci[name][0] <= truth <= fit.ci[name][1])
        _, low, high = fit.predict(beyond, interval=0.95)
        hits.setdefault("law beyond", []).append(bool(low <= true[-1] <= high))
        hits.setdefault("measurement beyond", []).append(fit.extrapolation[0]["covered"])
    return {name: float(np.mean(inside)) for name, inside in hits.items()}


def assert_nominal(shares: dict[str, float]) -> None:
    assert all(0.90 <= share <= 0.98 for share in shares.values()), shares


def test_intervals_of_the_papers_law_cover_as_they_say() -> None:
    assert_nominal(coverage(LAWS["paper"], 0.005, relative=False, bootstrap=200))


@pytest.mark.slow
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("noise", [0.005, 0.02])
@pytest.mark.parametrize("law", LAWS)
def test_intervals_cover_as_they_say(law: str, noise: float, relative: bool) -> None:
    assert_nominal(coverage(LAWS[law], noise, relative=relative, bootstrap=1000))


@pytest.mark.parametrize("form", ["multiplicative", "kaplan"])
def test_intervals_of_joint_laws_hold_the_truth_in_most_of_a_few_experiments(form: str) -> None:
    hits = pd.DataFrame(joint_hits(form, 0.02, range(12), bootstrap=80))
    assert list(hits) == [*JOINT_LAWS[form], "beyond"]
    assert (hits.sum() >= 9).all() and hits.to_numpy().mean() < 1, hits.sum()  # fewer than 9 of 12: once in 450


NARROW = {("kaplan", 0.005), ("kaplan", 0.02), ("overfitting", 0.02)}  # experiments/results/fits
narrow = pytest.mark.xfail(reason="intervals of this form are too narrow: experiments/results/fits", strict=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "noise"),
    [pytest.param(*case, marks=narrow if case in NARROW else ()) for case in product(JOINT_LAWS, (0.005, 0.02))],
)
def test_intervals_of_joint_laws_cover_as_they_say(form: str, noise: float) -> None:
    assert_nominal(joint_coverage(form, noise, replicates=REPLICATES, bootstrap=200))


def test_a_measurement_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "hits.csv"
    measure(path, "power", 0.005, replicates=3, bootstrap=20)
    before = path.read_text().splitlines()
    shares = measure(path, "power", 0.005, replicates=6, bootstrap=20)
    assert path.read_text().splitlines()[:4] == before and len(path.read_text().splitlines()) == 7
    assert shares.to_dict() == pytest.approx(joint_coverage("power", 0.005, replicates=6, bootstrap=20))


@pytest.mark.parametrize("law", LAWS)
def test_points_without_noise_give_intervals_without_width(law: str) -> None:
    coefficient, exponent, floor = LAWS[law]
    fit = fit_power_law(X, coefficient * X**-exponent + floor)
    for name, truth in zip(fit.ci, LAWS[law], strict=True):
        assert fit.ci[name] == pytest.approx((truth, truth), rel=1e-5)


def test_more_noise_widens_and_more_points_narrow() -> None:
    def width(noise: float, repeats: int) -> float:
        rng = np.random.default_rng(1)
        x = np.repeat(X, repeats)
        low, high = fit_power_law(x, 0.3 * x**-0.5 + 0.36 + noise * rng.normal(size=len(x)), bootstrap=300).ci["floor"]
        return high - low

    assert width(0.001, 1) < 0.5 * width(0.004, 1)
    assert width(0.001, 16) < 0.5 * width(0.001, 1)


def test_interval_of_two_means_is_the_exact_t_interval() -> None:
    """Over two distinct x the law only joins two means, whose intervals are known in closed form."""
    from scipy import stats

    x = np.array([1.0] * 12)
    x[6:] = 4.0
    y = np.where(x == 1, 0.8, 0.5) + 0.01 * np.random.default_rng(0).normal(size=12)
    fit = fit_power_law(x, y, floor=False, bootstrap=20_000)
    freedom = 10
    spread = np.sqrt(((y[:6] - y[:6].mean()) ** 2).sum() + ((y[6:] - y[6:].mean()) ** 2).sum()) / np.sqrt(freedom)
    half = stats.t.ppf(0.975, freedom) * spread / np.sqrt(6)
    assert fit.ci["coefficient"] == pytest.approx((y[:6].mean() - half, y[:6].mean() + half), abs=0.03 * half)
    _, low, high = fit.predict(4.0, interval=0.95)
    assert (low, high) == pytest.approx((y[6:].mean() - half, y[6:].mean() + half), abs=0.03 * half)


def test_points_as_many_as_parameters_have_no_interval() -> None:
    fit = fit_power_law([1, 2, 4], [0.5, 0.45, 0.42])
    assert fit.ci == {} and isinstance(fit, PowerLawFit)
    with pytest.raises(ValueError, match="no bootstrap replicates"):
        fit.predict(8, interval=0.95)


def test_same_seed_same_intervals_and_the_shape_of_x_is_kept() -> None:
    y = 0.07 * X**-0.38 + 0.36 + 0.001 * np.random.default_rng(3).normal(size=len(X))
    one, two, other = (fit_power_law(X, y, bootstrap=200, seed=seed) for seed in (0, 0, 1))
    assert one.ci == two.ci != other.ci
    middle, low, high = one.predict(X.reshape(2, 5), interval=0.5)
    assert middle.shape == low.shape == high.shape == (2, 5)
    assert (low <= high).all()
    wide = one.predict_measurement(X, 0.5)
    assert (wide[1] < low.ravel()).all() and (wide[2] > high.ravel()).all()
