"""Observables for measurement: a Pauli sum in groups of commuting terms, each measured by one circuit.

Clifford circuits diagonalize commuting terms, so that one measurement of all qubits shows them all. Simultaneous
diagonalization: E. van den Berg and K. Temme, Quantum 4 (2020) 322.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from hybridloop.errors import InputError

HERMITIAN_TOLERANCE = 1e-9  # hartree: smaller imaginary parts come from rounding where the operator was built
MAX_COLORED_TERMS = 3000  # Qiskit compares all pairs: for 9000 terms that takes gigabytes and half a minute
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


class Grouping(enum.StrEnum):
    """The condition for terms to share a circuit."""

    QUBIT_WISE = "qubit-wise"  # terms commute on every qubit: one-qubit gates diagonalize them
    FULLY_COMMUTING = "fully-commuting"  # terms commute: fewer circuits, which need two-qubit Clifford gates


@dataclass(frozen=True, slots=True, eq=False)
class MeasurementGroup:
    """A group of commuting Pauli terms that one circuit measures.

    Qubit-wise commuting terms have a `basis`, a Pauli label (rightmost = qubit 0; I where no term acts). Other groups
    have a `diagonalization`, a Clifford circuit that makes them products of Z; their `basis` is empty. `masks` (terms,)
    are the qubits, as bits, whose outcomes' parity is each term; `coefficients` (terms,) are in the operator's unit and
    include the signs of the diagonalization. No term is the identity.
    """

    basis: str
    masks: tuple[int, ...]
    coefficients: NDArray[np.float64]
    diagonalization: Diagonalization | None = None

    @property
    def max_abs_energy(self) -> float:
        """The sum Σ|c|, which bounds the absolute energy of a shot."""
        return float(np.abs(self.coefficients).sum())

    def measurement_circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit with a basis change and a measurement into one register `c`: qubit i to bit i."""
        return self.add_measurement(self.add_diagonalization(circuit))

    def add_diagonalization(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit followed by the `diagonalization`, which has all of the basis change's two-qubit gates."""
        if self.diagonalization is None:
            return circuit
        extended = circuit.copy()
        self.diagonalization.append_to(extended)
        return extended

    def add_measurement(self, diagonalized: QuantumCircuit) -> QuantumCircuit:
        """Return a circuit that has its `diagonalization`, followed by the `basis` change and the measurement."""
        measured = QuantumCircuit(diagonalized.num_qubits, diagonalized.num_qubits, name=diagonalized.name)
        measured.compose(diagonalized, inplace=True)  # into the registers q and c
        for qubit, pauli in enumerate(reversed(self.basis)):
            if pauli == "Y":
                measured.sdg(qubit)
            if pauli in "XY":
                measured.h(qubit)
        measured.measure(measured.qubits, measured.clbits)
        return measured

    def measurable_terms(self, paulis: PauliList) -> tuple[BoolArray, list[int], NDArray[np.float64]]:
        """Return which of the terms this circuit measures, and each one's mask and sign, 1 or −1."""
        if self.diagonalization is not None:
            diagonal = self.diagonalization.transform(paulis)
            return ~diagonal.x.any(axis=1), bit_masks(diagonal.z), 1.0 - diagonal.phase
        letters = np.array(list(reversed(self.basis)))
        basis_x, basis_z = np.isin(letters, ["X", "Y"]), letters != "X"  # qubits without a letter are measured in Z
        support = paulis.x | paulis.z
        differs = support & ((paulis.x ^ basis_x) | (paulis.z ^ basis_z))
        return ~differs.any(axis=1), bit_masks(support), np.ones(len(paulis))


@dataclass(frozen=True, slots=True, eq=False)
class Observable:
    """A Hermitian Pauli sum, split into its constant and measurement groups for all other terms."""

    operator: SparsePauliOp
    constant: float
    groups: tuple[MeasurementGroup, ...]

    @property
    def num_qubits(self) -> int:
        return int(self.operator.num_qubits)

    @property
    def two_qubit_gates(self) -> int:
        """The largest number of two-qubit gates that a group's diagonalization adds to a circuit."""
        diagonalizations = [group.diagonalization for group in self.groups if group.diagonalization is not None]
        return max((diagonalization.two_qubit_gates for diagonalization in diagonalizations), default=0)


def observable(operator: SparsePauliOp, grouping: Grouping = Grouping.QUBIT_WISE) -> Observable:
    """Check the operator and split it into groups of commuting terms, by the better of two heuristics.

    Qiskit colors a graph, for few groups; sorted insertion by |c| (O. Crawford et al., Quantum 5 (2021) 385) lets large
    terms share shots. The better one has the smaller Σ_g √(Σ_t c_t²), the root of the shots by Neyman allocation if
    terms do not correlate. On LiH (10 spin orbitals) it takes 77 groups instead of 76, and a fifth of the shots. Above
    `MAX_COLORED_TERMS` terms only sorted insertion is used. Raises InputError for coefficients that are not finite or
    not real.
    """
    # check the coefficients
    if not np.isfinite(operator.coeffs).all():
        raise InputError("problem", "a coefficient of the operator is not a finite number", "Give finite numbers.")
    operator = operator.simplify(atol=0.0)
    skew = float(np.abs(operator.coeffs.imag).max())
    if skew > HERMITIAN_TOLERANCE:
        problem = f"the operator is not Hermitian: a coefficient has an imaginary part of {skew:.3g}"
        raise InputError("problem", problem, "Give a Pauli sum with real coefficients.")
    # separate the constant, then group the rest
    is_identity = ~(operator.paulis.x.any(axis=1) | operator.paulis.z.any(axis=1))
    constant = float(operator.coeffs.real[is_identity].sum())
    rest = operator[~is_identity]
    if is_identity.all():
        return Observable(operator, constant, ())
    is_qubit_wise = grouping is Grouping.QUBIT_WISE
    choices = [_sorted_insertion_qubit_wise(rest) if is_qubit_wise else _sorted_insertion_commuting(rest)]
    if len(rest) <= MAX_COLORED_TERMS:
        choices.append(rest.group_commuting(qubit_wise=is_qubit_wise))
    return Observable(operator, constant, tuple(_group(part) for part in min(choices, key=_shot_cost)))


def _shot_cost(groups: Sequence[SparsePauliOp]) -> float:
    return float(sum(np.linalg.norm(group.coeffs) for group in groups))


def _sorted_insertion_qubit_wise(operator: SparsePauliOp) -> list[SparsePauliOp]:
    """Sorted insertion: each term, largest first, joins the first group that it qubit-wise commutes with."""
    x_masks, z_masks = bit_masks(operator.paulis.x), bit_masks(operator.paulis.z)
    groups: list[tuple[int, int, list[int]]] = []  # the basis as X and Z masks, and the terms' indices
    for index in _largest_first(operator):
        x, z = x_masks[index], z_masks[index]
        for position, (group_x, group_z, members) in enumerate(groups):
            shared = (x | z) & (group_x | group_z)
            if not shared & ((x ^ group_x) | (z ^ group_z)):
                groups[position] = (group_x | x, group_z | z, [*members, index])
                break
        else:
            groups.append((x, z, [index]))
    return [operator[members] for _, _, members in groups]


def _sorted_insertion_commuting(operator: SparsePauliOp) -> list[SparsePauliOp]:
    """Sorted insertion: each term, largest first, joins the first group that it commutes with."""
    x, z = operator.paulis.x.astype(np.uint8), operator.paulis.z.astype(np.uint8)
    groups: list[list[int]] = []
    for index in _largest_first(operator):
        commutes = ((x @ z[index] + z @ x[index]) % 2 == 0).tolist()
        for members in groups:
            if all(commutes[member] for member in members):
                members.append(index)
                break
        else:
            groups.append([index])
    return [operator[members] for members in groups]


def _largest_first(operator: SparsePauliOp) -> list[int]:
    sizes = np.round(np.abs(operator.coeffs), 10)  # terms that are equal up to rounding keep the order of their labels
    order: list[int] = np.argsort(-sizes, kind="stable").tolist()
    return order


def _group(operator: SparsePauliOp) -> MeasurementGroup:
    x, z = operator.paulis.x, operator.paulis.z
    support, basis_x, basis_z = x | z, x.any(axis=0), z.any(axis=0)
    coefficients = operator.coeffs.real.copy()
    if (support & ((x ^ basis_x) | (z ^ basis_z))).any():  # on some qubit the terms have different letters
        diagonalization = diagonalize(operator.paulis)
        diagonal = diagonalization.transform(operator.paulis)
        signs = 1.0 - diagonal.phase
        return MeasurementGroup("", tuple(bit_masks(diagonal.z)), signs * coefficients, diagonalization)
    letters = np.array(["I", "Z", "X", "Y"])[2 * basis_x + basis_z]
    return MeasurementGroup("".join(reversed(letters)), tuple(bit_masks(support)), coefficients)


def bit_masks(rows: BoolArray) -> list[int]:
    """Return one integer per row; bit i is column i."""
    packed = np.packbits(rows, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
