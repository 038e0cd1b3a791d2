"""A start below Hartree-Fock for no job: one Newton step of the energy, whose derivatives there are classical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.fermions import XZ, excitation, hamiltonian_terms
from hybridloop.algorithms.uccsd import Excitation

LARGEST_ANGLE = 0.25 * np.pi  # radians: there an excitation holds half of the weight, and Hartree-Fock is no reference
MOST_ITERATIONS = 200
PULLED = 1e-6  # hartree per radian: a slope below it is rounding of the integrals
SETTLED = 1e-9  # hartree per radian
ROUNDING = 1e-13  # hartree
DIGITS = 9  # of the angles: what another machine's rounding may change is cut off


@dataclass(frozen=True, slots=True, eq=False)
class NewtonStart:
    """Angles (n,) in radians, what the model says they gain (hartree, ≥ 0), and how far it may be trusted.

    `doubt` is the difference between the two models' gains, in hartree: where it is small against the gain, what both
    leave out is smaller still.
    """

    point: NDArray[np.float64]
    gain: float
    doubt: float


def newton_start(problem: ElectronicProblem, chosen: Sequence[Excitation]) -> NewtonStart:
    """Where the ansatz of these excitations, in this order, is expected to be lowest near Hartree-Fock.

    Gradient and Hessian of E(θ) at θ = 0 are sums of Hamiltonian elements between few determinants:
    g_i = 2 ⟨0|H A_i|0⟩ and, for j after i, h_ij = 2 ⟨0|H A_j A_i|0⟩ + 2 ⟨0|A_i† H A_j|0⟩. Along one angle the energy
    from a determinant is exactly E + g_i s_i + h_ii sin²θ_i / 2 with s_i = ½ sin 2θ_i; taking s_i s_j for θ_i θ_j too
    gives a model that is exact for a single excitation at any distance of the atoms, and has Newton's step as its limit
    for small angles. Its minimum is taken if the Hessian is positive wherever there is a slope and no angle leaves
    `LARGEST_ANGLE`; else Hartree-Fock stays. Directions without a slope do not count: where bonds are stretched, those
    that would break the spin symmetry curve downwards, and are not taken.
    """
    slopes, curvatures = derivatives(problem, chosen)
    nothing = NewtonStart(np.zeros(len(chosen)), 0.0, 0.0)
    if not len(chosen):
        return nothing
    values, directions = np.linalg.eigh(curvatures)
    along = directions.T @ slopes
    pulled = np.abs(along) > PULLED
    if (values[pulled] <= 0.0).any():
        return nothing
    newton_gain = 0.5 * float(np.sum(along[pulled] ** 2 / values[pulled]))
    point = _lowest(slopes, curvatures)
    if point is None or np.abs(point).max() > LARGEST_ANGLE:
        return nothing
    gain = -_model(slopes, curvatures, point)[0]
    return NewtonStart(np.round(point, DIGITS) + 0.0, gain, abs(gain - newton_gain))


def derivatives(
    problem: ElectronicProblem, chosen: Sequence[Excitation]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient (n,) and Hessian (n, n) of the energy at Hartree-Fock, in hartree; exact, at any n."""
    elements = _Elements.of(hamiltonian_terms(problem.molecule))
    reference = problem.encoding.hartree_fock_occupation()
    generators = [excitation(*each) for each in chosen]
    first = [_applied(generator, {reference: 1.0}) for generator in generators]
    slopes = np.array([2.0 * elements.between({reference: 1.0}, each) for each in first])
    curvatures = np.zeros((len(chosen),) * 2)
    for j, later in enumerate(generators):
        for i in range(j + 1):
            both = _applied(later, first[i])
            value = elements.between({reference: 1.0}, both) + elements.between(first[i], first[j])
            curvatures[i, j] = curvatures[j, i] = 2.0 * value
    return slopes, curvatures


def _lowest(slopes: NDArray[np.float64], curvatures: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Newton's iteration on the model from zero, each step halved until it descends; None if it does not settle."""
    point = np.zeros(len(slopes))
    for _ in range(MOST_ITERATIONS):
        value, gradient, hessian = _model(slopes, curvatures, point)
        if np.abs(gradient).max() < SETTLED:
            return point
        try:
            step = -np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return None
        if gradient @ step >= 0.0:
            return None  # no minimum in this direction: the model's valley is not Hartree-Fock's
        while _model(slopes, curvatures, point + step)[0] > value + ROUNDING and np.abs(step).max() > 1e-12:
            step *= 0.5
        point = point + step
    return None


def _model(
    slopes: NDArray[np.float64], curvatures: NDArray[np.float64], point: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Value, gradient and Hessian of Σ g_i s_i + ½ Σ_i h_ii sin²θ_i + ½ Σ_{i≠j} h_ij s_i s_j."""
    sine, cosine = np.sin(2.0 * point), np.cos(2.0 * point)
    s, own = 0.5 * sine, np.diag(curvatures)
    mixed = curvatures - np.diag(own)
    pull = slopes + mixed @ s
    value = float(slopes @ s + 0.5 * own @ np.sin(point) ** 2 + 0.5 * s @ mixed @ s)
    gradient = pull * cosine + 0.5 * own * sine
    hessian = np.diag(-2.0 * pull * sine + own * cosine) + mixed * np.outer(cosine, cosine)
    return value, gradient, hessian


@dataclass(frozen=True, slots=True)
class _Elements:
    """⟨a|H|b⟩ between determinants: X^x Z^z takes |b⟩ to (−1)^|z & b| |b ^ x⟩, so that only x = a ^ b counts."""

    by_flip: Mapping[int, tuple[NDArray[np.uint64], NDArray[np.float64]]]
    known: dict[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, operator: XZ) -> _Elements:
        rows: dict[int, list[tuple[int, float]]] = {}
        for (x, z), coefficient in operator.items():
            rows.setdefault(x, []).append((z, coefficient))
        return cls(
            {x: (np.array([z for z, _ in row], np.uint64), np.array([c for _, c in row])) for x, row in rows.items()}
        )

    def between(self, left: Mapping[int, float], right: Mapping[int, float]) -> float:
        """⟨left|H|right⟩ of real states {determinant: amplitude}."""
        return sum(a * b * self._element(bra, ket) for bra, a in left.items() for ket, b in right.items())

    def _element(self, bra: int, ket: int) -> float:
        if (bra, ket) not in self.known:
            phases, coefficients = self.by_flip.get(bra ^ ket, (np.zeros(0, np.uint64), np.zeros(0)))
            odd = np.bitwise_count(phases & np.uint64(ket)) & 1
            self.known[bra, ket] = float(coefficients.sum() - 2.0 * (odd @ coefficients))
        return self.known[bra, ket]


def _applied(operator: XZ, state: Mapping[int, float]) -> dict[int, float]:
    """The operator on a state, without what vanishes."""
    after: dict[int, float] = {}
    for (x, z), coefficient in operator.items():
        for ket, amplitude in state.items():
            sign = -1.0 if (z & ket).bit_count() % 2 else 1.0
            after[ket ^ x] = after.get(ket ^ x, 0.0) + sign * coefficient * amplitude
    return {ket: amplitude for ket, amplitude in after.items() if abs(amplitude) > 1e-12}
