"""Symmetries of a circuit's states that measured outcomes show: outcomes without them are errors of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_, xor

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, Statevector

from hybridloop.algorithms.circuits.orbital_rotation import OrbitalRotation
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.problems.electronic import Encoding

MAX_LISTED_QUBITS = 16  # of outcomes that are listed
MAX_TRIED_QUBITS = 12  # of a circuit whose symmetries are looked for in its states
ROUNDING, SEED = 1e-9, 1  # of a probability; of the angles that are tried


@dataclass(frozen=True, slots=True)
class Symmetry:
    """A number that each outcome has: so many `ones` among bits that are parities of the outcome's bits.

    Each of the `parities` is that of the outcome's bits in a mask (bit i is qubit i), inverted where it says so. One
    parity is a Z2 symmetry; a parity for each qubit is the magnetization, or the number of electrons of a spin.
    """

    parities: tuple[tuple[int, bool], ...]
    ones: int

    @classmethod
    def of_parity(cls, mask: int, sign: int) -> Symmetry:
        """Return the Z2 symmetry in which the product of Z over a mask's qubits is `sign`, 1 or −1."""
        return cls(((mask, False),), int(sign < 0))

    @property
    def parity(self) -> Symmetry:
        """The Z2 symmetry that follows from it."""
        mask = reduce(xor, (mask for mask, _ in self.parities), 0)
        odd = self.ones + sum(inverted for _, inverted in self.parities)
        return Symmetry(((mask, False),), odd % 2)

    @property
    def is_trivial(self) -> bool:
        """True if every outcome has it, as one electron in two orbitals whose parity is known."""
        support = reduce(or_, (mask for mask, _ in self.parities), 0)
        if support.bit_count() > MAX_TRIED_QUBITS:
            return False
        bits = [bit for bit in range(support.bit_length()) if support >> bit & 1]
        outcomes = np.zeros((1 << len(bits), support.bit_length()), np.uint8)
        outcomes[:, bits] = all_outcomes(len(bits))
        return bool(self.holds(outcomes).all())

    def holds(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return for each outcome (k, bits), lowest bit first, whether it has the number."""
        rows = [[mask >> bit & 1 for mask, _ in self.parities] for bit in range(bits.shape[1])]
        masks = np.array(rows, np.uint8).reshape(bits.shape[1], len(self.parities))
        inverted = np.array([inverted for _, inverted in self.parities], np.uint8)
        found: NDArray[np.bool_] = (((bits @ masks) & 1) ^ inverted).sum(axis=1, dtype=np.int64) == self.ones
        return found


def all_hold(symmetries: Sequence[Symmetry], bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return for each outcome (k, bits) whether it has all symmetries."""
    found = np.ones(len(bits), bool)
    for each in symmetries:
        found &= each.holds(bits)
    return found


def all_outcomes(num_bits: int) -> NDArray[np.uint8]:
    """Return the bits of all outcomes (2^bits, bits) in their order, lowest bit first."""
    return (np.arange(1 << num_bits)[:, None] >> np.arange(num_bits) & 1).astype(np.uint8)


@lru_cache(maxsize=1024)
def shown_by(group: MeasurementGroup, symmetries: tuple[Symmetry, ...], num_bits: int) -> tuple[Symmetry, ...]:
    """Return the symmetries of a state as a group's outcomes show them; of some only their parity, of others none."""
    found = (_shown_by(group, symmetry, num_bits) for symmetry in symmetries)
    return tuple(symmetry for symmetry in found if symmetry is not None)


def _shown_by(group: MeasurementGroup, symmetry: Symmetry, num_bits: int) -> Symmetry | None:
    if isinstance(group.diagonalization, OrbitalRotation):
        return symmetry  # a rotation of orbitals keeps the electrons of each spin
    for each in (symmetry, symmetry.parity):
        z = np.array([[bool(mask >> qubit & 1) for qubit in range(num_bits)] for mask, _ in each.parities])
        is_measured, masks, signs = group.measurable_terms(PauliList.from_symplectic(z, np.zeros_like(z)))
        if all(is_measured) and not each.is_trivial:
            inverted = [old != (sign < 0) for (_, old), sign in zip(each.parities, signs.tolist(), strict=True)]
            return Symmetry(tuple(zip(masks, inverted, strict=True)), each.ones)
    return None


@lru_cache(maxsize=1024)
def mean_of_kept(group: MeasurementGroup, symmetries: tuple[Symmetry, ...], num_bits: int) -> float:
    """Return a group's mean energy over all outcomes with the symmetries that it shows, each as likely.

    Noise ends in that mixed state of what is kept. Of more than `MAX_LISTED_QUBITS` it is that of all outcomes: 0.
    """
    outcomes = _kept(group, symmetries, num_bits)
    if outcomes is None:
        return 0.0
    parities = [np.bitwise_count(outcomes & mask) & 1 for mask in group.masks]
    return float(sum(c * (1.0 - 2.0 * p.mean()) for c, p in zip(group.coefficients, parities, strict=True)))


@lru_cache(maxsize=1024)
def share_of_kept(group: MeasurementGroup, symmetries: tuple[Symmetry, ...], num_bits: int) -> float:
    """Return the share of all outcomes of a group that has its symmetries; 1 for too many of them to be listed."""
    outcomes = _kept(group, symmetries, num_bits)
    return 1.0 if outcomes is None else len(outcomes) / 2.0**num_bits


def _kept(group: MeasurementGroup, symmetries: tuple[Symmetry, ...], num_bits: int) -> NDArray[np.int64] | None:
    """Return the outcomes that have what a group shows of the symmetries; None for too many, or where it shows none."""
    shown = had_by(group, symmetries, num_bits)
    if num_bits > MAX_LISTED_QUBITS or not shown:
        return None
    return np.flatnonzero(all_hold(shown, all_outcomes(num_bits)))


def had_by(group: MeasurementGroup, symmetries: tuple[Symmetry, ...], num_bits: int) -> tuple[Symmetry, ...]:
    """Return the symmetries of a group's outcomes: its number of ones, else what it shows of a state's."""
    if group.ones is None:
        return shown_by(group, symmetries, num_bits)
    return (Symmetry(tuple((1 << bit, False) for bit in range(num_bits)), group.ones),)


def electrons_of_each_spin(encoding: Encoding) -> tuple[Symmetry, ...]:
    """Return the numbers of alpha and of beta electrons as symmetries of an encoding's qubits."""
    # an occupation is a parity of the qubits, as the encoding is linear over GF(2)
    zero = encoding.occupations(np.zeros((1, encoding.num_qubits), np.uint8))[0]
    single = encoding.occupations(np.eye(encoding.num_qubits, dtype=np.uint8)) ^ zero
    masks = [sum(1 << qubit for qubit in np.flatnonzero(column).tolist()) for column in single.T]
    parities = tuple(zip(masks, zero.astype(bool).tolist(), strict=True))
    alpha, beta = encoding.electrons
    both = (Symmetry(parities[: encoding.norb], alpha), Symmetry(parities[encoding.norb :], beta))
    return tuple(each for each in both if not each.is_trivial)


def kept_by(circuit: QuantumCircuit, alternatives: Sequence[Sequence[Symmetry]]) -> tuple[Symmetry, ...]:
    """Return of each sequence the first symmetry that a circuit's states have at all angles, if there is one.

    A state's probability to be without a symmetry is a trigonometric polynomial of the angles. One that is not 0
    everywhere is 0 at random angles with probability 0 (J. T. Schwartz, J. ACM 27 (1980) 701, for polynomials).
    """
    if circuit.num_qubits > MAX_TRIED_QUBITS:
        return ()
    outcomes = all_outcomes(circuit.num_qubits)
    points = np.random.default_rng(SEED).uniform(-np.pi, np.pi, (2, circuit.num_parameters))
    chances = [Statevector(circuit.assign_parameters(point)).probabilities() for point in points]

    def is_kept(symmetry: Symmetry) -> bool:
        holds = symmetry.holds(outcomes)
        return not symmetry.is_trivial and all(chance[~holds].sum() < ROUNDING for chance in chances)

    found = (next(filter(is_kept, each), None) for each in alternatives)
    return tuple(symmetry for symmetry in found if symmetry is not None)


def electrons_kept_by(circuit: QuantumCircuit, encoding: Encoding) -> tuple[Symmetry, ...]:
    """Return of each spin the electrons, or their parity, as symmetries of a circuit's states at all angles."""
    return kept_by(circuit, [(each, each.parity) for each in electrons_of_each_spin(encoding)])


def ones_kept_by(circuit: QuantumCircuit) -> tuple[Symmetry, ...]:
    """Return the number of ones, or its parity, as a symmetry of a circuit's states at all angles, if it is one."""
    each = tuple((1 << qubit, False) for qubit in range(circuit.num_qubits))
    numbers = [Symmetry(each, ones) for ones in range(circuit.num_qubits + 1)]
    return kept_by(circuit, [(*numbers, *(number.parity for number in numbers[:2]))])
