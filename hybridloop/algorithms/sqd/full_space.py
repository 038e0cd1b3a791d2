"""Full configuration space of a molecule: the exact state, selected CI by determinants, and the energy variance.

Vectors over all determinants with the molecule's electrons, (alpha strings, beta strings) in ascending order; PySCF
applies the Hamiltonian to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.interruption import check_interruption
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.determinant_spaces import (
    MIN_GAP,
    ProductHamiltonian,
    lowest_among,
    second_order_energies,
)
from hybridloop.algorithms.sqd.product_spaces import (
    DECIMALS,
    ENERGY_TOLERANCE,
    MAX_CYCLES,
    Strings,
    SubspaceState,
    interruptible,
    lowest_in_product,
    one_thread,
)

MAX_VECTOR = 1_000_000  # determinants: a product with the Hamiltonian takes about a second
MAX_SOLVED = 100_000  # determinants: the exact state takes some seconds
GROWTH = 3  # factor of a selected CI's steps in determinants
KEPT = 0.8  # of the determinants, in the steps that exchange the others
EXCHANGES = 4
SPIN_SHIFT = 0.2  # hartree, of PySCF's penalty on other spins
RESTARTS = 8
MIXED_IN = 0.3  # norm of a random vector that is added to a normed one
SAME_ENERGY = 1e-7  # hartree: states that differ by less are the same one


@dataclass(frozen=True, eq=False)
class FullSpace:
    """All determinants of a molecule with at most `MAX_VECTOR` of them."""

    molecule: Molecule

    @classmethod
    def of(cls, molecule: Molecule) -> FullSpace | None:
        """Return the space; None where it is too large."""
        return cls(molecule) if count_determinants(molecule) <= MAX_VECTOR else None

    @property
    def is_solvable(self) -> bool:
        """True if the exact state is computed."""
        return count_determinants(self.molecule) <= MAX_SOLVED

    @property
    def is_solved(self) -> bool:
        """True once the exact state has been computed."""
        return "ground_state" in vars(self)

    @cached_property
    def strings(self) -> tuple[Strings, Strings]:
        """All alpha and all beta strings."""
        from pyscf.fci import cistring

        alpha, beta = (
            np.asarray(cistring.make_strings(range(self.molecule.norb), count), np.int64)
            for count in self.molecule.electrons
        )
        return alpha, beta

    @cached_property
    def diagonal(self) -> NDArray[np.float64]:
        """The energies of the determinants without the core energy, flat."""
        from pyscf.fci import direct_spin1

        molecule = self.molecule
        with one_thread():
            diagonal = direct_spin1.make_hdiag(molecule.one_body, molecule.two_body, molecule.norb, molecule.electrons)
        return np.asarray(diagonal, float).ravel()

    @cached_property
    def _integrals(self) -> Any:
        from pyscf.fci import direct_spin1

        molecule = self.molecule
        return direct_spin1.absorb_h1e(molecule.one_body, molecule.two_body, molecule.norb, molecule.electrons, 0.5)

    def apply(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Hamiltonian without core energy, times a flat vector. Raises what ends it (`interrupted_by`)."""
        from pyscf.fci import direct_spin1

        check_interruption()
        shape = len(self.strings[0]), len(self.strings[1])
        with one_thread():
            image = direct_spin1.contract_2e(
                self._integrals, vector.reshape(shape), self.molecule.norb, self.molecule.electrons
            )
        return np.asarray(image, float).ravel()

    def variance(self, state: SubspaceState) -> float:
        """Return the energy variance ⟨H²⟩ − ⟨H⟩² of a state in hartree²."""
        rows, columns = (
            np.searchsorted(every, own) for every, own in zip(self.strings, (state.alpha, state.beta), strict=True)
        )
        vector = np.zeros((len(self.strings[0]), len(self.strings[1])))
        vector[np.ix_(rows, columns)] = state.amplitudes
        flat = vector.ravel()
        image = self.apply(flat)
        mean = float(flat @ image)
        residual = image - mean * flat  # the difference of two squares would lose its digits
        return float(residual @ residual)

    @cached_property
    def ground_state(self) -> tuple[float, NDArray[np.float64]]:
        """The lowest energy of the molecule's own spin in hartree, with its vector (alpha strings, beta strings).

        PySCF starts at one determinant, and Davidson's iterations never leave its symmetry. So they are repeated from
        their result and a part of every determinant, which may end in a lower state of another symmetry.
        """
        spin = abs(self.molecule.electrons[0] - self.molecule.electrons[1]) / 2
        energy, vector = self._lowest_of_spin(spin, None)
        every = np.random.default_rng(self.molecule.norb).normal(size=vector.size)
        lower, other = self._lowest_of_spin(spin, vector + MIXED_IN * every / np.linalg.norm(every))
        if lower < energy - SAME_ENERGY:
            energy, vector = lower, other
        shape = len(self.strings[0]), len(self.strings[1])
        return round(energy + self.molecule.core_energy, DECIMALS), vector.reshape(shape)

    def _lowest_of_spin(self, spin: float, start: NDArray[np.float64] | None) -> tuple[float, NDArray[np.float64]]:
        """Return the lowest energy without core energy of a spin among states that a start (flat) overlaps with."""
        from pyscf import fci

        molecule = self.molecule
        solver = fci.addons.fix_spin_(fci.direct_spin1.FCI(), shift=SPIN_SHIFT, ss=spin * (spin + 1))
        solver.verbose, solver.conv_tol, solver.max_cycle = 0, ENERGY_TOLERANCE, MAX_CYCLES
        solver.contract_2e = interruptible(solver.contract_2e)
        problem = molecule.one_body, molecule.two_body, molecule.norb, molecule.electrons
        vector = start
        for _ in range(RESTARTS):  # nearly equal levels, as of separate atoms, take more than one series of cycles
            with one_thread():
                _, vector = solver.kernel(*problem, ci0=vector)
            if solver.converged:
                break
        flat = np.asarray(vector, float).ravel()
        return float(flat @ self.apply(flat)), flat  # without the penalty

    def best_strings(self, *, is_shared: bool) -> tuple[Strings, Strings]:
        """Return all alpha and beta strings by descending weight in the exact state."""
        energy, vector = self.ground_state
        return SubspaceState(*self.strings, vector, energy, 0.0).heaviest(is_shared=is_shared)

    def selected_ci(self, size: int) -> float:
        """Return the energy (hartree) of a classical selected CI of `size` determinants, chosen one by one.

        From Hartree-Fock the space grows by the determinants of the largest second-order energies
        |⟨D|H|ψ⟩|² / (E_D − E) (CIPSI). At its
        full size, the determinants of the least weight are exchanged for better ones while that lowers the energy.
        """
        vector = np.zeros(len(self.diagonal))
        start = 0  # the lowest strings of both spins: Hartree-Fock
        vector[start] = 1.0
        chosen, energy = np.array([start]), float(self.diagonal[start])
        exchanges = 0
        while True:
            worth = second_order_energies(self.apply(vector), self.diagonal, energy)
            if len(chosen) < size:
                number, kept = min(size, GROWTH * len(chosen) + 16), chosen
            else:
                number = size
                by_weight = np.argsort(-(vector[chosen] ** 2), kind="stable")
                stay = math.ceil(KEPT * size)
                kept, lost = chosen[by_weight[:stay]], chosen[by_weight[stay:]]
                worth[lost] = vector[lost] ** 2 * np.maximum(self.diagonal[lost] - energy, MIN_GAP)
            worth[kept] = np.inf
            further = np.sort(np.argsort(-worth, kind="stable")[:number])
            is_exchange = len(chosen) == size
            lowest, candidate = lowest_among(self.apply, self.diagonal, further, vector[further])
            if is_exchange:
                exchanges += 1
                if lowest >= energy or exchanges > EXCHANGES:
                    return round(min(lowest, energy) + self.molecule.core_energy, DECIMALS)
            chosen, energy, vector = further, lowest, candidate


@dataclass(frozen=True, slots=True, eq=False)
class Subspace:
    """Determinants of alpha ⊗ beta (strings ascending): those at flat positions `chosen`, with a guess of the state.

    Without `chosen` it is the whole product, whose state needs no guess.
    """

    alpha: Strings
    beta: Strings
    chosen: NDArray[np.int64] | None = None
    guess: NDArray[np.float64] | None = None

    @property
    def size(self) -> int:
        """The number of determinants."""
        return len(self.alpha) * len(self.beta) if self.chosen is None else len(self.chosen)


@dataclass(frozen=True, slots=True, eq=False)
class SolvedSpace:
    """The lowest state of a subspace, and its energy variance in hartree² (None: the full space is too large)."""

    state: SubspaceState
    variance: float | None


class SolveSpaces(Protocol):
    """Solve subspaces of a run's molecule, none of which needs another's answer; returned in their order."""

    def __call__(self, spaces: Sequence[Subspace], /) -> list[SolvedSpace]: ...


def solve_space(molecule: Molecule, full: FullSpace | None, space: Subspace) -> SolvedSpace:
    """Return the lowest state of a subspace, with the digits of its variance that another process finds, too."""
    if space.chosen is None or space.guess is None:
        state = lowest_in_product(molecule, space.alpha, space.beta)
    else:
        state = ProductHamiltonian(molecule, space.alpha, space.beta).lowest(space.chosen, space.guess)
    return SolvedSpace(state, None if full is None else float(f"{full.variance(state):.9g}"))


def solve_in_turn(molecule: Molecule, full: FullSpace | None) -> SolveSpaces:
    """Return a solver that takes one space after the other, in this process."""
    return lambda spaces: [solve_space(molecule, full, space) for space in spaces]
