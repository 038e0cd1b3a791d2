"""ADAPT-VQE: grow the ansatz operator by operator, by the largest energy gradient or a negative curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.adapt.operator_pool import ExcitationGroup, OperatorPool
from hybridloop.algorithms.adapt.selection import DEFAULT_MAX_OPERATORS, Selected, Selector
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import simulated_minimum
from hybridloop.algorithms.diagnostics import QuantumNumbers, StateChecks
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, evaluation
from hybridloop.algorithms.estimation.final import (
    FinalMeasurement,
    measure_final_estimate,
    neyman_allocation,
    pilot_shots,
)
from hybridloop.algorithms.estimation.grouping import GroupingChoice, given_grouping
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.optimizers.base import (
    Optimizer,
    PointEstimate,
    Stop,
    check_at_least_one,
    check_positive,
    missing_points_error,
    residue_of,
)
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, check_missing_point_policy
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.rounds import RunRound, share_caps
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS, cap_limit, run_optimizer
from hybridloop.algorithms.vqe import DEFAULT_PRECISION, DEFAULT_SHOTS
from hybridloop.errors import RoundTooLarge

# hartree: half of chemical accuracy, as the estimated remaining gain is of second order only
DEFAULT_TOLERANCE = 0.8e-3


@dataclass(frozen=True, slots=True)
class AdaptStep:
    """An operator added by ADAPT-VQE and the search that followed.

    `gradient` and `gradient_error` (hartree per radian) and `remaining_gain` (hartree, of the whole pool, by gradients)
    are those measured before the operator was added. `curvature` (hartree per square radian) is given if the operator
    was selected by it. `is_simulated` is true if it was selected by the gradients of a simulation. `parameters`
    (radians) are the angles of the whole circuit after the search. `value` (hartree) is the energy that the search
    found there. It was selected for being low, so it is biased: only the final measurement is reported. Two operators
    that were added together have the same value and parameters.
    """

    group: ExcitationGroup
    gradient: float
    gradient_error: float
    remaining_gain: float
    value: float
    parameters: tuple[float, ...]
    curvature: float | None = None
    is_simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptResult(Outcome):
    """Result of ADAPT-VQE: the operators in the order of their addition, the final measurement, the resources used.

    `converged` is true where the gain expected from the whole pool fell to the tolerance (`adapt`).
    """

    final: FinalMeasurement
    operators: tuple[AdaptStep, ...]
    ansatz: Ansatz
    circuits: int
    shots: int
    state: QuantumNumbers


def adapt(
    pool: OperatorPool,
    make_optimizer: Callable[[Ansatz], Optimizer],
    run_round: RunRound,
    *,
    shots: int = DEFAULT_SHOTS,
    precision: float = DEFAULT_PRECISION,
    tolerance: float = DEFAULT_TOLERANCE,
    max_operators: int = DEFAULT_MAX_OPERATORS,
    max_rounds: int = DEFAULT_MAX_ROUNDS,
    energy: GroupingChoice | None = None,
    derivatives: Grouping = Grouping.FULLY_COMMUTING,
    on_lost: MissingPointPolicy = FAIL,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> AdaptResult:
    """Run ADAPT-VQE from Hartree-Fock (H. R. Grimsley et al., Nat. Commun. 10 (2019) 3007); energies in hartree.

    Each step measures all gradients in one round and appends the operator with the largest. It then optimizes all
    angles, starting from their last values; `max_rounds` bounds each of these searches. The gain to second order of all
    operators in the pool is Σ_k g_k² / 2 h_k (noise deducted), with h_k the curvature at Hartree-Fock.

    Where that gain is at most `tolerance`, or all gradients are within noise, the state may still be a saddle: by
    symmetry all gradients of singles vanish at Hartree-Fock. Then one round measures all curvatures. An operator whose
    curvature is negative beyond noise, and promises more than the tolerance, is appended at the minimum along its own
    angle. At Hartree-Fock gradients and curvatures are exact and take no round; a negative curvature that
    promises more than all gradients is followed at once, after the steepest operator, also in a mixture of two
    operators. ADAPT-VQE has converged if neither gradients nor curvatures promise more. It also stops when noise hides
    what they promise, or after `max_operators`.

    Small gradients are no proof: on the way to the ground state they may all be small for some operators, and grow
    again (gradient troughs: H. R. Grimsley et al., npj Quantum Inf. 9 (2023) 19). So a stop is examined. Gradients
    within noise that may hide more than the tolerance are measured again, with at most the shots of the final
    measurement. Where the circuit can be simulated, the search starts at the minimum of its simulation, and no stop is
    made while the simulated state is above the ground state by more than the tolerance and a simulated gradient shows
    the next operator.

    `precision` is the standard error of the final measurement, which also measures the spin if the circuit does not
    conserve it. `energy` is the Hamiltonian in measurement groups, by
    default qubit-wise and split by the covariances of Hartree-Fock with its excitations. `derivatives` is the grouping
    of the derivatives' terms (`PoolDerivatives.gradients`); a round of them takes `shots` a circuit on average. Raises
    JobFailed where a derivative's circuit failed.
    """
    check_positive("tolerance", tolerance, "energy in hartree")
    check_at_least_one("max_operators", max_operators)
    hamiltonian = pool.problem.hamiltonian
    if energy is None:
        reference = ReferenceState.perturbed(hamiltonian, pool.problem.reference_state)
        energy = given_grouping(hamiltonian, Grouping.QUBIT_WISE, reference, "no other was given", pool.problem)
    expected_shots = (float(energy.deviations.sum()) / precision) ** 2
    selector = Selector(pool, run_round, shots, tolerance, max_operators, expected_shots, derivatives)
    log = RoundLog(on_progress)
    chosen: list[int] = []
    operators: list[AdaptStep] = []
    point, recent = np.zeros(0), list[Estimate]()
    left = 0.0
    ansatz = pool.ansatz(chosen)
    while True:
        try:
            with share_caps(run_round, _final_pubs(energy, replace(ansatz, initial_point=point), precision)):
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
                    optimizer = make_optimizer(grown)
                    check_missing_point_policy(on_lost, optimizer)
                    start = grown.initial_point
                    point, recent, _ = run_optimizer(
                        *(evaluated, start, optimizer, shots, max_rounds, on_lost, log), least_shots=energy.least_shots
                    )
        except RoundTooLarge as reached:
            selected = cap_limit(reached)
            break
        ansatz, chosen = grown, longer
        if model is not None:
            operators += _steps(pool, selected, model.energy(point), point)
            continue
        left = residue_of(optimizer) or 0.0
        operators += _steps(pool, selected, log.history[-1].value, point)
    # Measure the energy of the finished circuit.
    evaluated = evaluation(energy.observable, ansatz, run_round)
    pilot = pilot_shots(recent, len(evaluated.circuits), shots, precision, least_shots=energy.least_shots)
    checks = StateChecks.of(pool.problem, ansatz)
    with share_caps(run_round, None):
        final = measure_final_estimate(
            evaluated, point, pilot=pilot, precision=precision, on_round=log.final, others=checks.pubs(point)
        )
    taken = sum(progress.shots for progress in log.history) + selector.shots_taken
    if limit := final.limit(precision, taken):
        selected = Stop(converged=False, reason=f"{limit}; {selected.reason}")
    return AdaptResult(
        **measured_value(final, selector.residue + left),
        final=final,
        operators=tuple(operators),
        ansatz=ansatz,
        parameters=tuple(point.tolist()),
        converged=selected.converged,
        reason=selected.reason,
        is_requested=selected.is_requested,
        rounds=len(log.history) + selector.rounds,
        circuits=sum(progress.circuits for progress in log.history) + selector.circuits,
        shots=taken,
        history=tuple(log.history),
        state=checks.read(final.others),
    )


def _final_pubs(energy: GroupingChoice, ansatz: Ansatz, precision: float) -> list[SamplerPub]:
    """Return PUBs of a final measurement to this precision, by the expected deviations of the groups."""
    evaluated = evaluation(energy.observable, ansatz, lambda _: [])
    shots = neyman_allocation((energy.deviations**2).tolist(), [0] * len(energy.deviations), precision**2)
    return evaluated.group_pubs(ansatz.initial_point[None, :], [max(1, each) for each in shots])


def _steps(pool: OperatorPool, selected: Selected, value: float, point: NDArray[np.float64]) -> list[AdaptStep]:
    """Return the operators of a selection with the search's energy (hartree) and angles (n,)."""
    return [
        AdaptStep(
            group=pool.groups[index],
            gradient=selected.slopes[index].value,
            gradient_error=selected.slopes[index].standard_error,
            remaining_gain=selected.remaining_gain,
            value=value,
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
