"""Reads molecules from QCSchema JSON (MolSSI), the results of a restricted calculation with its integrals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.fcidump import MAX_ORBITALS
from hybridloop.algorithms.json_text import is_number, object_at, read_object
from hybridloop.algorithms.molecule import SYMMETRY_TOLERANCE, Molecule
from hybridloop.errors import ProblemError

AGREEMENT = 1e-5  # hartree: programs converge their energies to 1e-6 or better, and print as many digits


def read_qcschema(text: str, source: str) -> Molecule:
    """The molecule of a QCSchema result; `source` names it in errors and results.

    From `properties`: calcinfo_nmo, calcinfo_nalpha, calcinfo_nbeta, nuclear_repulsion_energy and the Hartree-Fock
    energy (scf_total_energy, or return_energy). From `wavefunction`: two-electron integrals over orbitals
    (scf_eri_mo_aa) or over basis functions (scf_eri, with scf_orbitals_a), in chemists' or physicists' order, which
    their symmetry tells apart; and h_core_a, scf_fock_mo_a or scf_fock_a. Some programs write the core Hamiltonian
    where the schema wants the Fock matrix: that reading is taken which gives the stated Hartree-Fock energy.
    """
    whole = read_object(text, source)
    facts = _Facts.read(object_at(whole, "properties", source), source)
    wavefunction = object_at(whole, "wavefunction", source)
    if any(wavefunction.get(name) is not None for name in ("scf_eri_mo_ab", "scf_eri_mo_bb")):
        problem = "these are unrestricted integrals (scf_eri_mo_ab, scf_eri_mo_bb)"
        raise ProblemError(source, None, problem, "Export a restricted (RHF or ROHF) calculation.")
    arrays = _Arrays(wavefunction, facts.norb, source)
    two = _chemists_order(arrays.two_body())
    candidates = arrays.one_body_candidates(two, facts)
    molecules = [Molecule(one, two, facts.electrons, facts.repulsion, source) for one in candidates]
    best = min(molecules, key=lambda each: abs(each.hartree_fock_energy - facts.scf_energy))
    if abs(best.hartree_fock_energy - facts.scf_energy) > AGREEMENT:
        problem = (
            f"the integrals give a Hartree-Fock energy of {best.hartree_fock_energy:.8f} hartree, "
            f"the text states {facts.scf_energy:.8f}"
        )
        raise ProblemError(source, None, problem, "Export integrals, electrons and energy of one calculation.")
    return best


@dataclass(frozen=True, slots=True)
class _Facts:
    norb: int
    electrons: tuple[int, int]
    repulsion: float
    scf_energy: float

    @classmethod
    def read(cls, properties: Mapping[str, Any], source: str) -> _Facts:
        norb = _whole(properties, "calcinfo_nmo", source)
        if not 1 <= norb <= MAX_ORBITALS:
            raise ProblemError(source, None, f"calcinfo_nmo is {norb}", f"Give 1 to {MAX_ORBITALS} orbitals.")
        electrons = (_whole(properties, "calcinfo_nalpha", source), _whole(properties, "calcinfo_nbeta", source))
        energy = "scf_total_energy" if properties.get("scf_total_energy") is not None else "return_energy"
        repulsion = _number(properties, "nuclear_repulsion_energy", source)
        return cls(norb, electrons, repulsion, _number(properties, energy, source))


@dataclass(frozen=True, slots=True)
class _Arrays:
    """The wavefunction's arrays; in QCSchema they are flat, in C order."""

    wavefunction: Mapping[str, Any]
    norb: int
    source: str

    def two_body(self) -> NDArray[np.float64]:
        """(pq|rs) over orbitals, in the order that the text has."""
        over_orbitals = self._array("scf_eri_mo_aa")
        if over_orbitals is not None:
            return self._shaped(over_orbitals, (self.norb,) * 4, "scf_eri_mo_aa")
        over_functions = self._array("scf_eri")
        if over_functions is None:
            problem = "there are no two-electron integrals (scf_eri_mo_aa, or scf_eri with scf_orbitals_a)"
            raise ProblemError(self.source, None, problem, "Export the calculation with its integrals.")
        orbitals = self._orbitals()
        raw = self._shaped(over_functions, (len(orbitals),) * 4, "scf_eri")
        turned: NDArray[np.float64] = np.einsum("abcd,ap,bq,cr,ds->pqrs", raw, *[orbitals] * 4, optimize=True)
        return turned

    def one_body_candidates(self, two: NDArray[np.float64], facts: _Facts) -> list[NDArray[np.float64]]:
        """What h_pq may be: each one-electron matrix as it stands, and as a Fock matrix without its repulsion."""
        found: list[NDArray[np.float64]] = []
        for name in ("h_core_mo_a", "scf_fock_mo_a"):
            if (values := self._array(name)) is not None:
                found.append(self._shaped(values, (self.norb,) * 2, name))
        for name in ("h_core_a", "scf_fock_a"):
            if (values := self._array(name)) is not None and self._array("scf_orbitals_a") is not None:
                orbitals = self._orbitals()
                found.append(orbitals.T @ self._shaped(values, (len(orbitals),) * 2, name) @ orbitals)
        if not found:
            problem = "there is no one-electron matrix (h_core_a with scf_orbitals_a, or scf_fock_mo_a)"
            raise ProblemError(self.source, None, problem, "Export the calculation with its integrals.")
        alpha, beta = (np.arange(self.norb) < count for count in facts.electrons)
        coulomb = np.einsum("pqii,i->pq", two, alpha.astype(float) + beta)
        repulsion = coulomb - np.einsum("piiq,i->pq", two, alpha.astype(float))
        found = [(each + each.T) / 2 if _is_nearly_symmetric(each) else each for each in found]
        return [*found, *(each - repulsion for each in found)]

    def _orbitals(self) -> NDArray[np.float64]:
        values = self._array("scf_orbitals_a")
        if values is None or values.size == 0 or values.size % self.norb:
            problem = f"scf_orbitals_a is no matrix of basis functions × {self.norb} orbitals"
            raise ProblemError(self.source, None, problem, "Export the calculation with its orbitals.")
        return values.reshape(-1, self.norb)

    def _array(self, name: str) -> NDArray[np.float64] | None:
        value = self.wavefunction.get(name)
        if isinstance(value, str):  # in the schema a quantity may be the name of the array that holds it
            value = self.wavefunction.get(value)
        if value is None:
            return None
        if not isinstance(value, list) or not all(is_number(each) for each in value):
            raise ProblemError(self.source, None, f"{name} is not a flat list of finite numbers", "Correct it.")
        return np.array(value, float)

    def _shaped(self, values: NDArray[np.float64], shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
        if values.size != math.prod(shape):
            problem = f"{name} has {values.size} number(s) where {math.prod(shape)} belong; the text may have been cut"
            raise ProblemError(self.source, None, problem, "Export it again.")
        return values.reshape(shape)


def _chemists_order(two: NDArray[np.float64]) -> NDArray[np.float64]:
    """(pq|rs) from it, or from ⟨pr|qs⟩; what is symmetric as both is the same in both."""
    if _swaps(two):
        return two
    turned = two.transpose(0, 2, 1, 3)
    return turned if _swaps(turned) else two


def _swaps(two: NDArray[np.float64]) -> bool:
    return bool(np.abs(two - two.transpose(1, 0, 2, 3)).max() <= SYMMETRY_TOLERANCE)


def _is_nearly_symmetric(matrix: NDArray[np.float64]) -> bool:
    return bool(np.abs(matrix - matrix.T).max() <= SYMMETRY_TOLERANCE)


def _number(properties: Mapping[str, Any], name: str, source: str) -> float:
    value = properties.get(name)
    if not is_number(value):
        raise ProblemError(source, None, f"properties.{name} is no finite number", "Export the result with it.")
    return float(value)  # type: ignore[arg-type]  # it is a number


def _whole(properties: Mapping[str, Any], name: str, source: str) -> int:
    value = _number(properties, name, source)
    if value != int(value) or value < 0:
        raise ProblemError(source, None, f"properties.{name} is {value}", "Give a whole number, 0 or more.")
    return int(value)
