"""How often nominal 95 % intervals of laws hold the truth in made-up experiments: CSV files and a table.

    python -m experiments.benchmarks.coverage --out DIR [--laws power,additive,multiplicative,kaplan,overfitting] \\
        [--noise 0.005,0.02] [--replicates 200] [--bootstrap 200]

An experiment is a known law times noise; a share of 0.95 would be exact, and its own standard deviation over 200
experiments is 0.015. Beside the parameters, `beyond` is the law itself outside of the points: at 8 times the largest x,
or at 4 times the largest N and S. hits-<law>-<noise>.csv holds a line per finished experiment; the same command goes on
where it was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from analysis.joint_forms import FORMS
from analysis.joint_law import fit_joint_law
from analysis.power_law import fit_power_law

POWER_X = 2.0 ** np.arange(10)
POWER_LAW = {"coefficient": 0.07, "exponent": 0.38, "floor": 0.36}
# The paper's grid: 8 to 1024 databases, 0.5 to 32 billion tokens.
GRID_N, GRID_S = (axis.ravel() for axis in np.meshgrid(2.0 ** np.arange(3, 11), 5e8 * 2.0 ** np.arange(7)))
_SUM = {"E": 0.36, "A": 0.1, "B": 0.03 * 1e9**0.5, "alpha": 0.5, "beta": 0.5}
JOINT_LAWS = {
    "additive": _SUM,
    "multiplicative": {"E": 0.36, "A": 500.0, "alpha": 0.3, "beta": 0.4},
    "kaplan": {"A": 1e3, "B": 1e9, "alpha": 0.1, "beta": 0.2},
    "overfitting": _SUM | {"U": 2e8, "kappa": 2.0},
}


def joint_losses(form: str, n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Losses of the known law of a form."""
    theta = np.log(list(JOINT_LAWS[form].values()))
    return FORMS[form].loss(theta[None], np.log(n), np.log(s))[0]


def power_hits(noise: float, seeds: range, bootstrap: int) -> Iterator[dict[str, bool]]:
    """Per experiment of the paper's law, what its intervals hold; the noise is of one size."""
    law, beyond = POWER_LAW, POWER_X[-1] * 8
    x = np.append(POWER_X, beyond)
    true = law["coefficient"] * x ** -law["exponent"] + law["floor"]
    for seed in seeds:
        y = true[:-1] + noise * true.mean() * np.random.default_rng(seed).normal(size=len(POWER_X))
        fit = fit_power_law(POWER_X, y, bootstrap=bootstrap, seed=seed)
        _, low, high = fit.predict(beyond, interval=0.95)
        inside = {name: fit.ci[name][0] <= value <= fit.ci[name][1] for name, value in law.items()}
        yield inside | {"beyond": bool(low <= true[-1] <= high)}


def joint_hits(form: str, noise: float, seeds: range, bootstrap: int) -> Iterator[dict[str, bool]]:
    """The same of a joint law, on the grid of the paper; the noise is in proportion to the loss."""
    law, true = JOINT_LAWS[form], joint_losses(form, GRID_N, GRID_S)
    far = 4 * GRID_N.max(), 4 * GRID_S.max()
    target = float(joint_losses(form, *(np.array([value]) for value in far))[0])
    for seed in seeds:
        loss = true * np.exp(noise * np.random.default_rng(seed).normal(size=len(true)))
        fit = fit_joint_law(GRID_N, GRID_S, loss, form, bootstrap=bootstrap, seed=seed)
        _, low, high = fit.predict(*far, interval=0.95)
        inside = {name: fit.ci[name][0] <= value <= fit.ci[name][1] for name, value in law.items()}
        yield inside | {"beyond": bool(low <= target <= high)}


def coverage(law: str, noise: float, replicates: int, bootstrap: int) -> dict[str, float]:
    """Share of the experiments whose intervals hold the truth, by parameter; law is `power` or a joint form."""
    found = pd.DataFrame(list(_hits(law, noise, range(replicates), bootstrap)))
    return {name: float(share) for name, share in found.mean().items()}


def measure(path: Path, law: str, noise: float, replicates: int, bootstrap: int) -> pd.Series:
    """The same, of a file with a line per experiment that is added to until it has `replicates`."""
    done = len(pd.read_csv(path)) if path.exists() else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(total=replicates, initial=min(done, replicates), desc=f"{law} {noise:.1%}", leave=False) as bar:
        for hits in _hits(law, noise, range(done, replicates), bootstrap):
            pd.DataFrame([hits]).astype(int).to_csv(path, mode="a", header=not path.exists(), index=False)
            bar.update()
    return pd.read_csv(path).head(replicates).mean()


def _hits(law: str, noise: float, seeds: range, bootstrap: int) -> Iterator[dict[str, bool]]:
    return power_hits(noise, seeds, bootstrap) if law == "power" else joint_hits(law, noise, seeds, bootstrap)


def run(args: argparse.Namespace) -> pd.DataFrame:
    """Measures what is missing; one row per law and noise, one column per parameter."""
    rows = {}
    for noise in args.noise:
        for law in args.laws:
            path = args.out / f"hits-{law}-{noise:g}.csv"
            rows[law, noise] = measure(path, law, noise, args.replicates, args.bootstrap)
    return pd.DataFrame(rows).T.rename_axis(["law", "noise"])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ("power", *JOINT_LAWS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--laws", type=lambda text: text.split(","), default=",".join(known))
    parser.add_argument("--noise", type=lambda text: [float(part) for part in text.split(",")], default="0.005,0.02")
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--bootstrap", type=int, default=200)
    args = parser.parse_args(argv)
    unknown = [law for law in args.laws if law not in known]
    if unknown:
        parser.error(f"no law is called {unknown[0]!r}; known: {', '.join(known)}")
    return args


def main() -> None:
    table = run(parse_args())
    print(table.sort_index().to_string(float_format="{:.3f}".format, na_rep=""))


if __name__ == "__main__":
    main()
