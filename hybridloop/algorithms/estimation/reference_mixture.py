"""Several states, any of which may be sought, whose mean covariances tell how to share the shots among groups."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp
from scipy.sparse import csr_array, hstack

from hybridloop.algorithms.circuits.diagonalization import bit_masks
from hybridloop.algorithms.estimation.reference_state import ReferenceState

EXTRA_VARIANCE = 0.05  # of each term's variance bound c²: a level is less well known than the ground state
STATES_PER_LEVEL = 2  # a level that is none of the lowest basis states is then seldom missed
MAX_QUBITS = 14  # all basis states are compared
ENERGY_DECIMALS = 9  # in hartree: digits that another machine's rounding may change are cut off


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceMixture:
    """Reference states of equal weight: the covariances are the means of theirs."""

    states: tuple[ReferenceState, ...]

    @classmethod
    def of_levels(cls, hamiltonian: SparsePauliOp, levels: int, hartree_fock: int) -> ReferenceMixture:
        """Create the lowest basis states of a Hamiltonian, perturbed, twice as many as levels.

        They have any number of electrons. On more than `MAX_QUBITS` qubits it is Hartree-Fock alone.
        """
        chosen = [hartree_fock]
        if (qubits := int(hamiltonian.num_qubits)) <= MAX_QUBITS:
            is_diagonal = ~hamiltonian.paulis.x.any(axis=1)
            diagonal = hamiltonian[is_diagonal]
            energies = np.zeros(2**qubits)
            for mask, coefficient in zip(bit_masks(diagonal.paulis.z), diagonal.coeffs.real, strict=True):
                energies += coefficient * (1.0 - 2.0 * (np.bitwise_count(np.arange(2**qubits) & mask) % 2))
            order = np.argsort(np.round(energies, ENERGY_DECIMALS), kind="stable")
            chosen = order[: STATES_PER_LEVEL * levels].tolist()
        perturbed = (ReferenceState.perturbed(hamiltonian, state) for state in chosen)
        return cls(tuple(replace(state, extra_variance=EXTRA_VARIANCE) for state in perturbed))

    @property
    def extra_variance(self) -> float:
        """Mean of the states' extra variances."""
        return float(np.mean([state.extra_variance for state in self.states]))

    def truncate(self, most: int) -> ReferenceMixture:
        """Keep at most so many basis states, or one of each state."""
        return ReferenceMixture(tuple(state.truncate(max(1, most // len(self.states))) for state in self.states))

    def centered_images(self, paulis: PauliList) -> csr_array:
        """Return the images of each term in all states, (terms, columns), scaled so that their covariances average."""
        scale = 1.0 / np.sqrt(len(self.states))
        return csr_array(hstack([scale * state.centered_images(paulis) for state in self.states]))
