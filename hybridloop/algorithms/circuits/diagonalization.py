"""Diagonalization of commuting Pauli terms by a Clifford circuit, after which each is a product of Z.

Simultaneous diagonalization: E. van den Berg and K. Temme, Quantum 4 (2020) 322.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList

BoolArray = NDArray[np.bool_]
Gate = tuple[str, tuple[int, ...]]  # h, s, sdg or cx, and its qubits


@dataclass(frozen=True, slots=True)
class Diagonalization:
    """Clifford gates, in order, before the measurement of all qubits."""

    gates: tuple[Gate, ...]

    @property
    def two_qubit_gates(self) -> int:
        return sum(name == "cx" for name, _ in self.gates)

    def append_to(self, circuit: QuantumCircuit) -> None:
        for name, qubits in self.gates:
            getattr(circuit, name)(*qubits)

    def append_inverse_to(self, circuit: QuantumCircuit) -> None:
        inverse = {"s": "sdg", "sdg": "s"}
        for name, qubits in reversed(self.gates):
            getattr(circuit, inverse.get(name, name))(*qubits)

    def transform(self, paulis: PauliList) -> PauliList:
        """Conjugate Pauli terms by the gates: each P becomes U P U†, with a phase of 0 (plus) or 2 (minus).

        A term without X is then a product of Z, read from the outcome's bits.
        """
        x, z = paulis.x.copy(), paulis.z.copy()
        is_negative = paulis.phase == 2
        for name, qubits in self.gates:
            is_negative ^= conjugate(x, z, name, qubits)
        return PauliList.from_symplectic(z, x, 2 * is_negative)


def conjugate(x: BoolArray, z: BoolArray, name: str, qubits: tuple[int, ...]) -> BoolArray:
    """Conjugate terms (k, n) in place by a gate; return which change their sign.

    S. Aaronson and D. Gottesman, Phys. Rev. A 70 (2004) 052328.
    """
    if name == "cx":
        control, target = qubits
        flips = x[:, control] & z[:, target] & ~(x[:, target] ^ z[:, control])
        x[:, target] ^= x[:, control]
        z[:, control] ^= z[:, target]
        return flips
    (qubit,) = qubits
    if name == "h":
        x[:, qubit], z[:, qubit] = z[:, qubit].copy(), x[:, qubit].copy()
        return x[:, qubit] & z[:, qubit]
    flips = x[:, qubit] & (z[:, qubit] if name == "s" else ~z[:, qubit])
    z[:, qubit] ^= x[:, qubit]
    return flips


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
    if not paulis.x[:, qubit].any():
        return []
    return [("sdg", (qubit,)), ("h", (qubit,))] if paulis.z[:, qubit].any() else [("h", (qubit,))]


def _gates_to_one_qubit(paulis: PauliList, row: int, remaining: Sequence[int]) -> list[Gate]:
    """Return gates that turn a row's letters into X and reduce them to one of the remaining qubits."""
    x, z = paulis.x[row], paulis.z[row]
    support = [qubit for qubit in remaining if x[qubit] or z[qubit]]
    to_x: list[Gate] = [("sdg" if x[qubit] else "h", (qubit,)) for qubit in support if z[qubit]]

    in_x = Diagonalization(tuple(to_x)).transform(paulis)

    def weight(control: int) -> int:
        after_x, after_z = in_x.x.copy(), in_x.z.copy()
        targets = [qubit for qubit in support if qubit != control]
        after_x[:, targets] ^= after_x[:, [control]]
        after_z[:, control] ^= np.logical_xor.reduce(after_z[:, targets], axis=1)
        return int((after_x | after_z)[:, remaining].sum())

    control = min(support, key=weight)
    return [*to_x, *(("cx", (control, target)) for target in support if target != control)]


def bit_masks(rows: BoolArray) -> list[int]:
    """Return one integer per row; bit i is column i."""
    packed = np.packbits(rows, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
