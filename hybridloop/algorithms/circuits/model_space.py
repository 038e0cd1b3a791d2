"""Determinants around Hartree-Fock, and circuits that prepare one, or a superposition of two, before an ansatz."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from hybridloop.algorithms.circuits.uccsd import excitations
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of
from hybridloop.algorithms.problems.electronic import ElectronicProblem, set_bits
from hybridloop.errors import InputError

MAX_STATES = 4096  # as of 64 determinants without symmetry; each is measured in each group
MAX_ENUMERATED = 1000  # determinants; symmetry does not bring more below `MAX_STATES`


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """Determinants with a problem's alpha and beta electrons, in blocks that its Z2 symmetries keep apart.

    A determinant is a bit mask; bit i is spin orbital i, alpha orbitals first. The first block begins with the
    Hartree-Fock determinant. `is_complete` is true if the space has all determinants with these electrons.
    """

    blocks: tuple[tuple[int, ...], ...]
    is_complete: bool

    @property
    def size(self) -> int:
        """Number of determinants."""
        return sum(map(len, self.blocks))

    @property
    def states(self) -> int:
        """Number of states to measure: each determinant, and sum and difference of each pair within a block."""
        return sum(len(block) ** 2 for block in self.blocks)


def model_space(problem: ElectronicProblem) -> ModelSpace:
    """Return all determinants of the problem's electrons; where that is too large, single and double excitations.

    Raises InputError where those have more than `MAX_STATES` states, too.
    """
    reference = problem.encoding.hartree_fock_occupation()
    count = count_determinants(problem.molecule)
    if count <= MAX_ENUMERATED:
        others = [state for state in determinants_of(problem.molecule).tolist() if state != reference]
        space = ModelSpace(_blocks(problem, [reference, *others]), is_complete=True)
        if space.states <= MAX_STATES:
            return space
    excited = [
        reference ^ sum(1 << orbital for orbital in (*emptied, *filled))
        for emptied, filled in itertools.islice(excitations(problem), MAX_ENUMERATED)
    ]
    space = ModelSpace(_blocks(problem, [reference, *excited]), is_complete=len(excited) + 1 == count)
    if space.states > MAX_STATES:
        what = f"the levels of {problem.molecule.source} take more than {MAX_STATES:,} states to measure"
        raise InputError("problem", what, "Choose a smaller active space (active_space).")
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


@dataclass(frozen=True, slots=True)
class ModelState:
    """A basis state, or (|first⟩ + sign |second⟩) / √2 of two; sign 0 and second = first for one alone.

    Basis states are bit masks of qubits. They are flips from the reference state with which the ansatz begins.
    """

    first: int
    second: int
    sign: int

    @property
    def flip(self) -> int:
        """Qubits in which the two basis states differ; states with the same flip have the same circuit."""
        return self.first ^ self.second

    def angles(self, num_qubits: int) -> NDArray[np.float64]:
        """Return the angles (num_qubits,) of the `preparation_circuit`, in radians.

        RY(π) turns |0⟩ into |1⟩, RY(± π/2) into (|0⟩ ± |1⟩) / √2.
        """
        pivot = self.flip & -self.flip
        start = self.second if self.first & pivot else self.first  # its pivot is 0, so the CX gates make the other
        angles = [math.pi * (start >> qubit & 1) for qubit in range(num_qubits)]
        if pivot:
            angles[pivot.bit_length() - 1] = self.sign * math.pi / 2
        return np.array(angles)


def preparation_circuit(ansatz: QuantumCircuit, flip: int) -> QuantumCircuit:
    """Return the ansatz after the preparation of a `ModelState` with this flip.

    RY gates prepare the lowest flipped qubit and all others apart; CX gates from it flip the rest. The parameters are
    those of the ansatz, then the preparation's angles, as Qiskit sorts parameters by name.
    """
    circuit = QuantumCircuit(ansatz.num_qubits, name=ansatz.name)
    angles = ParameterVector("φ", ansatz.num_qubits)
    for qubit, angle in enumerate(angles):
        circuit.ry(angle, qubit)
    pivot, *others = set_bits(flip) or [0]
    for qubit in others:
        circuit.cx(pivot, qubit)
    return circuit.compose(ansatz)
