"""Givens rotations of electron pairs: gates that move a pair between two orbitals, and measurements after them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList

PairGate = tuple[str, tuple[int, ...], float]  # its name, qubits, and angle: 0 for s and sdg
PairGivens = tuple[int, int, float]  # qubits p and q, and the angle in radians


@dataclass(frozen=True)
class PairRotation:
    """Givens rotations exp(θ (b†_q b_p − b†_p b_q)) of disjoint pairs of qubits, before all qubits are measured.

    They conserve the number of electron pairs, so that an outcome with another one shows an error. With `is_one_pair`
    each rotation acts on two qubits of which exactly one has a pair, and takes one gate.
    """

    givens: tuple[PairGivens, ...]
    is_one_pair: bool = False

    @cached_property
    def gates(self) -> tuple[PairGate, ...]:
        """The gates in order: s, sdg, rxx and ryy."""
        return tuple(
            (name, qubits, factor * angle)
            for p, q, angle in self.givens
            for name, qubits, factor in givens_gates(p, q, is_one_pair=self.is_one_pair)
        )

    @property
    def two_qubit_gates(self) -> int:
        return sum(len(qubits) == 2 for _, qubits, _ in self.gates)

    def append_to(self, circuit: QuantumCircuit) -> None:
        for name, qubits, angle in self.gates:
            getattr(circuit, name)(*((angle,) if name.startswith("r") else ()), *qubits)

    def transform(self, paulis: PauliList) -> PauliList:
        """Return Pauli terms as they are if no rotation acts on their qubits, else with an X: they are not measured."""
        x, z = paulis.x.copy(), paulis.z.copy()
        turned = sorted({qubit for p, q, _ in self.givens for qubit in (p, q)})
        x[(x | z)[:, turned].any(axis=1), 0] = True
        return PauliList.from_symplectic(z, x, paulis.phase)


def givens_gates(p: int, q: int, *, is_one_pair: bool) -> tuple[PairGate, ...]:
    """Return the gates of exp(θ (b†_q b_p − b†_p b_q)), each with the factor of θ: two rotations that commute.

    Between |10⟩ and |01⟩ both act alike: where `is_one_pair`, one of them with twice the angle is enough.
    """
    turns = (("rxx", (p, q), -2.0),) if is_one_pair else (("rxx", (p, q), -1.0), ("ryy", (p, q), -1.0))
    return (("sdg", (p,), 0.0), *turns, ("s", (p,), 0.0))
