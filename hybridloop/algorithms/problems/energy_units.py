"""Energy units of chemistry: hartree, electronvolt, kJ/mol, kcal/mol."""

from __future__ import annotations

import enum
import math
import re


class EnergyUnit(enum.StrEnum):
    """A unit of energy; kcal/mol is of the thermochemical calorie, 4.184 J."""

    HARTREE = "Ha"
    MILLIHARTREE = "mHa"
    MICROHARTREE = "uHa"
    ELECTRONVOLT = "eV"
    MILLIELECTRONVOLT = "meV"
    KJ_PER_MOL = "kJ/mol"
    KCAL_PER_MOL = "kcal/mol"


CHEMICAL_ACCURACY = 1.6e-3  # hartree: 1 kcal/mol
_EV, _KJ_PER_MOL = 27.211386245981, 2625.4996394799  # in a hartree: CODATA 2022
PER_HARTREE: dict[str, float] = {
    "hartree": 1.0,
    EnergyUnit.HARTREE: 1.0,
    EnergyUnit.MILLIHARTREE: 1e3,
    EnergyUnit.MICROHARTREE: 1e6,
    EnergyUnit.ELECTRONVOLT: _EV,
    EnergyUnit.MILLIELECTRONVOLT: 1e3 * _EV,
    EnergyUnit.KJ_PER_MOL: _KJ_PER_MOL,
    EnergyUnit.KCAL_PER_MOL: _KJ_PER_MOL / 4.184,
}
ENERGY_PATTERN = rf"\s*\+?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?(?:\s*({'|'.join(PER_HARTREE)}))?\s*"
_ENERGY = re.compile(ENERGY_PATTERN)


ROUNDING = 1e-10  # hartree, or a Pauli sum's unit: of exact energies by other ways


def amount_text(amount: float, unit: str) -> str:
    """Return an amount with two digits or all before the point, hartree as mHa; `unit` is "hartree", or empty.

    What is below `ROUNDING` is 0.

    >>> amount_text(0.1503, "hartree"), amount_text(-0.00321, ""), amount_text(2e-14, "hartree")
    ('150 mHa', '-0.0032', '0 mHa')
    """
    scaled, name = (1e3 * amount, " mHa") if unit == "hartree" else (amount, "")
    if abs(amount) < ROUNDING:
        return f"0{name}"
    decimals = max(0, 1 - math.floor(math.log10(abs(scaled)))) if scaled else 0
    return f"{scaled:.{decimals}f}{name}"


def parse_energy(text: str) -> float:
    """Return an energy above or equal to zero in hartree; a number without a unit is in hartree. Raises ValueError.

    >>> parse_energy("1mHa"), round(parse_energy("1 kcal/mol"), 6)
    (0.001, 0.001594)
    """
    if (match := _ENERGY.fullmatch(text)) is None:
        raise ValueError(f"must be an energy in hartree, or a number with a unit of {', '.join(EnergyUnit)}")
    return float(match[1] + (match[2] or "")) / PER_HARTREE[match[3] or "hartree"]


def energy_name(kind: str, *, is_active_space: bool) -> str:
    """Return the name of an exact or correlation energy, which may be that of an active space only.

    >>> energy_name("exact", is_active_space=True)
    'exact energy of the active space'
    """
    return f"{kind} energy of the active space" if is_active_space else f"{kind} energy"
