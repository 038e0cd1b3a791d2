"""ADAPT-VQE: a circuit that grows by the operator with the steepest energy, until none is worth a further one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.evaluation import evaluation
from hybridloop.algorithms.final import FinalMeasurement, measure_finally, pilot_shots
from hybridloop.algorithms.initial_newton import derivatives
from hybridloop.algorithms.lost import FAIL, LostPoints, check_lost_points
from hybridloop.algorithms.measurement import observable
from hybridloop.algorithms.optimizer import Optimizer, Stop
from hybridloop.algorithms.outcome import Progress, RoundLog
from hybridloop.algorithms.pool import Pool, PoolGradients
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.sharing import share_terms
from hybridloop.algorithms.uccsd import Excitation
from hybridloop.algorithms.vqe import DEFAULT_MAX_ROUNDS, DEFAULT_PRECISION, DEFAULT_SHOTS, search
from hybridloop.errors import InputError

DEFAULT_TOLERANCE = 0.8e-3  # hartree: half of chemical accuracy, as the estimate of what is left is of second order
DEFAULT_MAX_OPERATORS = 40
EQUAL = 1e-7  # hartree per radian: gradients that differ by less are tied by symmetry
SIGMAS = 3.0  # standard errors that a gradient must stand out of noise by
LEAST_CURVATURE = 0.2  # hartree per radian²: excitations that cost less than this are nearly degenerate


@dataclass(frozen=True, slots=True)
class Growth:
    """One operator: what it moves, its gradient when it was chosen, what was expected to be left then, and after it.

    Hartree, and hartree per radian. `value` is the search's, chosen for being low: no final answer.
    """

    excitation: Excitation
    gradient: float
    gradient_error: float
    expected_left: float
    value: float
    parameters: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AdaptResult:
    """The operators in the order in which they were added, the final measurement of their circuit, and what it took.

    `converged` says that what all of the pool was still expected to gain fell below the tolerance.
    """

    final: FinalMeasurement
    operators: tuple[Growth, ...]
    ansatz: Ansatz
    parameters: tuple[float, ...]
    converged: bool
    reason: str
    rounds: int
    circuits: int
    shots: int
    history: tuple[Progress, ...]


def adapt(
    pool: Pool,
    make_optimizer: Callable[[Ansatz], Optimizer],
    run_round: RunRound,
    *,
    shots: int = DEFAULT_SHOTS,
    precision: float = DEFAULT_PRECISION,
    tolerance: float = DEFAULT_TOLERANCE,
    max_operators: int = DEFAULT_MAX_OPERATORS,
    max_rounds: int = DEFAULT_MAX_ROUNDS,
    on_lost: LostPoints = FAIL,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> AdaptResult:
    """Grow a circuit from Hartree-Fock (H. R. Grimsley et al., Nat. Commun. 10 (2019) 3007); energies in hartree.

    Each step measures all gradients in one round, appends the operator of the largest, and searches all angles anew
    from where they were; `max_rounds` bounds each such search. It ends when Σ_k g_k² / 2 h_k, what the pool would gain
    to second order with h_k the curvature at Hartree-Fock, is at most `tolerance` (noise deducted), or when no gradient
    stands out of noise. `precision` is the standard error of the final measurement.
    """
    _check(pool, tolerance, max_operators)
    energy = share_terms(observable(pool.problem.hamiltonian), pool.problem.reference_state)
    gradients = PoolGradients.of(pool)
    curvatures = np.maximum(np.diag(derivatives(pool.problem, pool.excitations)[1]), LEAST_CURVATURE)
    log = RoundLog(on_progress)
    chosen: list[int] = []
    operators: list[Growth] = []
    point, recent = np.zeros(0), list[Estimate]()
    gradient_rounds = 0
    while True:
        ansatz = replace(pool.ansatz(chosen), initial_point=point)
        slopes = gradients.measured(ansatz, point, run_round, shots)
        gradient_rounds += 1
        stop = _stop(slopes, curvatures, tolerance, len(operators), max_operators)
        if stop is not None:
            break
        steepest = _steepest(slopes)
        chosen.append(steepest)
        ansatz = replace(pool.ansatz(chosen), initial_point=np.append(point, 0.0))
        optimizer = make_optimizer(ansatz)
        check_lost_points(on_lost, optimizer)
        evaluated = evaluation(energy, ansatz, run_round)
        point, recent, _ = search(evaluated, ansatz, optimizer, shots, max_rounds, on_lost, log)
        operators.append(
            Growth(
                excitation=pool.excitations[steepest],
                gradient=slopes[steepest].value,
                gradient_error=slopes[steepest].standard_error,
                expected_left=_expected_left(slopes, curvatures),
                value=log.history[-1].value,
                parameters=tuple(point.tolist()),
            )
        )
    evaluated = evaluation(energy, ansatz, run_round)
    final = measure_finally(
        evaluated,
        point,
        pilot=pilot_shots(recent, len(evaluated.circuits), shots, precision),
        precision=precision,
        on_round=lambda estimate, circuits, used: log.final(estimate, point, circuits, used),
    )
    circuits_of_gradients = gradient_rounds * len(gradients.circuits_of)
    return AdaptResult(
        final=final,
        operators=tuple(operators),
        ansatz=ansatz,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        rounds=len(log.history) + gradient_rounds,
        circuits=sum(each.circuits for each in log.history) + circuits_of_gradients,
        shots=sum(each.shots for each in log.history) + circuits_of_gradients * shots,
        history=tuple(log.history),
    )


def _check(pool: Pool, tolerance: float, max_operators: int) -> None:
    if not pool.excitations:
        problem = f"there is no excitation of {pool.problem.molecule.source} that keeps its symmetries"
        raise InputError("problem", problem, "Check NELEC, MS2 and NORB.")
    if not (tolerance > 0 and math.isfinite(tolerance)):
        raise InputError("tolerance", f"{tolerance} is not above 0", "Give a positive energy in hartree.")
    if max_operators < 1:
        raise InputError("max_operators", f"{max_operators} is below 1", "Give 1 or more.")


def _steepest(slopes: Sequence[Estimate]) -> int:
    """The largest gradient's place; of several that are equal by symmetry, the first in the pool."""
    largest = max(abs(each.value) for each in slopes)
    return next(place for place, each in enumerate(slopes) if abs(each.value) >= largest - EQUAL)


def _expected_left(slopes: Sequence[Estimate], curvatures: NDArray[np.float64]) -> float:
    """Σ_k (g_k² − σ_k²) / 2 h_k, at least 0: noise adds its variance to each square."""
    gains = [
        (each.value**2 - each.variance) / (2.0 * float(curvature))
        for each, curvature in zip(slopes, curvatures, strict=True)
    ]
    return max(0.0, math.fsum(gains))


def _stop(
    slopes: Sequence[Estimate], curvatures: NDArray[np.float64], tolerance: float, have: int, most: int
) -> Stop | None:
    left = _expected_left(slopes, curvatures)
    noise = math.fsum(each.variance / (2.0 * float(h)) for each, h in zip(slopes, curvatures, strict=True))
    steepest = slopes[_steepest(slopes)]
    if left <= tolerance and noise <= tolerance:
        return Stop(converged=True, reason=f"all operators together are expected to gain {1e3 * left:.2g} mHa more")
    if abs(steepest.value) <= max(SIGMAS * steepest.standard_error, steepest.rounding_bound):
        reason = f"no gradient stands out of noise, which hides what may gain {1e3 * noise:.2g} mHa; give more shots"
        return Stop(converged=False, reason=reason)
    if have >= most:
        return Stop(converged=False, reason=f"the limit of {most} operators was reached")
    return None
