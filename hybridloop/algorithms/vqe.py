"""The variational quantum eigensolver: search in rounds, then measure the point it found until that can be believed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.allocation import Allocation
from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.evaluation import Evaluation, evaluation
from hybridloop.algorithms.final import measure_finally, pilot_shots
from hybridloop.algorithms.grouping import grouped
from hybridloop.algorithms.lost import FAIL, LostPoints, as_told, check_lost_points
from hybridloop.algorithms.measurement import Grouping, Observable
from hybridloop.algorithms.mitigation.plan import UNMITIGATED, Mitigation
from hybridloop.algorithms.optimizer import AsksOverlaps, Optimizer, Stop
from hybridloop.algorithms.outcome import Outcome, Progress, RoundLog
from hybridloop.algorithms.overlaps import Overlaps, asked_overlaps, tell_overlaps
from hybridloop.algorithms.rounds import RunRound
from hybridloop.errors import InputError

DEFAULT_SHOTS = 4000
DEFAULT_PRECISION = 0.7e-3  # hartree: 0.8 would meet 1.6 mHa at the 95th percentile only by luck
LEAST_PRECISION = 1e-12  # hartree: rounding in the sum of a molecule's terms
DEFAULT_MAX_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VqeResult(Outcome):
    """An energy in hartree, with the circuits and shots that it took, and the groups that it was measured in."""

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
    on_lost: LostPoints = FAIL,
    allocation: Allocation = Allocation.NEYMAN,
    mitigation: Mitigation = UNMITIGATED,
    reference_state: int | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> VqeResult:
    """Minimize ⟨hamiltonian⟩ over the ansatz (A. Peruzzo et al., Nat. Commun. 5 (2014) 4213), in hartree.

    `shots` is per circuit in the search, `precision` the standard error to end with;
    `max_rounds` bounds the search, to which the final measurement adds two to three rounds, eight at most. `on_lost`
    says what becomes of points lost in the search; the final measurement asks again for what it lost, and shares its
    shots among the groups by `allocation`. A `mitigation`'s
    calibration is one round before the search, whose circuits and shots are told with the first. An operator is
    measured in qubit-wise commuting groups, among which `reference_state`, a basis state (bit i = qubit i) near the one
    sought, such as Hartree-Fock's, lets terms be shared out, which takes fewer shots; an observable, in its own groups.
    """
    _check(shots, precision, max_rounds)
    check_lost_points(on_lost, optimizer)
    if isinstance(hamiltonian, Observable):
        energy = hamiltonian
    else:
        energy = grouped(hamiltonian, Grouping.QUBIT_WISE, reference_state)
    evaluated = mitigation.for_search(evaluation(energy, ansatz, run_round))
    answering = mitigation.for_answer(evaluated, ansatz)
    log = RoundLog(on_progress)
    calibration = mitigation.calibration_circuits
    log.add("search", None, 1, calibration, calibration * mitigation.readout_shots)
    found, recent, stop = search(evaluated, ansatz, optimizer, shots, max_rounds, on_lost, log)
    final = measure_finally(
        answering,
        found,
        pilot=pilot_shots(mitigation.as_answers(recent), len(answering.circuits), shots, precision, allocation),
        precision=precision,
        on_round=lambda estimate, circuits, used: log.final(estimate, found, circuits, used),
        allocation=allocation,
    )
    return VqeResult(
        final=final,
        parameters=tuple(found.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        rounds=len(log.history) + bool(calibration),
        circuits=sum(each.circuits for each in log.history),
        shots=sum(each.shots for each in log.history),
        groups=len(evaluated.circuits),
        history=tuple(log.history),
    )


def _check(shots: int, precision: float, max_rounds: int) -> None:
    if shots < 1:
        raise InputError("shots", f"{shots} is below 1", "Give 1 or more per circuit.")
    if not LEAST_PRECISION <= precision < math.inf:
        problem = f"{precision} is no standard error of {LEAST_PRECISION:g} or more"
        raise InputError("precision", problem, "Give the standard error to reach, in hartree.")
    if max_rounds < 1:
        raise InputError("max_rounds", f"{max_rounds} is below 1", "Give 1 or more.")


def search(
    evaluated: Evaluation,
    ansatz: Ansatz,
    optimizer: Optimizer,
    shots: int,
    max_rounds: int,
    on_lost: LostPoints,
    log: RoundLog,
) -> tuple[NDArray[np.float64], list[Estimate], Stop]:
    """The point to hand back, the last round's estimates, and why the search ended."""
    recent: list[Estimate] = []
    overlaps = Overlaps.of(ansatz) if isinstance(optimizer, AsksOverlaps) else None
    for _ in range(max_rounds):
        points, pairs = optimizer.ask(), asked_overlaps(optimizer, ansatz.num_parameters)
        if points.ndim != 2 or points.shape[1] != ansatz.num_parameters:
            problem = f"it asks for points of shape {points.shape}, the ansatz has {ansatz.num_parameters} angle(s)"
            raise InputError("optimizer", problem, "Start it from a point with one angle for each parameter.")
        if not np.isfinite(points).all():
            raise InputError("optimizer", "it asks for an angle that is no finite number", "Choose another optimizer.")
        if not len(points):
            break
        beside = [] if overlaps is None else overlaps.pubs(pairs, shots)
        measured, estimates, answers = evaluated.energies_beside(points, shots, beside)
        if overlaps is not None:
            tell_overlaps(optimizer, *overlaps.read(answers), on_lost)
        optimizer.tell(measured, as_told(estimates, on_lost))
        recent = [each for each in estimates if isinstance(each, Estimate)] or recent
        circuits = len(points) * len(evaluated.circuits) + len(pairs)
        log.add("search", optimizer.current, len(points), circuits, circuits * shots)
    else:
        if optimizer.stop is None:
            optimizer.ask()  # some only notice when asked that they were done
    best = optimizer.best
    limit = Stop(converged=False, reason=f"the limit of {max_rounds} rounds was reached")
    return ansatz.initial_point if best is None else best.point, recent, optimizer.stop or limit
