"""Measurement of electron pairs after Givens rotations of disjoint pairs of orbitals, whose angles are fitted.

All circuits conserve the number of pairs, and each is nearly an eigenbasis of what it measures.
"""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.pair_rotation import PairRotation
from hybridloop.algorithms.estimation.group_coefficients import MAX_RESIDUAL, RotatedGroups, least_deviations
from hybridloop.algorithms.estimation.observable import MeasurementGroup, Observable
from hybridloop.algorithms.minimization import minimize
from hybridloop.algorithms.problems.electronic import NEGLIGIBLE
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.errors import InputError

Array = NDArray[np.float64]
Matching = tuple[tuple[int, int], ...]  # disjoint pairs of qubits

MAX_STATES = 130  # 4 pairs in 9 orbitals: a fit takes some seconds
EXTRA_VARIANCE = 1e-3  # of a feature's in the uniform mixture: what is expected beyond that of the ground state
FAULT_SHOTS = 3000.0  # of which the expected faults are added to those that are seen, as these may be few by chance
EXTRA_DECIMALS = 4
ANGLE_DECIMALS = 8  # of fitted angles, in radians: with fewer, an eigenbasis would not be one
COEFFICIENT_DECIMALS = 10  # in hartree: digits that another machine's rounding may change are cut off
MAX_EVALUATIONS = 300  # from one start
MAX_OPERATIONS = 2e10  # of a fit: some ten seconds
_SMALLEST_FEATURE = 1e-9
_SMALLEST_ANGLE = 1e-3  # radians: a rotation below it measures what the unrotated qubits do
_RIDGE = 1e-11  # relative: equations depend on each other
_TOO_FAR = 1e6  # hartree
_STARTS = 4


@lru_cache(maxsize=8)
def pair_groups(problem: PairedElectrons, *, fault: float = 0.0, text: str = "") -> RotatedGroups | None:
    """Split the Hamiltonian over Z and Givens rotations on disjoint pairs of qubits, with fitted angles.

    H = constant + Σ_l V_l† D_l V_l, with D_l of one- and two-qubit products of Z, and V_l the rotations of a perfect
    matching of the orbitals: their 1-factorization has each two orbitals once (E. Lucas, Récréations mathématiques 2
    (1883)). The angles and the coefficients of all D_l minimize Σ_l σ_l in the ground state of the pairs, as those of
    fitted orbitals do (`compressed_factorization`). `fault` is the share of shots expected to end in a random state
    with the right number of pairs: to the state's variance, that of such shots is added, so that rare outcomes are not
    far off. Each group counts one such shot beside those that it sees, or as many as are expected in `FAULT_SHOTS`:
    otherwise groups that see few by chance are thought precise too soon. `text` has angles that were fitted before.
    Groups that the others can replace at nearly no cost are left out. None for more than `MAX_STATES` states.
    """
    if len(problem.states) > MAX_STATES or problem.num_qubits < 2:
        return None
    extra = max(EXTRA_VARIANCE, round(fault, EXTRA_DECIMALS))
    angles = None
    if text:
        extra, angles = _read(text, problem)
    fragments = _Fragments(problem, extra)
    if angles is None:
        angles = fragments.fit()
    return _in_groups(fragments, angles, f"{extra:g}:{_to_text(angles)}")


def _in_groups(fragments: _Fragments, angles: Array, text: str) -> RotatedGroups | None:
    problem = fragments.problem
    rotated, columns = fragments.rotated(angles), fragments.columns(angles)
    covariances = fragments.covariances(rotated)
    coefficients = least_deviations(np.concatenate(columns, axis=1), fragments.target, covariances)
    met = sum(column @ row for column, row in zip(columns, coefficients, strict=True))
    if np.abs(met - fragments.target).max() > MAX_RESIDUAL:
        return None
    constant, masks = fragments.mean, fragments.masks
    faults = max(1.0, FAULT_SHOTS * fragments.extra) if fragments.extra > EXTRA_VARIANCE else 0.0
    groups, deviations = list[MeasurementGroup](), list[float]()
    for givens, row, covariance in zip(fragments.givens(angles), coefficients, covariances, strict=True):
        values, offset = fragments.terms(row)
        kept = np.flatnonzero(np.abs(values) > NEGLIGIBLE)
        if not row.any() or not len(kept):
            continue
        constant += offset
        is_one_pair = problem.num_qubits == 2 and problem.pairs == 1
        rotation = PairRotation(givens, is_one_pair=is_one_pair) if givens else None
        groups.append(
            MeasurementGroup(
                "" if givens else "Z" * problem.num_qubits,
                tuple(masks[place] for place in kept.tolist()),
                values[kept],
                rotation,
                float(np.ptp(fragments.features @ row)),
                ones=problem.pairs,
                fault_deviation=float(np.linalg.norm(row) * np.sqrt(faults)),
            )
        )
        deviations.append(float(np.sqrt(row @ covariance @ row)))
    return RotatedGroups(Observable(problem.hamiltonian, constant, tuple(groups)), np.array(deviations), text)


def matchings(count: int) -> tuple[Matching, ...]:
    """Return matchings of so many qubits that have each two once: count − 1 of an even number, count of an odd one."""
    even = count + count % 2
    found = []
    for turn in range(even - 1):
        pairs = [(even - 1, turn)]
        pairs += [((turn + k) % (even - 1), (turn - k) % (even - 1)) for k in range(1, even // 2)]
        found.append(tuple(sorted((min(pair), max(pair)) for pair in pairs if max(pair) < count)))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Fragments:
    """The Hamiltonian between the states with its number of pairs, as equations for the groups' coefficients.

    The first group has no rotation. `extra` is the weight of the uniform mixture's covariances, the unit matrix.
    """

    problem: PairedElectrons
    extra: float

    @cached_property
    def matchings(self) -> tuple[Matching, ...]:
        return ((), *matchings(self.problem.num_qubits))

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """The qubits of each product of Z: of one qubit, then of two."""
        count = self.problem.num_qubits
        pairs = itertools.combinations(range(count), 2)
        return tuple(1 << p for p in range(count)) + tuple(1 << p | 1 << q for p, q in pairs)

    @cached_property
    def _products(self) -> Array:
        """The products of Z (states, masks) in the states."""
        states = np.array(self.problem.states)
        return np.asarray(1.0 - 2.0 * (np.bitwise_count(states[:, None] & np.array(self.masks)) & 1))

    @cached_property
    def _decomposed(self) -> tuple[Array, Array]:
        """The features (states, f), uncorrelated with variance 1 in the uniform mixture, and their terms (masks, f)."""
        centered = self._products - self._products.mean(axis=0)
        left, sizes, right = np.linalg.svd(centered, full_matrices=False)
        rank = int((sizes > _SMALLEST_FEATURE * max(1.0, sizes[0])).sum())
        scale = np.sqrt(len(centered))
        return scale * left[:, :rank], (scale * right[:rank].T) / sizes[:rank]

    @property
    def features(self) -> Array:
        """Functions (states, f) of the outcome, whose mean over all states is 0."""
        return self._decomposed[0]

    def terms(self, row: Array) -> tuple[Array, float]:
        """Return the coefficients (masks,) of a group, and the constant that it leaves to the Hamiltonian's."""
        values = np.round(self._decomposed[1] @ row, COEFFICIENT_DECIMALS)
        return values, -float(self._products.mean(axis=0) @ values)

    @cached_property
    def _matrix(self) -> Array:
        return self.problem.matrix()

    @property
    def mean(self) -> float:
        """The mean of the Hamiltonian's diagonal, which no group has."""
        return float(np.trace(self._matrix)) / len(self._matrix)

    @cached_property
    def state(self) -> Array:
        """The ground state (states,) of the pairs."""
        return np.asarray(np.linalg.eigh(self._matrix)[1][:, 0])

    @cached_property
    def _hops(self) -> dict[tuple[int, int], Array]:
        return {pair: self.problem.hops(*pair) for matching in self.matchings for pair in matching}

    @cached_property
    def _basis(self) -> Array:
        """Orthonormal directions (unique elements, equations) in which rotated groups and the Hamiltonian differ."""
        generator = np.random.default_rng(0)
        count = self.problem.num_qubits * (self.problem.num_qubits - 1) // 2
        points = [generator.uniform(-1.0, 1.0, count) for _ in range(3)]
        every = [_unique(self._images(group)) for point in points for group in self._rotations(point)]
        left, sizes, _ = np.linalg.svd(np.concatenate(every, axis=1), full_matrices=False)
        return left[:, sizes > _SMALLEST_FEATURE * sizes[0]]

    @cached_property
    def target(self) -> Array:
        """The Hamiltonian without its mean, as sums (equations,)."""
        matrix = self._matrix - self.mean * np.eye(len(self._matrix))
        return np.asarray(self._basis.T @ _unique(matrix[None])[:, 0])

    def _parted(self, angles: Array) -> list[list[tuple[tuple[int, int], float]]]:
        rest = iter(angles.tolist())
        return [[(pair, next(rest)) for pair in matching] for matching in self.matchings]

    def givens(self, angles: Array) -> list[tuple[tuple[int, int, float], ...]]:
        """Return the rotations of each group, without those of a vanishing angle."""
        parted = self._parted(angles)
        return [tuple((p, q, angle) for (p, q), angle in group if abs(angle) > _SMALLEST_ANGLE) for group in parted]

    def _rotations(self, angles: Array) -> list[Array]:
        """Return the matrix (states, states) of each group's rotations."""
        found = []
        for group in self._parted(angles):
            matrix = np.eye(len(self.problem.states))
            for pair, angle in group:
                once = self._hops[pair] @ matrix
                matrix = matrix + np.sin(angle) * once + (1.0 - np.cos(angle)) * (self._hops[pair] @ once)
            found.append(matrix)
        return found

    def _images(self, rotation: Array) -> Array:
        """Return the operator (f, states, states) of each feature measured after a rotation."""
        return np.asarray((rotation.T * self.features.T[:, None]) @ rotation)

    def columns(self, angles: Array) -> list[Array]:
        """Return each group's columns (equations, f) of the linear equations for all coefficients."""
        return [self._basis.T @ _unique(self._images(rotation)) for rotation in self._rotations(angles)]

    def rotated(self, angles: Array) -> Array:
        """Return the state's amplitudes (groups, states) after each group's rotations."""
        return np.array([rotation @ self.state for rotation in self._rotations(angles)])

    def covariances(self, rotated: Array) -> Array:
        """Return the covariances (groups, f, f) of the features, with the extra variance."""
        chances = rotated**2
        means = chances @ self.features
        products = (self.features.T * chances[:, None]) @ self.features
        extra = self.extra * np.eye(self.features.shape[1])
        return np.asarray(products - means[:, :, None] * means[:, None] + extra)

    def fit(self) -> Array:
        """Return angles (rotations,) in radians, rounded, for nearly the least Σ_l σ_l.

        From each of some starts Σ_l (σ_l² / w_l + w_l) / 2 is minimized over angles and weights w_l: at its minimum
        over the weights it is Σ_l σ_l.
        """
        generator = np.random.default_rng(0)
        first = self._two_level_angles()
        starts = [first, *(generator.uniform(-0.7, 0.7, len(first)) for _ in range(_STARTS - 1))]
        left = max(20, int(MAX_OPERATIONS / self._operations))
        found = list[tuple[float, Array]]()
        while starts and left > 0:
            value, angles, taken = self._minimum(starts.pop(0), min(left, MAX_EVALUATIONS))
            found.append((value, angles))
            left -= taken
        return min(found, key=lambda each: round(each[0], 6))[1]

    @property
    def _operations(self) -> float:
        """The products that one value takes, for the images of all features, and for the equations' matrix."""
        size, count = self.features.shape
        return float(len(self.matchings) * count * (size**3 + len(self.target) * count) + len(self.target) ** 3)

    def _two_level_angles(self) -> Array:
        """Return for each rotation the angle that makes the two orbitals' part of the Hamiltonian diagonal."""
        energies = self.problem.diagonal[1]
        pairs = [pair for matching in self.matchings for pair in matching]
        return np.array(
            [0.5 * np.arctan2(2.0 * self.problem.exchange[p, q], energies[q] - energies[p]) for p, q in pairs]
        )

    def _minimum(self, start: Array, evaluations: int) -> tuple[float, Array, int]:
        """Return the value at the end of a search, its angles, and the evaluations that it took."""
        point = np.concatenate([start, np.full(len(self.matchings), np.log(0.01))])
        options = {"maxfun": evaluations, "maxiter": evaluations, "maxcor": 20, "ftol": 1e-7}
        found = minimize(self._objective, point, options)
        angles = (found.x[: len(start)] + np.pi / 2.0) % np.pi - np.pi / 2.0  # half a turn only changes signs
        return float(found.fun), np.round(angles, ANGLE_DECIMALS), int(found.nfev)

    def _objective(self, point: Array) -> tuple[float, Array]:
        count = len(point) - len(self.matchings)
        angles, weights = point[:count], np.exp(np.clip(point[count:], -25.0, 5.0))
        rotations, columns = self._rotations(angles), self.columns(angles)
        rotated = np.array([rotation @ self.state for rotation in rotations])
        covariances = self.covariances(rotated)
        inverse = np.linalg.inv(covariances)
        # the coefficients that solve the equations with the least Σ σ² / w
        matrix = sum(w * a @ i @ a.T for w, a, i in zip(weights, columns, inverse, strict=True))
        matrix = np.asarray(matrix)
        ridge = _RIDGE * float(matrix.diagonal().mean())
        matrix[np.diag_indices_from(matrix)] += ridge
        try:
            decomposed = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:  # so far away that the equations are singular: the search turns back
            return _TOO_FAR, np.zeros_like(point)
        multipliers = scipy.linalg.cho_solve(decomposed, self.target)
        multipliers += scipy.linalg.cho_solve(decomposed, ridge * multipliers)
        forces = [a.T @ multipliers for a in columns]
        coefficients = [w * (i @ force) for w, i, force in zip(weights, inverse, forces, strict=True)]
        variances = np.array([c @ v @ c for c, v in zip(coefficients, covariances, strict=True)])
        value = 0.5 * float((variances / weights + weights).sum())
        # slopes at fixed coefficients and multipliers
        dual = _symmetric(self._basis @ multipliers, len(self.state))
        slopes = []
        for group, (rotation, amplitudes, row) in enumerate(zip(rotations, rotated, coefficients, strict=True)):
            energies = self.features @ row
            weighted = (energies - 2.0 * float(amplitudes**2 @ energies)) * energies * amplitudes
            moved = (rotation @ dual @ rotation.T) * (energies[None, :] - energies[:, None])
            for pair in self.matchings[group]:
                hop = self._hops[pair]
                by_variance = 2.0 * float(weighted @ (hop @ amplitudes))
                slopes.append(0.5 * by_variance / float(weights[group]) - float((moved * hop.T).sum()))
        return value, np.concatenate([slopes, 0.5 * (weights - variances / weights)])


def _unique(matrices: Array) -> Array:
    """Return the unique elements (elements, f) of symmetric matrices (f, d, d), so that inner products stay."""
    rows, columns = np.tril_indices(matrices.shape[1])
    return np.asarray((matrices[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))).T)


def _symmetric(elements: Array, size: int) -> Array:
    """Return the symmetric matrix (size, size) of unique elements."""
    rows, columns = np.tril_indices(size)
    matrix = np.zeros((size, size))
    matrix[rows, columns] = elements * np.where(rows == columns, 0.5, np.sqrt(0.5))
    return matrix + matrix.T


def _to_text(angles: Array) -> str:
    return base64.b64encode(np.round(angles * 10.0**ANGLE_DECIMALS).astype("<i4").tobytes()).decode()


def _read(text: str, problem: PairedElectrons) -> tuple[float, Array]:
    """Return the extra variance and the angles of a text. Raises InputError for one that has none of this size."""
    first, _, angles = text.partition(":")
    count = problem.num_qubits * (problem.num_qubits - 1) // 2
    try:
        extra = float(first)
        if not 0.0 < extra <= 1.0:
            raise ValueError(f"{first} is no share of shots")
        steps = np.frombuffer(base64.b64decode(angles, validate=True), "<i4").reshape(count)
        return extra, steps / 10.0**ANGLE_DECIMALS
    except ValueError as error:
        what = f"the rotations of pairs that the run recorded are damaged ({error})"
        raise InputError("grouping", what, "Start a new run; this one's counts are kept.") from error
