"""A state near the one sought, known classically, whose covariances tell how to share the shots among groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from qiskit.quantum_info import PauliList, SparsePauliOp

from hybridloop.algorithms.circuits.diagonalization import bit_masks

EXTRA_VARIANCE = 0.1  # of each term's variance bound c²: expected beyond that of a basis state
EXTRA_VARIANCE_PERTURBED = 0.005  # the same beyond a perturbed state; with less, shares of opposite sign grow too large
AMPLITUDE_DECIMALS = 6  # digits that another machine's rounding may change are cut off
WORD_BITS = 64
_PHASES = np.array([1.0, 1.0j, -1.0, -1.0j])
Words = NDArray[np.uint64]  # bit strings (k, words) of any length, the most significant word first


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceState:
    """A sum of basis states, k integers, bit i = qubit i, with amplitudes (k,): the state sought is near it.

    `extra_variance` is what each term's variance is expected to have beyond that of this state, as a part of c².
    """

    basis_states: tuple[int, ...]
    amplitudes: NDArray[np.complex128]
    extra_variance: float

    @classmethod
    def of_basis_state(cls, state: int) -> ReferenceState:
        """Create a single basis state, such as Hartree-Fock's."""
        return cls((state,), np.ones(1, complex), EXTRA_VARIANCE)

    @classmethod
    def perturbed(cls, hamiltonian: SparsePauliOp, state: int) -> ReferenceState:
        """Create a basis state with all that the Hamiltonian couples to it, each by its own rotation of two states.

        The rotation diagonalizes ((E₀, v), (v, E)) and is at most 45°, also where E is below E₀. To first order in v it
        is perturbation theory, which for Hartree-Fock adds the double excitations.
        """
        paulis = hamiltonian.paulis
        x, z = (_words(bit_masks(bits), paulis.num_qubits) for bits in (paulis.x, paulis.z))
        origin = _words([state], paulis.num_qubits)
        # ⟨state ^ x|H|state⟩ by the flipped qubits x
        flips, index = _distinct(x)
        elements = hamiltonian.coeffs * _factors(x, z, origin)[:, 0]
        couplings = np.bincount(index, elements.real, len(flips)) + 1j * np.bincount(index, elements.imag, len(flips))
        coupled = flips.any(axis=1) & (np.abs(couplings) > 10.0**-AMPLITUDE_DECIMALS)
        states, couplings = np.append(flips[coupled] ^ origin, origin, axis=0), couplings[coupled]
        # energies above that of the state
        diagonal = ~x.any(axis=1)
        signs = 1.0 - 2.0 * _parities(states, z[diagonal])
        energies = (signs * hamiltonian.coeffs.real[diagonal]).sum(axis=1)
        gaps = np.maximum(energies[:-1] - energies[-1], 0.0)
        sizes = np.tan(0.5 * np.arctan2(2.0 * np.abs(couplings), gaps))
        rounded = np.round(-sizes * couplings / np.abs(couplings), AMPLITUDE_DECIMALS)
        kept = rounded != 0.0
        all_states, amplitudes = (state, *_integers(states[:-1][kept])), np.append([1.0 + 0.0j], rounded[kept])
        amplitudes /= np.sqrt((np.abs(amplitudes) ** 2).sum())
        return cls(all_states, amplitudes, EXTRA_VARIANCE_PERTURBED)

    def truncate(self, most: int) -> ReferenceState:
        """Keep at most so many basis states, those of largest amplitude; what is lost is extra variance."""
        if len(self.amplitudes) <= most:
            return self
        weights = np.abs(self.amplitudes) ** 2
        order = np.argsort(-np.round(weights, 2 * AMPLITUDE_DECIMALS), kind="stable")[:most]
        kept = float(weights[order].sum())
        extra = self.extra_variance + 1.0 - kept
        states = tuple(self.basis_states[place] for place in order.tolist())
        return ReferenceState(states, self.amplitudes[order] / np.sqrt(kept), extra)

    def centered_images(self, paulis: PauliList) -> scipy.sparse.csr_array:
        """Return (P − ⟨P⟩)|ψ⟩ of each term, (terms, basis states); the inner product of two rows is a covariance.

        Columns are ordered by the qubits that differ from the first basis state.
        """
        x, z = (_words(bit_masks(bits), paulis.num_qubits) for bits in (paulis.x, paulis.z))
        states = _words(self.basis_states, paulis.num_qubits)
        images = (x[:, None] ^ states).reshape(-1, states.shape[1])
        values = _factors(x, z, states) * self.amplitudes
        # the column of each image, and of each of the basis states
        different, columns = _distinct(np.append(images, states, axis=0) ^ states[0])
        columns, own_columns = columns[: len(images)], columns[len(images) :]
        # expectation values: the images' overlap with the state
        place_of = np.full(len(different), -1)
        place_of[own_columns] = np.arange(len(states))
        places = place_of[columns].reshape(values.shape)
        overlaps = np.where(places >= 0, np.conj(self.amplitudes[places]) * values, 0.0)
        means = overlaps.sum(axis=1).real
        # both parts in one row; exact zeros, such as of a diagonal term on a basis state, are left out
        rows = np.repeat(np.arange(len(x)), len(states))
        data = np.append(values, -means[:, None] * self.amplitudes)
        place = (np.tile(rows, 2), np.append(columns, np.tile(own_columns, len(x))))
        centered = scipy.sparse.csr_array(scipy.sparse.coo_array((data, place), shape=(len(x), len(different))))
        centered.sum_duplicates()
        centered.eliminate_zeros()
        return centered if centered.data.imag.any() else centered.real


def _factors(x: Words, z: Words, states: Words) -> NDArray[np.complex128]:
    """Return the factors (terms, states) of P|s⟩ = factor · |s ^ x⟩."""
    phases = _PHASES[np.bitwise_count(x & z).sum(axis=1) % 4]
    factors: NDArray[np.complex128] = phases[:, None] * (1.0 - 2.0 * _parities(z, states))
    return factors


def _parities(rows: Words, columns: Words) -> NDArray[np.uint8]:
    """Return the parity of the common bits of each row and column, (rows, columns)."""
    parities = np.zeros((len(rows), len(columns)), np.uint8)
    for word in range(rows.shape[1]):
        parities ^= np.bitwise_count(rows[:, None, word] & columns[None, :, word])
    parities &= 1
    return parities


def _distinct(rows: Words) -> tuple[Words, NDArray[np.intp]]:
    """Return the distinct rows in ascending order, and the place of each row among them."""
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    begins = np.append([True], (ordered[1:] != ordered[:-1]).any(axis=1))
    places = np.empty(len(rows), np.intp)
    places[order] = np.cumsum(begins) - 1
    return ordered[begins], places


def _words(integers: Sequence[int], num_bits: int) -> Words:
    count = -(-num_bits // WORD_BITS)
    packed = b"".join(each.to_bytes(WORD_BITS // 8 * count, "big") for each in integers)
    return np.frombuffer(packed, ">u8").reshape(len(integers), count).astype(np.uint64)


def _integers(words: Words) -> tuple[int, ...]:
    return tuple(int.from_bytes(row.tobytes(), "big") for row in words.astype(">u8"))
