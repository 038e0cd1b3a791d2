"""Rotations of a molecule's orbitals, after which a measurement shows the occupations of the rotated orbitals.

Basis rotation grouping: W. J. Huggins et al., npj Quantum Inf. 7 (2021) 23.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList

from hybridloop.algorithms.problems.electronic import Encoding, excitation, set_bits

Array = NDArray[np.float64]
RotationGate = tuple[str, tuple[int, ...], float]  # its name, qubits, and angle: 0 for h, s and sdg
Givens = tuple[int, float]  # an orbital that is rotated with the next one, and the angle in radians

SMALLEST_ANGLE = 1e-7  # radians: smaller rotations come from rounding
ANGLE_DECIMALS = 10  # digits that another machine's rounding may change are cut off


@dataclass(frozen=True)
class OrbitalRotation:
    """Givens rotations of neighbouring orbitals, the same for both spins, as gates on the qubits of an encoding.

    They come before the measurement of all qubits, as the gates of a `Diagonalization` do.
    """

    encoding: Encoding
    givens: tuple[Givens, ...]

    @cached_property
    def gates(self) -> tuple[RotationGate, ...]:
        """The gates in order: h, s and sdg, and rotations rz, rxx, ryy and rzz."""
        norb = self.encoding.norb
        spins = [(orbital + offset, angle) for orbital, angle in self.givens for offset in (0, norb)]
        return tuple(gate for orbital, angle in spins for gate in self._gates_of(orbital, angle))

    @property
    def two_qubit_gates(self) -> int:
        return sum(len(qubits) == 2 for _, qubits, _ in self.gates)

    def append_to(self, circuit: QuantumCircuit) -> None:
        for name, qubits, angle in self.gates:
            getattr(circuit, name)(*((angle,) if name.startswith("r") else ()), *qubits)

    def transform(self, paulis: PauliList) -> PauliList:
        """Return Pauli terms as they are if all gates commute with them, else with an X: they are not measured.

        Products of Z that commute with all rotations, such as a spin's parity of electrons, are measured as they are.
        """
        x, z, turned = paulis.x.copy(), paulis.z.copy(), np.zeros(len(paulis), bool)
        for flips, phases in self._generators():
            crossed = (x & phases).sum(axis=1) + (z & flips).sum(axis=1)
            turned |= crossed % 2 == 1
        x[turned, 0] = True
        return PauliList.from_symplectic(z, x, paulis.phase)

    def _generators(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Yield each rotation's Pauli operator as bits x and z of the qubits."""
        qubits = np.arange(self.encoding.num_qubits)
        for orbital, _ in self.givens:
            for offset in (0, self.encoding.norb):
                for x, z in self._terms(orbital + offset):
                    yield x >> qubits & 1 == 1, z >> qubits & 1 == 1

    def _terms(self, orbital: int) -> dict[tuple[int, int], float]:
        """Return the generator a†_p a_p+1 − a†_p+1 a_p in the encoding, as coefficients of X^x Z^z."""
        return self.encoding.encode(excitation([orbital + 1], [orbital]))

    def _gates_of(self, orbital: int, angle: float) -> Iterator[RotationGate]:
        """Yield the gates of exp(angle (a†_p a_p+1 − a†_p+1 a_p)): two rotations of half the angle that commute.

        X^x Z^z = −i P for a product P of Pauli matrices with one Y.
        """
        terms = self._terms(orbital)
        first, *others = set_bits(next(iter(terms))[0])
        if others:  # Jordan-Wigner: X Y and Y X become X X and −Y Y
            (second,) = others
            yield "sdg", (first,), 0.0
            for (_, z), coefficient in terms.items():
                is_first = bool(z >> first & 1)
                half = 2.0 * angle * coefficient * (1.0 if is_first else -1.0)
                yield "rxx" if is_first else "ryy", (first, second), half
            yield "s", (first,), 0.0
            return
        yield from (("sdg", (first,), 0.0), ("h", (first,), 0.0))  # parity: Y and Y Z become Z and Z Z
        for (_, z), coefficient in terms.items():
            controls = set_bits(z & ~(1 << first))
            yield ("rzz" if controls else "rz"), (*controls, first), 2.0 * angle * coefficient
        yield from (("h", (first,), 0.0), ("s", (first,), 0.0))


def rotate(encoding: Encoding, orbitals: Array) -> tuple[OrbitalRotation, Array]:
    """Return the rotation after which orbital p is column p of `orbitals`, (norb, norb), and its columns as rotated.

    Givens rotations of neighbours zero the rows of the transposed matrix from the right (M. Reck et al., Phys. Rev.
    Lett. 73 (1994) 58). Signs of orbitals are not corrected: they do not change occupations. The columns returned are
    those of the rounded angles, with other signs.
    """
    rows, givens = orbitals.T.copy(), list[Givens]()
    for row in range(len(rows) - 1):
        givens += zero_right(rows, row, row)
    rotated = np.eye(len(rows))
    for orbital, angle in reversed(givens):
        turn(rotated, orbital, -angle)
    return OrbitalRotation(encoding, tuple(givens)), np.asarray(rotated.T)


def zero_right(rows: Array, row: int, place: int) -> list[Givens]:
    """Rotate neighbouring columns of all rows so that a row is zero right of `place`; return the rotations."""
    givens = []
    for column in range(rows.shape[1] - 1, place, -1):
        if abs(rows[row, column]) < SMALLEST_ANGLE:
            continue
        angle = round(float(np.arctan2(rows[row, column], rows[row, column - 1])), ANGLE_DECIMALS)
        turn(rows, column - 1, angle)
        givens.append((column - 1, angle))
    return givens


def turn(rows: Array, column: int, angle: Array | float) -> None:
    """Rotate a column (…, rows) of matrices and the next one by an angle in radians, in place."""
    left, right = rows[..., column].copy(), rows[..., column + 1].copy()
    rows[..., column] = np.cos(angle) * left + np.sin(angle) * right
    rows[..., column + 1] = np.cos(angle) * right - np.sin(angle) * left
