"""ADAPT-VQE: grow the ansatz operator by operator, each time by the one with the largest energy gradient.

The operator pool holds excitation generators, whose gradients are measured in one round.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.initial_point import gradient_and_hessian
from hybridloop.algorithms.circuits.uccsd import Excitation, excitation_ansatz, symmetry_allowed_excitations
from hybridloop.algorithms.estimation.estimates import Estimate, combine, evaluation, group_statistics
from hybridloop.algorithms.estimation.final import measure_final_estimate, pilot_shots
from hybridloop.algorithms.estimation.grouping import split_coefficients
from hybridloop.algorithms.estimation.observable import MeasurementGroup, observable
from hybridloop.algorithms.optimizers.base import Optimizer, Stop, check_at_least_one, check_positive, residue_of
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, check_missing_point_policy
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress
from hybridloop.algorithms.problems.electronic import (
    NEGLIGIBLE,
    ElectronicProblem,
    SymplecticOperator,
    excitation,
    hamiltonian_terms,
    multiply,
    qubit_excitation,
    to_pauli_sum,
)
from hybridloop.algorithms.rounds import Counts, FailedPoint, RunRound
from hybridloop.algorithms.vqe import DEFAULT_MAX_ROUNDS, DEFAULT_PRECISION, DEFAULT_SHOTS, run_optimizer
from hybridloop.errors import InputError, JobFailed

# hartree: half of chemical accuracy, as the estimated remaining gain is of second order only
DEFAULT_TOLERANCE = 0.8e-3
DEFAULT_MAX_OPERATORS = 40
GRADIENT_TIE = 1e-7  # hartree per radian: gradients that differ by less are equal by symmetry
SIGMAS = 3.0  # standard errors: a smaller gradient counts as noise
MIN_CURVATURE = 0.2  # hartree per radian²: a floor for curvatures; softer excitations are nearly degenerate


class PoolKind(enum.StrEnum):
    """Kind of the pool's generators."""

    FERMIONIC = "fermionic"  # with the Z strings of the fermion-to-qubit mapping
    QUBIT = "qubit"  # without Z strings: shorter circuits, at times a few more operators


@dataclass(frozen=True, slots=True, eq=False)
class OperatorPool:
    """Operator pool: single and double excitations from Hartree-Fock that conserve the Hamiltonian's symmetries.

    Their order breaks ties between equal gradients.
    """

    problem: ElectronicProblem
    kind: PoolKind
    excitations: tuple[Excitation, ...]

    @classmethod
    def of(cls, problem: ElectronicProblem, kind: PoolKind = PoolKind.FERMIONIC) -> OperatorPool:
        """Create the pool of all symmetry-conserving singles and doubles of a problem."""
        return cls(problem, kind, tuple(symmetry_allowed_excitations(problem)))

    def ansatz(self, chosen: Sequence[int]) -> Ansatz:
        """Build Hartree-Fock followed by the exponentials of the chosen operators, in order, with angles of 0."""
        excitations = [self.excitations[index] for index in chosen]
        name = f"adapt ({len(excitations)})"
        return excitation_ansatz(self.problem, excitations, name, generator_of=self._generator_of)

    def generators(self) -> list[SymplecticOperator]:
        """Generators A of each exp(θ A), on the problem's qubits."""
        return [self.problem.encoding.encode(self._generator_of(*excitation)) for excitation in self.excitations]

    def _generator_of(self, emptied: Iterable[int], filled: Iterable[int]) -> SymplecticOperator:
        return (excitation if self.kind is PoolKind.FERMIONIC else qubit_excitation)(emptied, filled)


@dataclass(frozen=True, slots=True, eq=False)
class PoolGradients:
    """Gradients of all pool operators: the commutators [H, A_k], grouped jointly so that they share circuits.

    If exp(θ A_k) is appended to a circuit, the energy's derivative at θ = 0 is ⟨[H, A_k]⟩ in the circuit's state
    (H. R. Grimsley, S. E. Economou, E. Barnes and N. J. Mayhall, Nat. Commun. 10 (2019) 3007).
    `groups_measured` has one group per circuit; `by_operator[k]` has the same groups with operator k's coefficients.
    """

    groups_measured: tuple[MeasurementGroup, ...]
    by_operator: tuple[tuple[MeasurementGroup, ...], ...]

    @classmethod
    def of(cls, pool: OperatorPool) -> PoolGradients:
        """Group the terms of all commutators, sorted by √Σ_k c_k² so that large terms share circuits."""
        encoding = pool.problem.encoding
        energy = encoding.encode(hamiltonian_terms(pool.problem.molecule))
        commutators = [_commutator(energy, generator) for generator in pool.generators()]
        sizes: dict[tuple[int, int], float] = {}
        for commutator in commutators:
            for key, value in commutator.items():
                sizes[key] = math.hypot(sizes.get(key, 0.0), value)
        groups = observable(to_pauli_sum(sizes, encoding.num_qubits)).groups if sizes else ()
        keys = [[_key(group, mask) for mask in group.masks] for group in groups]
        by_operator = (map(_with_coefficients, groups, keys, [operator] * len(groups)) for operator in commutators)
        return cls(groups, tuple(map(tuple, by_operator)))

    def measure(self, ansatz: Ansatz, point: NDArray[np.float64], run_round: RunRound, shots: int) -> list[Estimate]:
        """Measure each operator's gradient, in hartree per radian, after the circuit at the point (n,); one round.

        Raises JobFailed where a circuit has no result.
        """
        circuits = [group.measurement_circuit(ansatz.circuit) for group in self.groups_measured]
        pubs = [SamplerPub.coerce((circuit, point[None, :], shots)) for circuit in circuits]
        results = [result[0] for result in (run_round(pubs) if pubs else [])]
        if failed := [result for result in results if isinstance(result, FailedPoint)]:
            problem = f"a job of the operator gradients failed ({failed[0].reason})"
            consequence = "The next operator can't be chosen without it; earlier rounds are kept."
            raise JobFailed(problem, consequence, "Run again.")
        counts = [result for result in results if isinstance(result, Counts)]
        return [
            combine(0.0, [group_statistics(*pair) for pair in zip(groups, counts, strict=True)])
            for groups in self.by_operator
        ]


def _with_coefficients(
    group: MeasurementGroup, keys: Sequence[tuple[int, int]], operator: SymplecticOperator
) -> MeasurementGroup:
    """Return the group with the operator's coefficients.

    X^x Z^z = (−i)^|x & z| P, and each term of a commutator has an even number of Ys, so the factor is ±1.
    """
    coefficients = [operator.get((x, z), 0.0) * (-1.0 if (x & z).bit_count() % 4 else 1.0) for x, z in keys]
    return MeasurementGroup(group.basis, group.masks, np.array(coefficients))


def _key(group: MeasurementGroup, mask: int) -> tuple[int, int]:
    """Exponents (x, z) of the Pauli term X^x Z^z that acts on the qubits of `mask` in the group's basis."""
    letters = list(enumerate(reversed(group.basis)))
    x, z = (sum(1 << qubit for qubit, letter in letters if letter in kind) for kind in ("XY", "YZ"))
    return x & mask, z & mask


def _commutator(left: SymplecticOperator, right: SymplecticOperator) -> dict[tuple[int, int], float]:
    """left · right − right · left."""
    difference = multiply(left, right)
    for key, value in multiply(right, left).items():
        difference[key] = difference.get(key, 0.0) - value
    return {key: value for key, value in difference.items() if abs(value) > NEGLIGIBLE}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptResult(Outcome):
    """Result of ADAPT-VQE: the operators in the order of their addition, the final measurement, the resources used.

    `converged` is true where the remaining gain expected from the whole pool fell to the tolerance.
    """

    operators: tuple[AdaptStep, ...]
    ansatz: Ansatz
    circuits: int
    shots: int


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
    if not pool.excitations:
        problem = f"no excitation of {pool.problem.molecule.source} conserves its symmetries, so the pool is empty"
        raise InputError("problem", problem, "Check NELEC, MS2 and NORB.")
    check_positive("tolerance", tolerance, "energy in hartree")
    check_at_least_one("max_operators", max_operators)
    energy = split_coefficients(observable(pool.problem.hamiltonian), pool.problem.reference_state)
    gradients = PoolGradients.of(pool)
    curvatures = np.maximum(np.diag(gradient_and_hessian(pool.problem, pool.excitations)[1]), MIN_CURVATURE)
    log = RoundLog(on_progress)
    chosen: list[int] = []
    operators: list[AdaptStep] = []
    point, recent = np.zeros(0), list[Estimate]()
    gradient_rounds, left = 0, 0.0
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
        left = residue_of(optimizer) or 0.0
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
    pilot = pilot_shots(recent, len(evaluated.circuits), shots, precision)
    final = measure_final_estimate(evaluated, point, pilot=pilot, precision=precision, on_round=log.final)
    gradient_circuits = gradient_rounds * len(gradients.groups_measured)
    return AdaptResult(
        final=final,
        operators=tuple(operators),
        ansatz=ansatz,
        parameters=tuple(point.tolist()),
        converged=stop.converged,
        reason=stop.reason,
        is_requested=stop.is_requested,
        residue=_remaining_gain(slopes, curvatures) + _noise_cost(slopes, curvatures) + left,
        rounds=len(log.history) + gradient_rounds,
        circuits=sum(progress.circuits for progress in log.history) + gradient_circuits,
        shots=sum(progress.shots for progress in log.history) + gradient_circuits * shots,
        history=tuple(log.history),
    )


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


def _noise_cost(slopes: Sequence[Estimate], curvatures: NDArray[np.float64]) -> float:
    """Gain in hartree that shot noise in the slopes may hide: Σ_k σ_k² / 2 h_k."""
    return math.fsum(slope.variance / (2.0 * float(h)) for slope, h in zip(slopes, curvatures, strict=True))


def _check_convergence(
    slopes: Sequence[Estimate], curvatures: NDArray[np.float64], tolerance: float, count: int, max_operators: int
) -> Stop | None:
    """Return the reason to stop with `count` operators; None to add another."""
    remaining = _remaining_gain(slopes, curvatures)
    noise = _noise_cost(slopes, curvatures)
    steepest = slopes[_steepest(slopes)]
    if remaining <= tolerance and noise <= tolerance:
        reason = f"all operators of the pool together are expected to gain only {1e3 * remaining:.2g} mHa more"
        return Stop(converged=True, reason=reason)
    if abs(steepest.value) <= max(SIGMAS * steepest.standard_error, steepest.rounding_bound):
        reason = f"all gradients are within shot noise, which may hide a gain of {1e3 * noise:.2g} mHa; raise shots"
        return Stop(converged=False, reason=reason)
    if count >= max_operators:
        if max_operators < DEFAULT_MAX_OPERATORS:
            return Stop(converged=False, reason=f"max_operators={max_operators}, as requested", is_requested=True)
        return Stop(converged=False, reason=f"the limit of {max_operators} operators was reached; raise max_operators")
    return None
