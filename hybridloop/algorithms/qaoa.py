"""The quantum approximate optimization algorithm: fixed angles in one job, refined only where that can be shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.estimation import Estimate, combine, shot_energies, tally
from hybridloop.algorithms.evaluation import Evaluation
from hybridloop.algorithms.final import measure_finally
from hybridloop.algorithms.lost import FAIL, LostPoints, as_told, check_lost_points
from hybridloop.algorithms.measurement import Observable, observable
from hybridloop.algorithms.optimizer import Optimizer, Reading, Stop
from hybridloop.algorithms.qaoa_circuit import QaoaCircuit
from hybridloop.algorithms.qubo import BinaryProblem
from hybridloop.algorithms.rounds import Counts, Lost, Measured, RunRound
from hybridloop.algorithms.vqe import Z95, Progress
from hybridloop.errors import InputError

DEFAULT_SHOTS = 1000
FIXED = Stop(converged=True, reason="the fixed angles were measured; no search was asked for")


@dataclass(frozen=True, slots=True)
class QaoaResult:
    """What the circuit gives on average and at best, in the objective's unit and sense.

    `value` is the mean of the objective at `parameters` (with its penalty, where assignments can break a constraint),
    from the last measurement alone: nothing was chosen for it. Its error as in `VqeResult`. `best_bitstring`
    (rightmost character = variable 0) is the best assignment that was seen in any round and meets the constraint,
    `best_value` its objective; both are None where none does. `approximation_ratio` is that of `value`, None where the
    optimum is not known.
    """

    value: float
    standard_error: float
    interval95: tuple[float, float]
    is_exact: bool
    rounding_bound: float
    is_precise: bool
    parameters: tuple[float, ...]
    converged: bool
    reason: str
    rounds: int
    history: tuple[Progress, ...]
    best_bitstring: str | None
    best_value: float | None
    approximation_ratio: float | None


def qaoa(
    ansatz: QaoaCircuit,
    run_round: RunRound,
    *,
    shots: int = DEFAULT_SHOTS,
    optimizer: Optimizer | None = None,
    cvar: float = 1.0,
    on_lost: LostPoints = FAIL,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> QaoaResult:
    """Measure the ansatz at its first point, or at the one that an optimizer has found from there.

    `shots` are for each point. `cvar` is the share of the best shots that the search goes by, 1 for the mean
    (P. K. Barkoutsos et al., Quantum 4 (2020) 256); what is reported is the mean.
    """
    if shots < 1:
        raise InputError("shots", f"{shots} is below 1", "Give 1 or more per circuit.")
    if not 0 < cvar <= 1:
        raise InputError("cvar", f"{cvar} is no share of the shots", "Give a number above 0 and at most 1.")
    if optimizer is not None:
        check_lost_points(on_lost, optimizer)
    problem, measured = ansatz.problem, observable(ansatz.cost.operator())
    seen = SeenAssignments(problem, run_round)
    evaluation = Evaluation(measured, tuple(group.measured(ansatz.circuit) for group in measured.groups), seen)
    log = RoundLog(problem.sign, on_progress)
    point, stop = ansatz.initial_point, FIXED
    if optimizer is not None:
        point, stop = _searched(ansatz, evaluation, optimizer, shots, cvar, on_lost, log)
    final = measure_finally(
        evaluation,
        point,
        pilot=[shots],
        precision=math.inf,
        on_round=lambda estimate, circuits, used: log.add("final", reading(point, estimate), 1, circuits, used),
    ).estimate
    value = problem.sign * final.value
    half_width = final.rounding_bound if final.is_exact else Z95 * final.standard_error
    return QaoaResult(
        value=value,
        standard_error=final.standard_error,
        interval95=(value - half_width, value + half_width),
        is_exact=final.is_exact,
        rounding_bound=final.rounding_bound,
        is_precise=True,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason + _penalty_in_words(ansatz),
        rounds=len(log.history),
        history=tuple(log.history),
        best_bitstring=seen.best_bitstring,
        best_value=seen.best_value,
        approximation_ratio=problem.approximation_ratio(value),
    )


def _penalty_in_words(ansatz: QaoaCircuit) -> str:
    problem = ansatz.problem
    if problem.constraint is None or ansatz.cost is not problem.cost:  # the mixer keeps to it
        return ""
    return f"; the penalty for breaking a constraint is {problem.penalty:.4g}, because {problem.penalty_reason}"


def reading(point: NDArray[np.float64], estimate: Estimate) -> Reading:
    """An estimate at its point."""
    return Reading(point, estimate.value, estimate.standard_error)


def tail_estimate(measured: Observable, counts: Counts, share: float) -> Estimate:
    """The mean over the lowest `share` of the shots.

    As the mean of ψ = q + min(E − q, 0) / share over all shots, q being the share's quantile (R. T. Rockafellar and
    S. Uryasev, J. Risk 2 (2000) 21); ψ is also its influence function, so that its variance gives the error.
    """
    (group,) = measured.groups
    whole = tally(group, counts)
    if share == 1:
        return combine(measured, [whole])
    energies = shot_energies(group, counts)
    order = np.argsort(energies, kind="stable")
    reached = np.cumsum(counts.counts[order]) >= share * counts.shots * (1 - 1e-12)
    quantile = float(energies[order][int(np.argmax(reached))])
    psi = quantile + np.minimum(energies - quantile, 0.0) / share
    mean = float(counts.counts @ psi) / counts.shots
    squares = float(counts.counts @ (psi - mean) ** 2)
    bound = whole.rounding_bound / share
    return combine(measured, [replace(whole, mean=mean, squares=squares, rounding_bound=bound)])


def _searched(
    ansatz: QaoaCircuit,
    evaluation: Evaluation,
    optimizer: Optimizer,
    shots: int,
    cvar: float,
    on_lost: LostPoints,
    log: RoundLog,
) -> tuple[NDArray[np.float64], Stop]:
    """The point that the optimizer hands back, and why it stopped."""
    (circuit,) = evaluation.circuits
    while len(points := optimizer.ask()):
        (answer,) = evaluation.run_round([SamplerPub.coerce((circuit, points, shots))])
        estimates = [
            each if isinstance(each, Lost) else tail_estimate(evaluation.observable, each, cvar) for each in answer
        ]
        optimizer.tell(answer.points, as_told(estimates, on_lost))
        if optimizer.current is not None:
            log.add("search", optimizer.current, len(points), len(points), len(points) * shots)
    assert optimizer.stop is not None  # it asks for nothing more
    best = optimizer.best
    return (ansatz.initial_point if best is None else best.point), optimizer.stop


class SeenAssignments:
    """Rounds, and the best assignment that any of them has shown; of equal ones the least number."""

    def __init__(self, problem: BinaryProblem, run_round: RunRound) -> None:
        self._problem = problem
        self._run_round = run_round
        self.best_bitstring: str | None = None
        self.best_value: float | None = None

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        """Measure a round."""
        answers = self._run_round(pubs)
        for answer in answers:
            for counts in answer:
                if isinstance(counts, Counts):
                    self._look(counts)
        return answers

    def _look(self, counts: Counts) -> None:
        bits = np.unpackbits(counts.outcomes, axis=1)[:, ::-1][:, : counts.num_bits]  # column i is bit i
        bits = bits[self._problem.is_feasible(bits)]
        if not len(bits):
            return
        values = self._problem.objective.energies(bits)
        at = int(np.argmin(self._problem.sign * values))
        sign = self._problem.sign
        if self.best_value is None or sign * values[at] < sign * self.best_value - 1e-12 * abs(self.best_value):
            self.best_value = float(values[at])
            self.best_bitstring = "".join(str(bit) for bit in bits[at][::-1])


class RoundLog:
    """Keeps the history in the objective's sense, and reports each round."""

    def __init__(self, sign: float, on_progress: Callable[[Progress], None]) -> None:
        self.history: list[Progress] = []
        self._sign = sign
        self._on_progress = on_progress

    def add(self, phase: str, found: Reading, points: int, circuits: int, shots: int) -> None:
        """Take note of a round."""
        before = self.history[-1].total_shots if self.history else 0
        progress = Progress(
            round=len(self.history) + 1,
            phase=phase,
            value=self._sign * found.value,
            standard_error=found.standard_error,
            point=tuple(found.point.tolist()),
            points=points,
            circuits=circuits,
            shots=shots,
            total_shots=before + shots,
        )
        self.history.append(progress)
        self._on_progress(progress)
