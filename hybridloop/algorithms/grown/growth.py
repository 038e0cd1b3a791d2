"""Growth of a circuit on this computer: operators by the energy that they gain for each two-qubit gate, then pruned.

Each step appends the operator of the largest g² / 2 |h| for each gate, by slope g and curvature h of the energy, and
optimizes all angles (H. R. Grimsley et al., Nat. Commun. 10 (2019) 3007, with gains for gates in place of gradients).
The optimization starts from the inverse Hessian of the last one (M. Ramôa et al., Quantum Sci. Technol. 10 (2025)
015031). Pruning removes operators that later ones made needless, by the loss θ² / 2 (H⁻¹)_kk that the Hessian expects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.simulation import SimulatedCircuit, exponential_rotation, is_simulable
from hybridloop.algorithms.circuits.statevector import Rotation, RotationSequence
from hybridloop.algorithms.grown.circuit import most_two_qubit_gates
from hybridloop.algorithms.grown.operators import (
    COUPLED_GATES,
    EXCITATION_GATES,
    FIRST_PAIR_GATES,
    SINGLE_GATES,
    Exponential,
    Operator,
    every_operator,
    generator_of,
)
from hybridloop.algorithms.minimization import minimize
from hybridloop.algorithms.problems.electronic import ElectronicProblem, mask_of
from hybridloop.algorithms.problems.exact import SAME_LEVEL, can_be_diagonalized, exact_energy_of_spin, lowest_state

GROWN_TO = 0.3e-3  # hartree above the exact energy at which growth ends
MAX_OPERATORS = 150
GRADIENTS = 1_000  # of a growth: determinants of which these take too long are not simulated
MOST_WITH_ALL = (
    500  # determinants with which the larger pool is tried too: eight electrons in eight orbitals take a minute
)
MOST_TRIED = 4  # operators that may go next, of which the first that can is removed
MIN_CURVATURE = 0.2  # hartree per radian²: a floor; softer operators are nearly degenerate
MIN_SLOPE = 1e-6  # hartree per radian: less is rounding
SAME_GAIN = 1e-6  # of a gain: of equal ones the first in the pool is taken, on every machine
STEEPEST_LEFT = 1e-5  # hartree per radian: of a minimum between two steps
SMALLEST_INVERSE = 1e-3  # radian² per hartree: no curvature is as large as its inverse
SURELY_LOST = 0.7  # of the expected loss of a removal: what the Hessian neglects is less than the rest

GROWTH = (  # what a growth depends on, beside its problem
    *(
        GROWN_TO,
        MAX_OPERATORS,
        MOST_WITH_ALL,
        MOST_TRIED,
        MIN_CURVATURE,
        MIN_SLOPE,
        SAME_GAIN,
        STEEPEST_LEFT,
        SMALLEST_INVERSE,
    ),
    *(SURELY_LOST, FIRST_PAIR_GATES, SINGLE_GATES, EXCITATION_GATES, COUPLED_GATES),
)

Array = NDArray[np.float64]
OnGrowth = Callable[[int, float], None]  # takes the operators so far, and hartree above the exact energy


@dataclass(frozen=True, slots=True, eq=False)
class GrownState:
    """Operators with their angles (n,) in radians, the simulation of their circuit, and hartree above the exact."""

    operators: tuple[Operator, ...]
    point: Array
    simulation: SimulatedCircuit
    excess: float


def simulated(problem: ElectronicProblem, operators: Sequence[Operator]) -> SimulatedCircuit | None:
    """Return the simulation of a circuit of operators; None where the determinants are too many."""
    space = _space(problem)
    return None if space is None else _circuit(space, operators)


def grow(problem: ElectronicProblem, most: float, on_growth: OnGrowth | None = None) -> GrownState | None:
    """Grow a circuit, in the orbitals of the problem, to at most `most` hartree above the exact energy.

    Of few determinants it is the shorter one of two: of all operators, and of those that excite electrons of the
    Hartree-Fock determinant; of more the latter.
    None where the determinants are too many, the determinant itself is as near, or no operators get there.
    """
    space = _space(problem) if can_be_diagonalized(problem.molecule) else None
    if space is None:
        return None
    pools = [operators_of_reference(problem)]
    if len(space.determinants) <= MOST_WITH_ALL:
        pools.insert(0, symmetric_operators(problem))
    found = list[GrownState]()
    for pool in filter(None, pools):
        growth = _Growth(space, pool, on_growth)
        state, inverse = growth.grown(min(GROWN_TO, 0.5 * most))
        if state.operators and state.excess <= most:
            found.append(growth.pruned(state, inverse, most))
    return min(found, key=lambda each: most_two_qubit_gates(problem, each.operators), default=None)


def _leading_pairs(operators: Sequence[Operator]) -> int:
    return next((place for place, operator in enumerate(operators) if not operator.is_pair), len(operators))


def _with(operators: tuple[Operator, ...], place: int, operator: Operator) -> tuple[Operator, ...]:
    return (*operators[:place], operator, *operators[place:])


def _without(operators: tuple[Operator, ...], place: int) -> tuple[Operator, ...]:
    return (*operators[:place], *operators[place + 1 :])


@lru_cache(maxsize=4)
def _space(problem: ElectronicProblem) -> SimulatedCircuit | None:
    """Return the determinants as a circuit without operators; None where they are too many.

    Its objective is the energy, with the penalty for other spins only where one of these has a lower state, or may.
    """
    space = SimulatedCircuit.of(problem, (), ()) if is_simulable(problem, (), GRADIENTS) else None
    if space is None or not can_be_diagonalized(problem.molecule):
        return space
    lowest = lowest_state(space.hamiltonian, problem.molecule.norb)[0]
    is_own = lowest > exact_energy_of_spin(problem.molecule) - SAME_LEVEL
    return replace(space, objective=space.hamiltonian) if is_own else space


class _Growth:
    """A growth over a space of determinants: its pool, and the minimization of circuits."""

    def __init__(self, space: SimulatedCircuit, pool: Sequence[Operator], on_growth: OnGrowth | None) -> None:
        self.space, self.pool, self.on_growth = space, pool, on_growth
        self.exact = exact_energy_of_spin(space.problem.molecule)
        size = len(space.determinants)
        generators = list[scipy.sparse.csr_array]()
        for operator in self.pool:
            rotations = _rotations(space, operator, 0)
            parts = ("factors", "rows", "partners")
            factors, rows, columns = (np.concatenate([getattr(each, part) for each in rotations]) for part in parts)
            generators.append(scipy.sparse.csr_array((factors, (rows, columns)), shape=(size, size)))
        self.generators = generators
        self.together = scipy.sparse.vstack([*generators, scipy.sparse.csr_array((1, size))]).tocsr()

    def grown(self, target: float) -> tuple[GrownState, Array]:
        """Return a circuit at most `target` above the exact energy, if operators reach it, and its inverse Hessian."""
        state, inverse = self._state((), np.zeros(0)), np.zeros((0, 0))
        while state.excess > target and len(state.operators) < MAX_OPERATORS:
            if (best := self._best(state)) is None:
                break
            place, operator, slope, curvature = best
            operators = _with(state.operators, place, operator)
            point = np.insert(state.point, place, -slope / curvature)
            others = np.delete(np.arange(len(operators)), place)
            longer = np.eye(len(operators)) / curvature
            longer[np.ix_(others, others)] = inverse
            state, inverse = self._minimized(operators, point, longer)
            if self.on_growth is not None:
                self.on_growth(len(operators), state.excess)
        return state, inverse

    def pruned(self, state: GrownState, inverse: Array, most: float) -> GrownState:
        """Return the circuit without operators that it does not need to stay within `most` above the exact energy."""
        while (fewer := self._without_one(state, inverse, most)) is not None:
            state, inverse = fewer
        return state

    def _best(self, state: GrownState) -> tuple[int, Operator, float, float] | None:
        """Return the place, operator, slope and curvature of the largest gain for a gate; None where nothing gains.

        An operator is appended; a pair of orbitals that no operator has broken may also move before the first that is
        none of pairs, where it takes few gates.
        """
        count, pairs = len(state.operators), _leading_pairs(state.operators)
        places = [(count, operator, generator) for operator, generator in zip(self.pool, self.generators, strict=True)]
        slopes = self._slopes_at_end(state)
        if pairs < count:
            early = [(pairs, *each) for each in zip(self.pool, self.generators, strict=True) if each[0].is_pair]
            slopes = np.append(slopes, [self._derivatives(state, pairs, each)[0] for _, _, each in early])
            places += early
        before = self._gates(state.operators)
        gates = [self._gates(_with(state.operators, *each[:2])) - before for each in places]
        bounds = slopes**2 / (2.0 * MIN_CURVATURE) / np.maximum(gates, 1)
        largest, best = 0.0, None
        for index in np.argsort(-bounds, kind="stable").tolist():
            if bounds[index] <= largest or abs(slopes[index]) < MIN_SLOPE:
                break
            place, operator, generator = places[index]
            slope, curvature = self._derivatives(state, place, generator)
            curvature = max(abs(curvature), MIN_CURVATURE)
            gain = slope**2 / (2.0 * curvature) / max(gates[index], 1)
            if gain > largest * (1.0 + SAME_GAIN):
                largest, best = gain, (place, operator, slope, curvature)
        return best

    def _slopes_at_end(self, state: GrownState) -> Array:
        """Return the slope (k,) of the energy along each operator of the pool, appended at angle 0."""
        amplitudes = state.simulation.state(state.point)
        image = state.simulation.objective @ amplitudes
        turned = np.asarray(self.together @ amplitudes)[:-1].reshape(len(self.pool), -1)
        return np.asarray(2.0 * turned @ image)

    def _derivatives(self, state: GrownState, place: int, generator: scipy.sparse.csr_array) -> tuple[float, float]:
        """Return slope and curvature of the energy along exp(θ G) at θ = 0, where it is put at a place of the circuit.

        With the state |s⟩ there and the rest U of the circuit, E' = 2 ⟨s|U†HU G|s⟩ and E'' = 2 (⟨Gs|U†HU|Gs⟩ +
        ⟨s|U†HU G²|s⟩).
        """
        sequence, matrix = state.simulation.sequence, state.simulation.objective
        angles = [each.angle(state.point) for each in sequence.rotations]
        first = sum(len(each.exponentials(self.space.problem.molecule.norb)) for each in state.operators[:place])
        rest = list(zip(sequence.rotations, angles, strict=True))[first:]
        there = state.simulation.state(state.point)
        image = np.asarray(matrix @ there)
        for rotation, angle in reversed(rest):
            for vector in (there, image):
                rotation.turn(vector, -angle, rotation.generate(vector))
        once = np.asarray(generator @ there)
        moved = once.copy()
        for rotation, angle in rest:
            rotation.turn(moved, angle, rotation.generate(moved))
        twice = np.asarray(generator @ once)
        return 2.0 * float(image @ once), 2.0 * float(moved @ (matrix @ moved) + image @ twice)

    def _without_one(self, state: GrownState, inverse: Array, most: float) -> tuple[GrownState, Array] | None:
        """Return the circuit without the operator whose removal loses least for the gates that it saves."""
        point, count = state.point, len(state.operators)
        if count < 2:
            return None
        losses = point**2 / (2.0 * np.maximum(np.diag(inverse), 1e-9))
        before = self._gates(state.operators)
        saved = [before - self._gates(_without(state.operators, k)) for k in range(count)]
        order = np.argsort(losses / np.maximum(saved, 1), kind="stable").tolist()
        may_go = [k for k in order if saved[k] > 0 and state.excess + SURELY_LOST * losses[k] <= most]
        for k in may_go[:MOST_TRIED]:
            column = inverse[:, k] / inverse[k, k]
            start = np.delete(point - column * point[k], k)
            left = np.delete(np.delete(inverse - np.outer(column, inverse[k]), k, 0), k, 1)
            fewer, shorter = self._minimized(_without(state.operators, k), start, left)
            if fewer.excess <= most:
                return fewer, shorter
        return None

    def _gates(self, operators: tuple[Operator, ...]) -> int:
        return most_two_qubit_gates(self.space.problem, operators)

    def _minimized(self, operators: tuple[Operator, ...], start: Array, inverse: Array) -> tuple[GrownState, Array]:
        """Return the circuit at the minimum downhill of a start (n,), and the inverse Hessian (n, n) there."""
        circuit = _circuit(self.space, operators)
        options = {"gtol": STEEPEST_LEFT, "hess_inv0": _positive(inverse)}
        found = minimize(circuit.objective_and_gradient, start, options, method="BFGS")
        return self._state(operators, np.asarray(found.x)), np.asarray(found.hess_inv)

    def _state(self, operators: tuple[Operator, ...], point: Array) -> GrownState:
        circuit = _circuit(self.space, operators)
        return GrownState(operators, point, circuit, circuit.objective_and_gradient(point)[0] - self.exact)


def _positive(matrix: Array) -> Array:
    """Return a symmetric matrix with its smallest eigenvalues raised, as rounding may leave them below 0."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    positive: Array = (vectors * np.maximum(values, SMALLEST_INVERSE)) @ vectors.T
    return (positive + positive.T) / 2.0


def symmetric_operators(problem: ElectronicProblem) -> list[Operator]:
    """Return the operators that keep the symmetries of the Hamiltonian and move a determinant of its electrons."""
    norb, (alpha, beta) = problem.molecule.norb, problem.molecule.electrons

    def is_allowed(operator: Operator) -> bool:
        (emptied, filled, _), *_ = operator.exponentials(norb)[0]
        moved = sum(orbital < norb for orbital in emptied), sum(orbital >= norb for orbital in emptied)
        has_room = all(k <= count <= norb - k for k, count in zip(moved, (alpha, beta), strict=True))
        return has_room and problem.conserves_symmetry(mask_of((*emptied, *filled)))

    return list(filter(is_allowed, every_operator(norb, is_closed=alpha == beta)))


def operators_of_reference(problem: ElectronicProblem) -> list[Operator]:
    """Return those of which a term excites electrons of the Hartree-Fock determinant."""
    norb, filled = problem.molecule.norb, problem.encoding.hartree_fock_occupation()

    def excites(operator: Operator) -> bool:
        return any(
            mask_of(before) & filled == mask_of(before) and not mask_of(after) & filled
            for before, after, _ in operator.exponentials(norb)[0]
        )

    return list(filter(excites, symmetric_operators(problem)))


def _circuit(space: SimulatedCircuit, operators: Sequence[Operator]) -> SimulatedCircuit:
    rotations = [each for number, operator in enumerate(operators) for each in _rotations(space, operator, number)]
    sequence = RotationSequence(len(space.determinants), space.sequence.start, tuple(rotations), len(operators))
    return replace(space, sequence=sequence)


def _rotations(space: SimulatedCircuit, operator: Operator, number: int) -> list[Rotation]:
    """Return the rotations of an operator by angle `number`."""
    exponentials = operator.exponentials(space.problem.molecule.norb)
    return [replace(_rotation(space, each), slopes=((number, 1.0),)) for each in exponentials]


@lru_cache(maxsize=4096)
def _rotation(space: SimulatedCircuit, exponential: Exponential) -> Rotation:
    return exponential_rotation(generator_of(exponential), space.determinants, 0)
