"""Model space: determinants or basis states, and circuits that prepare one or two of them before an ansatz."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.diagonalization import Diagonalization, bit_masks
from hybridloop.algorithms.circuits.hamiltonian_variational import commuting_parts, stabilizer_reference
from hybridloop.algorithms.circuits.uccsd import excitations
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of
from hybridloop.algorithms.problems.electronic import ElectronicProblem, set_bits
from hybridloop.errors import InputError

MAX_STATES = 4096  # as of 64 determinants without symmetry; each is measured in each group
MAX_ENUMERATED = 1000  # determinants; symmetry does not bring more below `MAX_STATES`


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """Reference states of a problem, in blocks that its symmetries keep apart.

    For a molecule they are determinants with its alpha and beta electrons, bit i is spin orbital i, alpha orbitals
    first; the first block begins with that of Hartree-Fock. For a Pauli sum they are basis states, bit i is qubit i.
    `total` is the number of all that there are. The Hamiltonian couples states that differ by one of `flips`,
    any two within a block without them, and is real between all if `is_real`.
    """

    blocks: tuple[tuple[int, ...], ...]
    total: int
    is_real: bool = True
    flips: frozenset[int] | None = None

    @property
    def size(self) -> int:
        """Number of reference states."""
        return sum(map(len, self.blocks))

    @property
    def is_complete(self) -> bool:
        """True if the space has all reference states."""
        return self.size == self.total

    @property
    def states(self) -> int:
        """Number of states to measure: each reference state, and two superpositions of each coupled pair."""
        return sum(len(block) + 2 * len(self.pairs(block)) for block in self.blocks)

    def pairs(self, block: Sequence[int]) -> list[tuple[int, int]]:
        """Return the coupled pairs of a block, as places within it."""
        pairs = itertools.combinations(range(len(block)), 2)
        return [(i, j) for i, j in pairs if self.flips is None or block[i] ^ block[j] in self.flips]


def model_space(problem: ElectronicProblem) -> ModelSpace:
    """Return all determinants of the problem's electrons; where that is too large, single and double excitations.

    Raises InputError where those have more than `MAX_STATES` states, too.
    """
    reference = problem.encoding.hartree_fock_occupation()
    count = count_determinants(problem.molecule)
    if count <= MAX_ENUMERATED:
        others = [state for state in determinants_of(problem.molecule).tolist() if state != reference]
        space = ModelSpace(_blocks(problem, [reference, *others]), count)
        if space.states <= MAX_STATES:
            return space
    excited = [
        reference ^ sum(1 << orbital for orbital in (*emptied, *filled))
        for emptied, filled in itertools.islice(excitations(problem), MAX_ENUMERATED)
    ]
    space = ModelSpace(_blocks(problem, [reference, *excited]), count)
    if space.states > MAX_STATES:
        what = f"the levels of {problem.molecule.source} take more than {MAX_STATES:,} states to measure"
        raise InputError("problem", what, "Choose a smaller active space.")
    return space


def _blocks(problem: ElectronicProblem, states: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the determinants in blocks within which they differ by flips that keep every Z2 symmetry."""
    blocks: list[list[int]] = []
    for state in states:
        block = next((block for block in blocks if problem.conserves_symmetry(block[0] ^ state)), None)
        if block is None:
            blocks.append([state])
        else:
            block.append(state)
    return tuple(map(tuple, blocks))


def basis_space(hamiltonian: SparsePauliOp) -> tuple[ModelSpace, Ansatz]:
    """Return all basis states of a Pauli sum's qubits, and the Clifford circuit U that is applied to them.

    A space of all states has each degenerate level as often as the Hamiltonian, after any U. U is the one that makes
    the stabilizer reference of the hamiltonian-variational ansatz: singlet pairs for a Heisenberg chain, a product
    state for a transverse field. Its angle-free frame is chosen because few states are coupled there: only a term that
    is no product of Z couples states, those that differ by its flips, and states that no sequence of such flips
    connects are in different blocks. The reference is first in its block; all others are ordered by index.

    Raises InputError where there are more than `MAX_STATES` states to measure.
    """
    qubits, parts = int(hamiltonian.num_qubits), commuting_parts(hamiltonian)
    frame, reference = Diagonalization(()), 0
    if parts:
        start = stabilizer_reference(hamiltonian, parts)
        frame, reference = parts[start.part].frame, start.bits
    paulis = frame.transform(hamiltonian.simplify(atol=0.0).paulis)
    flips = frozenset(bit_masks(paulis.x)) - {0}
    if (count := 2**qubits * (1 + len(flips))) > MAX_STATES:
        what = f"the levels of this Pauli sum on {qubits} qubits take {count:,} states to measure"
        raise InputError("problem", what, f"Give one of at most {MAX_STATES:,}, or run vqe for its lowest level.")
    blocks: list[list[int]] = []
    left = dict.fromkeys([reference, *range(2**qubits)])
    while left:
        connected = {first := next(iter(left))}
        reached = [first]
        while reached:
            new = {state ^ flip for state in reached for flip in flips} - connected
            connected |= new
            reached = sorted(new)
        blocks.append([state for state in left if state in connected])
        left = {state: None for state in left if state not in connected}
    circuit = QuantumCircuit(qubits, name="stabilizer-frame")
    frame.append_inverse_to(circuit)
    is_real = not ((paulis.x & paulis.z).sum(axis=1) % 2).any()
    space = ModelSpace(tuple(map(tuple, blocks)), 2**qubits, is_real=is_real, flips=flips)
    return space, Ansatz(circuit.name, circuit, np.zeros(0), ())


@dataclass(frozen=True, slots=True)
class ModelState:
    """A basis state, or (|first⟩ + phase |second⟩) / √2 of two; phase 0 and second = first for one alone.

    Basis states are bit masks of qubits. They are flips from the reference state with which the ansatz begins.
    """

    first: int
    second: int
    phase: complex  # 0, 1, -1 or 1j

    @property
    def flip(self) -> int:
        """Qubits in which the two basis states differ."""
        return self.first ^ self.second

    @property
    def is_real(self) -> bool:
        """True if the phase is; states with the same flip of which this is equal have the same circuit."""
        return not np.imag(self.phase)

    def angles(self, num_qubits: int) -> NDArray[np.float64]:
        """Return the angles (num_qubits,) of the `preparation_circuit`, in radians.

        RY(π) turns |0⟩ into |1⟩, RY(± π/2) into (|0⟩ ± |1⟩) / √2, and RX(∓ π/2) into (|0⟩ ± i|1⟩) / √2.
        """
        pivot = self.flip & -self.flip
        start = self.second if self.first & pivot else self.first  # its pivot is 0, so the CX gates make the other
        angles = [math.pi * (start >> qubit & 1) for qubit in range(num_qubits)]
        if pivot:
            sign = np.real(self.phase) or -np.imag(self.phase)
            if self.first & pivot and not self.is_real:  # the first basis state has the phase then, inverted
                sign = -sign
            angles[pivot.bit_length() - 1] = sign * math.pi / 2
        return np.array(angles)


def preparation_circuit(ansatz: QuantumCircuit, flip: int, *, is_real: bool = True) -> QuantumCircuit:
    """Return the ansatz after the preparation of a `ModelState` with this flip and a phase that is real or imaginary.

    RY gates prepare the lowest flipped qubit, by RX for an imaginary phase, and all others apart; CX gates from it flip
    the rest. The parameters are those of the ansatz, then the preparation's angles, as Qiskit sorts parameters by name.
    """
    circuit = QuantumCircuit(ansatz.num_qubits, name=ansatz.name)
    angles = ParameterVector("φ", ansatz.num_qubits)
    pivot, *others = set_bits(flip) or [0]
    for qubit, angle in enumerate(angles):
        if is_real or qubit != pivot:
            circuit.ry(angle, qubit)
        else:
            circuit.rx(angle, qubit)
    for qubit in others:
        circuit.cx(pivot, qubit)
    return circuit.compose(ansatz)
