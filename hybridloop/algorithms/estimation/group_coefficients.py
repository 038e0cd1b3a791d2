"""Coefficients of measurement groups that sum to an operator with the least standard deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.observable import Observable

Array = NDArray[np.float64]

RANK_TOLERANCE = 1e-7  # relative: smaller singular values of the equations come from rounded angles
MAX_RESIDUAL = 1e-7  # hartree: of an integral
SMOOTHING = 1e-12  # squared hartree: keeps the weight of a group that vanishes
MATRIX_RIDGE = 1e-11  # relative: equations that depend on each other up to rounding
STEPS = 30
MAX_RISE = 0.01  # of Σσ, by groups that are left out: a fiftieth of a final measurement's shots
DEVIATION_DECIMALS = 7  # in hartree: groups whose deviations differ by rounding keep their order
TRIAL_STEPS = 4  # without a group, from the deviations with it
WORST_TRIAL = 2.0  # of the most Σσ: after such a step no more are tried


@dataclass(frozen=True, slots=True, eq=False)
class RotatedGroups:
    """A Hamiltonian in groups after rotations, with the expected standard deviation (groups,) of their shots.

    `rotations` are fitted angles as a text; empty where none were fitted.
    """

    observable: Observable
    deviations: Array
    rotations: str = ""


def least_deviations(equations: Array, integrals: Array, covariances: Array) -> Array:
    """Return the coefficients (groups, f) that solve the equations with nearly the least Σ_l σ_l, in few groups.

    `equations` (equations, groups · f) times the coefficients are the `integrals` (equations,), `covariances`
    (groups, f, f) those of the features that a group measures. Groups that the others can replace get no coefficients
    (`_Shares.without_spare_groups`).
    """
    left, sizes, right = np.linalg.svd(equations, full_matrices=False)
    rank = int((sizes > RANK_TOLERANCE * sizes[0]).sum())
    rows, sums = right[:rank], (left.T @ integrals)[:rank] / sizes[:rank]  # the same equations, orthonormal
    by_group = rows.reshape(rank, *covariances.shape[:2]).transpose(1, 2, 0)
    roots = np.linalg.cholesky(covariances)
    shares = _Shares(np.linalg.solve(roots, by_group), sums)
    weights = shares.reweighted(np.ones(len(covariances)), STEPS)
    weights = shares.reweighted(shares.without_spare_groups(weights), STEPS)
    whitened = weights[:, None, None] * (shares.factors @ shares.multipliers(weights)[0][:, None])
    return np.asarray(np.linalg.solve(roots.transpose(0, 2, 1), whitened)[:, :, 0])


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """Coefficients that solve linear equations, by weights of the groups: those that minimize Σ_l σ_l² / weight_l.

    They are weight_l R_l⁻ᵀ F_l λ for covariances R_l R_lᵀ, factors F_l = R_l⁻¹ B_lᵀ of the group's columns B_l of the
    equations, (groups, f, equations), and multipliers λ (equations,). A weight of 0 leaves a group out.
    """

    factors: Array
    sums: Array

    def multipliers(self, weights: Array) -> tuple[Array, float]:
        """Return the multipliers, and by how much an equation is not met.

        A ridge keeps the matrix regular where groups that are left out leave equations that depend on each other. A
        second solution takes its error away.
        """
        kept = weights > 0.0
        scaled = (np.sqrt(weights[kept])[:, None, None] * self.factors[kept]).reshape(-1, len(self.sums))
        matrix: Array = scaled.T @ scaled
        ridge = MATRIX_RIDGE * float(matrix.diagonal().mean())
        matrix[np.diag_indices_from(matrix)] += ridge
        decomposed = scipy.linalg.lu_factor(matrix)
        multipliers: Array = scipy.linalg.lu_solve(decomposed, self.sums)
        correction: Array = scipy.linalg.lu_solve(decomposed, ridge * multipliers)
        return multipliers + correction, ridge * float(np.abs(correction).max())

    def deviations(self, weights: Array) -> Array:
        """Return σ_l (groups,) in hartree; infinite where the groups with a weight do not solve the equations."""
        multipliers, residual = self.multipliers(weights)
        if residual > MAX_RESIDUAL:
            return np.full(len(weights), np.inf)
        variances = weights**2 * ((self.factors @ multipliers) ** 2).sum(axis=1)
        return np.asarray(np.sqrt(variances + SMOOTHING) * (weights > 0.0))

    def reweighted(self, weights: Array, steps: int) -> Array:
        """Return weights that minimize Σ_l σ_l, which are σ_l: iteratively reweighted least squares.

        Each step has the deviations of the last one as weights, which never raises Σ_l σ_l (D. R. Hunter and K. Lange,
        Am. Stat. 58 (2004) 30). A search along gradients would be faster, but magnifies the last digits, in which
        machines differ.
        """
        for _ in range(steps):
            weights = self.deviations(weights)
        return weights

    def without_spare_groups(self, weights: Array) -> Array:
        """Return weights that are 0 for groups without which Σ_l σ_l rises by at most `MAX_RISE` in all.

        Each circuit is run at each point of a search, so fewer are better. The groups are tried once each, that of the
        smallest deviation first.
        """
        most, tried = (1.0 + MAX_RISE) * weights.sum(), set[int]()
        while left := [group for group in np.flatnonzero(weights).tolist() if group not in tried]:
            if np.count_nonzero(weights) == 1:
                break
            sizes = np.round(weights, DEVIATION_DECIMALS)
            group = min(left, key=lambda each: (sizes[each], each))
            tried.add(group)
            fewer = np.where(np.arange(len(weights)) == group, 0.0, weights)
            for _ in range(TRIAL_STEPS):
                fewer = self.deviations(fewer)
                if not fewer.sum() <= WORST_TRIAL * most:
                    break
            if fewer.sum() <= most:
                weights = fewer
        return weights
