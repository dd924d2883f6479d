"""A fitted law as text and as a table for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.power_law import PowerLawFit

_SYMBOLS = {"coefficient": "A", "exponent": "α", "floor": "E"}


def law_text(fit: PowerLawFit) -> str:
    """The law, its 95 % intervals, the held-out points and the warning, a line each."""
    lines = [
        f"y = {fit.coefficient:.4g} x^-{fit.exponent:.4g} + {fit.floor:.4g} "
        f"(R² {fit.r2:.4f}, RMSE {fit.rmse:.2g}, {fit.num_points} points)"
    ]
    if fit.ci:
        ends = (f"{_SYMBOLS[name]} {low:.4g} to {high:.4g}" for name, (low, high) in fit.ci.items())
        lines.append(f"  95 % intervals: {', '.join(ends)}")
    for point in fit.extrapolation:
        excess = point["excess_error"]
        words = "observed below the floor" if excess is None else f"{excess:+.1%} of the excess over the floor"
        lines.append(
            f"  held out x = {point['x']:.6g}: predicted {point['predicted']:.4f}, observed {point['observed']:.4f}, "
            f"error {point['relative_error']:+.2%} of y, {words}"
        )
        if point["interval"]:
            low, high = point["interval"]
            inside = "holds it" if point["covered"] else "misses it"
            lines.append(f"    the 95 % interval of a new measurement, {low:.4f} to {high:.4f}, {inside}")
    if fit.warning:
        lines.append(f"  warning: {fit.warning}")
    return "\n".join(lines)


def law_html(fit: PowerLawFit) -> str:
    """A table of parameters with their intervals; everything else of `law_text` below it."""
    rows = []
    for name, symbol in _SYMBOLS.items():
        low_high = fit.ci.get(name)
        interval = f"{low_high[0]:.4g} to {low_high[1]:.4g}" if low_high else "–"
        rows.append(f"<tr><th>{name} {symbol}</th><td>{getattr(fit, name):.4g}</td><td>{interval}</td></tr>")
    head = "<tr><th>y = A·x<sup>−α</sup> + E</th><th>estimate</th><th>95 % interval</th></tr>"
    first, *rest = law_text(fit).splitlines()
    notes = [first[first.index("(") + 1 : -1], *(line.strip() for line in rest if "95 % intervals:" not in line)]
    return f"<table>{head}{''.join(rows)}</table><p>{'<br>'.join(escape(note) for note in notes)}</p>"
