"""Variational quantum eigensolver (VQE): optimize in rounds, then measure the optimum to the requested precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, evaluation
from hybridloop.algorithms.estimation.final import Allocation, FinalMeasurement, measure_final_estimate, pilot_shots
from hybridloop.algorithms.estimation.grouping import group_hamiltonian
from hybridloop.algorithms.estimation.observable import Grouping, Observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.mitigation.mitigation import UNMITIGATED, Mitigation
from hybridloop.algorithms.optimizers.base import Optimizer, Stop, check_at_least_one, residue_of
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    apply_missing_point_policy,
    check_missing_point_policy,
)
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.rounds import RunRound
from hybridloop.errors import InputError, InvalidValue

DEFAULT_SHOTS = 4000
DEFAULT_PRECISION = 0.7e-3  # hartree: 0.8e-3 leaves no margin for 1.6 mHa at the 95th percentile
MIN_PRECISION = 1e-12  # hartree: rounding in the sum of a molecule's terms
DEFAULT_MAX_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VqeResult(Outcome):
    """Result of VQE: an energy in hartree, its measurement, the circuits and shots used, and the number of groups."""

    final: FinalMeasurement
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
    final_pubs: Callable[[NDArray[np.float64]], Sequence[SamplerPub]] = lambda _: (),
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
    which takes fewer shots. `final_pubs` makes PUBs for the point found (n,), measured in the first round of the final
    measurement.

    Raises InputError for invalid settings, JobFailed where a failed job ends the run.
    """
    check_at_least_one("shots", shots)
    check_at_least_one("max_rounds", max_rounds)
    if not MIN_PRECISION <= precision < math.inf:
        problem = f"must be a finite number of hartree of at least {MIN_PRECISION:g}, got {precision}"
        raise InvalidValue("precision", problem)
    check_missing_point_policy(on_lost, optimizer)
    if isinstance(hamiltonian, Observable):
        energy = hamiltonian
    else:
        reference = None if reference_state is None else ReferenceState.of_basis_state(reference_state)
        energy = group_hamiltonian(hamiltonian, Grouping.QUBIT_WISE, reference)
    search_evaluation = mitigation.search_evaluation(evaluation(energy, ansatz, run_round))
    final_evaluation = mitigation.final_evaluation(search_evaluation)
    log = RoundLog(on_progress)
    calibration = mitigation.calibration_circuits
    log.add("search", None, 1, calibration, calibration * mitigation.readout_shots)
    point, recent, stop = run_optimizer(search_evaluation, ansatz, optimizer, shots, max_rounds, on_lost, log)
    # Measure the optimum again: the search's own value is biased, as it was selected for being low.
    expected, groups = mitigation.expected_final_estimates(recent), len(final_evaluation.circuits)
    pilot = pilot_shots(expected, groups, shots, precision, allocation)
    final = measure_final_estimate(
        final_evaluation,
        point,
        pilot=pilot,
        precision=precision,
        on_round=log.final,
        allocation=allocation,
        others=final_pubs(point),
    )
    return VqeResult(
        **measured_value(final, residue_of(optimizer)),
        final=final,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        is_requested=stop.is_requested,
        rounds=len(log.history) + bool(calibration),
        circuits=sum(progress.circuits for progress in log.history),
        shots=sum(progress.shots for progress in log.history),
        groups=len(search_evaluation.circuits),
        history=tuple(log.history),
    )


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
    for _ in range(max_rounds):
        points = _ask(optimizer, ansatz.num_parameters)
        if not len(points):
            break
        measured, estimates = evaluated.energies(points, shots)
        recent = [estimate for estimate in estimates if isinstance(estimate, Estimate)] or recent
        optimizer.tell(measured, apply_missing_point_policy(estimates, on_lost))
        circuits = len(points) * len(evaluated.circuits)
        log.add("search", optimizer.current, len(points), circuits, circuits * shots)
    if optimizer.stop is None:
        optimizer.ask()  # some set `stop` only when they are asked again
    best = optimizer.best
    return ansatz.initial_point if best is None else best.point, recent, optimizer.stop or round_limit(max_rounds)


def round_limit(max_rounds: int) -> Stop:
    """Return the end of a search after `max_rounds` rounds; fewer than the default are what the caller requested."""
    if max_rounds < DEFAULT_MAX_ROUNDS:
        return Stop(converged=False, reason=f"max_rounds={max_rounds}, as requested", is_requested=True)
    return Stop(converged=False, reason=f"the limit of {max_rounds} rounds was reached; raise max_rounds")


_EARLIER_ROUNDS = "This round was not submitted; the results of earlier ones are kept."


def _ask(optimizer: Optimizer, angles: int) -> NDArray[np.float64]:
    points = optimizer.ask()
    if points.ndim != 2 or points.shape[1] != angles:
        problem = f"it asks for points of shape {points.shape}, the ansatz has {angles} angle(s)"
        remedy = "Start it from a point with one angle for each parameter."
        raise InputError("optimizer", problem, remedy, _EARLIER_ROUNDS)
    if not np.isfinite(points).all():
        problem = "it asks for an angle that is not finite"
        raise InputError("optimizer", problem, "Choose another optimizer.", _EARLIER_ROUNDS)
    return points
