"""A law of two resources at once, such as databases N and tokens S, with intervals.

The fit minimises the Huber loss of log residuals, as Hoffmann et al. 2022 do. Starts come from variable projection: for
each point of a grid over the exponents the best non-negative rest is linear; the best few are polished. Nothing depends
on a hand-picked start. Replicates for the intervals are the law times resampled residuals (Davison and Hinkley 1997,
sections 6.3 and 7.3), each fitted from two starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.bootstrap import quantiles
from analysis.errors import AnalysisError
from analysis.fit_checks import NOISY_SHARE, bound_warning, check_bootstrap, check_level, positive_floats
from analysis.joint_forms import FORMS, NOTHING, Form, Units
from analysis.robust_fit import huber, polish

NUM_STARTS = 12
HUBER_DELTA = 1e-3  # of log residuals, Hoffmann et al. 2022
BOOTSTRAP_ROUNDS = 60
NOISELESS = 1e-7  # relative residuals below it are rounding


@dataclass(frozen=True)
class JointLawFit:
    """L(N, S) of one of the FORMS.

    Attributes:
        form: key of FORMS.
        parameters: name -> value, N and S counted one by one; also attributes: fit.E, fit.alpha.
        ci: name -> 95 % interval; empty without a bootstrap.
        r2: of the losses; rmse_log: of the log residuals, roughly the relative error.
        num_points: points fitted.
        n_range, s_range: smallest and largest fitted values.
        warning: what a reader must know before believing the law, or None.
        draws: name -> (bootstrap,) replicates.
    """

    form: str
    parameters: dict[str, float]
    ci: dict[str, tuple[float, float]]
    r2: float
    rmse_log: float
    num_points: int
    n_range: tuple[float, float]
    s_range: tuple[float, float]
    warning: str | None = None
    draws: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    def __getattr__(self, name: str) -> float:
        parameters = self.__dict__.get("parameters", {})
        if name in parameters:
            return parameters[name]
        raise AttributeError(f"a {self.__dict__.get('form')} law has no {name!r}; it has {', '.join(parameters)}")

    def predict(self, n: ArrayLike, s: ArrayLike, interval: float | None = None) -> Any:
        """Loss at n, s (broadcast); with `interval` (0.95) the triple loss, low, high: where the law lies.

        Raises:
            AnalysisError: for n or s not above 0, or an interval asked of a fit without a bootstrap.
        """
        positive_floats(n=n, s=s)
        n, s = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(s, dtype=float))
        values = np.array(list(self.parameters.values()))
        loss = self._loss(values[None], n, s)[0]
        if interval is None:
            return loss
        check_level(interval)
        low, high = quantiles(self.replicates(n, s), interval)
        return loss, low, high

    def replicates(self, n: ArrayLike, s: ArrayLike) -> NDArray[np.float64]:
        """Loss of every bootstrap replicate, (bootstrap, *shape of n and s).

        Raises:
            AnalysisError: without a bootstrap.
        """
        if not self.draws:
            raise AnalysisError("this law has no bootstrap replicates, so no interval; fit it with bootstrap=1000")
        n, s = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(s, dtype=float))
        return self._loss(np.column_stack(list(self.draws.values())), n, s)

    def _loss(self, values: NDArray, n: NDArray, s: NDArray) -> NDArray:
        found = FORMS[self.form].loss(np.log(values), np.log(n.ravel()), np.log(s.ravel()))
        return found.reshape(len(values), *n.shape)

    def __repr__(self) -> str:
        lines = [f"{self.form} law, R² {self.r2:.4f}, relative error {self.rmse_log:.2%}, {self.num_points} points"]
        for name, value in self.parameters.items():
            low_high = self.ci.get(name)
            ends = f"  ({low_high[0]:.4g} to {low_high[1]:.4g})" if low_high else ""
            lines.append(f"  {name:<6}{value:.4g}{ends}")
        return "\n".join(lines + ([f"  warning: {self.warning}"] if self.warning else []))

    def _repr_html_(self) -> str:
        rows = []
        for name, value in self.parameters.items():
            ends = "{:.4g} to {:.4g}".format(*self.ci[name]) if name in self.ci else "–"
            rows.append(f"<tr><th>{name}</th><td>{value:.4g}</td><td>{ends}</td></tr>")
        head = f"<tr><th>{self.form} law</th><th>estimate</th><th>95 % interval</th></tr>"
        notes = f"R² {self.r2:.4f}, relative error {self.rmse_log:.2%}, {self.num_points} points"
        return f"<table>{head}{''.join(rows)}</table><p>{notes}{'<br>' + self.warning if self.warning else ''}</p>"


@dataclass(frozen=True)
class JointProblem:
    """Points in the units of their own size, and the loss that every fit of them minimises."""

    form: Form
    log_n: NDArray  # (n,) centred
    log_s: NDArray
    log_loss: NDArray
    units: Units
    delta: float

    @classmethod
    def of(cls, n: NDArray, s: NDArray, loss: NDArray, form: str, delta: float) -> JointProblem:
        logs = [np.log(values) for values in (n, s, loss)]
        units = Units(*(float(np.exp(values.mean())) for values in logs))
        return cls(FORMS[form], *(values - values.mean() for values in logs), units, delta)

    def starts(self) -> NDArray:
        """(NUM_STARTS, p) of the grid over the exponents with the best non-negative rest, the best one first."""
        bounds = self.form.bounds
        starts = [self.form.start(v, self.log_n, self.log_s, np.exp(self.log_loss)) for v in self.form.grid]
        starts = np.clip(np.array(starts), bounds[:, 0], bounds[:, 1])
        error = ((self._model(starts) - self.log_loss) ** 2).sum(-1)
        return starts[np.argsort(error)[:: max(1, len(starts) // (8 * NUM_STARTS))][:NUM_STARTS]]

    def search(self) -> NDArray:
        """theta (p,) of the smallest loss: the best starts polished."""
        starts = self.starts()
        # Squares first: the corners of a Huber loss of small delta would stop a far start.
        wide, _ = self.refit(starts, np.broadcast_to(self.log_loss, (len(starts), len(self.log_loss))), delta=np.inf)
        found, loss = self.refit(wide, np.broadcast_to(self.log_loss, (len(starts), len(self.log_loss))))
        return found[loss.argmin()]

    def refit(
        self, start: NDArray, log_loss: NDArray, weights: NDArray | None = None, delta: float | None = None, **how: int
    ) -> tuple[NDArray, NDArray]:
        """(theta (M, p), loss (M,)) for rows of log_loss (M, n) from start (M, p)."""
        weights = np.ones_like(log_loss) if weights is None else weights
        delta = self.delta if delta is None else delta
        return polish(self._model, start, log_loss, weights, delta, self.form.bounds, **how)

    def values(self, theta: NDArray) -> dict[str, NDArray]:
        """Parameters in the caller's units, name -> (...)."""
        values = dict(zip(self.form.parameters, np.exp(np.moveaxis(theta, -1, 0)), strict=True))
        return self.form.rescale(values, self.units)

    def _model(self, theta: NDArray) -> NDArray:
        return np.log(self.form.loss(theta, self.log_n, self.log_s))

    def residual(self, theta: NDArray) -> NDArray:
        """Log residuals, predicted - observed."""
        return self._model(theta) - self.log_loss


def fit_joint_law(
    n: ArrayLike,
    s: ArrayLike,
    loss: ArrayLike,
    form: str = "additive",
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    delta: float = HUBER_DELTA,
) -> JointLawFit:
    """Fits a joint law to losses at (n, s), any two resources.

    Args:
        n, s, loss: (points,) positive.
        form: key of FORMS.
        bootstrap, seed: replicates behind the intervals; 0 gives none.
        delta: where the Huber loss of log residuals turns straight; np.inf is least squares.

    Raises:
        AnalysisError: for an unknown form, values that are not finite and positive, fewer distinct (n, s) than
            parameters plus one, a resource with a single value, or losses that fall with neither resource.
    """
    check_bootstrap(bootstrap)
    if not delta > 0:
        raise AnalysisError(f"delta={delta}; it must be above 0, and np.inf is least squares")
    n, s, loss = checked_joint(n, s, loss, form)
    problem = JointProblem.of(n, s, loss, form, delta)
    theta = problem.search()
    residual = problem.residual(theta)
    _check_decay(problem, residual)
    fitted = loss * np.exp(residual)
    plain = {name: float(value) for name, value in problem.values(theta).items()}
    draws = _replicates(problem, theta, residual, bootstrap, seed)
    ci = {name: tuple(float(end[()]) for end in quantiles(values, 0.95)) for name, values in draws.items()}
    return JointLawFit(
        form=form,
        parameters=plain,
        ci=ci,
        r2=float(1 - ((fitted - loss) ** 2).sum() / ((loss - loss.mean()) ** 2).sum()),
        rmse_log=float(np.sqrt((residual**2).mean())),
        num_points=len(loss),
        n_range=(float(n.min()), float(n.max())),
        s_range=(float(s.min()), float(s.max())),
        warning=_warning(problem, theta, draws),
        draws=draws,
    )


def checked_joint(n: ArrayLike, s: ArrayLike, loss: ArrayLike, form: str) -> tuple[NDArray, NDArray, NDArray]:
    """The points as sorted float arrays; raises AnalysisError for what fit_joint_law refuses."""
    if form not in FORMS:
        raise AnalysisError(f"form={form!r} is unknown; choose one of {', '.join(FORMS)}")
    sizes = [f"{np.size(values)} of {name}" for name, values in (("n", n), ("s", s), ("loss", loss))]
    if len({np.size(values) for values in (n, s, loss)}) > 1:
        raise AnalysisError(f"{', '.join(sizes)}: each point needs all three")
    columns = dict(zip(("n", "s", "loss"), positive_floats(n=n, s=s, loss=loss), strict=True))
    needed = fewest_points(form)
    if len(columns["loss"]) < needed:
        raise AnalysisError(f"{len(columns['loss'])} points; the {form} law needs at least {needed}")
    distinct = len(np.unique(np.column_stack([columns["n"], columns["s"]]), axis=0))
    if distinct < needed:
        raise AnalysisError(
            f"{distinct} distinct (n, s); the {form} law needs at least {needed}, however often repeated"
        )
    for name in ("n", "s"):
        if len(np.unique(columns[name])) < 2:
            raise AnalysisError(f"every point has {name} = {columns[name][0]:g}; a joint law needs both to vary")
    order = np.lexsort((columns["loss"], columns["s"], columns["n"]))
    return columns["n"][order], columns["s"][order], columns["loss"][order]


def fewest_points(form: str) -> int:
    """How many distinct (n, s) a form needs: one more than it has parameters."""
    return len(FORMS[form].parameters) + 1


def _replicates(
    problem: JointProblem, theta: NDArray, residual: NDArray, bootstrap: int, seed: int
) -> dict[str, NDArray]:
    """Refits of the law times resampled residuals; name -> (bootstrap,)."""
    if not bootstrap:
        return {}
    points, freedom = len(residual), len(residual) - len(theta)
    if np.abs(residual).max() < NOISELESS:  # nothing to resample but rounding
        return problem.values(np.tile(theta, (bootstrap, 1)))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    noise = smoothed_choice(noise_sample(residual, len(theta)), (bootstrap, points), rng)
    noise *= np.sqrt(freedom / rng.chisquare(freedom, size=(bootstrap, 1)))  # the residuals' own scale is uncertain
    log_loss = problem.log_loss + residual + noise
    # Where the points leave floor and exponent open, a polish from the fit alone would stall close to it on the long
    # flat valley, and the intervals would be too narrow; the grid's start lies elsewhere in it.
    both = [
        problem.refit(np.tile(start, (bootstrap, 1)), log_loss, rounds=BOOTSTRAP_ROUNDS)
        for start in (theta, problem.starts()[0])
    ]
    (near, near_loss), (far, far_loss) = both
    return problem.values(np.where((far_loss < near_loss)[:, None], far, near))


def noise_sample(residual: NDArray, num_parameters: int) -> NDArray[np.float64]:
    """The residuals without as many of the smallest as the law has parameters, with either sign.

    A Huber loss of small delta passes through as many points as it has parameters. Their zeros say nothing about noise
    (McKean and Schrader 1987 leave them out so), and would look like a peak of it. The variance of the others is the
    sum of squares over the degrees of freedom.
    """
    others = np.sort(np.abs(residual))[num_parameters:]
    return np.append(others, -others)


def smoothed_choice(values: NDArray, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws from a kernel density of the values (Silverman's width) with the variance of the values themselves."""
    deviation = values.std()
    quartiles = np.quantile(values, [0.25, 0.75])
    width = 1.06 * min(deviation, (quartiles[1] - quartiles[0]) / 1.349) * len(values) ** -0.2
    drawn = rng.choice(values, size=size) + width * rng.normal(size=size)
    return drawn / np.sqrt(1 + (width / deviation) ** 2)


def _check_decay(problem: JointProblem, residual: NDArray) -> None:
    """Raises AnalysisError if no law of this form describes the losses better than one number for all."""
    law = huber(residual, problem.delta).sum()
    constants = (huber(problem.log_loss - level, problem.delta).sum() for level in (0.0, np.median(problem.log_loss)))
    if np.ptp(problem.log_loss) < NOTHING or law >= (1 - 1e-3) * min(constants):
        raise AnalysisError("the losses fall with neither n nor s: no law fits better than a constant")


def _warning(problem: JointProblem, theta: NDArray, draws: dict[str, NDArray]) -> str | None:
    found, points = [], len(problem.log_loss)
    if points < 2 * len(theta):
        found.append(f"{points} points for {len(theta)} parameters: R² says little")
    for name, values in (("n", problem.log_n), ("s", problem.log_s)):
        if len(np.unique(values)) == 2 and "E" in problem.form.parameters:
            found.append(f"{name} has two values: floor and exponent over {name} are not determined apart")
    for name, value, (low, high) in zip(problem.form.parameters, theta, problem.form.bounds, strict=True):
        if name in ("E", "A", "B") and value < np.log(NOTHING):
            found.append(f"{name} is zero: the points show no such term")
        elif value <= low + 1e-6 or value >= high - 1e-6:
            found.append(f"{name} is at its bound: the points do not determine it")
        elif name in ("alpha", "beta") and draws:
            reached = {"lower": draws[name] < 1.001 * np.exp(low), "upper": draws[name] > 0.999 * np.exp(high)}
            found += [bound_warning(end, name, at.mean()) for end, at in reached.items() if at.mean() > NOISY_SHARE]
    return "; ".join(found) or None
