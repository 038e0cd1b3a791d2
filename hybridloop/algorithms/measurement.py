"""What to measure: a Pauli sum parted into groups that one circuit each can answer, and those circuits."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.clifford import Bits, Turn, diagonalizing
from hybridloop.errors import InputError

HERMITIAN_TOLERANCE = 1e-9  # hartree: imaginary parts below come from rounding in whoever built the operator
MOST_COLOURED = 3000  # terms: the library compares each with each, in gigabytes and half a minute for 9000


class Grouping(enum.StrEnum):
    """Which terms may share a circuit."""

    QUBIT_WISE = "qubit-wise"  # those that commute on every qubit: turned by one-qubit gates
    FULLY_COMMUTING = (
        "fully-commuting"  # all that commute: fewer circuits, turned by Clifford gates between qubits, too
    )


@dataclass(frozen=True, slots=True, eq=False)
class MeasurementGroup:
    """Terms of a Pauli sum that one circuit can answer for.

    Terms that commute qubit by qubit have a `basis`, a Pauli label (rightmost = qubit 0; I where no term looks). Others
    have a `turn` that makes products of Z of them; `basis` is empty then. `masks` has shape (terms,) and holds, as
    bits, the qubits whose outcomes' parity each term is; `coefficients` has shape (terms,), in the operator's unit, the
    turn's signs included. No term is the identity.
    """

    basis: str
    masks: tuple[int, ...]
    coefficients: NDArray[np.float64]
    turn: Turn | None = None

    @property
    def reach(self) -> float:
        """Σ|c|: no shot is further than this from zero."""
        return float(np.abs(self.coefficients).sum())

    def measured(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit, turned to what this group looks at and measured into one register: qubit i to bit i of `c`."""
        return self.read(self.turned(circuit))

    def turned(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit with the `turn` at its end: all that takes gates between qubits."""
        if self.turn is None:
            return circuit
        longer = circuit.copy()
        self.turn.append_to(longer)
        return longer

    def read(self, turned: QuantumCircuit) -> QuantumCircuit:
        """A circuit that has its `turn`, with one-qubit gates for the `basis` and the measurement."""
        read = QuantumCircuit(turned.num_qubits, turned.num_qubits, name=turned.name)  # registers q and c
        read.compose(turned, inplace=True)
        for qubit, pauli in enumerate(reversed(self.basis)):
            if pauli == "Y":
                read.sdg(qubit)
            if pauli in "XY":
                read.h(qubit)
        read.measure(read.qubits, read.clbits)
        return read

    def shown(self, x: Bits, z: Bits) -> tuple[Bits, list[int], NDArray[np.float64]]:
        """Which of the terms (terms, qubits) this circuit shows; each one's mask, and its sign, 1 or −1."""
        if self.turn is not None:
            table = self.turn.turned(x, z)
            return np.logical_not(np.any(table.x, axis=1)), bit_masks(table.z), np.where(table.signs, -1.0, 1.0)
        letters = np.array(list(reversed(self.basis)))
        looks_x, looks_z = np.isin(letters, ["X", "Y"]), letters != "X"  # where no term looks, Z is measured
        support = x | z
        differs: Bits = support & ((x ^ looks_x) | (z ^ looks_z))
        is_shown: Bits = np.logical_not(np.any(differs, axis=1))
        return is_shown, bit_masks(support), np.ones(len(x))


@dataclass(frozen=True, slots=True, eq=False)
class Observable:
    """A Hermitian Pauli sum ready to be measured: its constant, and groups for all else."""

    operator: SparsePauliOp
    constant: float
    groups: tuple[MeasurementGroup, ...]

    @property
    def num_qubits(self) -> int:
        """Qubits of the operator."""
        return int(self.operator.num_qubits)

    @property
    def two_qubit_gates(self) -> int:
        """The most that the turn of a group adds to a circuit."""
        return max((each.turn.two_qubit_gates for each in self.groups if each.turn is not None), default=0)


def observable(operator: SparsePauliOp, grouping: Grouping = Grouping.QUBIT_WISE) -> Observable:
    """Check the operator and part it into groups of commuting terms: the better of two heuristics.

    The library colours a graph, for few groups; sorted insertion by |c| (O. Crawford et al., Quantum 5 (2021) 385)
    lets large terms share shots. The better is what promises to need fewer shots: the least Σ_g √(Σ_t c_t²), which is
    Neyman's cost where terms do not correlate. On LiH (10 spin orbitals) it takes 77 groups instead of 76 and a
    fifth of the shots. Above `MOST_COLOURED` terms sorted insertion stands alone.
    """
    if not np.isfinite(operator.coeffs).all():
        raise InputError("problem", "the operator has a coefficient that is no finite number", "Give finite ones.")
    operator = operator.simplify(atol=0.0)
    skew = float(np.abs(operator.coeffs.imag).max())
    if skew > HERMITIAN_TOLERANCE:
        problem = f"the operator is not Hermitian: a coefficient has the imaginary part {skew:.3g}"
        raise InputError("problem", problem, "Give a Pauli sum with real coefficients.")
    is_identity = ~(operator.paulis.x.any(axis=1) | operator.paulis.z.any(axis=1))
    constant = float(operator.coeffs.real[is_identity].sum())
    rest = operator[~is_identity]
    if is_identity.all():
        return Observable(operator, constant, ())
    is_qubit_wise = grouping is Grouping.QUBIT_WISE
    choices = [_sorted_insertion(rest) if is_qubit_wise else _inserted_where_all_commute(rest)]
    if len(rest) <= MOST_COLOURED:
        choices.append(rest.group_commuting(qubit_wise=is_qubit_wise))
    return Observable(operator, constant, tuple(_group(part) for part in min(choices, key=_shot_cost)))


def _shot_cost(groups: Sequence[SparsePauliOp]) -> float:
    return float(sum(np.linalg.norm(group.coeffs) for group in groups))


def _sorted_insertion(operator: SparsePauliOp) -> list[SparsePauliOp]:
    """Each term, largest first, joins the first group whose every term it commutes with on every qubit."""
    x_masks, z_masks = bit_masks(operator.paulis.x), bit_masks(operator.paulis.z)
    groups: list[tuple[int, int, list[int]]] = []  # the basis as X and Z masks, and the terms' indices
    for index in _largest_first(operator):
        x, z = x_masks[index], z_masks[index]
        for place, (group_x, group_z, members) in enumerate(groups):
            shared = (x | z) & (group_x | group_z)
            if not shared & ((x ^ group_x) | (z ^ group_z)):
                groups[place] = (group_x | x, group_z | z, [*members, index])
                break
        else:
            groups.append((x, z, [index]))
    return [operator[members] for _, _, members in groups]


def _inserted_where_all_commute(operator: SparsePauliOp) -> list[SparsePauliOp]:
    """Each term, largest first, joins the first group whose every term it commutes with."""
    x, z = operator.paulis.x.astype(np.uint8), operator.paulis.z.astype(np.uint8)
    groups: list[list[int]] = []
    for index in _largest_first(operator):
        commutes = ((x @ z[index] + z @ x[index]) % 2 == 0).tolist()
        for members in groups:
            if all(commutes[each] for each in members):
                members.append(index)
                break
        else:
            groups.append([index])
    return [operator[members] for members in groups]


def _largest_first(operator: SparsePauliOp) -> list[int]:
    sizes = np.round(np.abs(operator.coeffs), 10)  # equal but for rounding: then in the order of their labels
    order: list[int] = np.argsort(-sizes, kind="stable").tolist()
    return order


def _group(operator: SparsePauliOp) -> MeasurementGroup:
    x, z = operator.paulis.x, operator.paulis.z
    support, looks_x, looks_z = x | z, x.any(axis=0), z.any(axis=0)
    coefficients = operator.coeffs.real.copy()
    if (support & ((x ^ looks_x) | (z ^ looks_z))).any():  # there are qubits on which terms differ
        turn = diagonalizing(x, z)
        table = turn.turned(x, z)
        signs = np.where(table.signs, -1.0, 1.0)
        return MeasurementGroup("", tuple(bit_masks(table.z)), signs * coefficients, turn)
    letters = np.array(["I", "Z", "X", "Y"])[2 * looks_x + looks_z]
    return MeasurementGroup("".join(reversed(letters)), tuple(bit_masks(support)), coefficients)


def bit_masks(table: Bits) -> list[int]:
    """One integer per row; bit i is column i."""
    packed = np.packbits(table, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
