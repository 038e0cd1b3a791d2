"""ADAPT-VQE: grow the ansatz operator by operator, each time by the one with the largest energy gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.adapt_pool import OperatorPool, PoolGradients
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.initial_point import gradient_and_hessian
from hybridloop.algorithms.circuits.uccsd import Excitation
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.evaluation import evaluation
from hybridloop.algorithms.estimation.final import FinalMeasurement, measure_final_estimate, pilot_shots
from hybridloop.algorithms.estimation.grouping import split_coefficients
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.optimizers.base import Optimizer, Stop
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, check_missing_point_policy
from hybridloop.algorithms.outcome import RoundLog, RoundProgress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.vqe import DEFAULT_MAX_ROUNDS, DEFAULT_PRECISION, DEFAULT_SHOTS, run_optimizer
from hybridloop.errors import InputError

DEFAULT_TOLERANCE = (
    0.8e-3  # hartree: half of chemical accuracy, as the estimated remaining gain is of second order only
)
DEFAULT_MAX_OPERATORS = 40
GRADIENT_TIE = 1e-7  # hartree per radian: gradients that differ by less are equal by symmetry
SIGMAS = 3.0  # standard errors: a smaller gradient counts as noise
MIN_CURVATURE = 0.2  # hartree per radian²: a floor for curvatures; softer excitations are nearly degenerate


@dataclass(frozen=True, slots=True)
class AdaptStep:
    """An operator added by ADAPT-VQE and the search that followed.

    `gradient` and `gradient_error` (hartree per radian) and `remaining_gain` (hartree, of the whole pool) are those
    measured before the operator was added. `parameters` (radians) are the angles of the whole circuit after the search.
    `value` (hartree) is the energy that the search found there. It was selected for being low, so it is biased: only
    the final measurement is reported.
    """

    excitation: Excitation
    gradient: float
    gradient_error: float
    remaining_gain: float
    value: float
    parameters: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AdaptResult:
    """Result of ADAPT-VQE: the operators in the order of their addition, the final measurement, the resources used.

    `converged` is true where the remaining gain expected from the whole pool fell to the tolerance.
    """

    final: FinalMeasurement
    operators: tuple[AdaptStep, ...]
    ansatz: Ansatz
    parameters: tuple[float, ...]
    converged: bool
    reason: str
    rounds: int
    circuits: int
    shots: int
    history: tuple[RoundProgress, ...]


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
    on_lost: MissingPointPolicy = FAIL,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> AdaptResult:
    """Run ADAPT-VQE from Hartree-Fock (H. R. Grimsley et al., Nat. Commun. 10 (2019) 3007); energies in hartree.

    Each step measures all gradients in one round and appends the operator with the largest. It then optimizes all
    angles, starting from their last values; `max_rounds` bounds each of these searches. ADAPT-VQE has converged when
    Σ_k g_k² / 2 h_k is at most `tolerance` (noise deducted): the gain to second order of all operators in the pool,
    with h_k the curvature at Hartree-Fock. It also stops when all gradients are within noise, or after `max_operators`.
    `precision` is the standard error of the final measurement. Raises JobFailed where a gradient's circuit failed.
    """
    _check(pool, tolerance, max_operators)
    energy = split_coefficients(observable(pool.problem.hamiltonian), pool.problem.reference_state)
    gradients = PoolGradients.of(pool)
    curvatures = np.maximum(np.diag(gradient_and_hessian(pool.problem, pool.excitations)[1]), MIN_CURVATURE)
    log = RoundLog(on_progress)
    chosen: list[int] = []
    operators: list[AdaptStep] = []
    point, recent = np.zeros(0), list[Estimate]()
    gradient_rounds = 0
    while True:
        # Measure the gradient of every operator in the pool.
        ansatz = replace(pool.ansatz(chosen), initial_point=point)
        slopes = gradients.measure(ansatz, point, run_round, shots)
        gradient_rounds += 1
        stop = _check_convergence(slopes, curvatures, tolerance, len(operators), max_operators)
        if stop is not None:
            break
        # Append the steepest operator at angle 0 and optimize all angles.
        steepest = _steepest(slopes)
        chosen.append(steepest)
        ansatz = replace(pool.ansatz(chosen), initial_point=np.append(point, 0.0))
        optimizer = make_optimizer(ansatz)
        check_missing_point_policy(on_lost, optimizer)
        evaluated = evaluation(energy, ansatz, run_round)
        point, recent, _ = run_optimizer(evaluated, ansatz, optimizer, shots, max_rounds, on_lost, log)
        operators.append(
            AdaptStep(
                excitation=pool.excitations[steepest],
                gradient=slopes[steepest].value,
                gradient_error=slopes[steepest].standard_error,
                remaining_gain=_remaining_gain(slopes, curvatures),
                value=log.history[-1].value,
                parameters=tuple(point.tolist()),
            )
        )
    # Measure the energy of the finished circuit.
    evaluated = evaluation(energy, ansatz, run_round)
    final = measure_final_estimate(
        evaluated,
        point,
        pilot=pilot_shots(recent, len(evaluated.circuits), shots, precision),
        precision=precision,
        on_round=lambda estimate, circuits, used: log.final(estimate, point, circuits, used),
    )
    gradient_circuits = gradient_rounds * len(gradients.groups_measured)
    return AdaptResult(
        final=final,
        operators=tuple(operators),
        ansatz=ansatz,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        rounds=len(log.history) + gradient_rounds,
        circuits=sum(progress.circuits for progress in log.history) + gradient_circuits,
        shots=sum(progress.shots for progress in log.history) + gradient_circuits * shots,
        history=tuple(log.history),
    )


def _check(pool: OperatorPool, tolerance: float, max_operators: int) -> None:
    if not pool.excitations:
        problem = f"no excitation of {pool.problem.molecule.source} conserves its symmetries, so the pool is empty"
        raise InputError("problem", problem, "Check NELEC, MS2 and NORB.")
    if not (tolerance > 0 and math.isfinite(tolerance)):
        raise InputError("tolerance", f"{tolerance} is not above 0", "Give a positive energy in hartree.")
    if max_operators < 1:
        raise InputError("max_operators", f"{max_operators} is below 1", "Give 1 or more.")


def _steepest(slopes: Sequence[Estimate]) -> int:
    """Index of the largest gradient; of several that are equal by symmetry, the first in the pool."""
    largest = max(abs(slope.value) for slope in slopes)
    return next(index for index, slope in enumerate(slopes) if abs(slope.value) >= largest - GRADIENT_TIE)


def _remaining_gain(slopes: Sequence[Estimate], curvatures: NDArray[np.float64]) -> float:
    """Σ_k (g_k² − σ_k²) / 2 h_k in hartree, at least 0: noise adds its variance to each square."""
    gains = [
        (slope.value**2 - slope.variance) / (2.0 * float(curvature))
        for slope, curvature in zip(slopes, curvatures, strict=True)
    ]
    return max(0.0, math.fsum(gains))


def _check_convergence(
    slopes: Sequence[Estimate], curvatures: NDArray[np.float64], tolerance: float, count: int, max_operators: int
) -> Stop | None:
    """Return the reason to stop with `count` operators; None to add another."""
    remaining = _remaining_gain(slopes, curvatures)
    noise = math.fsum(slope.variance / (2.0 * float(h)) for slope, h in zip(slopes, curvatures, strict=True))
    steepest = slopes[_steepest(slopes)]
    if remaining <= tolerance and noise <= tolerance:
        reason = f"all operators of the pool together are expected to gain only {1e3 * remaining:.2g} mHa more"
        return Stop(converged=True, reason=reason)
    if abs(steepest.value) <= max(SIGMAS * steepest.standard_error, steepest.rounding_bound):
        reason = f"all gradients are within shot noise, which may hide a gain of {1e3 * noise:.2g} mHa; raise shots"
        return Stop(converged=False, reason=reason)
    if count >= max_operators:
        return Stop(converged=False, reason=f"the limit of {max_operators} operators was reached; raise max_operators")
    return None
