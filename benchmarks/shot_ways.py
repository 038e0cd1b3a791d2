"""Ways to measure a molecule's energy: groups of Pauli terms, disjoint, overlapped or split, and rotated orbitals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector
from scipy.optimize import minimize
from scipy.sparse import csr_array

from benchmarks.accuracy_energies import SHOTS_A_JOB
from benchmarks.shot_molecules import on_all_qubits
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.diagonalization import Diagonalization, bit_masks, diagonalize
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.coefficient_splitting import split_coefficients
from hybridloop.algorithms.estimation.double_factorization import double_factorization
from hybridloop.algorithms.estimation.estimates import group_statistics
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, Observable, observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.rounds import Counts

Array = NDArray[np.float64]

SAME_ENERGY = 12  # decimals in hartree to which the energies of outcomes are the same
SMALLEST_PROBABILITY = 1e-12  # less likely outcomes are left out
FAULTS = 12  # drawn for each circuit that is not Clifford
MAX_FAULTY_QUBITS = 12  # on more, drawn faults take too long


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A circuit's outcomes in the exact ground state: their energies (k,) and probabilities (k,).

    `fault_energy` is the change of the mean energy by depolarizing faults on the added gates, to first order, per unit
    of their strength. `largest_deviation` bounds what a shot may be off the mean. Energies are in hartree.
    `processing_s` is the CPU time to turn the outcomes of a job of `SHOTS_A_JOB` into a mean and its variance.
    """

    energies: Array
    probabilities: Array
    largest_deviation: float
    one_qubit_gates: int
    two_qubit_gates: int
    fault_energy: float
    processing_s: float

    @property
    def deviation(self) -> float:
        """The standard deviation of a shot in hartree."""
        mean = self.probabilities @ self.energies
        return float(np.sqrt(self.probabilities @ (self.energies - mean) ** 2))


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A way of measuring: its parts, the constant in hartree, and the seconds of CPU that it took to propose.

    `ansatz` is the UCCSD circuit in the mapping of its qubits.
    """

    name: str
    constant: float
    parts: tuple[Part, ...]
    proposal_s: float
    ansatz: QuantumCircuit


def all_ways(molecule: Molecule, state: Array) -> list[Way]:
    """Return the ways (parity mapping) for a state of `determinants_of(molecule)`."""
    problem = electronic_problem(molecule, FermionMapping.PARITY)
    amplitudes, ansatz = on_all_qubits(molecule, problem.encoding, state), uccsd(problem).circuit
    ways = []
    for name, propose in _proposals(problem).items():
        started = time.process_time()
        grouped = propose()
        seconds = time.process_time() - started
        random = np.random.default_rng(0)
        parts = tuple(_part_of_group(group, amplitudes, random) for group in grouped.groups)
        ways.append(Way(name, grouped.constant, parts, seconds, ansatz))
    return ways


def _proposals(problem: ElectronicProblem) -> dict[str, Callable[[], Observable]]:
    hamiltonian, start = problem.hamiltonian, problem.reference_state
    proposals: dict[str, Callable[[], Observable]] = {}
    for grouping in (Grouping.QUBIT_WISE, Grouping.FULLY_COMMUTING):
        proposals |= {
            f"{grouping}, disjoint": partial(observable, hamiltonian, grouping),
            f"{grouping}, ROGS": partial(_overlapped, hamiltonian, grouping),
            f"{grouping}, split at Hartree-Fock": partial(_split, hamiltonian, grouping, start, is_perturbed=False),
            f"{grouping}, split perturbed": partial(_split, hamiltonian, grouping, start),
        }
    commuting = Grouping.FULLY_COMMUTING
    repacked = partial(_split, hamiltonian, commuting, start, is_repacked=True)
    return proposals | {
        f"{commuting}, repacked, split perturbed": repacked,
        "double factorization, eigenvectors": partial(_factorize, problem, ""),
        "double factorization": partial(_factorize, problem, None),
    }


def _factorize(problem: ElectronicProblem, rotations: str | None) -> Observable:
    reference = ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)
    factorization = double_factorization(problem, reference, rotations)
    assert factorization is not None
    return factorization.observable


def _overlapped(hamiltonian: SparsePauliOp, grouping: Grouping) -> Observable:
    return overlap(observable(hamiltonian, grouping))


def _split(
    hamiltonian: SparsePauliOp,
    grouping: Grouping,
    start: int,
    *,
    is_perturbed: bool = True,
    is_repacked: bool = False,
) -> Observable:
    grouped = observable(hamiltonian, grouping)
    reference = ReferenceState.of_basis_state(start)
    if is_perturbed:
        reference = ReferenceState.perturbed(hamiltonian, start)
    return split_coefficients(repack(grouped) if is_repacked else grouped, reference)


def overlap(disjoint: Observable) -> Observable:
    """Overlap groups as ROGS does: the mean of a term is over the shots of all groups that measure it.

    M. Li, M. Lin and M. J. S. Beach, arXiv:2406.17252: shots by the convex program min Σ_t |c_t| / √N_t, an error
    bound, with N_t the shots that measure term t; here for groups that are given. A mean over N_t shots is the same as
    shares of the coefficient in proportion to the groups' shots.
    """
    measured = [group.measurable_terms(disjoint.operator.paulis) for group in disjoint.groups]
    is_term = (disjoint.operator.paulis.x | disjoint.operator.paulis.z).any(axis=1)
    matrix = csr_array(np.array([which[is_term] for which, _, _ in measured]).T.astype(float))
    coefficients = disjoint.operator.coeffs.real * is_term

    def bound(logarithms: Array) -> tuple[float, Array]:
        fractions = np.exp(logarithms - logarithms.max())
        fractions /= fractions.sum()
        shots = matrix @ fractions
        sizes = np.abs(coefficients[is_term]) / np.sqrt(shots)
        slope = fractions * (matrix.T @ (-0.5 * sizes / shots))
        return float(np.log(sizes.sum())), (slope - fractions * slope.sum()) / sizes.sum()

    optimum = minimize(bound, np.zeros(len(measured)), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    fractions = np.exp(optimum - optimum.max())
    shots = np.zeros(len(is_term))
    shots[is_term] = matrix @ fractions
    shares = np.divide(coefficients, shots, out=np.zeros_like(shots), where=shots > 0)
    groups = []
    for group, fraction, (which, masks, signs) in zip(disjoint.groups, fractions, measured, strict=True):
        values = signs * shares[which] * fraction
        kept = np.flatnonzero(values)
        groups.append(replace(group, masks=tuple(masks[index] for index in kept), coefficients=values[kept]))
    return Observable(disjoint.operator, disjoint.constant, tuple(groups))


def repack(disjoint: Observable) -> Observable:
    """Add to each group's circuit all terms that commute with it, largest first: "repacking" of arXiv:2604.07156."""
    paulis = disjoint.operator.paulis
    order = np.argsort(-np.abs(disjoint.operator.coeffs), kind="stable").tolist()
    x, z = paulis.x.astype(int), paulis.z.astype(int)
    groups = []
    for group in disjoint.groups:
        which, masks, signs = group.measurable_terms(paulis)
        index_of = dict(zip(masks, np.flatnonzero(which).tolist(), strict=True))
        sign_of = dict(zip(masks, signs.tolist(), strict=True))
        own = [index_of[mask] for mask in group.masks]
        packed = list(own)
        for index in order:
            if not ((x[packed] @ z[index] + z[packed] @ x[index]) % 2).any():
                packed.append(index)
        diagonalization = diagonalize(paulis[list(dict.fromkeys(packed))])
        diagonal = diagonalization.transform(paulis[own])
        values = group.coefficients * [sign_of[mask] for mask in group.masks] * (1.0 - diagonal.phase)
        groups.append(MeasurementGroup("", tuple(bit_masks(diagonal.z)), values, diagonalization))
    return Observable(disjoint.operator, disjoint.constant, tuple(groups))


def _part_of_group(group: MeasurementGroup, amplitudes: Array, random: np.random.Generator) -> Part:
    qubits = len(amplitudes).bit_length() - 1
    circuit = group.measurement_circuit(QuantumCircuit(qubits))
    circuit.remove_final_measurements()
    probabilities = Statevector(amplitudes).evolve(circuit).probabilities()
    counts = random.multinomial(SHOTS_A_JOB, probabilities)
    bitstrings = {format(outcome, f"0{qubits}b"): int(counts[outcome]) for outcome in np.flatnonzero(counts)}
    drawn = Counts.from_bitstrings(bitstrings)
    started = time.process_time()
    group_statistics(group, drawn)
    processing = time.process_time() - started
    values = np.zeros(len(amplitudes))
    np.add.at(values, list(group.masks), group.coefficients)
    energies = _parities(values)
    if group.diagonalization is None or isinstance(group.diagonalization, Diagonalization):
        fault_energy = _fault_energy(group, _parities(probabilities), qubits)
    else:
        fault_energy = _drawn_fault_energy(circuit, energies, amplitudes, random)
    return Part(
        *_distribution(energies, probabilities),
        largest_deviation=group.reach(float(np.dot(*_distribution(energies, probabilities))), qubits),
        one_qubit_gates=group.one_qubit_gates,
        two_qubit_gates=group.two_qubit_gates,
        fault_energy=fault_energy,
        processing_s=processing,
    )


def _distribution(energies: Array, probabilities: Array) -> tuple[Array, Array]:
    """Return the distinct energies of outcomes that are not unlikely, and their probabilities."""
    likely = probabilities > SMALLEST_PROBABILITY
    distinct, index = np.unique(np.round(energies[likely], SAME_ENERGY), return_inverse=True)
    merged = np.bincount(index, probabilities[likely])
    return distinct, merged / merged.sum()


def _parities(values: Array) -> Array:
    """Return Σ_m values_m (−1)^|outcome & m| for all outcomes (2^n,): a Walsh-Hadamard transform."""
    step = 1
    while step < len(values):
        pairs = values.reshape(-1, 2, step)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        step *= 2
    return values


def _fault_energy(group: MeasurementGroup, parities: Array, qubits: int) -> float:
    """Return the first-order energy of faults: a term that acts on a depolarized gate's qubits loses its mean.

    `parities` (2^n,) are the means of all products of Z after the gates; these are undone, last gate first.
    """
    if not isinstance(group.diagonalization, Diagonalization):
        return 0.0
    means = parities[list(group.masks)]
    bits = (np.array(group.masks)[:, None] >> np.arange(qubits) & 1).astype(bool)
    x, z, lost = np.zeros_like(bits), bits.copy(), np.zeros(len(bits))
    for name, on in reversed(group.diagonalization.gates):
        if name == "cx":
            lost += (x | z)[:, on].any(axis=1)
            control, target = on
            x[:, target] ^= x[:, control]
            z[:, control] ^= z[:, target]
        elif name == "h":
            x[:, on[0]], z[:, on[0]] = z[:, on[0]].copy(), x[:, on[0]].copy()
        else:
            z[:, on[0]] ^= x[:, on[0]]
    return float(-(group.coefficients * means) @ lost)


def _drawn_fault_energy(
    circuit: QuantumCircuit, energies: Array, amplitudes: Array, random: np.random.Generator
) -> float:
    """Estimate the first-order energy of faults by `FAULTS` drawn ones: a Pauli operator after a gate on two qubits.

    Of a circuit with too many qubits it is not a number.
    """
    places = [place for place, item in enumerate(circuit.data) if len(item.qubits) == 2]
    if not places:
        return 0.0
    if circuit.num_qubits > MAX_FAULTY_QUBITS:
        return float("nan")
    mean = float(Statevector(amplitudes).evolve(circuit).probabilities() @ energies)
    changes = []
    for place, pauli in zip(random.choice(places, FAULTS), random.integers(0, 16, FAULTS), strict=True):
        fault = QuantumCircuit(circuit.num_qubits)
        for number, item in enumerate(circuit.data):
            fault.append(item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits])
            if number == place:
                label = "IXYZ"[pauli // 4] + "IXYZ"[pauli % 4]
                fault.append(Pauli(label), [circuit.find_bit(qubit).index for qubit in item.qubits])
        changes.append(float(Statevector(amplitudes).evolve(fault).probabilities() @ energies) - mean)
    return len(places) * float(np.mean(changes))
