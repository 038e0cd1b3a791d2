"""Clifford circuits that diagonalize commuting Pauli terms, so that one measurement of all qubits shows them all.

Simultaneous diagonalization: E. van den Berg and K. Temme, Quantum 4 (2020) 322.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList

Gate = tuple[str, tuple[int, ...]]  # h, s, sdg or cx, and its qubits


@dataclass(frozen=True, slots=True)
class Diagonalization:
    """Clifford gates, in order, before the measurement of all qubits."""

    gates: tuple[Gate, ...]

    @property
    def two_qubit_gates(self) -> int:
        """The number of two-qubit gates."""
        return sum(name == "cx" for name, _ in self.gates)

    def append_to(self, circuit: QuantumCircuit) -> None:
        """Append the gates to a circuit."""
        for name, qubits in self.gates:
            getattr(circuit, name)(*qubits)

    def transform(self, paulis: PauliList) -> PauliList:
        """Conjugate Pauli terms by the gates: each P becomes U P U†, with a phase of 0 (plus) or 2 (minus).

        A term without X is then a product of Z, read from the outcome's bits.
        """
        circuit = QuantumCircuit(paulis.num_qubits)
        self.append_to(circuit)
        return paulis.evolve(circuit, frame="s")


def diagonalize(paulis: PauliList) -> Diagonalization:
    """Find a Clifford circuit that turns commuting terms into plus or minus products of Z.

    A qubit on which all terms have the same letter needs one-qubit gates only. If there is none, CX gates reduce the
    term of lowest weight to one of its qubits, on which all terms then agree; the qubit is chosen that leaves the
    lowest total weight. The number of gates is at most quadratic in the number of qubits.
    """
    gates: list[Gate] = []
    remaining = list(range(paulis.num_qubits))
    while remaining:
        diagonal = [qubit for qubit in remaining if _has_one_letter(paulis, qubit)]
        step = [gate for qubit in diagonal for gate in _gates_to_z(paulis, qubit)]
        remaining = [qubit for qubit in remaining if qubit not in diagonal]
        if remaining and not diagonal:
            weights = (paulis.x | paulis.z)[:, remaining].sum(axis=1)
            lowest = int(np.where(weights > 0, weights, len(remaining) + 1).argmin())
            step = _gates_to_one_qubit(paulis, lowest, remaining)
        paulis = Diagonalization(tuple(step)).transform(paulis)
        gates += step
    return Diagonalization(tuple(gates))


def _has_one_letter(paulis: PauliList, qubit: int) -> bool:
    """Return whether all terms have the same letter, or the identity, on the qubit."""
    letters = set(zip(paulis.x[:, qubit].tolist(), paulis.z[:, qubit].tolist(), strict=True))
    return len(letters - {(False, False)}) <= 1


def _gates_to_z(paulis: PauliList, qubit: int) -> list[Gate]:
    """Return the gates that turn the one letter of a qubit into Z."""
    if not paulis.x[:, qubit].any():
        return []
    return [("sdg", (qubit,)), ("h", (qubit,))] if paulis.z[:, qubit].any() else [("h", (qubit,))]


def _gates_to_one_qubit(paulis: PauliList, row: int, remaining: Sequence[int]) -> list[Gate]:
    """Return gates that turn a row's letters into X and reduce them to one of the remaining qubits."""
    x, z = paulis.x[row], paulis.z[row]
    support = [qubit for qubit in remaining if x[qubit] or z[qubit]]
    to_x: list[Gate] = [("sdg" if x[qubit] else "h", (qubit,)) for qubit in support if z[qubit]]
    candidates = [
        [*to_x, *(("cx", (control, target)) for target in support if target != control)] for control in support
    ]

    def weight(gates: Sequence[Gate]) -> int:
        after = Diagonalization(tuple(gates)).transform(paulis)
        return int((after.x | after.z)[:, remaining].sum())

    return min(candidates, key=weight)
