"""Subspaces of single determinants, chosen in a product space of alpha and beta strings, to which PySCF applies H."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.interruption import check_interruption
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.product_spaces import (
    DECIMALS,
    ENERGY_TOLERANCE,
    MAX_CYCLES,
    Strings,
    SubspaceState,
    one_thread,
)

MIN_GAP = 1e-3  # hartree: least denominator of the perturbation theory, and of Davidson's preconditioner


def second_order_energies(
    image: NDArray[np.float64], diagonal: NDArray[np.float64], energy: float
) -> NDArray[np.float64]:
    """Return |⟨D|H|ψ⟩|² / (E_D − E) of each determinant in hartree, from H ψ, H's diagonal, and E without core energy.

    B. Huron, J. P. Malrieu and P. Rancurel, J. Chem. Phys. 58 (1973) 5745 (CIPSI).
    """
    worth: NDArray[np.float64] = image**2 / np.maximum(diagonal - energy, MIN_GAP)
    return worth


def lowest_among(
    apply: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    diagonal: NDArray[np.float64],
    chosen: NDArray[np.int64],
    guess: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """Return the lowest energy without core energy among chosen determinants, and its vector over all of them.

    `apply` multiplies a flat vector over all determinants by H; `guess` has one amplitude for each chosen determinant.
    """
    from pyscf import lib

    def embed(part: NDArray[np.float64]) -> NDArray[np.float64]:
        vector = np.zeros(len(diagonal))
        vector[chosen] = part
        return vector

    own = diagonal[chosen]
    with one_thread():
        energy, part = lib.davidson(
            lambda vector: apply(embed(vector))[chosen],
            guess / np.linalg.norm(guess),
            lambda residual, lowest, *_: residual / (own - lowest + MIN_GAP),
            tol=ENERGY_TOLERANCE,
            max_cycle=MAX_CYCLES,
            verbose=0,
        )
    return float(energy), embed(np.asarray(part, float))


@dataclass(frozen=True, eq=False)
class ProductHamiltonian:
    """The Hamiltonian without core energy in alpha ⊗ beta; strings ascend, and vectors are flat."""

    molecule: Molecule
    alpha: Strings
    beta: Strings

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of alpha and of beta strings."""
        return len(self.alpha), len(self.beta)

    @cached_property
    def diagonal(self) -> NDArray[np.float64]:
        """The energies of the determinants."""
        from pyscf.fci import selected_ci

        molecule = self.molecule
        with one_thread():
            diagonal = selected_ci.make_hdiag(
                molecule.one_body, molecule.two_body, (self.alpha, self.beta), molecule.norb, molecule.electrons
            )
        return np.asarray(diagonal, float).ravel()

    @cached_property
    def _tables(self) -> tuple[Any, Any]:
        """The integrals with the one-body part absorbed, and PySCF's tables of coupled strings."""
        from pyscf.fci import direct_spin1, selected_ci

        molecule = self.molecule
        integrals = direct_spin1.absorb_h1e(
            molecule.one_body, molecule.two_body, molecule.norb, molecule.electrons, 0.5
        )
        links = selected_ci._all_linkstr_index((self.alpha, self.beta), molecule.norb, molecule.electrons)
        return integrals, links

    def apply(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the projection of H times a flat vector. Raises what ends it (`interrupted_by`)."""
        from pyscf.fci import selected_ci

        check_interruption()
        integrals, links = self._tables
        strings = self.alpha, self.beta
        with one_thread():
            image = selected_ci.contract_2e(
                integrals,
                selected_ci._as_SCIvector(vector.reshape(self.shape), strings),
                self.molecule.norb,
                self.molecule.electrons,
                links,
            )
        return np.asarray(image, float).ravel()

    def lowest(self, chosen: NDArray[np.int64], guess: NDArray[np.float64]) -> SubspaceState:
        """Return the lowest state among chosen determinants (flat positions, ascending), from a guess of theirs."""
        from pyscf.fci import selected_ci

        energy, vector = lowest_among(self.apply, self.diagonal, chosen, guess)
        amplitudes = vector.reshape(self.shape)
        molecule = self.molecule
        with one_thread():
            squared, _ = selected_ci.spin_square(
                selected_ci._as_SCIvector(amplitudes, (self.alpha, self.beta)), molecule.norb, molecule.electrons
            )
        total = round(energy + molecule.core_energy, DECIMALS)
        spin_squared = round(max(0.0, float(squared)), 6)
        return SubspaceState(self.alpha, self.beta, amplitudes, total, spin_squared, len(chosen))
