"""Variational quantum eigensolver (VQE): optimize in rounds, then measure the optimum to the requested precision.

The minimum of a classical simulation is not optimized again: the final measurement tests it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, evaluation
from hybridloop.algorithms.estimation.final import (
    PILOT_FRACTION,
    Allocation,
    FinalMeasurement,
    NeededError,
    measure_final_estimate,
    pilot_shots,
    requested_error,
)
from hybridloop.algorithms.estimation.grouping import group_hamiltonian
from hybridloop.algorithms.estimation.observable import Grouping, Observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.mitigation.mitigation import UNMITIGATED, Mitigation
from hybridloop.algorithms.optimizers.base import Optimizer, Stop, check_at_least_one, residue_of
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, check_missing_point_policy
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.rounds import RunRound, share_caps
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS, FallsShort, cap_limit, run_optimizer
from hybridloop.algorithms.simulated_energy import AGREES, NOT_SHOWN, SimulatedEnergy
from hybridloop.errors import InvalidValue, RoundTooLarge

DEFAULT_SHOTS = 4000
DEFAULT_PRECISION = 0.7e-3  # hartree: 0.8e-3 leaves no margin for 1.6 mHa at the 95th percentile
MIN_PRECISION = 1e-12  # hartree: rounding in the sum of a molecule's terms


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
    deviations: NDArray[np.float64] | None = None,
    least_shots: int = 1,
    simulated: SimulatedEnergy | None = None,
    falls_short: FallsShort | None = None,
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
    which takes fewer shots. `deviations` (groups,) are those of one shot that are expected: shots are shared by them.
    No circuit of the search has fewer than `least_shots`, nor one of the final measurement's pilot that needs them.
    `simulated` is the energy at the ansatz's initial point, if that is the minimum of a simulation: the final
    measurement comes first then, as its test, and the search and another final measurement only if it fails.
    A search that converged at a point (n,) with a residue goes on, twice at most, where `falls_short` says that this is
    too far from what the run may claim.
    `final_pubs` makes PUBs for the point found (n,), measured in the first round of the final measurement.

    Where `run_round` has caps (`CappedRounds`), the search leaves the final measurement its share, which takes the
    shots that the caps leave. A larger error bar than `precision` is then no convergence.

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

    expected = [] if deviations is None else [Estimate(0.0, 0.0, 0, shot_variances=tuple(deviations**2))]

    def pilot(recent: Sequence[Estimate]) -> list[int]:
        # by the variances expected if they take fewer shots than the search's: a fit makes them small near the minimum
        is_exact, groups = any(each.is_exact for each in recent), len(final_evaluation.circuits)
        known = [mitigation.expected_final_estimates(each) for each in ((recent,) if is_exact else (recent, expected))]
        found = [pilot_shots(each, groups, shots, precision, allocation, least_shots) for each in known if each]
        return min(found, key=sum, default=pilot_shots((), groups, shots, precision))

    def search() -> tuple[NDArray[np.float64], list[Estimate], Stop]:
        share = [math.ceil(group_shots / PILOT_FRACTION) for group_shots in pilot(expected)]
        start = ansatz.initial_point
        kept = [*final_evaluation.group_pubs(start[None, :], share), *final_pubs(start)]
        try:
            with share_caps(run_round, kept):
                return run_optimizer(
                    *(search_evaluation, start, optimizer, shots, max_rounds, on_lost, log, falls_short),
                    least_shots=least_shots,
                )
        except RoundTooLarge as reached:
            return start, [], cap_limit(reached)

    def measure(
        point: NDArray[np.float64], recent: Sequence[Estimate], needed_error: NeededError = requested_error
    ) -> FinalMeasurement:
        with share_caps(run_round, None):
            return measure_final_estimate(
                final_evaluation,
                point,
                pilot=pilot(recent),
                precision=precision,
                needed_error=needed_error,
                on_round=log.final,
                allocation=allocation,
                others=final_pubs(point),
            )

    tested = None
    if simulated is not None:
        final = measure(ansatz.initial_point, expected, simulated.needed_error)
        tested = simulated.test(final.estimate)
    if tested is not None and (tested.passed is not False or final.cap):
        point, stop = ansatz.initial_point, Stop(tested.passed is True, tested.reason)
        residue: tuple[float | None, str | None] = (0.0, AGREES) if tested.passed else (None, NOT_SHOWN)
    else:
        point, recent, stop = search()
        # Measure the optimum again: the search's own value is biased, as it was selected for being low.
        try:
            final, residue = measure(point, recent), (residue_of(optimizer), None)
        except RoundTooLarge:  # the test of other angles has a value
            if tested is None:
                raise
            point, residue = ansatz.initial_point, (None, NOT_SHOWN)
        stop = stop if tested is None else replace(stop, reason=f"{stop.reason}; {tested.reason}")
    total = sum(progress.shots for progress in log.history)
    if limit := final.limit(precision, total):
        stop = Stop(converged=False, reason=f"{limit}; {stop.reason}")
    return VqeResult(
        **measured_value(final, *residue),
        final=final,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        is_requested=stop.is_requested,
        rounds=len(log.history) + bool(calibration),
        circuits=sum(progress.circuits for progress in log.history),
        shots=total,
        groups=len(search_evaluation.circuits),
        history=tuple(log.history),
    )
