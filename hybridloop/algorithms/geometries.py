"""Geometries of molecules: units of length, distances that no molecule has, and masses of the commonest isotopes."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from hybridloop.data import load_table
from hybridloop.errors import InputError

Atom = tuple[str, tuple[float, float, float]]  # symbol and coordinates in Å

_SHORTEST, _LONGEST = 0.3, 30.0  # bond lengths: H2 is computed from 0.3 Å, which is half of one, to far apart
_SAME_PLACE = 1e-6  # Å


class LengthUnit(enum.StrEnum):
    """Unit of a geometry's coordinates."""

    ANGSTROM = "angstrom"
    BOHR = "bohr"
    PM = "pm"
    NM = "nm"


IN_ANGSTROM = {  # CODATA 2022 for the Bohr radius
    LengthUnit.ANGSTROM: 1.0,
    LengthUnit.BOHR: 0.529177210544,
    LengthUnit.PM: 0.01,
    LengthUnit.NM: 10.0,
}


@dataclass(frozen=True, slots=True)
class Geometry:
    """Geometry whose integrals a molecule has: atoms in Å, PySCF's name of the basis set, charge, all its orbitals.

    `shortest` has the two atoms (counted from 1) with the fewest bond lengths between them, their distance in Å, and
    that in bond lengths; it is None for an atom. `stated` says what the geometry's text states beside its atoms.
    `potential` names the effective core potentials, such as "lanl2dz on Na (10 electrons)"; empty for none.
    `program` is what computed the integrals, with its version.
    """

    atoms: tuple[Atom, ...]
    basis: str
    charge: int
    orbitals: int
    shortest: tuple[int, int, float, float] | None = None
    stated: str = ""
    potential: str = ""
    multiplicity: int = 1
    program: str = ""

    @property
    def places(self) -> str:
        """The atoms with their coordinates in Å, of up to nine decimals: "H (0, 0, 0), H (0, 0, 0.74)"."""
        return ", ".join(f"{symbol} ({', '.join(map(_decimals, place))})" for symbol, place in self.atoms)

    @property
    def title(self) -> str:
        """The formula with its charge, the basis set with core potentials, and the shortest distance."""
        charge = f", charge {self.charge:+d}" if self.charge else ""
        stated = f" ({self.stated})" if self.stated else ""
        potential = f", core potential {self.potential}" if self.potential else ""
        title = f"{formula(symbol for symbol, _ in self.atoms)}{charge} in {self.basis}{potential}{stated}"
        if self.shortest is None:
            return title
        first, second, distance, _ = self.shortest
        pair = f"{self.atoms[first - 1][0]}–{self.atoms[second - 1][0]}"
        return f"{title}, shortest distance {pair} {distance:.3f} Å"


def _decimals(number: float) -> str:
    text = f"{number:.9f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def formula(elements: Iterable[str]) -> str:
    """Return the formula of a molecule, its elements in the order in which they appear.

    >>> formula(["O", "H", "H"])
    'OH2'
    """
    names = [element.rstrip("0123456789").capitalize() for element in elements]
    counts = {name: names.count(name) for name in names}
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in counts.items())


def shortest_distance(
    atoms: Sequence[Atom], radius: Callable[[str], float], source: str
) -> tuple[int, int, float, float] | None:
    """Return the two atoms with the fewest bond lengths between them, their distance in Å, and in bond lengths.

    A bond length is the sum of the covalent radii, which `radius` gives in Å by symbol (B. Cordero et al., Dalton
    Trans. (2008) 2832). Raises InputError for a distance that no molecule has, with the unit in which it would have it.
    """
    if len(atoms) < 2:
        return None
    radii = {symbol: radius(symbol) for symbol, _ in atoms}
    bonds, first_atom, second_atom, distance = min(
        (math.dist(one, two) / (radii[first] + radii[second]), i, j, math.dist(one, two))
        for (i, (first, one)), (j, (second, two)) in combinations(enumerate(atoms, 1), 2)
    )
    pair = f"atoms {first_atom} and {second_atom} ({atoms[first_atom - 1][0]}, {atoms[second_atom - 1][0]})"
    if distance < _SAME_PLACE:
        raise InputError("geometry", f"{source}: {pair} are at one place", "Give each atom a place of its own.")
    if bonds < _SHORTEST:
        what = f"{source}: {pair} are {distance:.3g} Å apart, {bonds:.2g} bond lengths"
        is_nm = 10 * bonds > _SHORTEST
        remedy = f"If the coordinates are in nm ({10 * distance:.3g} Å), set geometry_unit to nm." if is_nm else ""
        raise InputError("geometry", what, remedy or "Check the coordinates.")
    if bonds > _LONGEST:
        what = f"{source}: no two atoms are nearer than {pair}, {distance:.4g} Å or {bonds:.0f} bond lengths"
        remedy = f"If the coordinates are in pm ({distance / 100:.3g} Å), set geometry_unit to pm."
        raise InputError("geometry", what, remedy)
    return first_atom, second_atom, distance, bonds


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
