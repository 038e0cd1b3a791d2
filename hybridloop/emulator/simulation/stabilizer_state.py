"""Stabilizer state of qubits as a tableau: Clifford gates and measurements, in time and memory quadratic in the qubits.

S. Aaronson, D. Gottesman, Improved simulation of stabilizer circuits, Phys. Rev. A 70 (2004) 052328. The first n
rows of the tableau are destabilizers, the others stabilizers: X and Z parts, and a sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Pauli = tuple[Bits, Bits, bool]  # X part, Z part, and True for a minus

# gates by steps on their qubits, in the order of execution; a global phase is of no consequence
_STEPS: dict[str, str] = {
    "id": "",
    "h": "h0",
    "s": "s0",
    "x": "h0 s0 s0 h0",
    "y": "s0 s0 h0 s0 s0 h0",
    "z": "s0 s0",
    "sdg": "s0 s0 s0",
    "sx": "h0 s0 h0",
    "sxdg": "h0 s0 s0 s0 h0",
    "cx": "c01",
    "cy": "s1 s1 s1 c01 s1",
    "cz": "h1 c01 h1",
    "swap": "c01 c10 c01",
}
# rotations by a quarter turn
_QUARTERS: dict[str, str] = {"rz": "s0", "rx": "h0 s0 h0", "ry": "h0 " + _STEPS["x"]}


def clifford_steps(name: str, angles: Sequence[float]) -> str | None:
    """Return the steps of a gate; None if it is not Clifford."""
    if name in _QUARTERS:
        quarters = angles[0] / (math.pi / 2)
        if abs(quarters - round(quarters)) > 1e-12:
            return None
        return " ".join([_QUARTERS[name]] * (round(quarters) % 4))
    return _STEPS.get(name)


@dataclass(frozen=True, slots=True)
class StabilizerState:
    """A tableau of n qubits; every method leaves it as it is."""

    x: Bits
    z: Bits
    signs: Bits

    @classmethod
    def ground(cls, num_qubits: int) -> StabilizerState:
        """Return the state with all qubits 0."""
        one, none = np.eye(num_qubits, dtype=bool), np.zeros((num_qubits, num_qubits), dtype=bool)
        return cls(np.vstack((one, none)), np.vstack((none, one)), np.zeros(2 * num_qubits, dtype=bool))

    @property
    def _num_qubits(self) -> int:
        return len(self.signs) // 2

    def _row(self, number: int) -> Pauli:
        return self.x[number], self.z[number], bool(self.signs[number])

    def after_gate(self, name: str, angles: tuple[float, ...], qubits: Sequence[int]) -> StabilizerState:
        """Return the state after a Clifford gate."""
        x, z, signs = self.x.copy(), self.z.copy(), self.signs.copy()
        for step in (clifford_steps(name, angles) or "").split():
            q = qubits[int(step[1])]
            if step[0] == "h":
                signs ^= x[:, q] & z[:, q]
                x[:, q], z[:, q] = z[:, q].copy(), x[:, q].copy()
            elif step[0] == "s":
                signs ^= x[:, q] & z[:, q]
                z[:, q] ^= x[:, q]
            else:
                t = qubits[int(step[2])]
                signs ^= x[:, q] & z[:, t] & ~(x[:, t] ^ z[:, q])
                x[:, t] ^= x[:, q]
                z[:, q] ^= z[:, t]
        return StabilizerState(x, z, signs)

    def probability_of_one(self, qubit: int) -> float:
        """Return the chance of measuring 1: 0, 0.5 or 1."""
        n = self._num_qubits
        if self.x[n:, qubit].any():
            return 0.5
        # the product of the stabilizers whose destabilizers anticommute with Z of the qubit is ± that Z
        product: Pauli = (np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), False)
        for number in (np.flatnonzero(self.x[:n, qubit]) + n).tolist():
            product = _product(self._row(number), product)
        return float(product[2])

    def projected(self, qubit: int, bit: int) -> StabilizerState:
        """Return the state after measuring `bit`, whose chance is not 0."""
        n = self._num_qubits
        anticommuting = np.flatnonzero(self.x[:, qubit]).tolist()
        chosen = next((number for number in anticommuting if number >= n), None)
        if chosen is None:
            return self
        x, z, signs = self.x.copy(), self.z.copy(), self.signs.copy()
        for number in anticommuting:
            if number not in (chosen, chosen - n):
                x[number], z[number], signs[number] = _product(self._row(chosen), self._row(number))
        x[chosen - n], z[chosen - n], signs[chosen - n] = x[chosen], z[chosen], signs[chosen]
        x[chosen], z[chosen], signs[chosen] = False, False, bool(bit)
        z[chosen, qubit] = True
        return StabilizerState(x, z, signs)


def _product(first: Pauli, second: Pauli) -> Pauli:
    """Return the product of two Pauli operators; its sign is right where they commute."""
    a, b, c, d = (bits.astype(int) for bits in (*first[:2], *second[:2]))
    phases = np.where(a & b, d - c, np.where(a, d * (2 * c - 1), np.where(b, c * (1 - 2 * d), 0)))
    is_minus = (2 * first[2] + 2 * second[2] + int(phases.sum())) % 4 == 2
    return first[0] ^ second[0], first[1] ^ second[1], is_minus
