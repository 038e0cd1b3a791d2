"""Exact and Hartree-Fock energies between the geometries of a scan, computed by PySCF where it is installed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hybridloop.algorithms.coordinates import varied_coordinate
from hybridloop.algorithms.geometries import Atom, Geometry
from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problem_objects.molecules import integrals_of
from hybridloop.preparation.checks import points_of_scan
from hybridloop.preparation.problem import exact_energy, parse_problem, with_asked_spin
from hybridloop.runs.stored_run import StoredRun
from hybridloop.settings import MoleculeSettings

MOST_DETERMINANTS, MOST_ORBITALS = 400, 20  # of a molecule whose curve is computed: some 0.1 s for each geometry
COMPUTED = 40  # geometries of a curve, beside its points
SAME_ENERGY = 1e-6  # hartree, at both ends


@dataclass(frozen=True, slots=True)
class ComputedCurve:
    """Positions of a scan's coordinate, and the exact and Hartree-Fock energies (hartree) there."""

    positions: tuple[float, ...]
    exact: tuple[float, ...]
    reference: tuple[float, ...]

    def column(self, name: str) -> tuple[float, ...]:
        """Return the energies that a row has in the column `exact` or `reference`."""
        return self.exact if name == "exact" else self.reference


def computed_curve(run: StoredRun, rows: Sequence[Mapping[str, object]]) -> ComputedCurve | None:
    """Return the energies along a scan's geometries, whose atoms move straight from point to point.

    None for other problems than small molecules from geometries, without PySCF, and where what is computed at an end is
    not what its row has, as in orbitals of the caller.
    """
    settings = run.settings
    assert isinstance(settings, MoleculeSettings)
    parsed = [parse_problem(point) for point in points_of_scan(run.problem)]
    points = [each for each in parsed if isinstance(each, Molecule) and each.geometry is not None]
    if len(points) < max(2, len(parsed)) or not all(map(_is_small, points)):
        return None
    geometries = [point.geometry for point in points if point.geometry is not None]
    if (coordinate := varied_coordinate(geometries)) is None:
        return None
    pairs = sorted(zip(coordinate.values, geometries, strict=True), key=lambda pair: pair[0])
    along = list(_between([geometry for _, geometry in pairs]))
    found = varied_coordinate(along)
    if found is None or found.label != coordinate.label or list(found.values) != sorted(found.values):
        return None
    try:
        molecules = [_molecule_at(geometry, points[0], settings) for geometry in along]
    except InputError:
        return None
    exact = [exact_energy(molecule) or math.inf for molecule in molecules]
    known = {row["coordinate"]: row["exact"] for row in rows if row.get("coordinate") is not None}
    for position, energy in ((found.values[0], exact[0]), (found.values[-1], exact[-1])):
        at_point = known.get(position)
        if not isinstance(at_point, float) or abs(at_point - energy) > SAME_ENERGY:
            return None
    return ComputedCurve(found.values, tuple(exact), tuple(each.hartree_fock_energy for each in molecules))


def _is_small(molecule: Molecule) -> bool:
    geometry = molecule.geometry
    assert geometry is not None
    is_plain = not geometry.potential and "=" not in geometry.basis
    return is_plain and geometry.orbitals <= MOST_ORBITALS and count_determinants(molecule) <= MOST_DETERMINANTS


def _between(geometries: Sequence[Geometry]) -> Iterator[Geometry]:
    """Yield the geometries with others between them, at equal parts of the way of each atom."""
    parts = max(1, round(COMPUTED / (len(geometries) - 1)))
    for first, second in pairwise(geometries):
        for part in range(parts):
            share = part / parts
            atoms = [_moved(*pair, share) for pair in zip(first.atoms, second.atoms, strict=True)]
            yield replace(first, atoms=tuple(atoms))
    yield geometries[-1]


def _moved(first: Atom, second: Atom, share: float) -> Atom:
    (symbol, start), (_, end) = first, second
    x, y, z = (a + share * (b - a) for a, b in zip(start, end, strict=True))
    return symbol, (x, y, z)


def _molecule_at(geometry: Geometry, like: Molecule, settings: MoleculeSettings) -> Molecule:
    """Return the molecule of another geometry, otherwise as `like`. Raises InputError."""
    space, core = settings.active_space, settings.frozen_core
    if isinstance(space, str) and space == "auto":
        space = like.space or None  # the common one of all points
    options = GeometryOptions(geometry.basis, None, geometry.charge, None, geometry.multiplicity, space, core)
    molecule = integrals_of(geometry.atoms, like.source, options)
    return with_asked_spin(molecule, settings.multiplicity)
