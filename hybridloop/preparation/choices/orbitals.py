"""Orbitals of a molecule's circuit: those that were given, or natural ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hybridloop.algorithms.estimation.grouping import RecordedGroups
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of, hamiltonian_matrix
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.exact import MAX_DENSE_DETERMINANTS, can_be_diagonalized
from hybridloop.algorithms.problems.molecule import Molecule, rotate_orbitals
from hybridloop.algorithms.problems.natural_orbitals import checked_orbitals
from hybridloop.algorithms.problems.orbitals import (
    exact_natural_orbitals,
    orbitals_of_text,
    orbitals_to_text,
)
from hybridloop.errors import InputError
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.problem import facts_of, resolve_problem
from hybridloop.settings import MoleculeSettings, OrbitalsName, ProblemText
from hybridloop.targets import Target

RECORD = "orbitals:"  # beginning of the word of a run's record that has natural orbitals
SAME_ORBITALS = 1e-6  # of an element: below it, natural orbitals are those that were given


@dataclass(frozen=True, slots=True, eq=False)
class OrbitalChoice:
    """A molecule in its own orbitals or in others, with their `source` as a noun, and the word for a run's record."""

    problem: ElectronicProblem
    source: str = ""
    record: str = ""

    @property
    def is_given(self) -> bool:
        return not self.record


@lru_cache(maxsize=8)
def in_natural_orbitals(problem: ElectronicProblem) -> OrbitalChoice:
    """Return the molecule in natural orbitals: of its exact ground state, or of MP2 where that is too large.

    Raises InputError where MP2 needs orbitals of Hartree-Fock and the molecule has others.
    """
    molecule = problem.molecule
    source = "natural orbitals of the exact ground state"
    if can_be_diagonalized(molecule):
        orbitals = exact_natural_orbitals(molecule)
    else:
        orbitals, source = checked_orbitals(molecule, "orbitals").orbitals, "natural orbitals of MP2"
    if np.abs(np.abs(orbitals) - np.eye(molecule.norb)).max() < SAME_ORBITALS:
        return OrbitalChoice(problem, f"{source}, which are those of the problem")
    return in_recorded_orbitals(problem, RECORD + orbitals_to_text(orbitals), source)


def shots_of_levels(problem: ElectronicProblem, levels: int) -> float:
    """Return the shots of the lowest levels in natural orbitals of the exact state, as a share of those in the given.

    A level Σ v_i v_j M_ij takes shots in proportion to (Σ_ij |v_i v_j|)² = ‖v‖₁⁴: it is estimated from the elements
    M_ij, which vary alike. It is 1 where there are too many determinants to tell.
    """
    if count_determinants(problem.molecule) > MAX_DENSE_DETERMINANTS:
        return 1.0
    natural = in_natural_orbitals(problem).problem
    given, there = (_largest_norm(each.molecule, levels) for each in (problem, natural))
    return (there / given) ** 4


def _largest_norm(molecule: Molecule, levels: int) -> float:
    """Return the largest ‖v‖₁ of the lowest levels over the determinants."""
    _, vectors = np.linalg.eigh(hamiltonian_matrix(molecule, determinants_of(molecule)).toarray())
    return float(np.abs(vectors[:, :levels]).sum(axis=0).max())


@lru_cache(maxsize=8)
def in_recorded_orbitals(problem: ElectronicProblem, record: str, source: str = "") -> OrbitalChoice:
    """Return the molecule in the orbitals of a run's record, its own for an empty one."""
    if not record:
        return OrbitalChoice(problem)
    orbitals = orbitals_of_text(record.removeprefix(RECORD), problem.molecule.norb)
    rotated = rotate_orbitals(problem.molecule, orbitals)
    return OrbitalChoice(
        electronic_problem(rotated, problem.encoding.mapping),
        source or "natural orbitals, as the run was started with them",
        record,
    )


def electrons_in_orbitals(
    problem: ProblemText,
    settings: MoleculeSettings,
    target: Target,
    needed_for: str,
    recorded: Sequence[str] = (),
    *,
    is_shorter: bool = False,
) -> tuple[ProblemFacts, OrbitalChoice]:
    """Return the facts of a molecule, and the molecule in the orbitals of `choose_orbitals`.

    Raises InputError for a Pauli sum too, which has no electrons; `needed_for` says what has to have them.
    """
    resolved = resolve_problem(problem, settings, target)
    if not isinstance(resolved, ElectronicProblem):
        what = f"{resolved.source} is a Pauli sum, and {needed_for}"
        raise InputError("problem", what, "Give a molecule, or run vqe.")
    return facts_of(resolved), choose_orbitals(resolved, settings.orbitals, recorded, is_shorter=is_shorter)


def choose_orbitals(
    problem: ElectronicProblem, name: OrbitalsName, recorded: Sequence[str] = (), *, is_shorter: bool = False
) -> OrbitalChoice:
    """Return the molecule in the orbitals that the settings name, or the record of a run that was started.

    Left open, they are natural ones of the exact ground state if these shorten the circuit (`is_shorter`) and can be
    computed, else those that were given. Raises InputError.
    """
    if recorded:
        return in_recorded_orbitals(problem, RecordedGroups.read(recorded[0]).circuit)
    if name is OrbitalsName.AUTO and is_shorter and can_be_diagonalized(problem.molecule):
        name = OrbitalsName.NATURAL
    return in_natural_orbitals(problem) if name is OrbitalsName.NATURAL else OrbitalChoice(problem)
