"""Clifford circuits that turn commuting Pauli terms to products of Z, so that one measurement of all qubits shows all.

Signs are followed gate by gate in the stabilizer tableau: S. Aaronson and D. Gottesman, Phys. Rev. A 70 (2004) 052328.
Diagonalizing all at once: E. van den Berg and K. Temme, Quantum 4 (2020) 322.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

Bits = NDArray[np.bool_]
Gate = tuple[str, tuple[int, ...]]  # h, s, sdg or cx, and its qubits


@dataclass(slots=True)
class Table:
    """Pauli terms as rows: `x` and `z` have shape (terms, qubits), both set is Y; `signs` (terms,) is true where −."""

    x: Bits
    z: Bits
    signs: Bits

    @classmethod
    def of(cls, x: Bits, z: Bits) -> Table:
        """Rows of its own, all signs plus."""
        return cls(x.copy(), z.copy(), np.zeros(len(x), bool))

    def apply(self, gate: Gate) -> None:
        """Each row P becomes U P U†."""
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
class Turn:
    """Gates to be put before the measurement of all qubits, in order."""

    gates: tuple[Gate, ...]

    @property
    def two_qubit_gates(self) -> int:
        """How many of the gates are between two qubits."""
        return sum(name == "cx" for name, _ in self.gates)

    def append_to(self, circuit: QuantumCircuit) -> None:
        """Put the gates at the circuit's end."""
        for name, qubits in self.gates:
            getattr(circuit, name)(*qubits)

    def turned(self, x: Bits, z: Bits) -> Table:
        """The terms after the gates; a row without X is a product of Z, and shows in the outcomes' bits."""
        table = Table.of(x, z)
        for gate in self.gates:
            table.apply(gate)
        return table


def diagonalizing(x: Bits, z: Bits) -> Turn:
    """A circuit after which each of the terms (terms, qubits), all of which commute, is plus or minus a product of Z.

    A qubit on which all terms agree takes one-qubit gates alone. Where there is none, the shortest term of those left
    is gathered onto one of its qubits, on which all terms agree then; of its qubits the one is taken after which the
    others are shortest. Quadratic in the qubits at most.
    """
    table, gates = Table.of(x, z), list[Gate]()
    left = list(range(x.shape[1]))
    while left:
        agreeing = [qubit for qubit in left if _agreed(table, qubit)]
        for qubit in agreeing:
            _run(table, _to_z(table, qubit), gates)
        left = [qubit for qubit in left if qubit not in agreeing]
        if left and not agreeing:
            lengths = (table.x | table.z)[:, left].sum(axis=1)
            shortest = int(np.where(lengths > 0, lengths, len(left) + 1).argmin())
            _run(table, _gathered(table, shortest, left), gates)
    return Turn(tuple(gates))


def _agreed(table: Table, qubit: int) -> bool:
    """Whether the terms have no two different letters there."""
    x, z = table.x[:, qubit], table.z[:, qubit]
    return len(set(zip(x.tolist(), z.tolist(), strict=True)) - {(False, False)}) <= 1


def _to_z(table: Table, qubit: int) -> list[Gate]:
    """Turn the one letter of a qubit to Z."""
    has_x, has_z = bool(table.x[:, qubit].any()), bool(table.z[:, qubit].any())
    to_x: list[Gate] = [("sdg", (qubit,))] if has_x and has_z else []
    return [*to_x, ("h", (qubit,))] if has_x else []


def _gathered(table: Table, row: int, left: Sequence[int]) -> list[Gate]:
    """Turn a row's letters to X, and all of them onto one qubit of those left."""
    to_x: list[Gate] = []
    support = []
    for qubit in left:
        letter = (bool(table.x[row, qubit]), bool(table.z[row, qubit]))
        if any(letter):
            support.append(qubit)
        if letter == (True, True):
            to_x.append(("sdg", (qubit,)))
        if letter == (False, True):
            to_x.append(("h", (qubit,)))
    ways = [[*to_x, *(("cx", (onto, other)) for other in support if other != onto)] for onto in support]
    return min(ways, key=lambda way: _length_after(table, way, left))


def _length_after(table: Table, gates: Sequence[Gate], left: Sequence[int]) -> int:
    tried = Table(table.x.copy(), table.z.copy(), table.signs.copy())
    _run(tried, gates, [])
    return int((tried.x | tried.z)[:, left].sum())


def _run(table: Table, gates: Sequence[Gate], noted: list[Gate]) -> None:
    for gate in gates:
        table.apply(gate)
        noted.append(gate)
