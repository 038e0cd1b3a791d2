"""The coordinate in which a series of geometries differs: a bond, an angle or a dihedral, as a chemist names a scan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.geometries import Geometry

_BOND = 1.5  # times the shortest distance in bond lengths, up to which two atoms are bonded
_SAME = 1e-4  # Å, degrees: a coordinate that changes by less is fixed
_MOST_ATOMS = 12  # of a molecule whose angles are looked at


@dataclass(frozen=True, slots=True)
class Coordinate:
    """The coordinate in which the geometries of a series differ: its label with a unit, and its values."""

    label: str
    values: tuple[float, ...]


def varied_coordinate(geometries: Sequence[Geometry | None]) -> Coordinate | None:
    """Return the coordinate in which a series of geometries differs, with its value in each of them.

    It is a distance of bonded atoms, else an angle between two bonds, else a dihedral angle, else any distance: of
    each kind the one with the largest relative change, among those that differ in all different geometries. None if
    there is none, if something else differs, as the atoms, charge or basis set, and for a problem without a geometry.
    """
    found = [geometry for geometry in geometries if geometry is not None]
    kinds_of_series = {(*(symbol for symbol, _ in each.atoms), each.basis, each.charge) for each in found}
    different = list({each.atoms: each for each in found}.values())
    if len(found) < len(geometries) or len(kinds_of_series) != 1 or len(different) < 2:
        return None
    names = [symbol for symbol, _ in different[0].atoms]
    places = np.array([[place for _, place in geometry.atoms] for geometry in different])
    bonds = _bonds(names, places)
    pairs = list(combinations(range(len(names)), 2))
    kinds = (("distance (Å)", bonds), ("angle (°)", _chains(bonds, 3)), ("dihedral (°)", _chains(bonds, 4)))
    for kind, candidates in (*kinds, ("distance (Å)", pairs)):
        measured = {atoms: _measure(places[:, list(atoms)]) for atoms in candidates}
        varied = {atoms: values for atoms, values in measured.items() if np.diff(np.sort(values)).min() > _SAME}
        if varied:
            atoms = max(
                varied, key=lambda each: (round(np.ptp(varied[each]) / np.abs(varied[each]).max(), 4), -each[0])
            )
            values = varied[atoms]
            of_atoms = dict(zip((each.atoms for each in different), values.round(6).tolist(), strict=True))
            return Coordinate(f"{_label(atoms, names, measured)} {kind}", tuple(of_atoms[each.atoms] for each in found))
    return None


def coordinate_columns(geometries: Sequence[Geometry | None]) -> list[dict[str, Any]]:
    """Return for each row of a table the coordinate that varies and its value; nothing where there is none."""
    if (found := varied_coordinate(geometries)) is None:
        return [{} for _ in geometries]
    return [{"coordinate": value, "coordinate_label": found.label} for value in found.values]


def _label(atoms: tuple[int, ...], names: Sequence[str], measured: dict[tuple[int, ...], NDArray[np.float64]]) -> str:
    """Return the atoms by their symbols, with numbers from 1 where other atoms of these symbols move otherwise."""
    kind = sorted(names[atom] for atom in atoms)
    alike = [values for each, values in measured.items() if sorted(names[atom] for atom in each) == kind]
    is_one_kind = all(np.allclose(values, measured[atoms], atol=1e-3) for values in alike)
    return "–".join(names[atom] if is_one_kind else f"{names[atom]}{atom + 1}" for atom in atoms)


def _bonds(names: Sequence[str], places: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Return the pairs of atoms that are near each other in one of the geometries, measured by its shortest distance.

    Hydrogen atoms count as half as large as others.
    """
    sizes = np.array([0.5 if name == "H" else 1.0 for name in names])
    distances = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1) / (sizes[:, None] + sizes)
    distances[:, range(len(names)), range(len(names))] = np.inf
    near = (distances <= _BOND * distances.min(axis=(1, 2), keepdims=True)).any(axis=0)
    return [(i, j) for i, j in combinations(range(len(names)), 2) if near[i, j]]


def _chains(bonds: Iterable[tuple[int, ...]], length: int) -> list[tuple[int, ...]]:
    """Return chains of so many bonded atoms, each in one of its two directions."""
    pairs = {frozenset(pair) for pair in bonds}
    atoms = sorted({atom for pair in pairs for atom in pair})
    if len(atoms) > _MOST_ATOMS:
        return []
    return [
        chain
        for chain in permutations(atoms, length)
        if chain[0] < chain[-1] and all(frozenset(chain[i : i + 2]) in pairs for i in range(length - 1))
    ]


def _measure(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances (Å), angles or dihedral angles (degrees) of 2, 3 or 4 atoms; shape (geometries, atoms, 3)."""
    steps = np.diff(places, axis=1)
    if places.shape[1] == 2:
        return np.asarray(np.linalg.norm(steps[:, 0], axis=-1))
    if places.shape[1] == 3:
        sine = np.linalg.norm(np.cross(-steps[:, 0], steps[:, 1]), axis=-1)
        return np.asarray(np.degrees(np.arctan2(sine, np.sum(-steps[:, 0] * steps[:, 1], axis=-1))))
    left, right = np.cross(steps[:, 0], steps[:, 1]), np.cross(steps[:, 1], steps[:, 2])
    sine = np.linalg.norm(steps[:, 1], axis=-1) * np.sum(steps[:, 0] * right, axis=-1)
    return np.asarray(np.degrees(np.arctan2(sine, np.sum(left * right, axis=-1))) % 360.0)
