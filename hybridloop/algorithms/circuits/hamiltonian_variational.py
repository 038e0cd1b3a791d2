"""Hamiltonian variational ansatz (HVA): layers of rotations by a spin model's own terms, from one part's ground state.

D. Wecker, M. B. Hastings and M. Troyer, Phys. Rev. A 92 (2015) 042303.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz, Frequencies
from hybridloop.algorithms.circuits.diagonalization import Diagonalization, bit_masks, diagonalize
from hybridloop.algorithms.problems.electronic import set_bits
from hybridloop.errors import InputError, InvalidValue

MAX_ENUMERATED_QUBITS = 16  # qubits that terms connect in a part: its 65,536 basis states are compared in milliseconds
SAME_COEFFICIENT = 1e-9  # relative difference of coefficients that share an angle
STEP = 0.4  # angle of a ramp's last rotation by the largest term, over 2

Term = tuple[int, float]  # a product of Z, as the mask of its qubits, and its coefficient


@dataclass(frozen=True, slots=True, eq=False)
class CommutingPart:
    """Commuting terms of a Hamiltonian, as products of Z in the frame of their diagonalization."""

    frame: Diagonalization
    terms: tuple[Term, ...]

    @property
    def by_angle(self) -> list[list[Term]]:
        """The terms by the angle that they share: those of equal |c|, the largest first."""
        ordered = sorted(self.terms, key=lambda term: -abs(term[1]))
        classes: list[list[Term]] = []
        for term in ordered:
            if classes and abs(abs(term[1]) - abs(classes[-1][0][1])) <= SAME_COEFFICIENT * abs(term[1]):
                classes[-1].append(term)
            else:
                classes.append([term])
        return classes


@dataclass(frozen=True, slots=True, eq=False)
class StabilizerReference:
    """The best basis state of a part's frame: its energy, its bits, and true if no other state there is as low."""

    part: int
    energy: float
    bits: int
    is_unique: bool


def is_spin_model(hamiltonian: SparsePauliOp) -> bool:
    """Return whether every term acts on at most two qubits."""
    return int((hamiltonian.paulis.x | hamiltonian.paulis.z).sum(axis=1).max(initial=0)) <= 2


def is_real(hamiltonian: SparsePauliOp) -> bool:
    """Return whether the matrix is real: each term has an even number of Y, so that a ground state is real too."""
    paulis = hamiltonian.simplify(atol=0.0).paulis
    return not ((paulis.x & paulis.z).sum(axis=1) % 2).any()


def commuting_parts(hamiltonian: SparsePauliOp) -> list[CommutingPart]:
    """Split all terms but the identity into parts that commute, by greedy insertion bond by bond.

    Terms on the same qubits are neighbours in the order, so a Heisenberg chain is split into its even and odd bonds,
    and a transverse-field Ising model into its bonds and its field.
    """
    operator = hamiltonian.simplify(atol=0.0)
    support = operator.paulis.x | operator.paulis.z
    operator, support = operator[support.any(axis=1)], support[support.any(axis=1)]
    bonds = [tuple(np.flatnonzero(row).tolist()) for row in support]
    labels = operator.paulis.to_labels()
    x, z = operator.paulis.x.astype(np.uint8), operator.paulis.z.astype(np.uint8)
    parts: list[list[int]] = []
    for index in sorted(range(len(bonds)), key=lambda index: (-len(bonds[index]), bonds[index], labels[index])):
        commutes = ((x @ z[index] + z @ x[index]) % 2 == 0).tolist()
        for members in parts:
            if all(commutes[member] for member in members):
                members.append(index)
                break
        else:
            parts.append([index])
    return [_part(operator[members]) for members in parts]


def _part(operator: SparsePauliOp) -> CommutingPart:
    frame = diagonalize(operator.paulis)
    return CommutingPart(frame, _diagonal_terms(operator, frame))


def _diagonal_terms(operator: SparsePauliOp, frame: Diagonalization) -> tuple[Term, ...]:
    """Return the terms that are products of Z in the frame; the others have no mean in its basis states."""
    paulis = frame.transform(operator.paulis)
    is_diagonal = ~paulis.x.any(axis=1)
    coefficients = (operator.coeffs.real * (1.0 - paulis.phase))[is_diagonal]
    return tuple(zip(bit_masks(paulis.z[is_diagonal]), coefficients.tolist(), strict=True))


def stabilizer_reference(hamiltonian: SparsePauliOp, parts: Sequence[CommutingPart]) -> StabilizerReference:
    """Choose the start: of all parts' frames the basis state with the lowest energy, of the whole Hamiltonian.

    A state that no other of its frame equals in energy goes first: it has the Hamiltonian's symmetries, which the
    circuit keeps. For a Heisenberg chain these are singlet pairs, for a transverse field its product state.
    """
    found = []
    for number, part in enumerate(parts):
        lowest = _lowest_state(_diagonal_terms(hamiltonian, part.frame), int(hamiltonian.num_qubits))
        found.append(StabilizerReference(number, *lowest))
    return min(found, key=lambda reference: (not reference.is_unique, round(reference.energy, 9)))


def _lowest_state(terms: Sequence[Term], num_qubits: int) -> tuple[float, int, bool]:
    """Return energy and bits of the lowest basis state of a sum of products of Z, and whether it is the only one.

    Terms that share no qubit, directly or through others, are minimized apart. The energy is infinite for a cluster
    above `MAX_ENUMERATED_QUBITS`.
    """
    energy, bits, is_unique = 0.0, 0, True
    for qubits, cluster in _clusters(terms):
        energies = _energies(qubits, cluster)
        if energies is None:
            return np.inf, 0, False
        lowest = int(np.argmin(energies))
        tied = np.count_nonzero(energies <= energies[lowest] + SAME_COEFFICIENT * np.abs(energies).max())
        energy, is_unique = energy + float(energies[lowest]), is_unique and tied == 1
        bits |= sum(1 << qubit for place, qubit in enumerate(qubits) if lowest >> place & 1)
    covered = reduce(lambda mask, term: mask | term[0], terms, 0)
    return energy, bits, is_unique and covered == (1 << num_qubits) - 1


def _clusters(terms: Sequence[Term]) -> Iterator[tuple[list[int], list[Term]]]:
    """Yield the qubits and terms of each connected cluster; the identity is one of no qubits."""
    left = list(terms)
    while left:
        mask, cluster = left[0][0], [left[0]]
        rest = left[1:]
        while joined := [term for term in rest if term[0] & mask]:
            rest = [term for term in rest if not term[0] & mask]
            cluster += joined
            mask = reduce(lambda total, term: total | term[0], joined, mask)
        yield set_bits(mask), cluster
        left = rest


def _energies(qubits: Sequence[int], terms: Sequence[Term]) -> NDArray[np.float64] | None:
    """Return the energy of each basis state of a cluster, (2^k,), qubit `qubits[i]` as bit i; None if it is large."""
    if len(qubits) > MAX_ENUMERATED_QUBITS:
        return None
    states, energies = np.arange(2 ** len(qubits)), np.zeros(2 ** len(qubits))
    for mask, coefficient in terms:
        local = sum(1 << place for place, qubit in enumerate(qubits) if mask >> qubit & 1)
        energies += coefficient * (1.0 - 2.0 * (np.bitwise_count(states & local) & 1))
    return energies


def hamiltonian_variational(hamiltonian: SparsePauliOp, layers: int) -> Ansatz:
    """Build the ansatz Π_l Π_k exp(−i θ_lk/2 Σ_t ± P_t) on the ground state of one part, all in `BASIS_GATES`.

    The terms P_t of an angle commute and have equal |c|, with the signs of their coefficients; terms of other |c| have
    an angle of their own. In each layer the part whose ground state is the reference comes last. The initial point is
    a ramp from that part to the whole Hamiltonian in steps of time, the digitized adiabatic path (S. H. Sack and
    M. Serbyn, Quantum 5 (2021) 491): at angles of zero all slopes of a real Hamiltonian vanish.

    Raises InputError for fewer than one layer, and for a Hamiltonian without terms.
    """
    if layers < 1:
        raise InvalidValue("layers", f"must be at least 1, got {layers}")
    parts = commuting_parts(hamiltonian)
    if not parts:
        raise InputError("ansatz", "the operator is a constant, which no circuit changes", "Give another operator.")
    reference = stabilizer_reference(hamiltonian, parts)
    ordered = [*parts[: reference.part], *parts[reference.part + 1 :], parts[reference.part]]
    classes = [(part, shared) for part in ordered for shared in part.by_angle]
    # the reference state
    circuit = QuantumCircuit(hamiltonian.num_qubits, name="hamiltonian-variational")
    for qubit in range(circuit.num_qubits):
        if reference.bits >> qubit & 1:
            circuit.x(qubit)
    ordered[-1].frame.append_inverse_to(circuit)
    # the layers; angles are numbered in the order of the circuit
    angles = iter(ParameterVector("θ", layers * len(classes)))
    for _ in range(layers):
        for part in ordered:
            part.frame.append_to(circuit)
            for shared in part.by_angle:
                _append_rotations(circuit, shared, next(angles))
            part.frame.append_inverse_to(circuit)
    # the ramp
    largest = max(abs(shared[0][1]) for _, shared in classes)
    point = [
        2.0 * STEP * abs(shared[0][1]) / largest * (1.0 if part is ordered[-1] else layer / (layers + 1))
        for layer in range(1, layers + 1)
        for part, shared in classes
    ]
    frequencies = tuple(_frequencies(shared) for _, shared in classes) * layers
    name = f"hamiltonian-variational ({layers} layer(s))"
    return Ansatz(name, circuit, np.array(point), frequencies, is_ramp=True)


def _append_rotations(circuit: QuantumCircuit, terms: Sequence[Term], angle: Parameter) -> None:
    """Append exp(−i angle/2 Σ ± Z…Z): each term's parity on its last two qubits, a rotation there, and back."""
    for mask, coefficient in terms:
        qubits = set_bits(mask)
        ladder = list(itertools.pairwise(qubits[:-1]))
        for control, target in ladder:
            circuit.cx(control, target)
        rotate = circuit.rzz if len(qubits) > 1 else circuit.rz
        rotate(angle if coefficient > 0 else -angle, *qubits[-2:])
        for control, target in reversed(ladder):
            circuit.cx(control, target)


def _frequencies(terms: Sequence[Term]) -> Frequencies:
    """Return the energy's frequencies along a shared angle: half the differences of the generator's eigenvalues."""
    eigenvalues = {0}
    for qubits, cluster in _clusters([(mask, np.sign(coefficient)) for mask, coefficient in terms]):
        energies = _energies(qubits, cluster)
        if energies is None:
            energies = np.arange(-len(cluster), len(cluster) + 1, 2.0)
        eigenvalues = {one + int(other) for one in eigenvalues for other in np.unique(energies)}
    return tuple(sorted({(high - low) // 2 for high in eigenvalues for low in eigenvalues if high > low}))
