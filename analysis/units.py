"""Numbers as a reader wants them: tokens in k, M or B, a law in the unit of its axis."""

from __future__ import annotations

from dataclasses import dataclass

SYMBOLS = {"num_databases": "N", "tokens": "S"}
AXIS_NAMES = {"num_databases": "synthetic databases N", "tokens": "training tokens S"}
_UNITS = ((1e9, "B", "billions"), (1e6, "M", "millions"), (1e3, "k", "thousands"), (1.0, "", ""))


def count(axis: str, number: float) -> str:
    """A coordinate of the grid: databases in full ("1024"), tokens in short ("524k", "33k", "1.5M", "2B")."""
    if axis != "tokens":
        return f"{number:.0f}"
    unit, letter, _ = _unit(number)
    scaled = number / unit
    return (f"{scaled:.0f}" if scaled >= 10 else f"{scaled:.2g}") + letter


def short_count(number: float) -> str:
    """Any count for a tick: "8", "5k", "2.5B", "1e+21" where letters end."""
    if number >= 1e12 or number < 1:
        return f"{number:.3g}"
    unit, letter, _ = _unit(number)
    return f"{number / unit:.3g}{letter}"


def law_unit(axis: str, largest: float) -> tuple[float, str]:
    """The unit in which x is counted in a law over `axis`, and its word: tokens by size, databases one by one."""
    unit, _, word = _unit(largest) if axis == "tokens" else _UNITS[-1]
    return unit, word


@dataclass(frozen=True)
class LawTerms:
    """The numbers of a law as text: coefficient, a power of ten to put beside it ("" if none), exponent, floor."""

    coefficient: str
    power_of_ten: str
    exponent: str
    floor: str

    @classmethod
    def of(cls, coefficient: float, exponent: float, floor: float) -> LawTerms:
        """Three digits of coefficient and exponent; the floor to four decimals, as losses are given."""
        mantissa, _, power = f"{coefficient:.3g}".partition("e")
        return cls(mantissa, str(int(power)) if power else "", f"{exponent:.3g}", f"{floor:.4f}")

    def mathtext(self, symbol: str) -> str:
        """The law for matplotlib."""
        power = rf"{{\times}}10^{{{self.power_of_ten}}}" if self.power_of_ten else ""
        return rf"${self.coefficient}{power}\,{symbol}^{{-{self.exponent}}} + {self.floor}$"


def _unit(number: float) -> tuple[float, str, str]:
    return next(unit for unit in _UNITS if number >= unit[0] or unit[0] == 1.0)
