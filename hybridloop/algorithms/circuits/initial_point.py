"""Newton start: initial angles below Hartree-Fock without any job, from the energy's gradient and Hessian there.

Both derivatives at Hartree-Fock are sums of matrix elements between determinants, computed classically.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.uccsd import Excitation
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.fermions import SymplecticOperator, excitation, hamiltonian_terms

MAX_ANGLE_RAD = 0.25 * np.pi  # beyond, an excitation has over half of the weight: Hartree-Fock is no reference
MAX_ITERATIONS = 200
MIN_GRADIENT = 1e-6  # hartree per radian: a component below it is rounding of the integrals
GRADIENT_TOLERANCE = 1e-9  # hartree per radian
ENERGY_TOLERANCE = 1e-13  # hartree
ANGLE_DECIMALS = 9  # digits that another machine's rounding may change are cut off


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
    hartree_fock = NewtonStart(np.zeros(len(excitations)), 0.0, 0.0)
    if not len(excitations):
        return hartree_fock
    # the quadratic model, in the directions that have a gradient
    values, directions = np.linalg.eigh(hessian)
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
    elements = _MatrixElements.of(hamiltonian_terms(problem.molecule))
    reference = problem.encoding.hartree_fock_occupation()
    generators = [excitation(*orbitals) for orbitals in excitations]
    excited = [_apply(generator, {reference: 1.0}) for generator in generators]
    gradient = np.array([2.0 * elements.between({reference: 1.0}, state) for state in excited])
    hessian = np.zeros((len(excitations),) * 2)
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
