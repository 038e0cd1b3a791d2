"""QAOA's angles found classically, before any job: on the tree of couplings, and on state vectors of small problems."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.binary.constraints import Group
from hybridloop.algorithms.binary.ising import MAX_ENUMERATED_VARIABLES, Ising, Spins
from hybridloop.algorithms.circuits.statevector import Amplitudes
from hybridloop.algorithms.minimization import minimize
from hybridloop.algorithms.qaoa.circuit import (
    Mixer,
    QaoaCircuit,
    gamma_scale,
    interpolate_angles,
    linear_ramps,
    num_states,
    ring_pairs,
)
from hybridloop.algorithms.qaoa.trees import CouplingTree, OneLayer

WHOLE_VARIABLES = 14  # an energy takes 1 ms
PART_VARIABLES = 12  # of a larger problem that no tree describes
TREE_ERROR = 0.2  # of the mean after one layer: with more, a part's angles are better (graphs of 17 and 20 variables)
MOST_EVALUATIONS, LEAST_EVALUATIONS = 100, 14  # of a larger problem's own energy; two gradients and two steps
EVALUATED_AMPLITUDES = 40 * 2**17  # about a second
TREE_OPERATIONS = 1e9  # products of complex numbers for one number of layers: about ten seconds
TREE_EVALUATIONS = 200
RAMPS = (0.3, 0.6, 0.9)  # steps of linear ramps in radians
_GRID = [np.array([beta, gamma]) for beta in np.arange(0.1, 0.8, 0.1) for gamma in np.arange(0.2, 1.3, 0.2)]
MAX_BITS = 62  # of an assignment, which is one whole number
_IN_A_PART = 1 << 14  # states whose bits are held at once
_TOGETHER = 4  # qubits whose turns are applied as one matrix
ANGLE_DECIMALS = 4  # further digits change no energy, and differ between machines
_DIFFERENCE_RAD = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class QaoaSimulation:
    """State vectors of a QAOA circuit; energies (k,) of the assignments that its mixer reaches."""

    energies: NDArray[np.float64]
    start: Amplitudes
    warm_start_angles: Sequence[float]
    pairs: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]  # of an XY mixer: states that its turns exchange
    levels: NDArray[np.float64]  # the different energies, and the place of each state's there
    level: NDArray[np.intp]

    @classmethod
    def of(cls, cost: Ising, groups: Sequence[Group], warm_start_angles: Sequence[float] | None) -> QaoaSimulation:
        """Simulate the circuit in the space that its mixer reaches; `groups` are those of an XY mixer."""
        count = cost.num_variables
        pairs = []
        if groups:
            states = _states_of(count, groups)
            parts = np.array_split(states, 1 + len(states) // _IN_A_PART)
            energies = np.concatenate([cost.energies(part[:, None] >> np.arange(count) & 1) for part in parts])
            kept = {variable for group in groups for variable in group.variables}
            for i, j in itertools.chain.from_iterable(ring_pairs(group.variables) for group in groups):
                moved = np.flatnonzero((states >> i & 1) > (states >> j & 1))
                pairs.append((moved, np.searchsorted(states, states[moved] ^ (1 << i) ^ (1 << j))))
            for i in (i for i in range(count) if i not in kept):  # exp(−i β X) turns a pair as XX + YY does
                moved = np.flatnonzero(states >> i & 1)
                pairs.append((moved, np.searchsorted(states, states[moved] ^ (1 << i))))
        else:
            states, energies = np.arange(2**count), cost.all_energies()
        start = np.full(len(states), 1.0 / np.sqrt(len(states)), complex)
        if warm_start_angles is not None:
            start = np.ones(1, complex)
            for angle in warm_start_angles:  # qubit 0 is the last axis
                start = np.kron([np.cos(angle / 2.0), np.sin(angle / 2.0)], start)
        levels, level = np.unique(energies, return_inverse=True)
        return cls(energies, start, tuple(warm_start_angles or ()), tuple(pairs), levels, level)

    def energy(self, point: NDArray[np.float64]) -> float:
        """Return the mean cost at a point (β_1 … β_p, γ_1 … γ_p) in radians."""
        state = self.start
        for beta, gamma in zip(*np.split(point, 2), strict=True):
            state = self._mix(np.exp(1j * gamma * self.levels)[self.level] * state, beta)
        return float((np.abs(state) ** 2) @ self.energies)

    def _mix(self, state: Amplitudes, beta: float) -> Amplitudes:
        cos, sin = np.cos(beta), -1j * np.sin(beta)
        if self.pairs:
            for ahead, behind in self.pairs:
                state[ahead], state[behind] = (
                    cos * state[ahead] + sin * state[behind],
                    sin * state[ahead] + cos * state[behind],
                )
            return state
        x, z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
        count = int(np.log2(len(state)) + 0.5)
        if self.warm_start_angles:
            turns = [
                cos * np.eye(2) + sin * (np.cos(angle) * z + np.sin(angle) * x) for angle in self.warm_start_angles
            ]
        else:
            turns = [cos * np.eye(2) + sin * x] * count
        for first in range(0, count, _TOGETHER):
            matrix = np.ones((1, 1))
            for turn in turns[first : first + _TOGETHER]:
                size = 2 * len(matrix)
                matrix = (turn[:, None, :, None] * matrix[:, None]).reshape(size, size)  # their Kronecker product
            state = np.matmul(matrix, state.reshape(-1, len(matrix), 1 << first)).reshape(-1)
        return state


def with_simulated_angles(ansatz: QaoaCircuit) -> tuple[QaoaCircuit, str]:
    """Return the circuit at angles that were optimized classically, and how, as a clause; no job is sent.

    The angles are those of `with_tree_angles`. On problems of at most 14 variables the whole circuit's energy is
    minimized from there and from linear ramps (J. A. Montañez-Barrera and K. Michielsen, arXiv:2405.09169). Up to 20 it
    improves them if that takes seconds. Of more than 14 variables with the XY mixer, products of three and more, or so
    many short cycles that the tree is off by `TREE_ERROR`, a connected part of 12 is simulated: optimal angles depend
    on the kind of a problem more than on its size (F. G. S. L. Brandão et al., arXiv:1812.04170).
    """
    cost, layers = ansatz.cost, ansatz.layers
    ansatz, what = with_tree_angles(ansatz)
    count, groups = cost.num_variables, ansatz.groups
    is_small = ansatz.num_states <= 1 << WHOLE_VARIABLES
    if cost.is_constant:
        return ansatz, what
    in_part = not is_small and not _has_tree_means(ansatz)
    if not can_simulate(ansatz) and not in_part:
        return ansatz, what
    start = tuple((ansatz.initial_point / ansatz.scales).tolist())
    warm = None if ansatz.warm_start_angles is None else tuple(ansatz.warm_start_angles)
    point = np.array(start)
    if is_small or in_part:
        chosen = tuple(range(count)) if is_small else _connected_part(cost, PART_VARIABLES)
        part = _part(cost, chosen)
        groups_of_part = _groups_within(groups, chosen)
        warm_of_part = None if warm is None else tuple(warm[i] for i in chosen)
        point = np.array(_optimized(_key(part), groups_of_part, warm_of_part, layers, start))
        what = f"optimized on a classical simulation of {len(chosen)} of the {count} variables"
    if not is_small and can_simulate(ansatz):
        point = np.array(_improved(_key(cost), groups, warm, tuple(point.tolist()), start))
        what += ", then compared on all" if in_part else ", then on a simulation of all"
    return ansatz.with_initial_point(point * ansatz.scales), what


def with_tree_angles(ansatz: QaoaCircuit) -> tuple[QaoaCircuit, str]:
    """Return the circuit at angles of its tree of couplings, for any number of variables, and how, as a clause.

    For one layer with the standard mixer the mean is exact. A circuit with the XY mixer, or of products of three and
    more variables, keeps its linear ramps.
    """
    if ansatz.mixer is Mixer.XY or ansatz.cost.is_constant or not ansatz.cost.is_quadratic:
        return ansatz, "linear ramps" + ", as the objective is constant" * ansatz.cost.is_constant
    point, simulated = _tree_angles(_key(ansatz.cost), ansatz.warm_start_angles, ansatz.layers)
    what = "optimized on the exact mean of one layer"
    if ansatz.layers > 1 or ansatz.warm_start_angles is not None:
        what = f"optimized on the tree of couplings, without cycles of up to {2 * simulated + 1} couplings"
    if simulated < ansatz.layers:
        what += f", for {simulated} layers, and interpolated for {ansatz.layers}"
    return ansatz.with_initial_point(np.array(point) * ansatz.scales), what


def with_added_layer(ansatz: QaoaCircuit) -> QaoaCircuit:
    """Return the circuit with one more layer: at the tree's angles if this one is, else at interpolated ones."""
    longer, trained = ansatz.with_added_layer(), with_tree_angles(ansatz)[0]
    is_trained = np.allclose(trained.initial_point, ansatz.initial_point, rtol=0, atol=1e-9)
    return with_tree_angles(longer)[0] if is_trained else longer


def _has_tree_means(ansatz: QaoaCircuit) -> bool:
    """Return whether means at the tree's best angles are exact, or nearly so."""
    if ansatz.mixer is Mixer.XY or not ansatz.cost.is_quadratic:
        return False
    return ansatz.layers == 1 or is_near_tree(ansatz.cost)


def is_near_tree(cost: Ising) -> bool:
    """Return whether the mean after one layer, at its best angles, is that of the tree up to `TREE_ERROR`."""
    point = np.array(_tree_angles(_key(cost), None, 1)[0]) * [1.0, gamma_scale(cost)]
    exact, tree = (each.energy(point) - cost.offset for each in (OneLayer(cost), CouplingTree.of(cost)))
    return abs(tree - exact) <= TREE_ERROR * abs(exact)


def tree_of(cost: Ising, layers: int, warm_start_angles: Sequence[float] | None) -> CouplingTree | OneLayer:
    """Return the means of a circuit without the XY mixer: exact ones of one layer with the standard mixer."""
    if layers == 1 and warm_start_angles is None:
        return OneLayer(cost)
    return CouplingTree.of(cost, warm_start_angles)


def expected_mean(ansatz: QaoaCircuit, point: Sequence[float]) -> tuple[float, bool] | None:
    """Return the mean cost at a point (2p,) in radians, and whether it is exact; None if neither way can tell it."""
    cost, warm = ansatz.cost, ansatz.warm_start_angles
    if can_simulate(ansatz):
        return QaoaSimulation.of(cost, ansatz.groups, warm).energy(np.array(point)), True
    if not _has_tree_means(ansatz):
        return None
    tree = tree_of(cost, ansatz.layers, warm)
    if isinstance(tree, CouplingTree) and LEAST_EVALUATIONS * tree.operations(ansatz.layers) > TREE_OPERATIONS:
        return None
    return tree.energy(np.array(point)), isinstance(tree, OneLayer)


def can_simulate(ansatz: QaoaCircuit) -> bool:
    """Return whether the circuit's state vector is small enough: as that of `MAX_ENUMERATED_VARIABLES`."""
    return ansatz.num_states <= 1 << MAX_ENUMERATED_VARIABLES and ansatz.cost.num_variables <= MAX_BITS


def _states_of(count: int, groups: Sequence[Group]) -> NDArray[np.int64]:
    """Return the assignments in which each group has its number of ones, ascending; bit i is x_i."""
    kept = {variable for group in groups for variable in group.variables}
    choices = [Group((variable,), ones) for variable in range(count) if variable not in kept for ones in (0, 1)]
    by_variables: dict[tuple[int, ...], list[int]] = {}
    for group in (*groups, *choices):
        chosen = itertools.combinations(group.variables, group.ones)
        by_variables.setdefault(group.variables, []).extend(sum(1 << i for i in ones) for ones in chosen)
    states = np.zeros(1, np.int64)
    for parts in by_variables.values():
        states = (states[:, None] | np.array(parts, np.int64)).reshape(-1)
    return np.sort(states)


def _groups_within(groups: Sequence[Group], chosen: Sequence[int]) -> tuple[Group, ...]:
    """Return the groups among chosen variables, numbered from 0, with about the same shares of ones."""
    place, found = {variable: index for index, variable in enumerate(chosen)}, list[Group]()
    for group in groups:
        within = tuple(place[variable] for variable in group.variables if variable in place)
        if len(within) > 1:
            ones = round(group.ones * len(within) / len(group.variables))
            found.append(Group(within, min(max(ones, 1), len(within) - 1)))
    return tuple(found)


Key = tuple[int, tuple[tuple[Spins, float], ...]]


def _key(cost: Ising) -> Key:
    return cost.num_variables, (((), cost.offset), *cost.terms.items())


@lru_cache(maxsize=64)
def _tree_angles(key: Key, warm: tuple[float, ...] | None, layers: int) -> tuple[tuple[float, ...], int]:
    """Return the best angles of a tree in units of the scales, and for how many layers they were optimized.

    One layer begins on a grid, each further one at the interpolated angles of the one before.
    """
    cost = Ising.of(*key)
    tree = tree_of(cost, layers, warm)
    energy = ScaledEnergy(tree.energy, np.repeat([1.0, gamma_scale(cost)], layers))
    start, simulated, evaluations = min(_GRID, key=energy) if layers == 1 else np.zeros(0), 1, TREE_EVALUATIONS
    if layers > 1:
        shorter, simulated = _tree_angles(key, warm, layers - 1)
        start = np.concatenate([interpolate_angles(angles) for angles in np.split(np.array(shorter), 2)])
        if isinstance(tree, CouplingTree):
            evaluations = min(evaluations, int(TREE_OPERATIONS / tree.operations(layers)))
    if simulated >= layers - 1 and evaluations >= 4 * (2 * layers + 1):
        start, simulated = minimum_from(energy, start, evaluations), layers
    return _rounded(start), simulated


def _rounded(point: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple((np.round(point, ANGLE_DECIMALS) + 0.0).tolist())


@lru_cache(maxsize=8)
def _optimized(
    key: Key,
    groups: tuple[Group, ...],
    warm: tuple[float, ...] | None,
    layers: int,
    start: tuple[float, ...],
) -> tuple[float, ...]:
    """Return the best minimum, in units of the scales, from a start and from linear ramps."""
    cost = Ising.of(*key)
    energy = _scaled_energy(cost, groups, warm, layers)
    starts = [np.array(start)]
    starts += [linear_ramps(layers, beta, gamma) for beta in RAMPS for gamma in RAMPS]
    starts.sort(key=energy)
    ends = [minimum_from(energy, start, 200) for start in starts[:3]]
    best = min(ends, key=energy)
    return _rounded(best)


@lru_cache(maxsize=8)
def _improved(
    key: Key,
    groups: tuple[Group, ...],
    warm: tuple[float, ...] | None,
    *starts: tuple[float, ...],
) -> tuple[float, ...]:
    """Return the better one of the starts on the whole problem, or a lower point if its search takes seconds."""
    cost = Ising.of(*key)
    energy = _scaled_energy(cost, groups, warm, len(starts[0]) // 2)
    start = min((np.array(each) for each in starts), key=energy)
    evaluations = min(MOST_EVALUATIONS, EVALUATED_AMPLITUDES // num_states(key[0], groups))
    if evaluations >= LEAST_EVALUATIONS:
        start = min(start, minimum_from(energy, start, evaluations), key=energy)
    return _rounded(start)


def _scaled_energy(cost: Ising, groups: Sequence[Group], warm: tuple[float, ...] | None, layers: int) -> ScaledEnergy:
    scales = np.repeat([1.0, gamma_scale(cost)], layers)
    return ScaledEnergy(QaoaSimulation.of(cost, groups, warm).energy, scales)


@dataclass(frozen=True, slots=True, eq=False)
class ScaledEnergy:
    """Energy at angles in units of their scales."""

    energy: Callable[[NDArray[np.float64]], float]
    scales: NDArray[np.float64]

    def __call__(self, point: NDArray[np.float64]) -> float:
        return self.energy(point * self.scales)


def minimum_from(energy: ScaledEnergy, start: NDArray[np.float64], evaluations: int) -> NDArray[np.float64]:
    """Return the end of a quasi-Newton search of about so many energies."""
    found = minimize(energy, start, {"maxfun": evaluations, "eps": _DIFFERENCE_RAD}, jac=False)
    return np.asarray(found.x, float)


def _connected_part(cost: Ising, size: int) -> tuple[int, ...]:
    """Return variables that are coupled strongly to each other, the strongest first, ascending."""
    strength = np.zeros((cost.num_variables, cost.num_variables))
    for spins, value in cost.terms.items():
        for i, j in itertools.permutations(spins, 2):
            strength[i, j] += abs(value)
    chosen = [int(np.argmax(strength.sum(axis=1)))]
    while len(chosen) < size:
        to_chosen = strength[chosen].sum(axis=0)
        to_chosen[chosen] = -1.0
        chosen.append(int(np.argmax(to_chosen)))
    return tuple(sorted(chosen))


def _part(cost: Ising, chosen: Sequence[int]) -> Ising:
    place = {variable: index for index, variable in enumerate(chosen)}
    within = [(spins, value) for spins, value in cost.terms.items() if place.keys() >= set(spins)]
    return Ising.of(len(chosen), [(tuple(place[spin] for spin in spins), value) for spins, value in within])
