"""ADAPT-VQE: grow the ansatz operator by operator, by the largest energy gradient or a negative curvature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.adapt.operator_pool import OperatorPool
from hybridloop.algorithms.adapt.result import DEFAULT_TOLERANCE, AdaptResult, AdaptStep, judged
from hybridloop.algorithms.adapt.selection import DEFAULT_MAX_OPERATORS, Selected, Selector
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import simulated_minimum
from hybridloop.algorithms.diagnostics import StateChecks
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, evaluation
from hybridloop.algorithms.estimation.final import measure_final_estimate, neyman_allocation
from hybridloop.algorithms.estimation.grouping import GroupingChoice, given_grouping
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.estimation.sampling import DEFAULT_SAMPLING, Sampling
from hybridloop.algorithms.optimizers.base import (
    PointEstimate,
    Stop,
    check_at_least_one,
    check_positive,
    missing_points_error,
)
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from hybridloop.algorithms.outcome import RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.rounds import Counts, KeptCounts, RunRound, larger_cap_of, share_caps
from hybridloop.algorithms.search import Search, cap_limit
from hybridloop.algorithms.vqe.expectations import NO_EXPECTATIONS, Expectations, FinalPoint, at_these_angles
from hybridloop.errors import RoundTooLarge


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of an ansatz: it ends where the gain of all operators is expected to be at most `tolerance` (hartree).

    It takes `max_operators` at most. `derivatives` is the grouping of the gradients' terms. `expectations` are measured
    at its end, beside the energy.
    """

    tolerance: float = DEFAULT_TOLERANCE
    max_operators: int = DEFAULT_MAX_OPERATORS
    derivatives: Grouping = Grouping.FULLY_COMMUTING
    expectations: Expectations = NO_EXPECTATIONS

    def __post_init__(self) -> None:
        check_positive("tolerance", self.tolerance, "energy in hartree")
        check_at_least_one("max_operators", self.max_operators)


DEFAULT_GROWTH = Growth()


def adapt(
    pool: OperatorPool,
    make_search: Callable[[Ansatz], Search],
    run_round: RunRound,
    *,
    growth: Growth = DEFAULT_GROWTH,
    sampling: Sampling = DEFAULT_SAMPLING,
    energy: GroupingChoice | None = None,
    exact: Callable[[], float | None] = lambda: None,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> AdaptResult:
    """Run ADAPT-VQE from Hartree-Fock (H. R. Grimsley et al., Nat. Commun. 10 (2019) 3007); energies in hartree.

    Each step measures all gradients in one round and appends the operator that the pool ranks first by them. It then
    optimizes all angles, starting from their last values, by a search that `make_search` makes. The gain to second
    order of all operators in the pool is Σ_k g_k² / 2 h_k (noise deducted), with h_k the curvature at Hartree-Fock.

    Where that gain is at most the tolerance, or all gradients are within noise, the state may still be a saddle: by
    symmetry all gradients of singles vanish at Hartree-Fock. Then one round measures all curvatures. An operator whose
    curvature is negative beyond noise, and promises more than the tolerance, is appended at the minimum along its own
    angle. At Hartree-Fock gradients and curvatures are exact and take no round; a negative curvature that
    promises more than all gradients is followed at once, after the steepest operator, also in a mixture of two
    operators. ADAPT-VQE has converged if neither gradients nor curvatures promise more. It also stops when noise hides
    what they promise, or after the most operators.

    Small gradients are no proof: on the way to the ground state they may all be small for some operators, and grow
    again (gradient troughs: H. R. Grimsley et al., npj Quantum Inf. 9 (2023) 19). So a stop is examined. Gradients
    within noise that may hide more than the tolerance are measured again, with at most the shots of the final
    measurement. Where the circuit can be simulated, the search starts at the minimum of its simulation, and no stop is
    made while the simulated state is above the ground state by more than the tolerance and a simulated gradient shows
    the next operator.

    The final measurement also measures the spin if the circuit does not conserve it. `energy` is the Hamiltonian in
    measurement groups, by default qubit-wise and split by the covariances of Hartree-Fock with its excitations. A round
    of derivatives takes the `sampling`'s shots a circuit on average. The result is judged by the `exact` energy
    (hartree; None: unknown), its simulation and its quantum numbers: see `judged`. Raises JobFailed where a
    derivative's circuit failed.
    """
    hamiltonian = pool.problem.hamiltonian
    if energy is None:
        reference = ReferenceState.perturbed(hamiltonian, pool.problem.reference_state)
        energy = given_grouping(hamiltonian, Grouping.QUBIT_WISE, reference, "no other was given", pool.problem)
    shots, precision = sampling.shots, sampling.precision
    expected_shots = (float(energy.deviations.sum()) / precision) ** 2
    selector = Selector(
        pool, run_round, sampling, growth.tolerance, growth.max_operators, expected_shots, growth.derivatives
    )
    log = RoundLog(on_progress)
    chosen: list[int] = []
    operators: list[AdaptStep] = []
    point, recent = np.zeros(0), list[Estimate]()
    left: float | None = 0.0
    ansatz = pool.ansatz(chosen)
    while True:
        try:
            kept = partial(_final_pubs, energy, replace(ansatz, initial_point=point), precision)
            with share_caps(run_round, kept):
                # Select operators by the derivatives of the whole pool.
                ansatz = replace(pool.ansatz(chosen), initial_point=point)
                selected = selector.select(ansatz, chosen)
                if isinstance(selected, Stop):
                    break
                # Append them and optimize all angles.
                is_saddle = selected.curvature is not None
                longer = [*chosen, *selected.operators]
                start = np.append(point, np.zeros(len(selected.operators)))
                grown = replace(pool.ansatz(longer), initial_point=start)
                evaluated = evaluation(energy.observable, grown, run_round)
                if is_saddle and len(point):
                    grown = _minimize_last_angle(evaluated, grown, shots, log)
                if (model := pool.simulation(longer)) is not None:
                    point = simulated_minimum(model, grown.initial_point)
                else:
                    search = make_search(grown)
                    end = search.run(evaluated, grown.initial_point, sampling, log)
                    point, left = end.point, end.residue
                    recent = search.recent
        except RoundTooLarge as reached:
            selected = cap_limit(reached)
            break
        ansatz, chosen = grown, longer
        if model is not None:
            operators += _steps(selected, point, model.energy(point), 0.0)
            continue
        last = log.history[-1]
        operators += _steps(selected, point, last.value, last.standard_error)
    # Measure the energy of the finished circuit.
    evaluated = evaluation(energy.observable, ansatz, run_round)
    keeper, expectations = KeptCounts(run_round, evaluated.circuits), growth.expectations
    pilot = sampling.planned(recent, len(evaluated.circuits)).pilot
    checks = StateChecks.of(pool.problem, ansatz)
    at = FinalPoint(evaluated, checks.groups, ansatz, point)
    with share_caps(run_round, None):
        final = measure_final_estimate(
            replace(evaluated, run_round=keeper),
            point,
            pilot=pilot,
            precision=precision,
            on_round=log.final,
            allocate=sampling.further_shots,
            others=[*checks.pubs(point), *expectations.pubs(at, sampling)],
        )

        def on_counts(found: Mapping[int, Counts], circuits: int) -> None:
            nonlocal final
            final = final.with_counts(evaluated, found)
            log.final(final.estimate, point, circuits, sum(counts.shots for counts in found.values()))

        table = expectations.measure(at, keeper.at(point), final.others, sampling, on_counts)
    if recent:  # a search on the target
        table = at_these_angles(table)
    taken = sum(progress.shots for progress in log.history) + selector.shots_taken
    if limit := final.limit(precision, taken):
        selected = Stop(converged=False, reason=f"{limit}; {selected.reason}")
    result = AdaptResult(
        **measured_value(final, None if left is None else selector.residue + left),
        final=final,
        operators=tuple(operators),
        ansatz=ansatz,
        parameters=tuple(point.tolist()),
        converged=selected.converged,
        reason=selected.reason,
        is_requested=selected.is_requested,
        larger_cap="" if selected.converged else larger_cap_of(run_round),
        rounds=len(log.history) + selector.rounds,
        circuits=sum(progress.circuits for progress in log.history) + selector.circuits,
        shots=taken,
        history=tuple(log.history),
        observables=table,
    )
    return judged(result, pool, checks.read(final.others[: len(checks.groups)]), exact, precision)


def _final_pubs(energy: GroupingChoice, ansatz: Ansatz, precision: float) -> list[SamplerPub]:
    """Return PUBs of a final measurement to this precision, by the expected deviations of the groups."""
    evaluated = evaluation(energy.observable, ansatz, lambda _: [])
    shots = neyman_allocation((energy.deviations**2).tolist(), [0] * len(energy.deviations), precision**2)
    return evaluated.group_pubs(ansatz.initial_point[None, :], [max(1, each) for each in shots])


def _steps(selected: Selected, point: NDArray[np.float64], value: float, standard_error: float) -> list[AdaptStep]:
    """Return the operators of a selection with the search's angles (n,) and energy (hartree)."""
    return [
        AdaptStep(
            index=index,
            gradient=selected.slopes[index].value,
            gradient_error=selected.slopes[index].expected_error,
            remaining_gain=selected.remaining_gain,
            value=value,
            standard_error=standard_error,
            parameters=tuple(point.tolist()),
            curvature=selected.curvature,
            is_simulated=selected.is_simulated,
        )
        for index in selected.operators
    ]


def _minimize_last_angle(evaluated: Evaluation, ansatz: Ansatz, shots: int, log: RoundLog) -> Ansatz:
    """Return the ansatz at the minimum along its last angle, from one round: no slope leads away from a saddle."""
    offsets = sample_offsets(ansatz.frequencies[-1])
    points = np.tile(ansatz.initial_point, (len(offsets), 1))
    points[:, -1] += offsets
    measured, estimates = evaluated.energies(points, shots)
    rows = [
        (float(point[-1]), estimate.value, estimate.variance)
        for point, estimate in zip(measured, estimates, strict=True)
        if isinstance(estimate, Estimate)
    ]
    fit = fit_trigonometric(ansatz.frequencies[-1], rows, float(ansatz.initial_point[-1]))
    if fit is None:
        raise missing_points_error("adapt", estimates)
    point, offset = ansatz.initial_point.copy(), fit.minimum()
    point[-1] += offset
    found = PointEstimate(point, fit.value(offset), fit.standard_error(offset))
    circuits = len(points) * len(evaluated.circuits)
    log.add("search", found, len(points), circuits, circuits * shots)
    return replace(ansatz, initial_point=point)
