"""QAOA's angles found classically: optimized on a simulation of the problem, or of a part of it, before any job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.circuits.statevector import Amplitudes
from hybridloop.algorithms.problems.ising import MAX_ENUMERATED_VARIABLES, Ising
from hybridloop.algorithms.qaoa.circuit import Mixer, QaoaCircuit, gamma_scale, ring_pairs

WHOLE_VARIABLES = 14  # an energy takes 1 ms
PART_VARIABLES = 12  # of a larger problem
MOST_EVALUATIONS, LEAST_EVALUATIONS = 100, 14  # of a larger problem's own energy; two gradients and two steps
EVALUATED_AMPLITUDES = 40 * 2**17  # about a second
RAMPS = (0.3, 0.6, 0.9)  # steps of linear ramps in radians
_TOGETHER = 4  # qubits whose turns are applied as one matrix
ANGLE_DECIMALS = 4  # further digits change no energy, and differ between machines
_DIFFERENCE_RAD = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class QaoaSimulation:
    """State vectors of a QAOA circuit; energies (k,) of the assignments that its mixer reaches."""

    energies: NDArray[np.float64]
    mixer: Mixer
    start: Amplitudes
    warm_start_angles: Sequence[float]
    pairs: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]  # of the XY mixer: states that a pair exchanges
    levels: NDArray[np.float64]  # the different energies, and the place of each state's there
    level: NDArray[np.intp]

    @classmethod
    def of(
        cls, cost: Ising, mixer: Mixer, ones: int | None, warm_start_angles: Sequence[float] | None
    ) -> QaoaSimulation:
        """Simulate the circuit for a cost of at most `MAX_ENUMERATED_VARIABLES`; `ones` are those of an XY mixer."""
        count = cost.num_variables
        states, energies = np.arange(2**count), cost.all_energies()
        pairs = []
        if mixer is Mixer.XY:
            states = states[np.bitwise_count(states) == ones]
            energies = energies[states]
            for i, j in ring_pairs(count):
                moved = np.flatnonzero((states >> i & 1) > (states >> j & 1))
                pairs.append((moved, np.searchsorted(states, states[moved] ^ (1 << i) ^ (1 << j))))
        start = np.full(len(states), 1.0 / np.sqrt(len(states)), complex)
        if warm_start_angles is not None:
            start = np.ones(1, complex)
            for angle in warm_start_angles:  # qubit 0 is the last axis
                start = np.kron([np.cos(angle / 2.0), np.sin(angle / 2.0)], start)
        levels, level = np.unique(energies, return_inverse=True)
        return cls(energies, mixer, start, tuple(warm_start_angles or ()), tuple(pairs), levels, level)

    def energy(self, point: NDArray[np.float64]) -> float:
        """Return the mean cost at a point (β_1 … β_p, γ_1 … γ_p) in radians."""
        state = self.start
        for beta, gamma in zip(*np.split(point, 2), strict=True):
            state = self._mix(np.exp(1j * gamma * self.levels)[self.level] * state, beta)
        return float((np.abs(state) ** 2) @ self.energies)

    def _mix(self, state: Amplitudes, beta: float) -> Amplitudes:
        cos, sin = np.cos(beta), -1j * np.sin(beta)
        if self.mixer is Mixer.XY:
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
    """Return the circuit at angles that a simulation found, and the reason as a clause; no job is sent.

    The search starts from the fixed angles and from linear ramps (J. A. Montañez-Barrera and K. Michielsen,
    arXiv:2405.09169), scaled by weights and degrees. Problems of at most 14 variables are simulated whole. For more, a
    connected part of 12 is, and its angles are scaled to the whole: optimal angles depend on the kind of a problem more
    than on its size (F. G. S. L. Brandão et al., arXiv:1812.04170). Up to 20 variables they are then compared with the
    fixed ones on the whole, and improved if that takes seconds; above, the fixed angles of unweighted 3-regular graphs
    are kept, which are optimal for large ones.
    """
    cost, layers = ansatz.cost, ansatz.layers
    if cost.is_constant:
        return ansatz, "the fixed angles of 3-regular graphs, as the objective is constant"
    count = cost.num_variables
    ones = ansatz.ones
    if count > MAX_ENUMERATED_VARIABLES and _is_cubic(cost):
        return ansatz, "the fixed angles of 3-regular graphs"
    table = tuple((ansatz.initial_point / ansatz.scales).tolist())
    warm = None if ansatz.warm_start_angles is None else tuple(ansatz.warm_start_angles)
    chosen = tuple(range(count)) if count <= WHOLE_VARIABLES else _connected_part(cost, PART_VARIABLES)
    part = _part(cost, chosen)
    ones_of_part = None if ones is None else min(max(round(ones * len(chosen) / count), 1), len(chosen) - 1)
    warm_of_part = None if warm is None else tuple(warm[i] for i in chosen)
    point = np.array(_optimized(_key(part), ansatz.mixer, ones_of_part, warm_of_part, layers, table))
    what = f"optimized on a classical simulation of {len(chosen)} of the {count} variables"
    if WHOLE_VARIABLES < count <= MAX_ENUMERATED_VARIABLES:
        point = np.array(_improved(_key(cost), ansatz.mixer, ones, warm, tuple(point.tolist()), table))
        what += ", then compared on all"
    return ansatz.with_initial_point(point * ansatz.scales), what


def simulated_mean(ansatz: QaoaCircuit, point: Sequence[float]) -> float | None:
    """Return the mean cost at a point (2p,) in radians by a simulation; None above `MAX_ENUMERATED_VARIABLES`."""
    if ansatz.cost.num_variables > MAX_ENUMERATED_VARIABLES:
        return None
    simulation = QaoaSimulation.of(ansatz.cost, ansatz.mixer, ansatz.ones, ansatz.warm_start_angles)
    return simulation.energy(np.array(point))


Key = tuple[tuple[float, ...], tuple[tuple[tuple[int, int], float], ...], float]


def _key(cost: Ising) -> Key:
    return tuple(cost.fields.tolist()), tuple(cost.couplings.items()), cost.offset


@lru_cache(maxsize=8)
def _optimized(
    key: Key,
    mixer: Mixer,
    ones: int | None,
    warm: tuple[float, ...] | None,
    layers: int,
    table: tuple[float, ...],
) -> tuple[float, ...]:
    """Return the best minimum, in units of the scales, from the fixed angles and from linear ramps."""
    cost = Ising(np.array(key[0]), dict(key[1]), key[2])
    energy = _scaled_energy(cost, mixer, ones, warm, layers)
    steps = (np.arange(layers) + 0.5) / layers
    starts = [np.array(table)]
    starts += [np.concatenate([beta * (1.0 - steps), gamma * steps]) for beta in RAMPS for gamma in RAMPS]
    starts.sort(key=energy)
    ends = [minimum_from(energy, start, 200) for start in starts[:3]]
    best = min(ends, key=energy)
    return tuple((np.round(best, ANGLE_DECIMALS) + 0.0).tolist())


@lru_cache(maxsize=8)
def _improved(
    key: Key,
    mixer: Mixer,
    ones: int | None,
    warm: tuple[float, ...] | None,
    *starts: tuple[float, ...],
) -> tuple[float, ...]:
    """Return the better one of the starts on the whole problem, or a lower point if its search takes seconds."""
    cost = Ising(np.array(key[0]), dict(key[1]), key[2])
    energy = _scaled_energy(cost, mixer, ones, warm, len(starts[0]) // 2)
    start = min((np.array(each) for each in starts), key=energy)
    evaluations = min(MOST_EVALUATIONS, EVALUATED_AMPLITUDES >> len(key[0]))
    if evaluations >= LEAST_EVALUATIONS:
        start = min(start, minimum_from(energy, start, evaluations), key=energy)
    return tuple((np.round(start, ANGLE_DECIMALS) + 0.0).tolist())


def _scaled_energy(
    cost: Ising, mixer: Mixer, ones: int | None, warm: tuple[float, ...] | None, layers: int
) -> ScaledEnergy:
    scales = np.repeat([1.0, gamma_scale(cost)], layers)
    return ScaledEnergy(QaoaSimulation.of(cost, mixer, ones, warm), scales)


@dataclass(frozen=True, slots=True, eq=False)
class ScaledEnergy:
    """Energy of a simulation at angles in units of their scales."""

    simulation: QaoaSimulation
    scales: NDArray[np.float64]

    def __call__(self, point: NDArray[np.float64]) -> float:
        return self.simulation.energy(point * self.scales)


def minimum_from(energy: ScaledEnergy, start: NDArray[np.float64], evaluations: int) -> NDArray[np.float64]:
    """Return the end of a quasi-Newton search of about so many energies."""
    found = minimize(energy, start, method="L-BFGS-B", options={"maxfun": evaluations, "eps": _DIFFERENCE_RAD})
    return np.asarray(found.x, float)


def _connected_part(cost: Ising, size: int) -> tuple[int, ...]:
    """Return variables that are coupled strongly to each other, the strongest first, ascending."""
    strength = np.zeros((cost.num_variables, cost.num_variables))
    for (i, j), coupling in cost.couplings.items():
        strength[i, j] = strength[j, i] = abs(coupling)
    chosen = [int(np.argmax(strength.sum(axis=1)))]
    while len(chosen) < size:
        to_chosen = strength[chosen].sum(axis=0)
        to_chosen[chosen] = -1.0
        chosen.append(int(np.argmax(to_chosen)))
    return tuple(sorted(chosen))


def _part(cost: Ising, chosen: Sequence[int]) -> Ising:
    place = {variable: index for index, variable in enumerate(chosen)}
    couplings = {(place[i], place[j]): c for (i, j), c in cost.couplings.items() if i in place and j in place}
    return Ising(cost.fields[list(chosen)], couplings, 0.0)


def _is_cubic(cost: Ising) -> bool:
    degrees = np.bincount(np.array(list(cost.couplings)).ravel(), minlength=cost.num_variables)
    sizes = np.abs(list(cost.couplings.values()))
    return not cost.fields.any() and set(degrees.tolist()) == {3} and bool(np.allclose(sizes, sizes[0]))
