"""Energy units of chemistry: hartree, electronvolt, kJ/mol, kcal/mol."""

from __future__ import annotations

import re

# CODATA 2022; a thermochemical calorie is 4.184 J
_EV, _KJ_PER_MOL = 27.211386245981, 2625.4996394799
PER_HARTREE = {
    "hartree": 1.0,
    "Ha": 1.0,
    "mHa": 1e3,
    "uHa": 1e6,
    "eV": _EV,
    "meV": 1e3 * _EV,
    "kJ/mol": _KJ_PER_MOL,
    "kcal/mol": _KJ_PER_MOL / 4.184,
}
ENERGY_PATTERN = rf"\s*\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*({'|'.join(PER_HARTREE)})?\s*"
_ENERGY = re.compile(ENERGY_PATTERN)


def parse_energy(text: str) -> float:
    """Return an energy above or equal to zero in hartree; a number without a unit is in hartree. Raises ValueError.

    >>> parse_energy("1mHa"), round(parse_energy("1 kcal/mol"), 6)
    (0.001, 0.001594)
    """
    if (match := _ENERGY.fullmatch(text)) is None:
        units = ", ".join(unit for unit in PER_HARTREE if unit != "hartree")
        raise ValueError(f"{text[:40]!r} is not an energy; give hartree, or a number with a unit of {units}")
    return float(match[1] + (match[2] or "")) / PER_HARTREE[match[3] or "hartree"]
