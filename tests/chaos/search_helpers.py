"""Searches for kill tests: at least 60 evaluations, 30 in the short form, so that hundreds can be killed.

Their answers are exact text.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.estimation.estimates import Estimate, evaluation
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.search import Search
from hybridloop.algorithms.vqe.vqe import vqe
from hybridloop.tasks.session import OpenSession
from tests.long_form import short_or_long

SHOTS = 60
PRECISION = 0.05
EVALUATIONS = short_or_long(30, 60)
ISING = SparsePauliOp(["ZZ", "XI", "IX"], [1.0, 0.6, 0.4])  # two groups: a point is two jobs
PATH = SparsePauliOp(["IZZ", "ZZI"], [1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a search with all bits: numbers as `float.hex` writes them."""

    value: str
    parameters: tuple[str, ...]
    evaluations: int


def ansatz(*, reps: int = 1) -> Ansatz:
    """Return a circuit of two qubits with four angles per repetition, and a random start."""
    return hardware_efficient(2, np.random.default_rng(5), reps=reps)


def cobyla_on(run_round: RunRound) -> Answer:
    """Run SciPy's COBYLA, one point per round, up to its limit: noise prevents the tolerance."""
    start = ansatz().initial_point
    return eigensolver(run_round, ScipyOptimizer(start, tolerance_rad=1e-12, max_evaluations=EVALUATIONS))


def trigonometric_on(run_round: RunRound) -> Answer:
    """Run Rotosolve, three points per round."""
    circuit = ansatz(reps=4)
    optimizer = Rotosolve(circuit.initial_point, circuit.frequencies)
    return eigensolver(run_round, optimizer, circuit=circuit, max_rounds=EVALUATIONS // 3)


def eigensolver(
    run_round: RunRound,
    optimizer: Optimizer,
    *,
    circuit: Ansatz | None = None,
    max_rounds: int = 2 * EVALUATIONS,
) -> Answer:
    """Run a whole VQE of the Ising pair."""
    search, sampling = Search(optimizer, max_rounds), Sampling(SHOTS, PRECISION)
    outcome = vqe(ISING, circuit or ansatz(), search, run_round, sampling=sampling)
    evaluations = sum(point.points for point in outcome.history)
    return Answer(outcome.value.hex(), _hex(outcome.parameters), evaluations)


def spsa_on(run_round: RunRound) -> Answer:
    """Run SPSA as a user's loop: two points a round in a random direction (J. C. Spall, IEEE TAC 37 (1992) 332)."""
    circuit = ansatz()
    evaluated = evaluation(observable(ISING), circuit, run_round)
    draws = np.random.default_rng(11)
    point, value = circuit.initial_point, 0.0
    for k in range(EVALUATIONS // 2):
        step, reach = 0.3 / (k + 1) ** 0.602, 0.2 / (k + 1) ** 0.101
        direction = draws.choice([-1.0, 1.0], size=len(point))
        ahead, behind = _values(
            evaluated.energies(np.array([point + reach * direction, point - reach * direction]), SHOTS)[1]
        )
        point = point - step * (ahead - behind) / (2 * reach) * direction
        value = min(ahead, behind)
    return Answer(value.hex(), _hex(point), EVALUATIONS)


def sampler_driven_on(session: OpenSession) -> Answer:
    """Run SamplingVQE of qiskit-algorithms on the session's sampler."""
    from qiskit.circuit.library import real_amplitudes

    library, search = _qiskit_algorithms(3)
    return _answer(library.SamplingVQE(session.sampler(shots=SHOTS), real_amplitudes(3, reps=0), **search), PATH)


def estimator_driven_on(session: OpenSession) -> Answer:
    """Run VQE of qiskit-algorithms on the session's estimator."""
    from qiskit.circuit.library import real_amplitudes

    library, search = _qiskit_algorithms(4)
    return _answer(library.VQE(session.estimator(precision=0.1), real_amplitudes(2, reps=1), **search), ISING)


def _qiskit_algorithms(angles: int) -> tuple[Any, dict[str, Any]]:
    """Return qiskit-algorithms with a fixed seed, and the arguments of a search with SPSA from a random start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import qiskit_algorithms
        from qiskit_algorithms.optimizers import SPSA
        from qiskit_algorithms.utils import algorithm_globals

    algorithm_globals.random_seed = 7
    start = np.random.default_rng(5).uniform(-1, 1, angles)
    optimizer = SPSA(maxiter=EVALUATIONS // 2, learning_rate=0.2, perturbation=0.1)
    return qiskit_algorithms, {"optimizer": optimizer, "initial_point": start}


def _answer(algorithm: Any, operator: SparsePauliOp) -> Answer:
    found = algorithm.compute_minimum_eigenvalue(operator)
    return Answer(float(found.optimal_value).hex(), _hex(found.optimal_point), int(found.cost_function_evals))


def _hex(numbers: Sequence[float] | NDArray[np.float64]) -> tuple[str, ...]:
    return tuple(float(number).hex() for number in numbers)


def _values(estimates: Sequence[object]) -> list[float]:
    assert all(isinstance(estimate, Estimate) for estimate in estimates)
    return [estimate.value for estimate in estimates if isinstance(estimate, Estimate)]


SEARCHES: Mapping[str, Callable[[OpenSession], Answer]] = {
    "cobyla": lambda session: cobyla_on(session.run_round),
    "spsa": lambda session: spsa_on(session.run_round),
    "trigonometric": lambda session: trigonometric_on(session.run_round),
    "sampler-driven": sampler_driven_on,
    "estimator-driven": estimator_driven_on,
}
