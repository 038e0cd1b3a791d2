"""ADAPT-VQE: grow the ansatz operator by operator, by the largest energy gradient or a negative curvature."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.diagnostics import StateChecks, StateFacts
from hybridloop.algorithms.estimation.coefficient_splitting import split_coefficients
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, evaluation
from hybridloop.algorithms.estimation.final import measure_final_estimate, pilot_shots
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.operator_pool import ExcitationGroup, OperatorPool, PoolDerivatives
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
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.vqe import DEFAULT_MAX_ROUNDS, DEFAULT_PRECISION, DEFAULT_SHOTS, run_optimizer
from hybridloop.errors import InputError

# hartree: half of chemical accuracy, as the estimated remaining gain is of second order only
DEFAULT_TOLERANCE = 0.8e-3
DEFAULT_MAX_OPERATORS = 40
GRADIENT_TIE = 1e-7  # hartree per radian: gradients that differ by less are equal by symmetry
SIGMAS = 3.0  # standard errors: a smaller gradient counts as noise
MAX_HIDDEN_CURVATURE = 0.02  # hartree per radian²: a tenth of a typical saddle's, which 4000 shots resolve
MIN_MEASURED_CURVATURE = 0.05  # hartree per radian²: a floor for measured curvatures, whose noise is about as large
SOFT = 0.25  # lowest curvature by the mean one: a gradient search takes lower ones for noise, and ends too early
MIN_CURVATURE = 0.2  # hartree per radian²: a floor for curvatures; softer excitations are nearly degenerate


class Selection(enum.StrEnum):
    """Rule by which ADAPT-VQE selects operators and ends."""

    GRADIENT = "gradient"  # the largest gradient
    SECOND_ORDER = "second order"  # where no gradient promises more, the lowest curvature


@dataclass(frozen=True, slots=True)
class AdaptStep:
    """An operator added by ADAPT-VQE and the search that followed.

    `gradient` and `gradient_error` (hartree per radian) and `remaining_gain` (hartree, of the whole pool, by gradients)
    are those measured before the operator was added. `curvature` (hartree per square radian) is given if the operator
    was selected by it. `parameters` (radians) are the angles of the whole circuit after the search. `value` (hartree)
    is the energy that the search found there. It was selected for being low, so it is biased: only the final
    measurement is reported. Two operators that were added together have the same value and parameters.
    """

    group: ExcitationGroup
    gradient: float
    gradient_error: float
    remaining_gain: float
    value: float
    parameters: tuple[float, ...]
    curvature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptResult(Outcome):
    """Result of ADAPT-VQE: the operators in the order of their addition, the final measurement, the resources used.

    `converged` is true where the gain expected from the whole pool fell to the tolerance (`adapt`).
    """

    operators: tuple[AdaptStep, ...]
    ansatz: Ansatz
    circuits: int
    shots: int
    state: StateFacts | None


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
    selection: Selection = Selection.SECOND_ORDER,
    reference: ReferenceState | None = None,
    on_lost: MissingPointPolicy = FAIL,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> AdaptResult:
    """Run ADAPT-VQE from Hartree-Fock (H. R. Grimsley et al., Nat. Commun. 10 (2019) 3007); energies in hartree.

    Each step measures all gradients in one round and appends the operator with the largest. It then optimizes all
    angles, starting from their last values; `max_rounds` bounds each of these searches. The gain to second order of all
    operators in the pool is Σ_k g_k² / 2 h_k (noise deducted), with h_k the curvature at Hartree-Fock.

    Where that gain is at most `tolerance`, or all gradients are within noise, the state may still be a saddle: by
    symmetry all gradients of singles vanish at Hartree-Fock. Then one round measures all curvatures. By `selection`, an
    operator whose curvature is negative beyond noise, and promises more than the tolerance, is appended at the minimum
    along its own angle. At Hartree-Fock gradients and curvatures are exact and take no round; a negative curvature that
    promises more than all gradients is followed at once, after the steepest operator, also in a mixture of two
    operators. ADAPT-VQE has converged if neither gradients nor curvatures promise more. It also stops when noise hides
    what they promise, or after `max_operators`.

    `precision` is the standard error of the final measurement, which also measures the spin, if the circuit does not
    conserve it and operators are selected by second order. The coefficients of the Hamiltonian are split by the
    covariances of `reference`, by default Hartree-Fock with its excitations. Raises JobFailed where a derivative's
    circuit failed.
    """
    if not pool.groups:
        problem = f"no excitation of {pool.problem.molecule.source} conserves its symmetries, so the pool is empty"
        raise InputError("problem", problem, "Check NELEC, MS2 and NORB.")
    check_positive("tolerance", tolerance, "energy in hartree")
    check_at_least_one("max_operators", max_operators)
    hamiltonian = pool.problem.hamiltonian
    reference = reference or ReferenceState.perturbed(hamiltonian, pool.problem.reference_state)
    energy = split_coefficients(observable(hamiltonian), reference)
    selector = _Selector(pool, run_round, shots, tolerance, max_operators, selection)
    log = RoundLog(on_progress)
    chosen: list[int] = []
    operators: list[AdaptStep] = []
    point, recent = np.zeros(0), list[Estimate]()
    left = 0.0
    while True:
        # Select operators by the derivatives of the whole pool.
        ansatz = replace(pool.ansatz(chosen), initial_point=point)
        selected = selector.select(ansatz, len(chosen))
        if isinstance(selected, Stop):
            break
        # Append them and optimize all angles.
        is_saddle = selected.curvature is not None
        chosen += selected.operators
        start = np.append(point, np.zeros(len(selected.operators)))
        ansatz = replace(pool.ansatz(chosen), initial_point=start, is_far=selector.is_soft)
        evaluated = evaluation(energy, ansatz, run_round)
        if is_saddle and len(point):
            ansatz = _minimize_last_angle(evaluated, ansatz, shots, log)
        optimizer = make_optimizer(ansatz)
        check_missing_point_policy(on_lost, optimizer)
        point, recent, _ = run_optimizer(evaluated, ansatz, optimizer, shots, max_rounds, on_lost, log)
        left = residue_of(optimizer) or 0.0
        operators += [
            AdaptStep(
                group=pool.groups[index],
                gradient=selected.slopes[index].value,
                gradient_error=selected.slopes[index].standard_error,
                remaining_gain=selected.remaining_gain,
                value=log.history[-1].value,
                parameters=tuple(point.tolist()),
                curvature=selected.curvature,
            )
            for index in selected.operators
        ]
    # Measure the energy of the finished circuit.
    evaluated = evaluation(energy, ansatz, run_round)
    pilot = pilot_shots(recent, len(evaluated.circuits), shots, precision)
    checks = StateChecks.of(pool.problem, ansatz) if selection is Selection.SECOND_ORDER else None
    others = [] if checks is None else checks.pubs(point)
    final = measure_final_estimate(
        evaluated, point, pilot=pilot, precision=precision, on_round=log.final, others=others
    )
    return AdaptResult(
        final=final,
        operators=tuple(operators),
        ansatz=ansatz,
        parameters=tuple(point.tolist()),
        converged=selected.converged,
        reason=selected.reason,
        is_requested=selected.is_requested,
        residue=selector.residue + left,
        rounds=len(log.history) + selector.rounds,
        circuits=sum(progress.circuits for progress in log.history) + selector.circuits,
        shots=sum(progress.shots for progress in log.history) + selector.circuits * shots,
        history=tuple(log.history),
        state=None if checks is None else checks.read(final.others),
    )


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


@dataclass(frozen=True, slots=True)
class _Selected:
    """Operators to append, and what they were selected by: the gradients of the whole pool, or a curvature."""

    operators: list[int]
    slopes: Sequence[Estimate]
    remaining_gain: float
    curvature: float | None = None


@dataclass(slots=True)
class _Selector:
    """Selection of operators by the energy's derivatives, with the rounds and circuits that these took."""

    pool: OperatorPool
    run_round: RunRound
    shots: int
    tolerance: float
    max_operators: int
    selection: Selection
    rounds: int = 0
    circuits: int = 0
    residue: float = 0.0  # hartree that the last slopes may promise, with what noise hides
    gradients: PoolDerivatives = field(init=False)
    curvatures: PoolDerivatives | None = None  # takes a multiple of the gradients' time to build
    at_hartree_fock: tuple[NDArray[np.float64], NDArray[np.float64]] = field(init=False)

    def __post_init__(self) -> None:
        self.gradients = PoolDerivatives.gradients(self.pool)
        self.at_hartree_fock = self.pool.derivatives_at_hartree_fock()

    @property
    def is_soft(self) -> bool:
        """True where Hartree-Fock has a direction of low or negative curvature: the minimum may be far along it."""
        hessian = self.at_hartree_fock[1]
        softest = float(np.linalg.eigvalsh(hessian)[0])
        return self.selection is Selection.SECOND_ORDER and softest < SOFT * float(np.diag(hessian).mean())

    def select(self, ansatz: Ansatz, count: int) -> _Selected | Stop:
        """Return the operators to append to a circuit of `count`, at its initial point, or the reason to stop."""
        if is_exact := self.selection is Selection.SECOND_ORDER and not count:
            slopes = [Estimate(float(slope), 0.0, 0) for slope in self.at_hartree_fock[0]]
        else:
            slopes = self._measure(self.gradients, ansatz)
        positive = np.maximum(np.diag(self.at_hartree_fock[1]), MIN_CURVATURE)
        remaining = _remaining_gain(slopes, positive)
        self.residue = remaining + _noise_cost(slopes, positive)
        operators: list[int] = [_steepest(slopes)]
        curvature: float | None = None
        stop = _check_slopes(slopes, positive, remaining, self.tolerance)
        unstable: tuple[list[int], float | None] | Stop | None = None
        if is_exact:
            unstable = self._unstable_at_hartree_fock(max(remaining, self.tolerance))
        elif stop is not None and self.selection is Selection.SECOND_ORDER:
            unstable = self._unstable(ansatz, slopes)
        if isinstance(unstable, tuple):
            if is_exact and operators[0] not in unstable[0] and abs(slopes[operators[0]].value) > GRADIENT_TIE:
                # first the steepest operator, which then acts on a determinant
                operators, curvature = [*operators, *unstable[0]][-self.max_operators :], unstable[1]
            else:
                operators, curvature = unstable
        elif stop is not None:
            if unstable is None or not stop.converged:
                return stop
            return replace(unstable, reason=f"{stop.reason}, {unstable.reason}") if unstable.converged else unstable
        if count + len(operators) > self.max_operators:
            if self.max_operators < DEFAULT_MAX_OPERATORS:
                reason = f"max_operators={self.max_operators}, as requested"
                return Stop(converged=False, reason=reason, is_requested=True)
            reason = f"the limit of {self.max_operators} operators was reached; raise max_operators"
            return Stop(converged=False, reason=reason)
        return _Selected(operators, slopes, remaining, curvature)

    def _unstable_at_hartree_fock(self, least: float) -> tuple[list[int], float] | Stop:
        """Return the operator of the lowest curvature, or two in whose mixture it is, and it, if it gains over `least`.

        Along one exponential from a determinant the energy is E + g sin 2θ / 2 + h sin²θ / 2: for g = 0 its gain is
        −h / 2.
        """
        hessian = self.at_hartree_fock[1]
        curvatures = np.diag(hessian)
        lowest = 0.5 * np.add.outer(curvatures, curvatures) - np.hypot(
            0.5 * np.subtract.outer(curvatures, curvatures), hessian
        )
        np.fill_diagonal(lowest, curvatures)
        single = int(curvatures.argmin())
        if -0.5 * curvatures[single] > least:
            return [single], float(curvatures[single])
        pair = np.unravel_index(int(lowest.argmin()), lowest.shape)
        if -0.5 * lowest[pair] > least:
            return sorted(map(int, pair)), float(lowest[pair])
        if -0.5 * (softest := float(np.linalg.eigvalsh(hessian)[0])) > least:
            reason = f"a mixture of more than two operators has a curvature of {softest:.2g} hartree per square radian"
            return Stop(converged=False, reason=reason)
        return Stop(converged=True, reason="and no curvature is negative")

    def _unstable(self, ansatz: Ansatz, slopes: Sequence[Estimate]) -> tuple[list[int], float | None] | Stop:
        """Measure all curvatures; return the lowest with its operator if it is negative beyond noise.

        Else return the operator of the largest gain, without a curvature, if the slopes that are not noise promise more
        by these curvatures.
        """
        self.curvatures = self.curvatures or PoolDerivatives.curvatures(self.pool)
        estimates = self._measure(self.curvatures, ansatz)
        noises = [max(SIGMAS * each.standard_error, each.rounding_bound) for each in estimates]
        bounds = [estimate.value + noise for estimate, noise in zip(estimates, noises, strict=True)]
        lowest = int(np.argmin(bounds))
        if bounds[lowest] < 0.0 and -0.5 * estimates[lowest].value > self.tolerance:
            return [lowest], estimates[lowest].value
        gains = [
            slope.value**2 / (2.0 * max(curvature.value, MIN_MEASURED_CURVATURE)) * (not _is_noise(slope))
            for slope, curvature in zip(slopes, estimates, strict=True)
        ]
        if math.fsum(gains) > self.tolerance:
            return [int(np.argmax(gains))], None
        least = min(estimate.value - noise for estimate, noise in zip(estimates, noises, strict=True))
        if least < -MAX_HIDDEN_CURVATURE:
            reason = f"shot noise may hide a curvature of {least:.2g} hartree per square radian; raise shots"
            return Stop(converged=False, reason=reason)
        return Stop(converged=True, reason=f"and no curvature is below {min(least, 0.0):.2g} hartree per square radian")

    def _measure(self, derivatives: PoolDerivatives, ansatz: Ansatz) -> list[Estimate]:
        self.rounds += 1
        self.circuits += len(derivatives.groups_measured)
        return derivatives.measure(ansatz, ansatz.initial_point, self.run_round, self.shots)


def _steepest(slopes: Sequence[Estimate]) -> int:
    """Index of the largest gradient; of several that are equal by symmetry, the first in the pool."""
    largest = max(abs(slope.value) for slope in slopes)
    return next(index for index, slope in enumerate(slopes) if abs(slope.value) >= largest - GRADIENT_TIE)


def _is_noise(slope: Estimate) -> bool:
    return abs(slope.value) <= max(SIGMAS * slope.standard_error, slope.rounding_bound)


def _remaining_gain(slopes: Sequence[Estimate], curvatures: NDArray[np.float64]) -> float:
    """Σ_k (g_k² − σ_k²) / 2 h_k in hartree, at least 0: noise adds its variance to each square."""
    gains = [
        (slope.value**2 - slope.variance) / (2.0 * float(curvature))
        for slope, curvature in zip(slopes, curvatures, strict=True)
    ]
    return max(0.0, math.fsum(gains))


def _noise_cost(slopes: Sequence[Estimate], curvatures: NDArray[np.float64]) -> float:
    """Gain in hartree that shot noise in the slopes may hide: Σ_k σ_k² / 2 h_k."""
    return math.fsum(slope.variance / (2.0 * float(h)) for slope, h in zip(slopes, curvatures, strict=True))


def _check_slopes(
    slopes: Sequence[Estimate], curvatures: NDArray[np.float64], remaining: float, tolerance: float
) -> Stop | None:
    """Return a stop where the slopes promise no more, or are within noise; None to append the steepest operator."""
    noise = _noise_cost(slopes, curvatures)
    steepest = slopes[_steepest(slopes)]
    if remaining <= tolerance and noise <= tolerance:
        reason = f"all operators of the pool together are expected to gain only {1e3 * remaining:.2g} mHa more"
        return Stop(converged=True, reason=reason)
    if _is_noise(steepest):
        reason = f"all gradients are within shot noise, which may hide a gain of {1e3 * noise:.2g} mHa; raise shots"
        return Stop(converged=False, reason=reason)
    return None
