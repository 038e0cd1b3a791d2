"""Masses of atoms: those of each element's most common isotope, for centres of mass and for vibrations alike."""

from __future__ import annotations

from collections.abc import Sequence

from hybridloop.data import load_table


def isotope_mass(symbol: str) -> float | None:
    """Return the mass in dalton of an element's most common isotope; None for what is no element.

    >>> isotope_mass("H1")
    1.007825
    """
    masses: dict[str, float] = load_table("isotope_masses")["masses"]
    return masses.get(symbol.rstrip("0123456789").capitalize())


def reduced_mass(symbols: Sequence[str]) -> float | None:
    """Return the reduced mass of a diatomic in dalton; None for other molecules.

    >>> round(reduced_mass(["H", "H"]), 4)
    0.5039
    """
    known = [isotope_mass(symbol) for symbol in symbols]
    if len(known) != 2 or None in known:
        return None
    one, other = (mass or 0.0 for mass in known)
    return one * other / (one + other)
