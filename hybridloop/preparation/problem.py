"""Resolve a problem text to a molecule or operator, with the active space applied."""

from __future__ import annotations

import json
from functools import cache, lru_cache

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.problems.electronic import ElectronicProblem, Encoding, electronic_problem
from hybridloop.algorithms.problems.exact import can_be_diagonalized, exact_energy_of_spin, exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule, with_multiplicity
from hybridloop.algorithms.problems.natural_orbitals import part_of
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.data import load_table
from hybridloop.errors import InputError
from hybridloop.inputs.formats.energies import read_energy_problem
from hybridloop.preparation.prepared import Accuracy, ProblemFacts
from hybridloop.settings import AnsatzName, EnergySettings, MoleculeSettings, ProblemText
from hybridloop.settings.parsing import ActiveSpace
from hybridloop.targets import Target, check_circuit_fits

MOST_ORBITALS = 20  # 40 qubits; writing out the operator of more takes minutes, and no simulator holds it

EnergyProblem = ElectronicProblem | PauliProblem
RELATIVE_ACCURACY = 1e-3  # of the sum of a Pauli sum's coefficients by size


def accuracy_of(
    resolved: EnergyProblem, settings: EnergySettings, tolerance: float | None
) -> tuple[Accuracy, str | None]:
    """Return the accuracy of the settings, and the reason for a precision that was chosen.

    What they leave out is in hartree, or relative to a Pauli sum.
    """
    if not isinstance(resolved, PauliProblem):
        return Accuracy(settings.precision or settings.default_precision, tolerance), None
    size = sum(abs(value) for label, value in resolved.hamiltonian.to_list() if label.strip("I"))
    default = RELATIVE_ACCURACY * size or settings.default_precision  # of a constant, any will do
    accuracy = Accuracy(settings.precision or default, tolerance or default)
    if settings.precision is not None:
        return accuracy, None
    return accuracy, f"{default:.2g}, a thousandth of the sum of the coefficients' sizes, {size:.4g}"


def resolve_problem(problem: ProblemText, settings: MoleculeSettings, target: Target) -> EnergyProblem:
    """Return the molecule on qubits, or the operator. Raises InputError, also where the target is too small for it.

    The qubits of electron pairs are fewer than those of a mapping.
    """
    part = settings.multiplicity, settings.active_space, settings.frozen_core
    parsed = _part_of_problem(problem, *part)
    if isinstance(parsed, PauliProblem):
        _check_no_orbitals(parsed, settings)
        check_circuit_fits(target, parsed.num_qubits)
        return parsed
    # parity leaves one orbital no qubit
    mapping = settings.mapping if parsed.norb > 1 else FermionMapping.JORDAN_WIGNER
    if getattr(settings, "ansatz", None) != AnsatzName.PUCCD:
        check_circuit_fits(target, Encoding(mapping, parsed.norb, parsed.electrons).num_qubits)
    return _on_qubits(parsed, mapping)


# a plan prepares its run many times: the same objects let what is computed of them be kept
_on_qubits = lru_cache(maxsize=4)(electronic_problem)


@lru_cache(maxsize=4)
def _part_of_problem(
    problem: ProblemText, multiplicity: int | None, active_space: ActiveSpace | None, frozen_core: int
) -> Molecule | PauliProblem:
    parsed = parse_problem(problem)
    if isinstance(parsed, PauliProblem):
        return parsed
    molecule = part_of(with_asked_spin(parsed, multiplicity), active_space, frozen_core)
    if molecule.norb > MOST_ORBITALS:
        what = f"{molecule.source} has {molecule.norb} orbitals, and at most {MOST_ORBITALS} are taken"
        raise InputError("problem", what, "Choose an active space.")
    return molecule


def with_asked_spin(molecule: Molecule, multiplicity: int | None) -> Molecule:
    """Return the molecule with the multiplicity of the settings, if they have one."""
    return molecule if multiplicity is None else with_multiplicity(molecule, multiplicity)


def parse_problem(problem: ProblemText) -> Molecule | PauliProblem:
    """Return the molecule or operator of a built-in name or a text. Raises ProblemError."""
    if problem.text is not None:
        return read_energy_problem(problem.text, problem.name, problem.format)
    entry = load_table("problems")[problem.name.lower()]
    return read_energy_problem(entry.get("fcidump") or json.dumps({"terms": entry["terms"]}), problem.name)


SAME_ENERGY = 1e-5  # hartree: a hundredth of what a measurement resolves


def num_qubits_of(resolved: EnergyProblem) -> int:
    """Return the number of qubits of the operator."""
    return resolved.num_qubits if isinstance(resolved, PauliProblem) else resolved.encoding.num_qubits


def exact_energy(molecule: Molecule) -> float | None:
    """Return the exact lowest energy of the molecule's own spin, in hartree; None where it is too large."""
    return exact_energy_of_spin(molecule) if can_be_diagonalized(molecule) else None


def lower_spin(molecule: Molecule, exact: float | None) -> str | None:
    """Return a sentence about a state of another spin that is lower than the lowest of the molecule's own, `exact`.

    All spins have a state with the smallest S_z of this number of electrons; None where its determinants are too many.
    """
    smallest = with_multiplicity(molecule, 1 + sum(molecule.electrons) % 2)
    if exact is None or not can_be_diagonalized(smallest):
        return None
    if (difference := exact - exact_ground_energy(smallest)) < SAME_ENERGY:
        return None
    multiplicity = abs(molecule.electrons[0] - molecule.electrons[1]) + 1
    lower = f"a state of another spin is {1e3 * difference:.2f} mHa lower"
    return f"spin: multiplicity {multiplicity} was asked for; {lower}"


def facts_of(resolved: EnergyProblem) -> ProblemFacts:
    """Return the facts of a search for a ground-state energy."""
    if isinstance(resolved, PauliProblem):
        terms = resolved.hamiltonian.to_list()
        trace = sum(float(value.real) for label, value in terms if not label.strip("I"))
        title = f"Pauli sum on {resolved.num_qubits} qubits, terms: {len(terms)}"
        return ProblemFacts("", resolved.num_qubits, -1, trace, cache(resolved.exact_ground_energy), title=title)
    molecule = resolved.molecule
    title = f"molecule of {sum(molecule.electrons)} electrons in {molecule.norb} orbitals"
    if (geometry := molecule.geometry) is not None:
        multiplicity = abs(molecule.electrons[0] - molecule.electrons[1]) + 1
        orbitals = f"{molecule.norb} of {geometry.orbitals}" if molecule.is_active_space else f"{molecule.norb}"
        size = f"{sum(molecule.electrons)} electrons in {orbitals} orbitals, multiplicity {multiplicity}"
        title = f"{geometry.title}; {size}"
    title += f", {molecule.stated}" * bool(molecule.stated)
    exact = cache(lambda: exact_energy(molecule))
    note = cache(lambda: lower_spin(molecule, exact()))
    part = (molecule.orbitals_reason, molecule.is_active_space)
    reference = molecule.hartree_fock_energy
    return ProblemFacts("hartree", resolved.encoding.num_qubits, -1, reference, exact, note, title, *part)


def _check_no_orbitals(problem: PauliProblem, settings: MoleculeSettings) -> None:
    defaults = MoleculeSettings()
    for field in ("active_space", "frozen_core", "mapping", "multiplicity", "orbitals"):
        if getattr(settings, field) != getattr(defaults, field):
            raise InputError(field, f"{problem.source} is a Pauli sum, which has no electrons", "Leave it out.")
