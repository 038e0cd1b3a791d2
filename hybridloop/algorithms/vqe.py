"""Variational quantum eigensolver (VQE): optimize in rounds, then measure the optimum to the requested precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.evaluation import Evaluation, evaluation
from hybridloop.algorithms.estimation.final import Allocation, measure_final_estimate, pilot_shots
from hybridloop.algorithms.estimation.grouping import group_hamiltonian
from hybridloop.algorithms.estimation.observable import Grouping, Observable
from hybridloop.algorithms.mitigation.mitigation import UNMITIGATED, Mitigation
from hybridloop.algorithms.optimizers.base import Optimizer, OverlapOptimizer, Stop
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    apply_missing_point_policy,
    check_missing_point_policy,
)
from hybridloop.algorithms.optimizers.overlaps import OverlapMeasurement, overlap_pairs, tell_overlaps
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.errors import InputError

DEFAULT_SHOTS = 4000
DEFAULT_PRECISION = 0.7e-3  # hartree: 0.8e-3 leaves no margin for 1.6 mHa at the 95th percentile
MIN_PRECISION = 1e-12  # hartree: rounding in the sum of a molecule's terms
DEFAULT_MAX_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VqeResult(Outcome):
    """Result of VQE: an energy in hartree, the circuits and shots used, and the number of measured groups."""

    circuits: int
    shots: int
    groups: int


def vqe(
    hamiltonian: SparsePauliOp | Observable,
    ansatz: Ansatz,
    optimizer: Optimizer,
    run_round: RunRound,
    *,
    shots: int = DEFAULT_SHOTS,
    precision: float = DEFAULT_PRECISION,
    max_rounds: int = DEFAULT_MAX_ROUNDS,
    on_lost: MissingPointPolicy = FAIL,
    allocation: Allocation = Allocation.NEYMAN,
    mitigation: Mitigation = UNMITIGATED,
    reference_state: int | None = None,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> VqeResult:
    """Minimize ⟨hamiltonian⟩ over the ansatz (A. Peruzzo et al., Nat. Commun. 5 (2014) 4213), in hartree.

    `shots` is per circuit in the search, `precision` the standard error of the final measurement. `max_rounds` bounds
    the search; the final measurement adds two or three rounds, eight at most. `on_lost` is the policy for failed points
    in the search; the final measurement repeats failed circuits. `allocation` distributes its shots among the groups. A
    `mitigation` adds one calibration round before the search, whose circuits and shots are reported with the first
    round.

    A `SparsePauliOp` is measured in qubit-wise commuting groups, an `Observable` in its own. With `reference_state`, a
    basis state near the ground state such as Hartree-Fock's (bit i = qubit i), terms are split over several groups,
    which takes fewer shots.

    Raises InputError for invalid settings, JobFailed where a failed job ends the run.
    """
    _check(shots, precision, max_rounds)
    check_missing_point_policy(on_lost, optimizer)
    if isinstance(hamiltonian, Observable):
        energy = hamiltonian
    else:
        energy = group_hamiltonian(hamiltonian, Grouping.QUBIT_WISE, reference_state)
    search_evaluation = mitigation.search_evaluation(evaluation(energy, ansatz, run_round))
    final_evaluation = mitigation.final_evaluation(search_evaluation, ansatz)
    log = RoundLog(on_progress)
    calibration = mitigation.calibration_circuits
    log.add("search", None, 1, calibration, calibration * mitigation.readout_shots)
    point, recent, stop = run_optimizer(search_evaluation, ansatz, optimizer, shots, max_rounds, on_lost, log)
    # Measure the optimum again: the search's own value is biased, as it was selected for being low.
    groups = len(final_evaluation.circuits)
    final = measure_final_estimate(
        final_evaluation,
        point,
        pilot=pilot_shots(mitigation.expected_final_estimates(recent), groups, shots, precision, allocation),
        precision=precision,
        on_round=lambda estimate, circuits, used: log.final(estimate, point, circuits, used),
        allocation=allocation,
    )
    return VqeResult(
        final=final,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        rounds=len(log.history) + bool(calibration),
        circuits=sum(progress.circuits for progress in log.history),
        shots=sum(progress.shots for progress in log.history),
        groups=len(search_evaluation.circuits),
        history=tuple(log.history),
    )


def _check(shots: int, precision: float, max_rounds: int) -> None:
    if shots < 1:
        raise InputError("shots", f"{shots} is below 1", "Give 1 or more per circuit.")
    if not MIN_PRECISION <= precision < math.inf:
        problem = f"{precision} is not a finite number of at least {MIN_PRECISION:g}"
        raise InputError("precision", problem, "Give the standard error to reach, in hartree.")
    if max_rounds < 1:
        raise InputError("max_rounds", f"{max_rounds} is below 1", "Give 1 or more.")


def run_optimizer(
    evaluated: Evaluation,
    ansatz: Ansatz,
    optimizer: Optimizer,
    shots: int,
    max_rounds: int,
    on_lost: MissingPointPolicy,
    log: RoundLog,
) -> tuple[NDArray[np.float64], list[Estimate], Stop]:
    """Run an ask-and-tell optimizer to its end or for `max_rounds` rounds.

    Returns the optimizer's best point, the last known round's estimates, and the reason to stop. Raises InputError
    where the optimizer asks for points that do not fit the ansatz.
    """
    recent: list[Estimate] = []
    overlaps = OverlapMeasurement.of(ansatz) if isinstance(optimizer, OverlapOptimizer) else None
    for _ in range(max_rounds):
        # Ask for the next round's points and check them.
        points, pairs = optimizer.ask(), overlap_pairs(optimizer, ansatz.num_parameters)
        if points.ndim != 2 or points.shape[1] != ansatz.num_parameters:
            problem = f"it asks for points of shape {points.shape}, the ansatz has {ansatz.num_parameters} angle(s)"
            raise InputError("optimizer", problem, "Start it from a point with one angle for each parameter.")
        if not np.isfinite(points).all():
            raise InputError("optimizer", "it asks for an angle that is not finite", "Choose another optimizer.")
        if not len(points):
            break
        # Measure energies and overlaps in one round and tell the optimizer.
        overlap_pubs = [] if overlaps is None else overlaps.pubs(pairs, shots)
        measured, estimates, overlap_results = evaluated.energies_with_pubs(points, shots, overlap_pubs)
        if overlaps is not None:
            tell_overlaps(optimizer, *overlaps.read(overlap_results), on_lost)
        optimizer.tell(measured, apply_missing_point_policy(estimates, on_lost))
        recent = [estimate for estimate in estimates if isinstance(estimate, Estimate)] or recent
        circuits = len(points) * len(evaluated.circuits) + len(pairs)
        log.add("search", optimizer.current, len(points), circuits, circuits * shots)
    else:
        if optimizer.stop is None:
            optimizer.ask()  # some set `stop` only when they are asked again
    best = optimizer.best
    limit = Stop(converged=False, reason=f"the limit of {max_rounds} rounds was reached; raise max_rounds")
    return ansatz.initial_point if best is None else best.point, recent, optimizer.stop or limit
