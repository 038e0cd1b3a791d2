"""Whose energies a run is to find: the molecule or the operator of a problem as it travels, as the settings have it."""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.algorithms.active_space import active_space, frozen_core
from hybridloop.algorithms.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.energy_formats import read_energy_problem
from hybridloop.algorithms.exact import can_be_diagonalized, exact_ground_energy
from hybridloop.algorithms.fcidump import read_fcidump
from hybridloop.algorithms.fermions import Encoding, FermionMapping
from hybridloop.algorithms.molecule import Molecule
from hybridloop.algorithms.pauli_problem import PauliProblem
from hybridloop.data import load
from hybridloop.errors import InputError
from hybridloop.flows.settings import EnergySettings, MappingName, ProblemText
from hybridloop.flows.terms import check_problem, check_terms, measuring_target
from hybridloop.sessions.targets import check_circuit_fits

MOST_ORBITALS = 20  # 40 qubits; writing out the operator of more takes minutes, and no simulator holds it

Subject = ElectronicProblem | PauliProblem


def subject_of(problem: ProblemText, settings: EnergySettings) -> Subject:
    """What is measured, if the target can hold it and the caps allow any job there. Raises InputError."""
    target = measuring_target(settings.target)
    read = read_subject(problem)
    if isinstance(read, PauliProblem):
        _check_no_orbitals(read, settings)
        check_circuit_fits(target, read.num_qubits)
        check_terms(settings, target)
        return read
    molecule = _reduced(read, settings)
    if molecule.norb > MOST_ORBITALS:
        what = f"{molecule.source} has {molecule.norb} orbitals, of which {MOST_ORBITALS} at most are taken"
        raise InputError("problem", what, "Choose an active space (active_space).")
    mapping = FermionMapping(settings.mapping)
    check_circuit_fits(target, Encoding(mapping, molecule.norb, molecule.electrons).num_qubits)
    check_terms(settings, target)
    return electronic_problem(molecule, mapping)


def electronic_of(problem: ProblemText, settings: EnergySettings, algorithm: str) -> ElectronicProblem:
    """The same where only a molecule will do."""
    subject = subject_of(problem, settings)
    if isinstance(subject, PauliProblem):
        what = f"{subject.source} is a Pauli sum, and {algorithm} starts from a molecule's Hartree-Fock state"
        raise InputError("problem", what, "Give a molecule, or run vqe or vqd.")
    return subject


def read_subject(problem: ProblemText) -> Molecule | PauliProblem:
    """The molecule of a built-in name; the molecule or operator of a text."""
    check_problem(problem, of_energies=True)
    if problem.text is not None:
        return read_energy_problem(problem.text, problem.name)
    return read_fcidump(load("problems")[problem.name.lower()]["fcidump"], problem.name)


def num_qubits_of(subject: Subject) -> int:
    """Qubits of what is measured."""
    return subject.num_qubits if isinstance(subject, PauliProblem) else subject.encoding.num_qubits


def exact_energy(molecule: Molecule) -> float | None:
    """The exact ground-state energy in hartree; None where the molecule is too large to be diagonalized."""
    return exact_ground_energy(molecule) if can_be_diagonalized(molecule) else None


@dataclass(frozen=True, slots=True)
class OfSubject:
    """What there is to tell of a run for a subject's energies before it is measured."""

    problem: Subject

    @property
    def unit(self) -> str:
        """Hartree; none for a Pauli sum, whose energies are in a unit of its own."""
        return "" if isinstance(self.problem, PauliProblem) else "hartree"

    @property
    def num_qubits(self) -> int:
        """Qubits of what is measured."""
        return num_qubits_of(self.problem)

    @property
    def sense(self) -> int:
        """The lower the better."""
        return -1

    @property
    def exact(self) -> float | None:
        """The exact ground-state energy; None where the subject is too large to be diagonalized."""
        if isinstance(self.problem, PauliProblem):
            return self.problem.exact_ground_energy()
        return exact_energy(self.problem.molecule)

    @property
    def reference(self) -> float:
        """The Hartree-Fock energy; of a Pauli sum the mean of all its levels."""
        if isinstance(self.problem, PauliProblem):
            terms = self.problem.hamiltonian.to_list()
            return sum(float(value.real) for label, value in terms if not label.strip("I"))
        return self.problem.molecule.hartree_fock_energy


def _reduced(molecule: Molecule, settings: EnergySettings) -> Molecule:
    """The molecule without the orbitals that the settings leave out."""
    if settings.active_space is not None:
        return active_space(molecule, *settings.active_space)
    return frozen_core(molecule, settings.frozen_core) if settings.frozen_core else molecule


def _check_no_orbitals(problem: PauliProblem, settings: EnergySettings) -> None:
    given = {
        "active_space": settings.active_space is not None,
        "frozen_core": settings.frozen_core > 0,
        "mapping": settings.mapping is not MappingName.PARITY,
    }
    for field, is_given in given.items():
        if is_given:
            raise InputError(field, f"{problem.source} is a Pauli sum, which has no orbitals", "Leave it out.")
