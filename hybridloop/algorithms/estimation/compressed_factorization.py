"""Orbitals of a double factorization that are fitted, so that a measurement of its groups takes the fewest shots."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.orbital_rotation import turn
from hybridloop.algorithms.minimization import minimize
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError

Array = NDArray[np.float64]

ANGLE_DECIMALS = 4  # of fitted angles, in radians: further digits save no shots
MAX_OPERATIONS = 4e11  # of one fit: about ten seconds
MAX_EVALUATIONS = 150
_JITTER_RAD = 0.05
_TOO_FAR = 1e6  # hartree
_RIDGE = 1e-10  # relative: equations depend on each other


@dataclass(frozen=True, eq=False)
class Fragments:
    """A molecule and a state as a fit needs them: see `double_factorization`.

    `features` (determinants, f) are the products N_p N_q, p ≤ q, and the counts N_p of determinants in rotated
    orbitals, `state` (beta, alpha) the amplitudes. `extra` (f, f) is added to covariances, `integrals` (equations,) are
    to be met.
    """

    molecule: Molecule
    features: Array
    state: Array
    extra: Array
    integrals: Array
    filled: tuple[NDArray[np.int64], NDArray[np.int64]]

    def fit(self, orbitals: Array, deviation: float) -> Array:
        """Return angles (groups − 1, rotations) in radians, as `orbitals_of` takes them, for the least Σ_l σ_l.

        From `orbitals` (groups, norb, norb), of which the first are kept, and from equal weights w_l, the largest
        `deviation` of a group, Σ_l (σ_l² / w_l + w_l) is minimized over angles and weights, with the coefficients that
        solve the equations: compressed double factorization (J. Cohn, M. Motta and R. M. Parrish, PRX Quantum 2 (2021)
        040352), regularized by the variance itself in place of a norm (O. Oumarou et al., arXiv:2212.07957).
        """
        start = np.array([angles_of(each) for each in orbitals[1:]])
        start += np.random.default_rng(0).normal(scale=_JITTER_RAD, size=start.shape)
        weights = np.full(len(orbitals), np.log(deviation))

        def objective(point: Array) -> tuple[float, Array]:
            angles = point[: start.size].reshape(start.shape)
            rotations = np.concatenate([orbitals[:1], orbitals_of(angles)])
            try:
                value, tangents, slopes = self._value(rotations, np.exp(point[start.size :]))
            except np.linalg.LinAlgError:  # so far away that the equations are singular: the search turns back
                return _TOO_FAR, np.zeros_like(point)
            return value, np.concatenate([_angle_slopes(angles, tangents[1:]).reshape(-1), slopes])

        evaluations = max(1, int(min(MAX_EVALUATIONS, MAX_OPERATIONS / self._operations(len(orbitals)))))
        first = np.concatenate([start.reshape(-1), weights])
        found = minimize(objective, first, {"maxfun": evaluations, "maxiter": evaluations, "maxcor": 20, "ftol": 1e-5})
        turned = (found.x[: start.size].reshape(start.shape) + np.pi) % (2.0 * np.pi) - np.pi
        return np.asarray(np.round(turned, ANGLE_DECIMALS))

    def _operations(self, groups: int) -> float:
        """Return the products that one value takes: of the equations' matrix, and of the covariances."""
        size = self.features.shape[1]
        return float(groups * size * (len(self.integrals) ** 2 + self.features.size) + len(self.integrals) ** 3)

    @cached_property
    def _excitations(self) -> tuple[Array, Array]:
        alpha, beta = (_excitation_matrices(filled, self.molecule.norb) for filled in self.filled)
        return alpha, beta

    def _value(self, rotations: Array, weights: Array) -> tuple[float, Array, Array]:
        """Return ½ Σ_l (σ_l² / w_l + w_l), its slopes by rotations U exp(K) (groups, norb, norb), and by log w."""
        rotated = self.rotated(rotations)
        inverses = np.linalg.inv(np.linalg.cholesky(self._covariances(rotated)))
        factors = inverses @ self.columns(rotations)
        scaled = (np.sqrt(weights)[:, None, None] * factors).reshape(-1, len(self.integrals))
        matrix = scaled.T @ scaled
        ridge = _RIDGE * float(matrix.diagonal().mean())
        matrix[np.diag_indices_from(matrix)] += ridge
        decomposed = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
        multipliers = scipy.linalg.cho_solve(decomposed, self.integrals)
        multipliers += scipy.linalg.cho_solve(decomposed, ridge * multipliers)
        whitened = weights[:, None] * (factors @ multipliers)
        variances = (whitened**2).sum(axis=1)
        coefficients = np.einsum("gij,gi->gj", inverses, whitened)
        tangents = self._variance_tangents(rotated, coefficients) / weights[:, None, None]
        tangents -= self._equation_tangents(rotations, coefficients, multipliers)
        return float((variances / weights + weights).sum()) / 2.0, tangents, (weights - variances / weights) / 2.0

    def rotated(self, rotations: Array) -> Array:
        """Return the state's amplitudes (groups, beta, alpha) of the determinants of rotated orbitals."""
        return rotated_amplitudes(self.filled, self.state, rotations)

    def covariances(self, rotations: Array) -> Array:
        """Return the covariances (groups, f, f) of the counts and their products, for each group's orbitals."""
        return self._covariances(self.rotated(rotations))

    def _covariances(self, rotated: Array) -> Array:
        probabilities = (rotated**2).reshape(len(rotated), -1)
        means = probabilities @ self.features
        products = self.features.T @ (probabilities[:, :, None] * self.features)
        return np.asarray(products - means[:, :, None] * means[:, None] + self.extra)

    def columns(self, rotations: Array) -> Array:
        """Return each group's columns of the linear equations for all coefficients, (groups, f, equations).

        They equate the unique integrals: (½ (pq|rs)) of E_pq E_rs, and those of the one-body part that remains.
        """
        norb = self.molecule.norb
        densities = _densities(rotations)
        p, q = np.triu_indices(norb)
        unique = np.tril_indices(densities.shape[2])
        both = densities[:, p][:, :, unique[0]] * densities[:, q][:, :, unique[1]]
        both += densities[:, p][:, :, unique[1]] * densities[:, q][:, :, unique[0]]
        two_body = np.concatenate([0.5 * both, np.zeros((len(both), norb, both.shape[2]))], axis=1)
        one_body = np.concatenate([np.zeros((len(both), len(p), densities.shape[2])), densities], axis=1)
        return np.concatenate([two_body, one_body], axis=2)

    def _variance_tangents(self, rotated: Array, coefficients: Array) -> Array:
        """Return half the slopes of σ_l² at fixed coefficients, antisymmetric: by density matrices of transitions."""
        energies = (coefficients @ self.features.T).reshape(rotated.shape)
        means = (rotated**2 * energies).sum(axis=(1, 2))[:, None, None]
        weighted = (energies - 2.0 * means) * energies * rotated
        alpha, beta = self._excitations
        transitions = np.tensordot(weighted.transpose(0, 2, 1) @ rotated, alpha, axes=([1, 2], [2, 3]))
        transitions += np.tensordot(weighted @ rotated.transpose(0, 2, 1), beta, axes=([1, 2], [2, 3]))
        return np.asarray(transitions.transpose(0, 2, 1) - transitions)

    def _equation_tangents(self, rotations: Array, coefficients: Array, multipliers: Array) -> Array:
        """Return the slopes of the multipliers' equations at fixed coefficients, antisymmetric."""
        norb = self.molecule.norb
        pairs = np.tril_indices(norb)
        unique = np.tril_indices(len(pairs[0]))
        two_body = np.zeros((len(pairs[0]),) * 2)
        two_body[unique] = 0.5 * multipliers[: len(unique[0])]
        one_body = _symmetric(multipliers[len(unique[0]) :], norb)
        products = np.zeros((len(rotations), norb, norb))
        count = norb * (norb + 1) // 2
        products[:, *np.triu_indices(norb)] = coefficients[:, :count]
        fields = (products + products.transpose(0, 2, 1)) @ (_densities(rotations) @ (two_body + two_body.T))
        forces = _symmetric(fields, norb) + coefficients[:, count:, None, None] * one_body
        moved = np.einsum("gxb,gaxy,gya->gab", rotations, forces, rotations, optimize=True)
        return np.asarray(2.0 * (moved.transpose(0, 2, 1) - moved))


def _densities(rotations: Array) -> Array:
    """Return the unique elements (groups, norb, pairs) of each rotated orbital's density matrix."""
    x, y = np.tril_indices(rotations.shape[1])
    columns = rotations.transpose(0, 2, 1)
    return np.asarray(columns[:, :, x] * columns[:, :, y])


def _symmetric(values: Array, norb: int) -> Array:
    """Return symmetric matrices (…, norb, norb) whose inner product with another is that of its unique elements."""
    matrices = np.zeros((*values.shape[:-1], norb, norb))
    matrices[..., *np.tril_indices(norb)] = 0.5 * values
    return np.asarray(matrices + np.swapaxes(matrices, -1, -2))


def _excitation_matrices(filled: NDArray[np.int64], norb: int) -> Array:
    """Return ⟨m|a†_p a_q|n⟩ (norb, norb, k, k) of determinants of one spin, by their filled orbitals (k, electrons)."""
    place_of = {tuple(row): place for place, row in enumerate(filled.tolist())}
    matrices = np.zeros((norb, norb, len(filled), len(filled)))
    for row, place in place_of.items():
        for q in row:
            others = [each for each in row if each != q]
            for p in set(range(norb)).difference(others):
                moved = tuple(sorted((*others, p)))
                matrices[p, q, place_of[moved], place] = (-1) ** (row.index(q) + moved.index(p))
    return matrices


def filled_orbitals(molecule: Molecule) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the filled orbitals (k, electrons) of alpha and of beta, in the order of `determinants_of`."""
    alpha, beta = (
        np.array(sorted(combinations(range(molecule.norb), count), key=lambda filled: filled[::-1]), np.int64)
        for count in molecule.electrons
    )
    return alpha, beta


def rotated_amplitudes(filled: tuple[NDArray[np.int64], NDArray[np.int64]], state: Array, rotations: Array) -> Array:
    """Return a state's amplitudes (groups, beta, alpha) of the determinants of orbitals (groups, norb, norb).

    The overlap of two determinants is a minor of the orbitals' overlaps (P.-O. Löwdin, Phys. Rev. 97 (1955) 1474).
    """
    alpha, beta = filled
    overlaps = np.linalg.det(rotations[:, alpha[:, None, :, None], alpha[None, :, None, :]])
    of_beta = overlaps
    if not np.array_equal(alpha, beta):
        of_beta = np.linalg.det(rotations[:, beta[:, None, :, None], beta[None, :, None, :]])
    return np.asarray(of_beta.transpose(0, 2, 1) @ state @ overlaps)


def to_text(angles: Array) -> str:
    """Return rounded angles (groups, rotations) as a text for the record of a run."""
    steps = np.round(angles * 10.0**ANGLE_DECIMALS).astype("<i2")
    return base64.b64encode(steps.tobytes()).decode()


def to_angles(text: str, norb: int) -> Array:
    """Return the angles (groups, rotations) of a text. Raises InputError for one that has none of this size."""
    try:
        steps = np.frombuffer(base64.b64decode(text, validate=True), "<i2").reshape(-1, norb * (norb - 1) // 2)
    except ValueError as error:
        problem = f"the orbitals that the run recorded are damaged ({error})"
        raise InputError("grouping", problem, "Start a new run; this one's counts are kept.") from error
    return np.asarray(steps / 10.0**ANGLE_DECIMALS)


def _planes(norb: int) -> list[int]:
    """Return the first column of each Givens rotation: those with which `rotate` makes a matrix triangular."""
    return [column - 1 for row in range(norb - 1) for column in range(norb - 1, row, -1)]


def angles_of(orbitals: Array) -> Array:
    """Return the angles (norb (norb − 1) / 2,) of Givens rotations that make these orbitals, up to signs."""
    rows, angles = orbitals.T.copy(), []
    for row in range(len(rows) - 1):
        for column in range(len(rows) - 1, row, -1):
            angles.append(float(np.arctan2(rows[row, column], rows[row, column - 1])))
            turn(rows, column - 1, angles[-1])
    return np.array(angles)


def orbitals_of(angles: Array) -> Array:
    """Return the orbitals (groups, norb, norb), as columns, of Givens rotations by angles (groups, rotations)."""
    norb = round((1 + np.sqrt(1 + 8 * angles.shape[1])) / 2)
    rows = np.broadcast_to(np.eye(norb), (len(angles), norb, norb)).copy()
    for place, column in reversed(list(enumerate(_planes(norb)))):
        turn(rows, column, -angles[:, place, None])
    return np.asarray(rows.transpose(0, 2, 1))


def _angle_slopes(angles: Array, tangents: Array) -> Array:
    """Return slopes by the angles of Givens rotations, from those by rotations of the orbitals they make."""
    norb = tangents.shape[1]
    rows, slopes = np.broadcast_to(np.eye(norb), tangents.shape).copy(), np.empty_like(angles)
    for place, column in reversed(list(enumerate(_planes(norb)))):
        left, right = rows[:, :, column], rows[:, :, column + 1]
        slopes[:, place] = np.einsum("ga,gab,gb->g", right, tangents, left)
        turn(rows, column, -angles[:, place, None])
    return slopes
