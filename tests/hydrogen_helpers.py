"""Hydrogen molecules of any length: integrals in the basis STO-3G, by the closed formulas for s functions.

Szabo and Ostlund, Modern Quantum Chemistry, appendix A: overlap (A.9), kinetic energy (A.11), attraction (A.33),
repulsion (A.41); lengths in bohr, energies in hartree.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

BOHR = 0.529177210903  # ångström
EXPONENTS = (3.42525091, 0.62391373, 0.16885540)
WEIGHTS = tuple(
    weight * (2 * exponent / math.pi) ** 0.75
    for weight, exponent in zip((0.15432897, 0.53532814, 0.44463454), EXPONENTS, strict=True)
)


def h2_fcidump(angstrom: float) -> str:
    """Return the FCIDUMP of H2 in its molecular orbitals, which follow from symmetry."""
    places = (0.0, angstrom / BOHR)
    overlap, core, repulsion = _of_atoms(places)
    orbitals = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0 * (1.0 + overlap[0, 1] * np.array([1.0, -1.0])))
    one = orbitals.T @ core @ orbitals
    two = np.einsum("pqrs,pi,qj,rk,sl->ijkl", repulsion, orbitals, orbitals, orbitals, orbitals)
    lines = [" &FCI NORB=2,NELEC=2,MS2=0,", "  ORBSYM=1,1,", "  ISYM=1,", " &END"]
    for i, j, k, m in ((0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 0, 0), (1, 1, 1, 1)):
        lines.append(f" {float(two[i, j, k, m])!r} {i + 1} {j + 1} {k + 1} {m + 1}")
    lines += [f" {float(one[i, i])!r} {i + 1} {i + 1} 0 0" for i in (0, 1)]
    return "\n".join([*lines, f" {1.0 / places[1]!r} 0 0 0 0", ""])


def _of_atoms(places: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return overlap, one-electron and two-electron integrals of the two atoms' functions on the axis."""
    overlap, core, repulsion = np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2, 2, 2))
    for (p, q), (a, wa), (b, wb) in itertools.product(itertools.product(range(2), repeat=2), _terms(), _terms()):
        square = (places[p] - places[q]) ** 2
        shared = wa * wb * math.exp(-a * b / (a + b) * square)
        plain = shared * (math.pi / (a + b)) ** 1.5
        overlap[p, q] += plain
        core[p, q] += a * b / (a + b) * (3 - 2 * a * b / (a + b) * square) * plain
        centre = (a * places[p] + b * places[q]) / (a + b)
        for nucleus in places:
            core[p, q] -= 2 * math.pi / (a + b) * shared * _boys((a + b) * (centre - nucleus) ** 2)
        for (r, s), (c, wc), (d, wd) in itertools.product(itertools.product(range(2), repeat=2), _terms(), _terms()):
            other = wc * wd * math.exp(-c * d / (c + d) * (places[r] - places[s]) ** 2)
            between = (centre - (c * places[r] + d * places[s]) / (c + d)) ** 2
            front = 2 * math.pi**2.5 / ((a + b) * (c + d) * math.sqrt(a + b + c + d))
            repulsion[p, q, r, s] += front * shared * other * _boys((a + b) * (c + d) / (a + b + c + d) * between)
    return overlap, core, repulsion


def _terms() -> zip[tuple[float, float]]:
    return zip(EXPONENTS, WEIGHTS, strict=True)


def _boys(t: float) -> float:
    """Return the Boys function of order 0."""
    return 1.0 - t / 3.0 if t < 1e-8 else 0.5 * math.sqrt(math.pi / t) * math.erf(math.sqrt(t))
