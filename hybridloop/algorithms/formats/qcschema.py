"""Reader for QCSchema JSON (MolSSI): results of a restricted calculation with its integrals."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.formats.fcidump import MAX_ORBITALS
from hybridloop.algorithms.formats.json_lines import check_names, find_line, is_number, nested_object, read_json_object
from hybridloop.algorithms.problems.molecule import SYMMETRY_TOLERANCE, Molecule
from hybridloop.errors import ProblemError

# of a result in the schema's versions 1 and 2, and those that its predecessors and programs write beside them
_NAMES = (
    *("schema_name", "schema_version", "id", "molecule", "driver", "model", "keywords", "protocols", "provenance"),
    *("properties", "wavefunction", "return_result", "stdout", "stderr", "native_files", "success", "error", "extras"),
    *("input_data", "specification", "memory", "basis", "comment", "name", "raw_output"),
)
ENERGY_TOLERANCE = 1e-5  # hartree: programs converge energies to 1e-6 or better, and print as many digits


def read_qcschema(text: str, source: str) -> Molecule:
    """Read a molecule from a QCSchema result; `source` names it in errors and results.

    From `properties`: calcinfo_nmo, calcinfo_nalpha, calcinfo_nbeta, nuclear_repulsion_energy and the Hartree-Fock
    energy (scf_total_energy, or return_energy). From `wavefunction`: two-electron integrals over orbitals
    (scf_eri_mo_aa) or over basis functions (scf_eri, with scf_orbitals_a), in chemists' or physicists' order, which
    their symmetry tells apart; and h_core_a, scf_fock_mo_a or scf_fock_a. Some programs write the core Hamiltonian
    where the schema wants the Fock matrix: both readings are tried, and the one that gives the stated Hartree-Fock
    energy is taken. Raises ProblemError for missing or inconsistent data.
    """
    # parse the document; unrestricted integrals are not supported
    document = read_json_object(text, source)
    check_names(document, _NAMES, source, lambda name: find_line(text, json.dumps(name)))
    properties = _Properties.read(nested_object(document, "properties", source), source)
    wavefunction = nested_object(document, "wavefunction", source)
    if any(wavefunction.get(name) is not None for name in ("scf_eri_mo_ab", "scf_eri_mo_bb")):
        problem = "these are unrestricted integrals (scf_eri_mo_ab, scf_eri_mo_bb)"
        raise ProblemError(source, None, problem, "Export a restricted (RHF or ROHF) calculation.")
    # of all readings of the one-electron matrix, take the one that gives the stated energy
    arrays = _Arrays(wavefunction, properties.norb, source)
    two = _chemists_order(arrays.two_body())
    candidates = arrays.one_body_candidates(two, properties)
    molecules = [Molecule(one, two, properties.electrons, properties.repulsion, source) for one in candidates]
    best = min(molecules, key=lambda molecule: abs(molecule.hartree_fock_energy - properties.scf_energy))
    if abs(best.hartree_fock_energy - properties.scf_energy) > ENERGY_TOLERANCE:
        problem = (
            f"the integrals give a Hartree-Fock energy of {best.hartree_fock_energy:.8f} hartree, "
            f"the text states {properties.scf_energy:.8f}"
        )
        raise ProblemError(source, None, problem, "Export integrals, electrons and energy of one calculation.")
    return best


@dataclass(frozen=True, slots=True)
class _Properties:
    """The `properties` of a QCSchema result; energies in hartree."""

    norb: int
    electrons: tuple[int, int]
    repulsion: float
    scf_energy: float

    @classmethod
    def read(cls, properties: Mapping[str, Any], source: str) -> _Properties:
        norb = _whole_number(properties, "calcinfo_nmo", source)
        if not 1 <= norb <= MAX_ORBITALS:
            raise ProblemError(source, None, f"calcinfo_nmo is {norb}", f"Give 1 to {MAX_ORBITALS} orbitals.")
        alpha, beta = (_whole_number(properties, f"calcinfo_n{spin}", source) for spin in ("alpha", "beta"))
        energy = "scf_total_energy" if properties.get("scf_total_energy") is not None else "return_energy"
        repulsion = _number(properties, "nuclear_repulsion_energy", source)
        return cls(norb, (alpha, beta), repulsion, _number(properties, energy, source))


@dataclass(frozen=True, slots=True)
class _Arrays:
    """The arrays of the `wavefunction`; in QCSchema they are flat, in C order."""

    wavefunction: Mapping[str, Any]
    norb: int
    source: str

    def two_body(self) -> NDArray[np.float64]:
        """Return the two-electron integrals over orbitals, in the index order of the text."""
        over_orbitals = self._array("scf_eri_mo_aa")
        if over_orbitals is not None:
            return self._reshape(over_orbitals, (self.norb,) * 4, "scf_eri_mo_aa")
        over_functions = self._array("scf_eri")
        if over_functions is None:
            problem = "there are no two-electron integrals (scf_eri_mo_aa, or scf_eri with scf_orbitals_a)"
            raise ProblemError(self.source, None, problem, "Export the calculation with its integrals.")
        orbitals = self._orbitals()
        raw = self._reshape(over_functions, (len(orbitals),) * 4, "scf_eri")
        transformed: NDArray[np.float64] = np.einsum("abcd,ap,bq,cr,ds->pqrs", raw, *[orbitals] * 4, optimize=True)
        return transformed

    def one_body_candidates(self, two: NDArray[np.float64], properties: _Properties) -> list[NDArray[np.float64]]:
        """Return candidates for h_pq: each one-electron matrix as is, and as a Fock matrix minus electron repulsion."""
        matrices: list[NDArray[np.float64]] = []
        # matrices over orbitals, then over basis functions
        for name in ("h_core_mo_a", "scf_fock_mo_a"):
            if (values := self._array(name)) is not None:
                matrices.append(self._reshape(values, (self.norb,) * 2, name))
        for name in ("h_core_a", "scf_fock_a"):
            if (values := self._array(name)) is not None and self._array("scf_orbitals_a") is not None:
                orbitals = self._orbitals()
                matrices.append(orbitals.T @ self._reshape(values, (len(orbitals),) * 2, name) @ orbitals)
        if not matrices:
            problem = "there is no one-electron matrix (h_core_a with scf_orbitals_a, or scf_fock_mo_a)"
            raise ProblemError(self.source, None, problem, "Export the calculation with its integrals.")
        # the electron repulsion inside a Fock matrix
        alpha, beta = (np.arange(self.norb) < count for count in properties.electrons)
        coulomb = np.einsum("pqii,i->pq", two, alpha.astype(float) + beta)
        repulsion = coulomb - np.einsum("piiq,i->pq", two, alpha.astype(float))
        matrices = [(matrix + matrix.T) / 2 if _is_nearly_symmetric(matrix) else matrix for matrix in matrices]
        return [*matrices, *(matrix - repulsion for matrix in matrices)]

    def _orbitals(self) -> NDArray[np.float64]:
        values = self._array("scf_orbitals_a")
        if values is None or values.size == 0 or values.size % self.norb:
            problem = f"scf_orbitals_a is not a matrix of basis functions × {self.norb} orbitals"
            raise ProblemError(self.source, None, problem, "Export the calculation with its orbitals.")
        return values.reshape(-1, self.norb)

    def _array(self, name: str) -> NDArray[np.float64] | None:
        value = self.wavefunction.get(name)
        if isinstance(value, str):  # in the schema a quantity may be the name of the array that holds it
            value = self.wavefunction.get(value)
        if value is None:
            return None
        if not isinstance(value, list) or not all(map(is_number, value)):
            problem = f"{name} is not a flat list of finite numbers"
            raise ProblemError(self.source, None, problem, "Export the result again.")
        return np.array(value, float)

    def _reshape(self, values: NDArray[np.float64], shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
        if values.size != math.prod(shape):
            problem = (
                f"{name} has {values.size} number(s) instead of {math.prod(shape)}; the text may have been truncated"
            )
            raise ProblemError(self.source, None, problem, "Export the result again.")
        return values.reshape(shape)


def _chemists_order(two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (pq|rs), from (pq|rs) or ⟨pr|qs⟩; integrals with both symmetries are the same in both orders."""
    if _has_chemists_symmetry(two):
        return two
    swapped = two.transpose(0, 2, 1, 3)
    return swapped if _has_chemists_symmetry(swapped) else two


def _has_chemists_symmetry(two: NDArray[np.float64]) -> bool:
    return bool(np.abs(two - two.transpose(1, 0, 2, 3)).max() <= SYMMETRY_TOLERANCE)


def _is_nearly_symmetric(matrix: NDArray[np.float64]) -> bool:
    return bool(np.abs(matrix - matrix.T).max() <= SYMMETRY_TOLERANCE)


def _number(properties: Mapping[str, Any], name: str, source: str) -> float:
    value = properties.get(name)
    if not is_number(value):
        similar = [] if name in properties else difflib.get_close_matches(name, properties, n=1, cutoff=0.85)
        remedy = f"Did you mean {name!r} by {similar[0]!r}?" if similar else "Export the result with it."
        raise ProblemError(source, None, f"properties.{name} is not a finite number", remedy)
    return float(value)


def _whole_number(properties: Mapping[str, Any], name: str, source: str) -> int:
    value = _number(properties, name, source)
    if value != int(value) or value < 0:
        raise ProblemError(source, None, f"properties.{name} is {value}", "Give a whole number, 0 or more.")
    return int(value)
