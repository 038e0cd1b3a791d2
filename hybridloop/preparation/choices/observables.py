"""Operators beside the energy, by their names in the settings, on the qubits of a run's circuit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.algorithms.vqe.expectations import Expectations, NamedOperator
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.energies import read_pauli_sum
from hybridloop.preparation.problem import EnergyProblem
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import AnsatzName, EnergySettings
from hybridloop.settings.energies import OBSERVABLE_PRECISION, ObservableName

if TYPE_CHECKING:
    from hybridloop.inputs.formats import electron_operators
else:
    electron_operators = leaf("hybridloop.inputs.formats.electron_operators")

PRECISIONS: Mapping[ObservableName, float] = {
    ObservableName.DIPOLE: OBSERVABLE_PRECISION,  # e a0: 0.025 debye
    ObservableName.OCCUPATIONS: 0.005,  # electrons
    ObservableName.SPIN: OBSERVABLE_PRECISION,
    ObservableName.MAGNETIZATION: OBSERVABLE_PRECISION,
    ObservableName.CORRELATIONS: OBSERVABLE_PRECISION,
}
DIPOLE_UNIT = "e a0"

Operators = Iterator[tuple[str, SparsePauliOp]]


def expectations_of(settings: EnergySettings, problem: EnergyProblem, ansatz: Ansatz) -> Expectations:
    """Return the operators that the settings name. Raises InputError for one that the problem does not have."""
    found = list[NamedOperator]()
    for given, text in (settings.observables or {}).items():
        if text is not None:
            precision = settings.observable_precision or OBSERVABLE_PRECISION
            found += [NamedOperator(each, made, precision) for each, made in _own(given, text, problem, ansatz)]
            continue
        name = ObservableName(given)
        unit = DIPOLE_UNIT if name is ObservableName.DIPOLE else ""
        precision = settings.observable_precision or PRECISIONS[name]
        found += [NamedOperator(each, made, precision, unit) for each, made in _operators(name, problem, ansatz)]
    return Expectations(tuple(found))


def _own(name: str, text: str, problem: EnergyProblem, ansatz: Ansatz) -> Operators:
    """Yield the caller's operators on the circuit's qubits: a Pauli sum, or of electrons. Raises InputError."""
    try:
        if electron_operators.is_electron_operator(text):
            found = electron_operators.read_electron_operator(text, f"the operator {name}")
        else:
            return iter([(name, _on_its_qubits(name, text, ansatz))])
    except ProblemError as error:
        raise InputError("observables", error.problem, error.remedy) from error
    if not isinstance(problem, ElectronicProblem):
        what = f"the operator {name} is of electrons, and {problem.source} is a Pauli sum"
        raise InputError("observables", what, "Give a Pauli sum.")
    if isinstance(found, electron_operators.OneElectronOperators):
        return _of_one_electron(name, found, problem, ansatz)
    return iter([(name, _of_fermions(name, found, problem, ansatz))])


def _of_one_electron(
    name: str, given: electron_operators.OneElectronOperators, problem: ElectronicProblem, ansatz: Ansatz
) -> Operators:
    """Yield operators whose matrices are in the basis of the molecule's coefficients: x, y, z where they are three."""
    coefficients = problem.molecule.coefficients
    if not len(coefficients.orbitals):
        what = (
            f"the operator {name} has matrices, and the text of {problem.molecule.source} has no room for its orbitals"
        )
        raise InputError("observables", what, "Choose a smaller active space, or give an FCIDUMP.")
    if given.matrices.shape[1] != len(coefficients.orbitals):
        basis = "atomic orbitals" if problem.molecule.geometry else "orbitals of its file"
        what = (
            f"the operator {name} has matrices of {given.matrices.shape[1]} rows, and {problem.molecule.source} has "
            f"{len(coefficients.orbitals)} {basis}"
        )
        raise InputError("observables", what, "Give it over these, before electrons are frozen or orbitals left out.")
    one_body, count = _one_body(problem, ansatz), len(given.matrices)
    ends = ["x", "y", "z"] if count == 3 else [str(number + 1) for number in range(count)]
    for end, constant, matrix in zip(ends, given.constants, given.matrices, strict=True):
        of_filled, inside = coefficients.one_body(matrix)
        operator = one_body(inside)
        identity = SparsePauliOp("I" * operator.num_qubits, float(constant) + of_filled)
        yield f"{name} {end}" if given.is_list else name, (operator + identity).simplify()


def _of_fermions(
    name: str, given: electron_operators.FermionTerms, problem: ElectronicProblem, ansatz: Ansatz
) -> SparsePauliOp:
    """Return products of ladder operators of the circuit's orbitals."""
    try:
        operator = problem.fermion_operator(given.terms)
        if ansatz.name == AnsatzName.PUCCD:
            return PairedElectrons(problem.molecule).fermion_operator(given.terms)
        return operator
    except ValueError as error:
        remedy = "Write it over the circuit's orbitals, with 2p and 2p + 1 for alpha and beta of orbital p."
        raise InputError("observables", f"the operator {name}: {error}", remedy) from error


def _on_its_qubits(name: str, text: str, ansatz: Ansatz) -> SparsePauliOp:
    """Return a Pauli sum of the caller's on the circuit's qubits. Raises InputError, ProblemError."""
    operator = read_pauli_sum(text, f"the operator {name}").hamiltonian
    if operator.num_qubits != ansatz.circuit.num_qubits:
        what = (
            f"the operator {name} has {operator.num_qubits} qubits, and the circuit {ansatz.name} has "
            f"{ansatz.circuit.num_qubits}"
        )
        remedy = "Write it on the circuit's qubits (of a molecule: by ansatz, mapping and orbitals)."
        raise InputError("observables", what, remedy)
    return operator


def _operators(name: ObservableName, problem: EnergyProblem, ansatz: Ansatz) -> Operators:
    if not isinstance(problem, ElectronicProblem):
        if name not in _OF_SPINS:
            what = f"{name} is of electrons, and {problem.source} is a Pauli sum"
            raise InputError("observables", what, f"Choose of {', '.join(_OF_SPINS)}.")
        return _OF_SPINS[name](problem.num_qubits)
    if name not in _OF_ELECTRONS:
        what = f"{name} is of the spins of a Pauli sum, and {problem.molecule.source} is a molecule"
        raise InputError("observables", what, f"Choose of {', '.join(_OF_ELECTRONS)}.")
    if name is ObservableName.SPIN and ansatz.name == AnsatzName.PUCCD:
        return _spin_of_pairs(PairedElectrons(problem.molecule))
    return _OF_ELECTRONS[name](problem, _one_body(problem, ansatz))


def _one_body(problem: ElectronicProblem, ansatz: Ansatz) -> Callable[[np.ndarray], SparsePauliOp]:
    """Return the map from a matrix (norb, norb) to its operator on the circuit's qubits.

    Between states of pairs an electron does not move alone, so that only the diagonal counts: Σ_p m_pp n_p.
    """
    if ansatz.name != AnsatzName.PUCCD:
        return problem.one_body_operator
    pairs = PairedElectrons(problem.molecule)
    single = [p for p in range(problem.molecule.norb) if p not in pairs.orbitals]

    def of_pairs(matrix: np.ndarray) -> SparsePauliOp:
        diagonal = np.diag(matrix)
        terms: list[tuple[str, list[int], float]] = [
            ("Z", [q], -float(diagonal[p])) for q, p in enumerate(pairs.orbitals)
        ]
        constant = diagonal[list(pairs.orbitals)].sum() + diagonal[single].sum()
        return SparsePauliOp.from_sparse_list([("", [], float(constant)), *terms], pairs.num_qubits)

    return of_pairs


def _dipole(problem: ElectronicProblem, one_body: Callable[[np.ndarray], SparsePauliOp]) -> Operators:
    dipole = problem.molecule.dipole
    if dipole is None:
        what = f"the dipole needs a geometry, and {problem.molecule.source} has the integrals of the energy alone"
        remedy = 'Give the geometry (XYZ), or its own matrices as mu=FILE with {"one_body": [x, y, z], "constant": …}.'
        raise InputError("observables", what, remedy)
    for letter, constant, matrix in zip("xyz", dipole.constant, dipole.matrices, strict=True):
        operator = one_body(matrix)
        identity = SparsePauliOp("I" * operator.num_qubits, float(constant))
        about = "" if not dipole.charge else " about the centre of mass"
        yield f"dipole {letter}{about}", (operator + identity).simplify()


def _occupations(problem: ElectronicProblem, one_body: Callable[[np.ndarray], SparsePauliOp]) -> Operators:
    for orbital in range(problem.molecule.norb):
        matrix = np.zeros((problem.molecule.norb,) * 2)
        matrix[orbital, orbital] = 1.0
        yield f"occupation {orbital + 1}", one_body(matrix)


def _spin(problem: ElectronicProblem, _: Callable[[np.ndarray], SparsePauliOp]) -> Operators:
    yield "spin squared", problem.spin_squared_operator
    for p, q in itertools.combinations(range(problem.molecule.norb), 2):
        yield f"spin {p + 1} · spin {q + 1}", problem.spin_correlation_operator(p, q)


def _spin_of_pairs(problem: PairedElectrons) -> Operators:
    """Yield the operators of `_spin`: a pair has no spin, and the electrons that have no partner are parallel."""
    alpha, beta = problem.molecule.electrons
    spin = 0.5 * abs(alpha - beta)
    yield "spin squared", SparsePauliOp("I" * problem.num_qubits, spin * (spin + 1.0))
    for p, q in itertools.combinations(range(problem.molecule.norb), 2):
        parallel = 0.0 if {p, q} & {*problem.orbitals} else 0.25
        yield f"spin {p + 1} · spin {q + 1}", SparsePauliOp("I" * problem.num_qubits, parallel)


def _magnetization(count: int) -> Operators:
    yield "magnetization", SparsePauliOp.from_sparse_list([("Z", [i], 1.0 / count) for i in range(count)], count)
    for i in range(count):
        yield f"Z {i}", SparsePauliOp.from_sparse_list([("Z", [i], 1.0)], count)


def _correlations(count: int) -> Operators:
    for i, j in itertools.combinations(range(count), 2):
        yield f"Z {i} · Z {j}", SparsePauliOp.from_sparse_list([("ZZ", [i, j], 1.0)], count)


_OF_SPINS: Mapping[ObservableName, Callable[[int], Operators]] = {
    ObservableName.MAGNETIZATION: _magnetization,
    ObservableName.CORRELATIONS: _correlations,
}
_OF_ELECTRONS: Mapping[
    ObservableName, Callable[[ElectronicProblem, Callable[[np.ndarray], SparsePauliOp]], Operators]
] = {
    ObservableName.DIPOLE: _dipole,
    ObservableName.OCCUPATIONS: _occupations,
    ObservableName.SPIN: _spin,
}
