"""Observables for measurement: a Pauli sum in groups of commuting terms, each measured by one circuit.

Clifford circuits diagonalize commuting terms, so that one measurement of all qubits shows them all.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

from hybridloop.algorithms.circuits.diagonalization import BoolArray, Diagonalization, bit_masks, diagonalize
from hybridloop.algorithms.estimation.commuting_groups import color_greedily, insert_sorted
from hybridloop.errors import InputError
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.algorithms.circuits import orbital_rotation, pair_rotation
else:
    orbital_rotation = leaf("hybridloop.algorithms.circuits.orbital_rotation")
    pair_rotation = leaf("hybridloop.algorithms.circuits.pair_rotation")

HERMITIAN_TOLERANCE = 1e-9  # hartree: smaller imaginary parts come from rounding where the operator was built
MAX_COLORED_TERMS = 3000  # coloring compares all pairs
MAX_LISTED = 1 << 14  # outcomes whose values are computed
MOST_BITS = 62  # of an outcome that is listed as an integer


class Grouping(enum.StrEnum):
    """The condition for terms to share a circuit."""

    QUBIT_WISE = "qubit-wise"  # terms commute on every qubit: one-qubit gates diagonalize them
    FULLY_COMMUTING = "fully-commuting"  # terms commute: fewer circuits, which need two-qubit Clifford gates
    DOUBLE_FACTORIZATION = "double-factorization"  # occupations of rotated orbitals: see `double_factorization`
    PAIR_ROTATIONS = "pair-rotations"  # electron pairs after Givens rotations of two orbitals each: see `pair_groups`


@dataclass(frozen=True, slots=True, eq=False)
class MeasurementGroup:
    """A group of commuting Pauli terms that one circuit measures.

    Qubit-wise commuting terms have a `basis`, a Pauli label (rightmost = qubit 0; I where no term acts). Other groups
    have a `diagonalization`, a Clifford circuit or a rotation of orbitals that makes them products of Z; their `basis`
    is empty. `masks` (terms,) are the qubits, as bits, whose outcomes' parity is each term; `coefficients` (terms,) are
    in the operator's unit and include the signs of the diagonalization. No term is the identity. `energy_range` is
    that of the outcomes with the molecule's electrons, infinite where it is not known. Where the state has a known
    number of `ones`, outcomes with another one are errors, and are discarded. `fault_deviation` is the root of the
    squared deviations that are expected of a machine's faults, 0 for one without.
    """

    basis: str
    masks: tuple[int, ...]
    coefficients: NDArray[np.float64]
    diagonalization: Diagonalization | orbital_rotation.OrbitalRotation | pair_rotation.PairRotation | None = None
    energy_range: float = math.inf
    ones: int | None = None
    fault_deviation: float = 0.0

    def reach(self, mean: float, num_bits: int) -> float:
        """Return the most that an outcome of so many bits may be off the mean: by its values, or `energy_range`."""
        low, high = _value_range(self, num_bits)
        return min(max(high - mean, mean - low), self.energy_range)

    def values(self, num_bits: int) -> NDArray[np.float64]:
        """Return the value of each outcome of so many bits, (2**bits,): the Walsh-Hadamard transform of the terms."""
        values = np.zeros(1 << num_bits)
        np.add.at(values, list(self.masks), self.coefficients)
        for bit in range(num_bits):
            pairs = values.reshape(-1, 2, 1 << bit)
            values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        return values

    @property
    def max_abs_energy(self) -> float:
        """The sum Σ|c|, which bounds the absolute energy of a shot."""
        return float(np.abs(self.coefficients).sum())

    @property
    def two_qubit_gates(self) -> int:
        """The number of two-qubit gates that the diagonalization adds to a circuit."""
        return 0 if self.diagonalization is None else self.diagonalization.two_qubit_gates

    @property
    def one_qubit_gates(self) -> int:
        """The number of one-qubit gates of the basis change."""
        if self.diagonalization is None:
            return self.basis.count("X") + 2 * self.basis.count("Y")
        return len(self.diagonalization.gates) - self.diagonalization.two_qubit_gates

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
        """Return which of the terms this circuit measures, and the mask and sign, 1 or −1, of each of those."""
        if self.diagonalization is not None:
            diagonal = self.diagonalization.transform(paulis)
            is_measurable = ~diagonal.x.any(axis=1)
            return is_measurable, bit_masks(diagonal.z[is_measurable]), 1.0 - diagonal.phase[is_measurable]
        letters = np.array(list(reversed(self.basis)))
        basis_x, basis_z = np.isin(letters, ["X", "Y"]), letters != "X"  # qubits without a letter are measured in Z
        support = paulis.x | paulis.z
        is_measurable = ~(support & ((paulis.x ^ basis_x) | (paulis.z ^ basis_z))).any(axis=1)
        masks = bit_masks(support[is_measurable])
        return is_measurable, masks, np.ones(len(masks))


@lru_cache(maxsize=1024)
def _value_range(group: MeasurementGroup, num_bits: int) -> tuple[float, float]:
    """Return the least and the largest energy of an outcome; beyond `MAX_LISTED` outcomes a bound by Σ|c|."""
    most = group.max_abs_energy
    if group.ones is not None and num_bits <= MOST_BITS and math.comb(num_bits, group.ones) <= MAX_LISTED:
        outcomes = np.array([sum(1 << bit for bit in bits) for bits in combinations(range(num_bits), group.ones)])
        parities = [np.bitwise_count(outcomes & mask) & 1 for mask in group.masks]
        values = sum((c * (1.0 - 2.0 * p) for c, p in zip(group.coefficients, parities, strict=True)), np.zeros(1))
    elif num_bits <= MAX_LISTED.bit_length() - 1:
        values = group.values(num_bits)
    else:
        return -most, most
    return float(values.min()), float(values.max())


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
    def widths(self) -> tuple[float, ...]:
        """The range of a shot's values in each group."""
        low_high = [_value_range(group, self.num_qubits) for group in self.groups]
        pairs = zip(self.groups, low_high, strict=True)
        return tuple(min(high - low, group.energy_range) for group, (low, high) in pairs)

    def with_all_outcomes(self) -> Observable:
        """Return the same with groups that discard none of their outcomes."""
        return replace(self, groups=tuple(replace(each, ones=None, energy_range=math.inf) for each in self.groups))

    @property
    def two_qubit_gates(self) -> int:
        """The largest number of two-qubit gates that a group's diagonalization adds to a circuit."""
        return max((group.two_qubit_gates for group in self.groups), default=0)


def observable(operator: SparsePauliOp, grouping: Grouping = Grouping.QUBIT_WISE) -> Observable:
    """Check the operator and split it into groups of terms that commute, by the better of two heuristics.

    Greedy coloring makes few groups; sorted insertion by |c| (O. Crawford et al., Quantum 5 (2021) 385) lets large
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
    qubit_wise = grouping is Grouping.QUBIT_WISE
    choices = [insert_sorted(rest, qubit_wise=qubit_wise)]
    if len(rest) <= MAX_COLORED_TERMS:
        choices.append(color_greedily(rest.paulis, qubit_wise=qubit_wise))
    parts = min(([rest[indices] for indices in groups] for groups in choices), key=_shot_cost)
    return Observable(operator, constant, tuple(map(_group, parts)))


def _shot_cost(groups: Sequence[SparsePauliOp]) -> float:
    return float(sum(np.linalg.norm(group.coeffs) for group in groups))


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
