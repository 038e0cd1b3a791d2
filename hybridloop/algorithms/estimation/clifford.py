"""Clifford circuits that diagonalize commuting Pauli terms, so that one measurement of all qubits shows them all.

Signs are tracked gate by gate in a stabilizer tableau: S. Aaronson and D. Gottesman, Phys. Rev. A 70 (2004) 052328.
Simultaneous diagonalization: E. van den Berg and K. Temme, Quantum 4 (2020) 322.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

BoolArray = NDArray[np.bool_]
Gate = tuple[str, tuple[int, ...]]  # h, s, sdg or cx, and its qubits


@dataclass(slots=True)
class PauliTableau:
    """A stabilizer tableau of Pauli terms, one per row.

    `x` and `z` have shape (terms, qubits), with both set for Y; `signs` (terms,) is true for a minus sign.
    """

    x: BoolArray
    z: BoolArray
    signs: BoolArray

    @classmethod
    def of(cls, x: BoolArray, z: BoolArray) -> PauliTableau:
        """Return a tableau of copies of x and z, with plus signs."""
        return cls(x.copy(), z.copy(), np.zeros(len(x), bool))

    def apply(self, gate: Gate) -> None:
        """Conjugate the rows by a gate in place: each row P becomes U P U†."""
        name, qubits = gate
        a = qubits[0]
        if name == "cx":
            b = qubits[1]
            self.signs ^= self.x[:, a] & self.z[:, b] & ~(self.x[:, b] ^ self.z[:, a])
            self.x[:, b] ^= self.x[:, a]
            self.z[:, a] ^= self.z[:, b]
            return
        x, z = self.x[:, a].copy(), self.z[:, a].copy()
        self.signs ^= x & (~z if name == "sdg" else z)
        if name == "h":
            self.x[:, a], self.z[:, a] = z, x
        else:
            self.z[:, a] = z ^ x


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

    def transform(self, x: BoolArray, z: BoolArray) -> PauliTableau:
        """Conjugate Pauli terms by the gates; a row without X is then a product of Z, read from the outcome's bits."""
        tableau = PauliTableau.of(x, z)
        for gate in self.gates:
            tableau.apply(gate)
        return tableau


def diagonalize(x: BoolArray, z: BoolArray) -> Diagonalization:
    """Find a Clifford circuit that turns commuting terms (terms, qubits) into plus or minus products of Z.

    A qubit on which all terms have the same letter needs one-qubit gates only. If there is none, CX gates reduce the
    term of lowest weight to one of its qubits, on which all terms then agree; the qubit is chosen that leaves the
    lowest total weight. The number of gates is at most quadratic in the number of qubits.
    """
    tableau, gates = PauliTableau.of(x, z), list[Gate]()
    remaining = list(range(x.shape[1]))
    while remaining:
        diagonal = [qubit for qubit in remaining if _has_one_letter(tableau, qubit)]
        for qubit in diagonal:
            _apply_gates(tableau, _gates_to_z(tableau, qubit), gates)
        remaining = [qubit for qubit in remaining if qubit not in diagonal]
        if remaining and not diagonal:
            weights = (tableau.x | tableau.z)[:, remaining].sum(axis=1)
            lowest = int(np.where(weights > 0, weights, len(remaining) + 1).argmin())
            _apply_gates(tableau, _gates_to_one_qubit(tableau, lowest, remaining), gates)
    return Diagonalization(tuple(gates))


def _has_one_letter(tableau: PauliTableau, qubit: int) -> bool:
    """Return whether all terms have the same letter, or the identity, on the qubit."""
    x, z = tableau.x[:, qubit], tableau.z[:, qubit]
    return len(set(zip(x.tolist(), z.tolist(), strict=True)) - {(False, False)}) <= 1


def _gates_to_z(tableau: PauliTableau, qubit: int) -> list[Gate]:
    """Return the gates that turn the one letter of a qubit into Z."""
    has_x, has_z = bool(tableau.x[:, qubit].any()), bool(tableau.z[:, qubit].any())
    to_x: list[Gate] = [("sdg", (qubit,))] if has_x and has_z else []
    return [*to_x, ("h", (qubit,))] if has_x else []


def _gates_to_one_qubit(tableau: PauliTableau, row: int, remaining: Sequence[int]) -> list[Gate]:
    """Return gates that turn a row's letters into X and reduce them to one of the remaining qubits."""
    to_x: list[Gate] = []
    support = []
    for qubit in remaining:
        letter = (bool(tableau.x[row, qubit]), bool(tableau.z[row, qubit]))
        if any(letter):
            support.append(qubit)
        if letter == (True, True):
            to_x.append(("sdg", (qubit,)))
        if letter == (False, True):
            to_x.append(("h", (qubit,)))
    candidates = [
        [*to_x, *(("cx", (control, target)) for target in support if target != control)] for control in support
    ]
    return min(candidates, key=lambda gates: _weight_after(tableau, gates, remaining))


def _weight_after(tableau: PauliTableau, gates: Sequence[Gate], remaining: Sequence[int]) -> int:
    trial = PauliTableau(tableau.x.copy(), tableau.z.copy(), tableau.signs.copy())
    _apply_gates(trial, gates, [])
    return int((trial.x | trial.z)[:, remaining].sum())


def _apply_gates(tableau: PauliTableau, gates: Sequence[Gate], applied: list[Gate]) -> None:
    """Apply gates to the tableau and append them to the list `applied`."""
    for gate in gates:
        tableau.apply(gate)
        applied.append(gate)
