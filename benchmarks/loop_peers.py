"""Other libraries' searches on the cases of `benchmarks.loop`, given on stdin; runs in their environment.

The optimizers are the libraries' own. PennyLane's QNG runs on its own simulator; the others get energies from a sampler
in numpy, because their simulators take seconds a round. Each run ends within the target, or after the shots or seconds
of CPU time that it may use; COBYLA ends itself.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.algorithms.gate_states import (
    Gate,
    PauliRotations,
    States,
    evolve,
    evolve_noisy,
    initial_states,
    outcome_probabilities,
)

SHOTS = 4000  # for each circuit, of optimizers that do not choose them
MAX_SHOTS = 30_000_000
MIN_SHOTS = 10  # of optimizers that choose them: the example of PennyLane's
ENDLESS = 100_000  # iterations

MAX_ROTATED_QUBITS = 8  # the matrices of more take long to multiply

Work = Mapping[str, Any]
_ROTATIONS: dict[str, PauliRotations] = {}


class Ended(Exception):
    """A run has reached its target or spent its budget."""


class Search:
    """One run on a case: its energies, what it has spent, and its error at the latest angles."""

    def __init__(self, work: Work, seed: int, seconds: float, *, ends_itself: bool = False) -> None:
        self._work, self._ends_itself = work, ends_itself
        self._random = np.random.default_rng(seed)
        self._gates = _gates(work["gates"])
        self._rotations = rotations_of(work)
        self._until = time.process_time() + seconds
        self._groups = []
        for group in work["groups"]:
            outcomes = np.arange(2 ** work["qubits"])
            signs = [1.0 - 2.0 * (np.bitwise_count(outcomes & mask) & 1) for mask in group["masks"]]
            self._groups.append((_gates(group["gates"]), np.array(group["coefficients"]) @ np.array(signs)))
        self.circuits = self.rounds = self.shots = 0
        self.reached: tuple[int, int, int] | None = None
        self.error = float("inf")
        self.at(np.array(work["start"]))

    def sampled(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Measure the energies (k,) at the angles (k, n) in one round, with `SHOTS` for each circuit."""
        self.spend(len(points) * len(self._groups), len(points) * len(self._groups) * SHOTS)
        energies = np.full(len(points), self._work["constant"])
        for probabilities, values in self._distributions(points, self._work["two_qubit_error"]):
            shares = probabilities / probabilities.sum(axis=1, keepdims=True)
            energies += self._random.multinomial(SHOTS, shares) @ values / SHOTS
        return energies

    def moments(
        self, points: NDArray[np.float64], shots: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Measure points (k, n) in one round; return the means (k,) of their shots and the variances (k,) of one shot.

        Each shot measures one group, drawn by the sum of its coefficients' magnitudes (weighted random sampling).
        """
        weights = np.array([np.abs(values).max() for _, values in self._groups])
        weights /= weights.sum()
        drawn = self._random.multinomial(shots, weights)
        self.spend(int((drawn > 0).sum()), int(shots.sum()))
        sums = np.zeros((2, len(points)))
        distributions = self._distributions(points, self._work["two_qubit_error"])
        for (probabilities, values), weight, number in zip(distributions, weights, drawn.T, strict=True):
            counts = self._random.multinomial(number, probabilities / probabilities.sum(axis=1, keepdims=True))
            sums += np.array([counts @ (values / weight), counts @ (values / weight) ** 2])
        means = sums[0] / shots
        return self._work["constant"] + means, (sums[1] / shots - means**2) * shots / (shots - 1)

    def spend(self, circuits: int, shots: int, rounds: int = 1) -> None:
        """Count circuits and shots. Raises Ended without budget for them."""
        if self.shots + shots > MAX_SHOTS or time.process_time() > self._until:
            raise Ended
        self.circuits, self.shots, self.rounds = self.circuits + circuits, self.shots + shots, self.rounds + rounds

    def at(self, point: NDArray[np.float64]) -> None:
        """Note the optimizer's angles (n,) after what is spent so far. Raises Ended within the target."""
        energy = self._work["constant"]
        for probabilities, values in self._distributions(point[None, :], 0.0):
            energy += float(probabilities[0] @ values)
        self.error = (energy - self._work["minimum"]) / self._work["target"]
        if self.reached is None and self.error <= 1.0:
            self.reached = (self.circuits, self.rounds, self.shots)
            if not self._ends_itself:
                raise Ended

    def _distributions(
        self, points: NDArray[np.float64], error: float
    ) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return for each group the probabilities (k, 2^qubits) of the outcomes, and their energies (2^qubits,)."""
        qubits = self._work["qubits"]

        def applied(states: States, gates: list[Gate]) -> States:
            return evolve_noisy(states, gates, points, error) if error else evolve(states, gates, points)

        if error or self._rotations is None:
            states = applied(initial_states(len(points), 2 * qubits if error else qubits), self._gates)
        else:
            states = self._rotations.states(points)
        return [(outcome_probabilities(applied(states, gates), qubits), values) for gates, values in self._groups]


def rotations_of(work: Work) -> PauliRotations | None:
    """Return the case's circuit as rotations, which are faster; None above `MAX_ROTATED_QUBITS`."""
    if work["qubits"] > MAX_ROTATED_QUBITS:
        return None
    if work["name"] not in _ROTATIONS:
        _ROTATIONS[work["name"]] = PauliRotations(_gates(work["gates"]), work["qubits"], len(work["start"]))
    return _ROTATIONS[work["name"]]


def _gates(listed: list[Any]) -> list[Gate]:
    return [Gate(name, tuple(qubits), constant, tuple(map(tuple, slopes))) for name, qubits, constant, slopes in listed]


def spsa(search: Search, work: Work, seed: int) -> None:
    """SPSA of qiskit-algorithms with its calibration; both points of an iteration are one round."""
    from qiskit_algorithms.optimizers import SPSA

    optimizer = SPSA(maxiter=ENDLESS, termination_checker=lambda _evaluations, point, *_: search.at(point))
    optimizer.set_max_evals_grouped(50)  # all of the calibration
    optimizer.minimize(lambda points: list(search.sampled(np.atleast_2d(points))), np.array(work["start"]))


def cobyla(search: Search, work: Work, seed: int) -> None:
    """COBYLA of qiskit-algorithms; each evaluation is a round."""
    from qiskit_algorithms.optimizers import COBYLA

    lowest = np.inf

    def energy(point: NDArray[np.float64]) -> float:
        nonlocal lowest
        value = float(search.sampled(point[None, :])[0])
        if value < lowest:
            lowest = value
            search.at(np.array(point))
        return value

    search.at(np.array(COBYLA().minimize(energy, np.array(work["start"])).x))


def natural_gradient(search: Search, work: Work, seed: int) -> None:
    """PennyLane's QNGOptimizer, as it is, with its block-diagonal metric and parameter shifts of each gate."""
    import pennylane as qml

    optimizer = qml.QNGOptimizer()
    device = qml.device("lightning.qubit", wires=work["qubits"], seed=seed)
    node = qml.set_shots(pennylane_node(work, device), SHOTS)
    point = qml.numpy.array(work["start"], requires_grad=True)
    for _ in range(ENDLESS):
        with qml.Tracker(device) as tracker:
            point = optimizer.step(node, point)
        totals = tracker.totals
        search.spend(int(totals["executions"]), int(totals["shots"]), int(totals["batches"]))
        search.at(np.array(point))


def shot_adaptive(search: Search, work: Work, seed: int) -> None:
    """PennyLane's ShotAdaptiveOptimizer (iCANS) on sampled slopes."""
    import pennylane as qml

    shifts, weights = shift_rule(work)

    class Sampled(qml.ShotAdaptiveOptimizer):  # type: ignore[misc]  # PennyLane has no types
        """The optimizer on sampled slopes in place of a QNode's."""

        def compute_grad(self, _node: Any, args: Any, _options: Any) -> tuple[list[Any], list[Any]]:
            owners = (weights != 0).argmax(axis=0)
            means, variances = search.moments(np.array(args[0]) + shifts, self.s[0][owners])
            return [weights @ means], [weights**2 @ variances]

    optimizer = Sampled(MIN_SHOTS, stepsize=_step(work))
    optimizer.check_learning_rate([coefficient for _, coefficient in work["terms"]])
    point = qml.numpy.array(work["start"], requires_grad=True)
    for _ in range(ENDLESS):
        point = optimizer.step(None, point)
        search.at(np.array(point))


def rosalin(search: Search, work: Work, seed: int) -> None:
    """Divi's RosalinOptimizer (gCANS) on sampled energies."""
    from divi.qprog.optimizers import RosalinOptimizer

    bound = sum(abs(coefficient) for _, coefficient in work["terms"])
    optimizer = RosalinOptimizer(_step(work), MAX_SHOTS, bound, MIN_SHOTS, allocation="gcans")

    class Energy:
        """The energy as Divi's optimizers ask for it; `supports_variance` is Divi's name."""

        supports_variance = True

        def __call__(self, points: Any, *, estimator_samples: Any, return_variance: bool) -> Any:
            search.at(np.array(points[0]))  # the unshifted one
            shots = np.array(estimator_samples)
            means, variances = search.moments(np.array(points), shots)
            return means, variances / shots

    optimizer.optimize(
        Energy(), np.array(work["start"]), max_iterations=ENDLESS, shift_rule=functools.partial(shift_rule, work)
    )


def _step(work: Work) -> float:
    """Return PennyLane's step where the libraries allow it, else the reciprocal of the bound on the energy."""
    bound: float = sum(abs(coefficient) for _, coefficient in work["terms"])
    return min(0.07, 1.0 / bound)


def shift_rule(work: Work) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shifts (m, n) of the angles and the weights (n, m) of their energies in each derivative.

    D. Wierichs et al., Quantum 6 (2022) 677, by each angle's frequencies.
    """
    count = len(work["start"])
    shifts, weights = [], []
    for index, frequencies in enumerate(work["frequencies"]):
        base = math.gcd(*frequencies)
        highest = max(frequencies) // base
        for number in range(1, 2 * highest + 1):
            shift = (2 * number - 1) * math.pi / (2 * highest)
            weight = base * (-1) ** (number - 1) / (4 * highest * math.sin(shift / 2) ** 2)
            shifts.append(np.eye(count)[index] * shift / base)
            weights.append(np.eye(count)[index] * weight)
    return np.array(shifts), np.array(weights).T


def pennylane_node(work: Work, device: Any) -> Any:
    """Return the case's energy as a QNode."""
    import pennylane as qml

    names = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "cx": qml.CNOT, "h": qml.Hadamard, "x": qml.X, "s": qml.S}
    words = [qml.pauli.string_to_pauli_word(label[::-1]) for label, _ in work["terms"]]
    observable = qml.Hamiltonian([each for _, each in work["terms"]], words)

    @qml.qnode(device, diff_method="parameter-shift")  # type: ignore[untyped-decorator, unused-ignore]
    def energy(angles: Any) -> Any:
        for name, qubits, constant, slopes in work["gates"]:
            if name == "sdg":
                qml.adjoint(qml.S)(wires=qubits)
            elif name in ("rx", "ry", "rz"):
                names[name](constant + sum(slope * angles[index] for index, slope in slopes), wires=qubits)
            else:
                names[name](wires=qubits)
        return qml.expval(observable)

    return energy


CONTENDERS: dict[str, Callable[[Search, Work, int], None]] = {
    "qiskit-algorithms, COBYLA": cobyla,
    "qiskit-algorithms, SPSA": spsa,
    "PennyLane, shot-adaptive": shot_adaptive,
    "Divi, Rosalin": rosalin,
    "PennyLane, QNG": natural_gradient,
}


def supports(name: str, work: Work) -> bool:
    """Return whether a contender can run a case: QNG without gate noise, shift rules with known frequencies."""
    if name == "PennyLane, QNG":
        return not work["two_qubit_error"]
    return name.startswith("qiskit") or all(work["frequencies"])


def run(name: str, work: Work, seed: int, seconds: float) -> dict[str, Any]:
    """Run one search and return its row."""
    from qiskit_algorithms.utils import algorithm_globals

    algorithm_globals.random_seed = seed
    np.random.seed(seed)  # PennyLane draws from it
    started = time.process_time()
    search = Search(work, seed, seconds, ends_itself=name.endswith("COBYLA"))
    is_claimed = False
    try:
        CONTENDERS[name](search, work, seed)
        is_claimed = name.endswith("COBYLA")
    except Ended:
        pass
    return {
        "case": work["name"],
        "contender": name,
        "seed": seed,
        "reached": search.reached,
        "whole": (search.circuits, search.rounds, search.shots),
        "end": round(search.error, 3),
        "is_claimed": is_claimed,
        "seconds": round(time.process_time() - started, 1),
    }


def main() -> int:
    """Print a row of JSON to stdout after each run; the libraries' output goes to stderr."""
    warnings.simplefilter("ignore")
    asked = json.load(sys.stdin)
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for name in CONTENDERS:
            for work in asked["works"]:
                if not supports(name, work):
                    continue
                for seed in range(asked["seeds"]):
                    print(json.dumps(run(name, work, seed, asked["seconds"])), file=output, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
