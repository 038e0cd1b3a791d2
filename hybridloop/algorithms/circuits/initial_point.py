"""Newton start: initial angles below Hartree-Fock without any job, from the energy's gradient and Hessian there.

Both derivatives at Hartree-Fock are sums of matrix elements between determinants, computed classically. Angles of one
geometry can start another one, if its orbitals are matched up to signs.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.uccsd import Excitation
from hybridloop.algorithms.problems.electronic import (
    ElectronicProblem,
    SymplecticOperator,
    excitation,
    hamiltonian_terms,
)
from hybridloop.algorithms.problems.molecule import Molecule

MAX_ANGLE_RAD = 0.25 * np.pi  # beyond, an excitation has over half of the weight: Hartree-Fock is no reference
MAX_ITERATIONS = 200
MIN_GRADIENT = 1e-6  # hartree per radian: a component below it is rounding of the integrals
GRADIENT_TOLERANCE = 1e-9  # hartree per radian
ENERGY_TOLERANCE = 1e-13  # hartree
ANGLE_DECIMALS = 9  # digits that another machine's rounding may change are cut off
MAX_MATCHED_ORBITALS = 10  # 512 choices of signs
MIN_COSINE = 0.9  # least cosine between the sign-dependent integrals: orbitals that mix or change order fall below it
COSINE_TIE = 0.02  # cosines closer than this do not distinguish two choices of signs


@dataclass(frozen=True, slots=True, eq=False)
class NewtonStart:
    """A start near Hartree-Fock: angles (n,) in radians, their expected gain and its uncertainty in hartree.

    `gain` (≥ 0) is the decrease of the energy below Hartree-Fock by the trigonometric model. `gain_uncertainty` is its
    difference from the gain by the quadratic model: if it is small against the gain, the neglected terms are smaller
    still.
    """

    point: NDArray[np.float64]
    gain: float
    gain_uncertainty: float


def newton_start(problem: ElectronicProblem, excitations: Sequence[Excitation]) -> NewtonStart:
    """Predict the energy minimum near Hartree-Fock for an ansatz of these excitations, in this order.

    Gradient and Hessian of E(θ) at θ = 0 are sums of Hamiltonian elements between few determinants:
    g_i = 2 ⟨0|H A_i|0⟩ and, for j after i, h_ij = 2 ⟨0|H A_j A_i|0⟩ + 2 ⟨0|A_i† H A_j|0⟩. Along one angle the energy
    from a determinant is exactly E + g_i s_i + h_ii sin²θ_i / 2 with s_i = ½ sin 2θ_i. With s_i s_j in place of θ_i θ_j
    as well, the model is exact for a single excitation at any distance of the atoms, and its limit for small angles is
    Newton's step. Its minimum is taken if the Hessian is positive in all directions with a gradient and no angle is
    beyond `MAX_ANGLE_RAD`; otherwise the start is Hartree-Fock, with gain 0. Directions without a gradient are ignored:
    in stretched bonds those that break the spin symmetry have negative curvature.
    """
    gradient, hessian = gradient_and_hessian(problem, excitations)
    values, directions = np.linalg.eigh(hessian)
    hartree_fock = NewtonStart(np.zeros(len(excitations)), 0.0, 0.0)
    if not len(excitations):
        return hartree_fock
    # the quadratic model, in the directions that have a gradient
    components = directions.T @ gradient
    significant = np.abs(components) > MIN_GRADIENT
    if (values[significant] <= 0.0).any():
        return hartree_fock
    newton_gain = 0.5 * float(np.sum(components[significant] ** 2 / values[significant]))
    # the minimum of the trigonometric model
    point = _minimize_model(gradient, hessian)
    if point is None or np.abs(point).max() > MAX_ANGLE_RAD:
        return hartree_fock
    gain = -_model(gradient, hessian, point)[0]
    return NewtonStart(np.round(point, ANGLE_DECIMALS) + 0.0, gain, abs(gain - newton_gain))


def gradient_and_hessian(
    problem: ElectronicProblem, excitations: Sequence[Excitation]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the exact gradient (n,) and Hessian (n, n) of the energy at Hartree-Fock, in hartree."""
    return derivatives_by_generators(problem, [excitation(*orbitals) for orbitals in excitations])


def derivatives_by_generators(
    problem: ElectronicProblem, generators: Sequence[SymplecticOperator]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what `gradient_and_hessian` does, for generators A of exp(θ A) under Jordan-Wigner, in circuit order."""
    elements = _MatrixElements.of(hamiltonian_terms(problem.molecule))
    reference = problem.encoding.hartree_fock_occupation()
    excited = [_apply(generator, {reference: 1.0}) for generator in generators]
    gradient = np.array([2.0 * elements.between({reference: 1.0}, state) for state in excited])
    hessian = np.zeros((len(generators),) * 2)
    for j, later in enumerate(generators):
        for i in range(j + 1):
            twice_excited = _apply(later, excited[i])
            value = elements.between({reference: 1.0}, twice_excited) + elements.between(excited[i], excited[j])
            hessian[i, j] = hessian[j, i] = 2.0 * value
    return gradient, hessian


def _minimize_model(gradient: NDArray[np.float64], hessian: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Minimize the trigonometric model by Newton iteration from zero, with step halving; None if it fails."""
    point = np.zeros(len(gradient))
    for _ in range(MAX_ITERATIONS):
        value, slope, curvature = _model(gradient, hessian, point)
        if np.abs(slope).max() < GRADIENT_TOLERANCE:
            return point
        try:
            step = -np.linalg.solve(curvature, slope)
        except np.linalg.LinAlgError:
            return None
        if slope @ step >= 0.0:
            return None  # not a descent direction: the minimum does not belong to Hartree-Fock
        while _model(gradient, hessian, point + step)[0] > value + ENERGY_TOLERANCE and np.abs(step).max() > 1e-12:
            step *= 0.5
        point = point + step
    return None


def _model(
    gradient: NDArray[np.float64], hessian: NDArray[np.float64], point: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return value, gradient and Hessian of the model Σ g_i s_i + ½ Σ_i h_ii sin²θ_i + ½ Σ_{i≠j} h_ij s_i s_j."""
    sine, cosine = np.sin(2.0 * point), np.cos(2.0 * point)
    s, diagonal = 0.5 * sine, np.diag(hessian)
    mixed = hessian - np.diag(diagonal)
    by_s = gradient + mixed @ s  # the derivative by s without the diagonal part
    value = float(gradient @ s + 0.5 * diagonal @ np.sin(point) ** 2 + 0.5 * s @ mixed @ s)
    slope = by_s * cosine + 0.5 * diagonal * sine
    curvature = np.diag(-2.0 * by_s * sine + diagonal * cosine) + mixed * np.outer(cosine, cosine)
    return value, slope, curvature


@dataclass(frozen=True, slots=True)
class _MatrixElements:
    """Matrix elements ⟨a|H|b⟩ between determinants, cached.

    X^x Z^z takes |b⟩ to (−1)^|z & b| |b ^ x⟩, so only terms with x = a ^ b contribute.
    """

    by_flip: Mapping[int, tuple[NDArray[np.uint64], NDArray[np.float64]]]
    cache: dict[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, operator: SymplecticOperator) -> _MatrixElements:
        rows: dict[int, list[tuple[int, float]]] = {}
        for (x, z), coefficient in operator.items():
            rows.setdefault(x, []).append((z, coefficient))
        return cls(
            {x: (np.array([z for z, _ in row], np.uint64), np.array([c for _, c in row])) for x, row in rows.items()}
        )

    def between(self, left: Mapping[int, float], right: Mapping[int, float]) -> float:
        """Return ⟨left|H|right⟩ for real states {determinant: amplitude}."""
        return sum(a * b * self._element(bra, ket) for bra, a in left.items() for ket, b in right.items())

    def _element(self, bra: int, ket: int) -> float:
        if (bra, ket) not in self.cache:
            phases, coefficients = self.by_flip.get(bra ^ ket, (np.zeros(0, np.uint64), np.zeros(0)))
            odd = np.bitwise_count(phases & np.uint64(ket)) & 1
            self.cache[bra, ket] = float(coefficients.sum() - 2.0 * (odd @ coefficients))
        return self.cache[bra, ket]


def _apply(operator: SymplecticOperator, state: Mapping[int, float]) -> dict[int, float]:
    """Apply an operator to a state {determinant: amplitude}; amplitudes that vanish are dropped."""
    after: dict[int, float] = {}
    for (x, z), coefficient in operator.items():
        for ket, amplitude in state.items():
            sign = -1.0 if (z & ket).bit_count() % 2 else 1.0
            after[ket ^ x] = after.get(ket ^ x, 0.0) + sign * coefficient * amplitude
    return {ket: amplitude for ket, amplitude in after.items() if abs(amplitude) > 1e-12}


@dataclass(frozen=True, slots=True)
class OrbitalMatching:
    """Signs (n,) of the second molecule's excitations relative to the first's, None if unknown, and the reason."""

    signs: tuple[float, ...] | None
    reason: str


def match_orbitals(one: Molecule, other: Molecule, excitations: Sequence[Excitation]) -> OrbitalMatching:
    """Find the signs that carry angles of `one` over to `other`, which has the same excitations.

    Orbitals are compared by their integrals, which fix each up to a sign: flipping orbital p's sign flips every
    integral in which p appears an odd number of times. The signs with the most similar integrals are returned, if the
    similarity suffices, no two orbitals fit better when swapped, and other signs that fit as well flip no excitation
    (those are symmetries of the molecule).
    """
    if one.norb != other.norb or one.electrons != other.electrons:
        return OrbitalMatching(None, "the numbers of orbitals or electrons differ")
    if one.norb > MAX_MATCHED_ORBITALS:
        return OrbitalMatching(None, f"{one.norb} orbitals have too many sign choices to try")
    if (swapped := _better_swapped(one, other)) is not None:
        return OrbitalMatching(None, f"orbitals {swapped[0]} and {swapped[1]} have changed their order")
    # flipping all signs changes nothing, so the first orbital's is +
    choices = map(np.array, itertools.product((1.0,), *[(1.0, -1.0)] * (one.norb - 1)))
    fits = [(_cosine(one, other, signs), signs) for signs in choices]
    best = max(fit for fit, _ in fits)
    if best < MIN_COSINE:
        return OrbitalMatching(None, f"the best cosine between their integrals is only {best:.2f}")
    by_excitation = {_excitation_signs(signs, excitations) for fit, signs in fits if fit > best - COSINE_TIE}
    if len(by_excitation) > 1:
        return OrbitalMatching(None, "two choices of the orbitals' signs fit equally well")
    return OrbitalMatching(by_excitation.pop(), f"the cosine between their integrals is {best:.3f}")


def _excitation_signs(signs: NDArray[np.float64], excitations: Sequence[Excitation]) -> tuple[float, ...]:
    """The sign of each excitation: the product of its orbitals' (spin orbitals are all alpha, then all beta)."""
    return tuple(
        float(np.prod([signs[orbital % len(signs)] for orbital in (*emptied, *filled)]))
        for emptied, filled in excitations
    )


def _cosine(one: Molecule, other: Molecule, signs: NDArray[np.float64]) -> float:
    """Cosine between the sign-dependent integrals; 1 where there are none."""
    dot = size_one = size_other = 0.0
    for a, b, depends in _integrals(one, other):
        flips = functools.reduce(np.multiply.outer, [signs] * a.ndim)
        dot += float(np.sum((a * b * flips)[depends]))
        size_one, size_other = size_one + float(np.sum(a[depends] ** 2)), size_other + float(np.sum(b[depends] ** 2))
    scale = float(np.sqrt(size_one * size_other))
    return dot / scale if scale > 1e-12 else 1.0


def _integrals(
    one: Molecule, other: Molecule
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]]:
    """Integrals of both molecules, with a mask of those in which some orbital appears an odd number of times."""
    for a, b in ((one.one_body, other.one_body), (one.two_body, other.two_body)):
        indices = np.indices(a.shape)
        counts = [np.sum(indices == orbital, axis=0) for orbital in range(one.norb)]
        yield a, b, np.any([count % 2 for count in counts], axis=0)


def _better_swapped(one: Molecule, other: Molecule) -> tuple[int, int] | None:
    """Two orbitals whose sign-independent integrals fit better when they are swapped; None where there are none."""
    unswapped = _distance(one, other, np.arange(one.norb))
    for p, q in itertools.combinations(range(one.norb), 2):
        order = np.arange(one.norb)
        order[[p, q]] = order[[q, p]]
        if _distance(one, other, order) < unswapped:
            return p, q
    return None


def _distance(one: Molecule, other: Molecule, order: NDArray[np.int64]) -> float:
    """Squared distance of h_pp, (pp|qq) and (pq|pq), with the other molecule's orbitals in the given order."""
    return sum(
        float(np.sum((a - b[np.ix_(*[order] * b.ndim)]) ** 2))
        for a, b in (
            (np.diag(one.one_body), np.diag(other.one_body)),
            (np.einsum("ppqq->pq", one.two_body), np.einsum("ppqq->pq", other.two_body)),
            (np.einsum("pqpq->pq", one.two_body), np.einsum("pqpq->pq", other.two_body)),
        )
    )
