"""States near the one sought, known classically, whose covariances tell how to share the shots among groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import PauliList, SparsePauliOp
from scipy.sparse import coo_array, csr_array

from hybridloop.algorithms.circuits.diagonalization import bit_masks

EXTRA_VARIANCE = 0.1  # of each term's variance bound c²: expected beyond that of a basis state
EXTRA_VARIANCE_PERTURBED = 0.005  # the same beyond a perturbed state; with less, shares of opposite sign grow too large
AMPLITUDE_DECIMALS = 6  # digits that another machine's rounding may change are cut off
_PHASES = np.array([1.0, 1.0j, -1.0, -1.0j])


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceState:
    """A sum of basis states, (k,), bit i = qubit i, with amplitudes (k,): the state sought is near it.

    `extra_variance` is what each term's variance is expected to have beyond that of this state, as a part of c².
    """

    basis_states: NDArray[np.int64]
    amplitudes: NDArray[np.complex128]
    extra_variance: float

    @classmethod
    def of_basis_state(cls, state: int) -> ReferenceState:
        """Create a single basis state, such as Hartree-Fock's."""
        return cls(np.array([state], np.int64), np.ones(1, complex), EXTRA_VARIANCE)

    @classmethod
    def perturbed(cls, hamiltonian: SparsePauliOp, state: int) -> ReferenceState:
        """Create a basis state with all that the Hamiltonian couples to it, each by its own rotation of two states.

        The rotation diagonalizes ((E₀, v), (v, E)) and is at most 45°, also where E is below E₀. To first order in v it
        is perturbation theory, which for Hartree-Fock adds the double excitations.
        """
        paulis = hamiltonian.paulis
        x, z = (np.array(bit_masks(bits), np.int64) for bits in (paulis.x, paulis.z))
        # ⟨state ^ x|H|state⟩ by the flipped qubits x
        flips, index = np.unique(x, return_inverse=True)
        elements = hamiltonian.coeffs * _factors(x, z, np.array([state]))[:, 0]
        couplings = np.bincount(index, elements.real, len(flips)) + 1j * np.bincount(index, elements.imag, len(flips))
        coupled = (flips != 0) & (np.abs(couplings) > 10.0**-AMPLITUDE_DECIMALS)
        states, couplings = flips[coupled] ^ state, couplings[coupled]
        # energies above that of the state
        diagonal = x == 0
        signs = 1.0 - 2.0 * (np.bitwise_count(z[diagonal] & np.append(states, state)[:, None]) % 2)
        energies = (signs * hamiltonian.coeffs.real[diagonal]).sum(axis=1)
        gaps = np.maximum(energies[:-1] - energies[-1], 0.0)
        sizes = np.tan(0.5 * np.arctan2(2.0 * np.abs(couplings), gaps))
        rounded = np.round(-sizes * couplings / np.abs(couplings), AMPLITUDE_DECIMALS)
        kept = rounded != 0.0
        all_states, amplitudes = np.append([state], states[kept]), np.append([1.0 + 0.0j], rounded[kept])
        return cls(all_states, amplitudes / np.sqrt((np.abs(amplitudes) ** 2).sum()), EXTRA_VARIANCE_PERTURBED)

    def truncate(self, most: int) -> ReferenceState:
        """Keep at most so many basis states, those of largest amplitude; what is lost is extra variance."""
        if len(self.amplitudes) <= most:
            return self
        weights = np.abs(self.amplitudes) ** 2
        order = np.argsort(-np.round(weights, 2 * AMPLITUDE_DECIMALS), kind="stable")[:most]
        kept = float(weights[order].sum())
        extra = self.extra_variance + 1.0 - kept
        return ReferenceState(self.basis_states[order], self.amplitudes[order] / np.sqrt(kept), extra)

    def centered_images(self, paulis: PauliList) -> csr_array:
        """Return (P − ⟨P⟩)|ψ⟩ of each term, (terms, basis states); the inner product of two rows is a covariance.

        Columns are ordered by the qubits that differ from the first basis state.
        """
        x, z = (np.array(bit_masks(bits), np.int64) for bits in (paulis.x, paulis.z))
        images = x[:, None] ^ self.basis_states
        values = _factors(x, z, self.basis_states) * self.amplitudes
        # expectation values: the images' overlap with the state
        order = np.argsort(self.basis_states, kind="stable")
        places = order[np.searchsorted(self.basis_states, images, sorter=order) % len(order)]
        overlaps = np.where(self.basis_states[places] == images, np.conj(self.amplitudes[places]) * values, 0.0)
        means = overlaps.sum(axis=1).real
        # both parts in one row; exact zeros, such as of a diagonal term on a basis state, are left out
        flips = np.append(images, self.basis_states) ^ self.basis_states[0]
        different, columns = np.unique(flips, return_inverse=True)
        columns = columns.reshape(-1)
        own = np.broadcast_to(columns[images.size :], images.shape)
        rows = np.repeat(np.arange(len(x)), len(self.basis_states))
        data = np.append(values, -means[:, None] * self.amplitudes)
        place = (np.tile(rows, 2), np.append(columns[: images.size], own))
        centered = csr_array(coo_array((data, place), shape=(len(x), len(different))))
        centered.sum_duplicates()
        centered.eliminate_zeros()
        return centered if centered.data.imag.any() else centered.real


def _factors(x: NDArray[np.int64], z: NDArray[np.int64], states: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Return the factors (terms, states) of P|s⟩ = factor · |s ^ x⟩."""
    signs = 1.0 - 2.0 * (np.bitwise_count(z[:, None] & states) % 2)
    factors: NDArray[np.complex128] = _PHASES[np.bitwise_count(x & z) % 4][:, None] * signs
    return factors
