"""Product spaces of a molecule: determinants of alpha strings ⊗ beta strings, diagonalized by PySCF's selected CI.

All of it runs on one thread of PySCF, whose sums would else differ from call to call in their last bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.interruption import check_interruption
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError

Strings = NDArray[np.int64]  # (n,) bit masks of the occupied orbitals of one spin, ascending
ENERGY_TOLERANCE = 1e-11  # hartree, of Davidson's iterations
DECIMALS = 9  # of energies in hartree: below it lie the errors of Davidson's iterations
MAX_CYCLES = 200
GROWTH_STEPS = 12
FIRST_CUTOFF = 0.5  # of the growth's selection, halved until enough strings pass


def check_pyscf() -> None:
    """Raise InputError where PySCF is not installed."""
    try:
        import pyscf.fci  # noqa: F401  # heavy: only these runs take it
    except ImportError as error:
        problem = "the subspace is diagonalized by PySCF, which is not installed"
        raise InputError("pyscf", problem, "Install it: pip install 'hybridloop[pyscf]'.") from error


@dataclass(frozen=True, slots=True, eq=False)
class SubspaceState:
    """The lowest state in a product space: amplitudes (alpha strings, beta strings), energy in hartree, and ⟨S²⟩.

    `chosen` is the number of determinants that take part; None: all of the product.
    """

    alpha: Strings
    beta: Strings
    amplitudes: NDArray[np.float64]
    energy: float
    spin_squared: float
    chosen: int | None = None

    @property
    def size(self) -> int:
        """The number of determinants."""
        return len(self.alpha) * len(self.beta) if self.chosen is None else self.chosen

    def occupations(self, norb: int) -> NDArray[np.float64]:
        """Return the mean occupations (2 norb,) of the spin orbitals, alpha first."""
        bits = np.arange(norb)
        return np.concatenate(
            [
                weights @ (strings[:, None] >> bits & 1)
                for weights, strings in zip(self.string_weights(), (self.alpha, self.beta), strict=True)
            ]
        )

    def string_weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weight of each alpha and of each beta string; both sum to 1."""
        squares = self.amplitudes**2
        return squares.sum(axis=1), squares.sum(axis=0)

    def heaviest(self, *, is_shared: bool) -> tuple[Strings, Strings]:
        """Return the alpha and the beta strings by descending weight; `is_shared` adds both spins' weights."""
        alpha, beta = self.string_weights()
        if is_shared:
            alpha = beta = alpha + beta
        # equal weights, up to rounding, follow in the order of the strings
        order = [np.argsort(-np.round(weights, DECIMALS), kind="stable") for weights in (alpha, beta)]
        return self.alpha[order[0]], self.beta[order[1]]


@dataclass(frozen=True, slots=True)
class StringLimits:
    """Numbers of alpha and of beta strings whose product is at most a number of determinants.

    With as many alpha as beta electrons both spins share one list of strings, so that the space has a spin symmetry.
    """

    alpha: int
    beta: int
    is_shared: bool

    @classmethod
    def of(cls, molecule: Molecule, determinants: int) -> StringLimits:
        """Share the determinants between the spins in proportion to the strings that each has."""
        alpha, beta = (math.comb(molecule.norb, count) for count in molecule.electrons)
        if molecule.electrons[0] == molecule.electrons[1]:
            number = min(alpha, math.isqrt(determinants))
            return cls(number, number, is_shared=True)
        most_beta = max(1, min(beta, round(math.sqrt(determinants * beta / alpha))))
        most_alpha = max(1, min(alpha, determinants // most_beta))
        return cls(most_alpha, min(beta, determinants // most_alpha), is_shared=False)

    def cut(self, alpha: Strings, beta: Strings) -> tuple[Strings, Strings]:
        """Return the first strings of both lists, ascending."""
        return np.sort(alpha[: self.alpha]), np.sort(beta[: self.beta])


def hartree_fock_strings(molecule: Molecule) -> tuple[Strings, Strings]:
    """Return the alpha and the beta string of the Hartree-Fock determinant."""
    alpha, beta = (np.array([(1 << count) - 1], np.int64) for count in molecule.electrons)
    return alpha, beta


def lowest_in_product(molecule: Molecule, alpha: Strings, beta: Strings) -> SubspaceState:
    """Return the lowest state of the determinants alpha ⊗ beta; its energy is an upper bound on the exact one."""
    with one_thread():
        solver = _solver()
        energy, vector = solver.kernel_fixed_space(
            molecule.one_body, molecule.two_body, molecule.norb, molecule.electrons, (alpha, beta)
        )
        squared, _ = solver.spin_square(vector, molecule.norb, molecule.electrons)
    amplitudes = np.asarray(vector, float).reshape(len(alpha), len(beta))
    total = round(float(energy) + molecule.core_energy, DECIMALS)
    return SubspaceState(alpha, beta, amplitudes, total, round(max(0.0, float(squared)), 6))


def grow_product(molecule: Molecule, limits: StringLimits) -> SubspaceState:
    """Return a classical selected CI in a product space, grown from Hartree-Fock by PySCF's rule up to the limits.

    Each step adds the strings that the Hamiltonian couples most strongly, diagonalizes, and keeps those of the largest
    weight. It ends when a step changes no string.
    """
    state = lowest_in_product(molecule, *hartree_fock_strings(molecule))
    for _ in range(GROWTH_STEPS):
        larger = lowest_in_product(molecule, *_enlarge(molecule, state, limits))
        cut = lowest_in_product(molecule, *limits.cut(*larger.heaviest(is_shared=limits.is_shared)))
        is_same = np.array_equal(cut.alpha, state.alpha) and np.array_equal(cut.beta, state.beta)
        if is_same or (cut.energy >= state.energy and cut.size >= state.size):
            return state
        state = cut
    return state


def _enlarge(molecule: Molecule, state: SubspaceState, limits: StringLimits) -> tuple[Strings, Strings]:
    """Return the strings with those that PySCF's selection adds: twice the limits' determinants, if there are."""
    from pyscf.fci.selected_ci import _as_SCIvector

    solver = _solver()
    vector = _as_SCIvector(state.amplitudes, (state.alpha, state.beta))
    wanted = min(2 * limits.alpha * limits.beta, 16 * state.size)
    alpha, beta = state.alpha, state.beta
    cutoff = FIRST_CUTOFF
    with one_thread():
        while len(alpha) * len(beta) < wanted and cutoff > solver.ci_coeff_cutoff:
            cutoff /= 2
            solver.select_cutoff = cutoff
            alpha, beta = solver.enlarge_space(vector, molecule.two_body, molecule.norb, molecule.electrons)._strs
    if limits.is_shared:
        alpha = beta = np.union1d(alpha, beta)
    return np.asarray(alpha, np.int64), np.asarray(beta, np.int64)


def _solver() -> Any:
    from pyscf.fci.selected_ci import SelectedCI

    solver = SelectedCI()
    solver.verbose, solver.conv_tol, solver.max_cycle = 0, ENERGY_TOLERANCE, MAX_CYCLES
    solver.contract_2e = interruptible(solver.contract_2e)
    return solver


def interruptible(product: Callable[..., Any]) -> Callable[..., Any]:
    """Return a solver's product with the Hamiltonian that first raises what ends the block (`interrupted_by`)."""

    def checked(*args: Any, **options: Any) -> Any:
        check_interruption()
        return product(*args, **options)

    return checked


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PySCF compute on one thread within the block."""
    from pyscf import lib

    with lib.with_omp_threads(1):
        yield
