"""Variational quantum eigensolver (VQE): optimize in rounds, then measure the optimum to the requested precision.

The minimum of a classical simulation is not optimized again: the final measurement tests it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, evaluation
from hybridloop.algorithms.estimation.final import (
    FinalMeasurement,
    NeededError,
    measure_final_estimate,
    requested_error,
)
from hybridloop.algorithms.estimation.grouping import group_hamiltonian
from hybridloop.algorithms.estimation.observable import Grouping, Observable
from hybridloop.algorithms.estimation.sampling import DEFAULT_SAMPLING, PlannedShots, Sampling
from hybridloop.algorithms.mitigation.mitigation import UNMITIGATED, Mitigation
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.rounds import Counts, KeptCounts, RunRound, larger_cap_of, share_caps
from hybridloop.algorithms.search import Search, SearchEnd, cap_limit
from hybridloop.algorithms.vqe.claims import NO_CLAIMS, Claims
from hybridloop.algorithms.vqe.expectations import NO_EXPECTATIONS, FinalPoint, at_these_angles
from hybridloop.algorithms.vqe.simulated_energy import AGREES, NOT_SHOWN
from hybridloop.errors import RoundTooLarge
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.algorithms.mitigation import readout
else:
    readout = leaf("hybridloop.algorithms.mitigation.readout")


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
    search: Search,
    run_round: RunRound,
    *,
    sampling: Sampling = DEFAULT_SAMPLING,
    mitigation: Mitigation = UNMITIGATED,
    claims: Claims = NO_CLAIMS,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> VqeResult:
    """Minimize ⟨hamiltonian⟩ over the ansatz (A. Peruzzo et al., Nat. Commun. 5 (2014) 4213), in hartree.

    `search` is used up. The final measurement adds two or three rounds, eight at most, and repeats failed circuits. A
    `mitigation` adds one calibration round before a search, whose circuits and shots are reported with the first
    round. A `SparsePauliOp` is measured in qubit-wise commuting groups, an `Observable` in its own.

    `claims` judges the result. Where it has the simulated energy of the ansatz's initial point, the final measurement
    comes first, as its test, and the search and another final measurement only if it fails.

    Where `run_round` has caps (`CappedRounds`), the search leaves the final measurement its share, which takes the
    shots that the caps leave. A larger error bar than was asked for is then no convergence.

    Raises InputError for invalid settings, JobFailed where a failed job ends the run.
    """
    energy = hamiltonian
    if isinstance(energy, SparsePauliOp):
        energy = group_hamiltonian(energy, Grouping.QUBIT_WISE, None)
    bare = evaluation(energy, ansatz, run_round)
    keeper = KeptCounts(run_round, bare.circuits)
    final_evaluation = mitigation.final_evaluation(replace(bare, run_round=keeper))
    log = RoundLog(on_progress)
    calibrations = 0

    expected, simulated, expectations = sampling.expected, claims.simulated, claims.expectations
    with_energy = NO_EXPECTATIONS if mitigation.has_copies else expectations

    def final_point(point: NDArray[np.float64], errors: readout.ReadoutErrors | None = None) -> FinalPoint:
        return FinalPoint(mitigation.at_errors(bare, errors), claims.groups, ansatz, point)

    def planned(recent: Sequence[Estimate]) -> PlannedShots:
        # by the variances expected if they take fewer shots than the search's: a fit makes them small near the minimum
        is_exact = any(each.is_exact for each in recent)
        known = [each for each in ((recent,) if is_exact else (recent, expected)) if each] or [()]
        beside = len(final_evaluation.calibration)
        found = [sampling.planned(each, len(bare.circuits), mitigation.weights, beside) for each in known]
        return min(found, key=lambda shots: sum(shots.pilot))

    def kept() -> list[SamplerPub]:
        start = ansatz.initial_point
        shots = planned(search.recent or expected).whole
        return [
            *final_evaluation.group_pubs(start[None, :], shots),
            *claims.pubs(start),
            *with_energy.pubs(final_point(start), sampling),
        ]

    def find() -> SearchEnd:
        nonlocal calibrations
        start, calibrations = ansatz.initial_point, mitigation.calibration_circuits
        try:
            with share_caps(run_round, kept):
                search_evaluation = mitigation.search_evaluation(bare)
                log.add("search", None, 1, calibrations, calibrations * mitigation.readout_shots)
                return search.run(search_evaluation, start, sampling, log, claims.falls_short)
        except RoundTooLarge as reached:
            return SearchEnd(start, cap_limit(reached))

    def measure(
        point: NDArray[np.float64], recent: Sequence[Estimate], needed_error: NeededError = requested_error
    ) -> FinalMeasurement:
        with share_caps(run_round, None):
            return measure_final_estimate(
                final_evaluation,
                point,
                pilot=planned(recent).pilot,
                precision=sampling.precision,
                needed_error=needed_error,
                on_round=log.final,
                allocate=sampling.further_shots,
                others=[*claims.pubs(point), *with_energy.pubs(final_point(point), sampling)],
            )

    tested = None
    if simulated is not None:
        final = measure(ansatz.initial_point, expected, simulated.needed_error)
        tested = simulated.test(final.estimate)
    if tested is not None and (tested.passed is not False or final.cap):
        point, stop = ansatz.initial_point, Stop(tested.passed is True, tested.reason)
        residue: tuple[float | None, str | None] = (0.0, AGREES) if tested.passed else (None, NOT_SHOWN)
    else:
        end = find()
        point, stop = end.point, end.stop
        # Measure the optimum again: the search's own value is biased, as it was selected for being low.
        try:
            final, residue = measure(point, search.recent), (end.residue, None)
        except RoundTooLarge:  # the test of other angles has a value
            if tested is None:
                raise
            point, residue = ansatz.initial_point, (None, NOT_SHOWN)
        stop = stop if tested is None else replace(stop, reason=f"{stop.reason}; {tested.reason}")
    with share_caps(run_round, None):

        def on_shots(circuits: int, shots: int) -> None:
            log.final(final.estimate, point, circuits, shots)

        def on_counts(found: Mapping[int, Counts], circuits: int) -> None:
            nonlocal final
            final = final.with_counts(final_evaluation, found)
            on_shots(circuits, sum(counts.shots for counts in found.values()))

        if not mitigation.has_copies:
            kept_counts = keeper.at(point)
            errors = readout.errors_beside(final.pooled) if mitigation.readout_shots and final.pooled else None
            table = expectations.measure(final_point(point, errors), kept_counts, final.others, sampling, on_counts)
        else:
            table = expectations.measure_each(
                lambda each: mitigation.final_evaluation(evaluation(each, ansatz, run_round)),
                point,
                ansatz,
                on_shots,
            )
    if tested is None or not tested.passed:  # no minimum, to whose error an observable has a first-order part
        table = at_these_angles(table)
    total = sum(progress.shots for progress in log.history)
    if limit := final.limit(sampling.precision, total):
        stop = Stop(converged=False, reason=f"{limit}; {stop.reason}")
    result = VqeResult(
        **measured_value(final, *residue),
        final=final,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        is_requested=stop.is_requested,
        larger_cap="" if stop.converged else larger_cap_of(run_round),
        rounds=len(log.history) + bool(calibrations),
        circuits=sum(progress.circuits for progress in log.history),
        shots=total,
        groups=len(bare.circuits),
        history=tuple(log.history),
        observables=table,
    )
    return claims.judge(result, replace(final, others=final.others[: len(claims.pubs(point))]))
