"""Matrix of an observable in a subspace, from energies of basis states and of superpositions of two.

The basis is orthonormal, so the levels are the eigenvalues of the matrix alone: no measured overlap matrix, whose noise
would have to be inverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.final import PRECISION_MARGIN, neyman_allocation

MAX_BIAS = 0.25  # of the precision: shift of a level by noise in its couplings to others; it is corrected as well
DESIGN_STEPS = 5  # shots and least-squares weights depend on each other; more steps save under a percent
BOOTSTRAP_DRAWS = 1000  # the standard error is known to 2 %

State = tuple[int, int, complex]  # i, j, phase: (|i⟩ + phase |j⟩) / √2 for i < j; |i⟩ for i = j, with phase 0


def measured_states(size: int, pairs: Sequence[tuple[int, int]], *, is_real: bool) -> list[State]:
    """Return the states whose energies determine a matrix (size, size): each |i⟩, and (|i⟩ ± |j⟩) / √2 for each pair.

    Elements of other pairs are zero.


    Energy (M_ii + M_jj) / 2 ± M_ij is that of (|i⟩ ± |j⟩) / √2, so M_ij is half the difference: the diagonal's noise is
    not in it, nor a shift that both share. One sign and the diagonal would determine the matrix too, by half the
    circuits. But a level that is near one of two such states then takes up to nine times the shots of that state alone.
    For H2 in 6-31G, at 0.74, 1.4 and 2.2 Å, both signs take 0.84, 0.61 and 0.54 of the shots of one.

    A Hermitian matrix that is not real takes (|i⟩ + |j⟩) / √2 and (|i⟩ + i|j⟩) / √2 of each pair: as many circuits.
    """
    phases: tuple[complex, ...] = (1, -1) if is_real else (1, 1j)
    return [*((i, i, 0) for i in range(size)), *((i, j, phase) for i, j in pairs for phase in phases)]


@dataclass(frozen=True, slots=True, eq=False)
class SubspaceMatrix:
    """Hermitian matrix (n, n) fitted to energies (m,) by weighted least squares.

    `response` (n, n, m) is linear: matrix = response @ energies. `variances` (m,) are those of the energies. All
    energies in hartree. `values` (n,) and `vectors` (n, n, columns) are eigenvalues and eigenvectors.
    The matrix is real where all phases of the states are.
    """

    energies: NDArray[np.float64]
    variances: NDArray[np.float64]
    response: NDArray[Any]
    matrix: NDArray[Any]
    values: NDArray[np.float64]
    vectors: NDArray[Any]

    @classmethod
    def fit(
        cls, states: Sequence[State], energies: NDArray[np.float64], variances: NDArray[np.float64]
    ) -> SubspaceMatrix:
        """Fit the matrix; energies without variance, from a target that does not sample, have equal weights."""
        size = 1 + max(j for _, j, _ in states)
        # real and imaginary parts of elements are the unknowns; an energy has Re(phase M_ij)
        parts = dict.fromkeys((i, j, bool(np.imag(phase))) for i, j, phase in states)
        unknowns = {part: number for number, part in enumerate(parts)}
        design = np.zeros((len(states), len(unknowns)))
        for row, (i, j, phase) in enumerate(states):
            if phase:
                design[row, [unknowns[i, i, False], unknowns[j, j, False]]] = 0.5
            design[row, unknowns[i, j, bool(np.imag(phase))]] = np.real(phase) - np.imag(phase) if phase else 1.0
        weighted = design.T / (variances if variances.all() else np.ones(len(states)))
        solved: NDArray[np.float64] = np.linalg.solve(weighted @ design, weighted).astype(np.float64)
        is_real = not any(is_imaginary for *_, is_imaginary in unknowns)
        response: NDArray[Any] = np.zeros((size, size, len(states)), float if is_real else complex)
        for (i, j, is_imaginary), number in unknowns.items():
            response[i, j] += (1j if is_imaginary else 1.0) * solved[number]
            response[j, i] = response[i, j].conj()
        matrix = response @ energies
        return cls(energies, variances, response, matrix, *np.linalg.eigh(matrix))

    def weights(self, level: int) -> NDArray[Any]:
        """Return the derivatives (n, m) of ⟨k|M|level⟩ by the energies, for all eigenvectors k."""
        own = self.vectors[:, level]
        weights: NDArray[Any] = np.einsum("ik,ijm,j->km", self.vectors.conj(), self.response, own, optimize=True)
        return weights

    def variance(self, level: int) -> float:
        """Return the variance of a level to first order."""
        return float(self.shares(level) @ self.variances)

    def shares(self, level: int) -> NDArray[np.float64]:
        """Return weights (m,) of the variances in that of a level."""
        own: NDArray[np.float64] = self.weights(level)[level].real ** 2
        return own

    def shift_weights(self, level: int, least_gap: float) -> NDArray[np.float64]:
        """Return weights (m,) of the variances in a bound on the level's shift by noise, Σ_k Var(M_k,level) / gap_k.

        That is the second order in the noise. Gaps below `least_gap` (hartree), within noise, count as that.
        """
        gaps = np.maximum(np.abs(self.values - self.values[level]), least_gap)
        shares: NDArray[np.float64] = np.delete(np.abs(self.weights(level)) ** 2 / gaps[:, None], level, axis=0).sum(
            axis=0
        )
        return shares

    def rounding_bound(self, bounds: NDArray[np.float64]) -> float:
        """Bound the error of every level by bounds (m,) of the energies' errors: the largest row sum (Weyl)."""
        return float((np.abs(self.response) @ bounds).sum(axis=1).max())

    def bootstrap(self, generator: np.random.Generator, rare: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return eigenvalues (draws, n) of matrices whose energies are drawn around the measured ones.

        Their variances are without `rare` (m,), that of outcomes that were not seen.
        """
        errors = np.sqrt(np.maximum(self.variances - rare, 0.0))
        draws = generator.normal(self.energies, errors, (BOOTSTRAP_DRAWS, len(self.energies)))
        matrices = np.einsum("ijm,bm->bij", self.response, draws, optimize=True)
        values: NDArray[np.float64] = np.linalg.eigvalsh(matrices)
        return values


def allocate_shots(
    states: Sequence[State],
    energies: NDArray[np.float64],
    shot_variances: NDArray[np.float64],
    measured: NDArray[np.int64],
    levels: Sequence[int],
    precision: float,
) -> NDArray[np.int64]:
    """Return further shots (m, groups), so that each level's standard error is `precision` in hartree.

    A level is a weighted sum of energies to first order, and its shots follow Neyman allocation over all circuits. The
    same rule bounds the shift by noise by `MAX_BIAS` of the precision. A circuit gets the most shots that any of the
    levels needs. Weights depend on the shots, so both are repeated (a multiplicative algorithm for an optimal design).
    """
    totals = measured
    for _ in range(DESIGN_STEPS):
        fitted = SubspaceMatrix.fit(states, energies, (shot_variances / totals).sum(axis=1))
        totals = measured
        for level in levels:
            own = fitted.shares(level)
            shift = fitted.shift_weights(level, precision)
            for shares, target in (
                (own, (PRECISION_MARGIN * precision) ** 2),
                (shift, PRECISION_MARGIN * MAX_BIAS * precision),
            ):
                parts = (shares[:, None] * shot_variances).ravel()
                further = neyman_allocation(parts.tolist(), measured.ravel().tolist(), target)
                totals = np.maximum(totals, measured + np.reshape(further, measured.shape))
    return totals - measured
