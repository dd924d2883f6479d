"""Known joint laws come back in every form and unit, intervals cover, the right form wins, frontiers are optimal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares, nnls

from analysis.errors import AnalysisError
from analysis.frontier import compute_frontier, required
from analysis.joint_forms import FORMS, non_negative
from analysis.joint_law import fit_joint_law
from analysis.language_models import CHINCHILLA, CHINCHILLA_REFIT, PublishedJointLaw
from analysis.model_choice import aicc, compare_forms
from analysis.power_law import fit_power_law
from experiments.benchmarks.coverage import JOINT_LAWS, joint_losses

N, S = (axis.ravel() for axis in np.meshgrid(2.0 ** np.arange(3, 11), 5e8 * 2.0 ** np.arange(7)))
TRUE = {"E": 0.36, "A": 0.1, "B": 0.03 * 1e9**0.5, "alpha": 0.5, "beta": 0.5}


def additive(n: np.ndarray, s: np.ndarray, law: dict[str, float]) -> np.ndarray:
    return law["E"] + law["A"] / n ** law["alpha"] + law["B"] / s ** law["beta"]


def overfitting(n: np.ndarray, s: np.ndarray, law: dict[str, float]) -> np.ndarray:
    return additive(n, s / (1 + (s / (law["U"] * n)) ** law["kappa"]), law)


@pytest.mark.parametrize("law", [CHINCHILLA, CHINCHILLA_REFIT], ids=lambda law: law.source)
def test_published_laws_of_language_models_come_back_from_their_formulas(law: PublishedJointLaw) -> None:
    """Proves the fit, not the laws: the runs behind them are not part of this repository."""
    n, s = (axis.ravel() for axis in np.meshgrid(np.geomspace(7e7, 1.6e10, 9), np.geomspace(1e9, 5e11, 8)))
    fit = fit_joint_law(n, s, law.E + law.A / n**law.alpha + law.B / s**law.beta, bootstrap=0)
    found = (fit.E, fit.A, fit.B, fit.alpha, fit.beta)
    assert found == pytest.approx((law.E, law.A, law.B, law.alpha, law.beta), rel=1e-3)
    assert fit.predict(7e10, 1.4e12) == pytest.approx(law.E + law.A / 7e10**law.alpha + law.B / 1.4e12**law.beta)


def test_every_form_gives_its_own_points_back() -> None:
    epochs = TRUE | {"U": 2e8, "kappa": 2.0}
    cases = {
        "additive": (additive(N, S, TRUE), TRUE),
        "multiplicative": (0.36 + 500 / (N**0.3 * S**0.4), {"E": 0.36, "A": 500, "alpha": 0.3, "beta": 0.4}),
        "kaplan": (((1e3 / N) ** 0.5 + 1e9 / S) ** 0.2, {"A": 1e3, "B": 1e9, "alpha": 0.1, "beta": 0.2}),
        "overfitting": (overfitting(N, S, epochs), epochs),
    }
    for form, (loss, law) in cases.items():
        fit = fit_joint_law(N, S, loss, form, bootstrap=0)
        assert fit.parameters == pytest.approx(law, rel=1e-2), form
        assert fit.rmse_log < 1e-5, form


@pytest.mark.parametrize("form", JOINT_LAWS)
def test_least_squares_is_scipys_from_the_true_start(form: str) -> None:
    def log_law(theta: np.ndarray) -> np.ndarray:
        return np.log(FORMS[form].loss(theta[None], np.log(N), np.log(S))[0])

    start = np.log(list(JOINT_LAWS[form].values()))
    for seed in range(3):
        loss = joint_losses(form, N, S) * np.exp(0.005 * np.random.default_rng(seed).normal(size=len(N)))
        fit = fit_joint_law(N, S, loss, form, bootstrap=0, delta=np.inf)

        tight = dict(xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=5000)
        peer = least_squares(lambda theta, y=loss: log_law(theta) - np.log(y), start, x_scale="jac", **tight)
        assert fit.rmse_log <= np.sqrt(2 * peer.cost / len(N)) * (1 + 1e-7)
        np.testing.assert_allclose(np.log(fit.predict(N, S)), log_law(peer.x), atol=2e-6)


def test_huber_is_not_pulled_by_a_diverged_cell() -> None:
    loss = additive(N, S, TRUE)
    loss[5] *= 1.5
    fit = fit_joint_law(N, S, loss, bootstrap=0)
    assert (fit.E, fit.A, fit.alpha, fit.beta) == pytest.approx((0.36, 0.1, 0.5, 0.5), rel=1e-2)
    assert abs(fit_joint_law(N, S, loss, bootstrap=0, delta=np.inf).beta - 0.5) > 10 * abs(fit.beta - 0.5)


@pytest.mark.parametrize("form", JOINT_LAWS)
@given(seed=st.integers(0, 99), log_units=st.tuples(*[st.floats(-9, 9)] * 3))
@settings(max_examples=3, deadline=None)
def test_units_and_row_order_do_not_matter(form: str, seed: int, log_units: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    loss = joint_losses(form, N, S) * np.exp(0.002 * rng.normal(size=len(N)))
    one = fit_joint_law(N, S, loss, form, bootstrap=20)
    order = rng.permutation(len(N))
    assert fit_joint_law(N[order], S[order], loss[order], form, bootstrap=20) == one
    n, s, unit = 10.0 ** np.array(log_units)
    other = fit_joint_law(N * n, S * s, loss * unit, form, bootstrap=20)
    assert (other.alpha, other.beta) == pytest.approx((one.alpha, one.beta), rel=1e-4)
    assert other.ci["alpha"] == pytest.approx(one.ci["alpha"], rel=1e-3)
    assert other.predict(N * n, S * s) == pytest.approx(one.predict(N, S) * unit, rel=1e-6)


def test_points_of_a_form_choose_that_form() -> None:
    rng = np.random.default_rng(0)
    noise = np.exp(0.002 * rng.normal(size=len(N)))
    plain = compare_forms(N, S, additive(N, S, TRUE) * noise)
    assert plain.loc[plain["delta_aicc"].idxmin(), "form"] == "additive"
    u_shaped = compare_forms(N, S, overfitting(N, S, TRUE | {"U": 2e8, "kappa": 2.0}) * noise)
    assert u_shaped["form"][0] == "overfitting" and u_shaped.set_index("form")["delta_aicc"]["additive"] > 10
    assert (u_shaped["loo_rmse_log"] >= u_shaped["rmse_log"]).all()


def test_aicc_of_a_normal_sample_is_the_textbooks() -> None:
    residual = np.array([0.1, -0.2, 0.05, 0.15, -0.1, 0.0, 0.2, -0.2])
    expected = 8 * np.log((residual**2).mean()) + 2 * 3 + 2 * 3 * 4 / (8 - 3 - 1)
    assert aicc(residual, 2) == pytest.approx(expected)
    assert np.isnan(aicc(residual[:4], 2))


def test_non_negative_start_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        columns, loss = rng.random((12, 3)) - 0.2, rng.random(12) + 0.1
        peer, _ = nnls(columns / loss[:, None], np.ones(12))
        assert non_negative(columns, loss) == pytest.approx(np.maximum(peer, 1e-9), abs=1e-8)


def test_frontier_is_the_closed_form_of_hoffmann() -> None:
    """For cost 6·N·S the best N is G·(C/6)^(β/(α+β)) with G = (αA/(βB))^(1/(α+β)) (their equation 4)."""
    law = CHINCHILLA
    n, s = (axis.ravel() for axis in np.meshgrid(np.geomspace(7e7, 1.6e10, 9), np.geomspace(1e9, 5e11, 8)))
    fit = fit_joint_law(n, s, law.E + law.A / n**law.alpha + law.B / s**law.beta, bootstrap=20)
    budget = 5.76e23
    row = compute_frontier(fit, lambda n, s: 6 * n * s, budget).iloc[0]
    g = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    assert row["n"] == pytest.approx(g * (budget / 6) ** (law.beta / (law.alpha + law.beta)), rel=0.03)
    assert row["n"] * row["s"] * 6 == pytest.approx(budget, rel=1e-6)
    assert row["beyond"] and row["n_low"] <= row["n"] <= row["n_high"]
    again = required(fit, row["loss"], lambda n, s: 6 * n * s)
    assert again["budget"] == pytest.approx(budget, rel=1e-2)


def test_required_of_a_power_law_inverts_it() -> None:
    x = 2.0 ** np.arange(9)
    noise = 0.0005 * np.random.default_rng(0).normal(size=len(x))
    fit = fit_power_law(x, 0.1 * x**-0.5 + 0.36 + noise)
    at, low, high = required(fit, 0.364)
    assert fit.predict(at) == pytest.approx(0.364) and low < at < high
    assert required(fit, 0.30)[0] == np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "cubic"}, "form='cubic' is unknown; choose one of additive"),
        ({"n": N[:-1]}, "each point needs all three"),
        ({"loss": np.where(N == 8, np.nan, 0.4)}, r"loss\[0\] is nan"),
        ({"n": np.full_like(N, 8)}, "every point has n = 8"),
        ({"n": N[:5], "s": S[:5], "loss": N[:5]}, "5 points; the additive law needs at least 6"),
        ({"n": np.resize([1, 2, 1, 2], 56), "s": np.resize([1, 1, 2, 2], 56)}, r"4 distinct \(n, s\)"),
        ({"loss": np.full(56, 0.4)}, "fall with neither n nor s"),
        ({"loss": 0.3 + 0.01 * np.log(N * S)}, "fall with neither n nor s"),
        ({"loss": ["much"] * 56}, "loss must hold numbers"),
        ({"bootstrap": -1}, "bootstrap=-1; it must be 0"),
        ({"delta": 0.0}, "delta=0.0; it must be above 0"),
    ],
)
def test_degenerate_input_is_one_clear_error(change: dict, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        fit_joint_law(**({"n": N, "s": S, "loss": additive(N, S, TRUE)} | change))


def test_what_the_points_leave_open_is_a_warning() -> None:
    flat_in_s = fit_joint_law(N, S, 0.36 + 0.1 / N**0.5, bootstrap=0)
    assert "B is zero: the points show no such term" in flat_in_s.warning
    ends = np.isin(N, (8, 1024))
    two_n = fit_joint_law(N[ends], S[ends], additive(N[ends], S[ends], TRUE), bootstrap=0)
    assert "n has two values: floor and exponent over n are not determined apart" in two_n.warning
    assert fit_joint_law(N, S, additive(N, S, TRUE), bootstrap=0).warning is None
    with pytest.raises(AnalysisError, match=r"s\[0\] is 0.0"):
        two_n.predict(8, 0)


def test_impossible_frontiers_are_errors() -> None:
    fit = fit_joint_law(N, S, additive(N, S, TRUE), bootstrap=0)
    with pytest.raises(AnalysisError, match="buys no split"):
        compute_frontier(fit, lambda n, s: n * s, 1e-3)
    with pytest.raises(AnalysisError, match="is not reached"):
        required(fit, 0.3, lambda n, s: n * s)
    with pytest.raises(AnalysisError, match="needs cost="):
        required(fit, 0.4)
    with pytest.raises(AnalysisError, match="loss=nan"):
        required(fit, np.nan)
    with pytest.raises(AnalysisError, match="no budget"):
        compute_frontier(fit, lambda n, s: n * s, [])
