"""Recursive QAOA (RQAOA): fix the most strongly correlated product of spins each round, then enumerate the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.binary.ising import MAX_ENUMERATED_VARIABLES, Ising, Spins
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import spin_glass
from hybridloop.algorithms.error_budget import NO_MINIMUM
from hybridloop.algorithms.estimation.estimates import Estimate, estimate_observable
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.optimizers.base import PointEstimate
from hybridloop.algorithms.outcome import RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.qaoa.angles import tree_of, with_tree_angles
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.qaoa.search import (
    DEFAULT_SHOTS,
    Assignment,
    QaoaResult,
    best_assignment,
    constraints_met,
    is_better,
)
from hybridloop.algorithms.rounds import Counts, FailedPoint, RunRound
from hybridloop.errors import InvalidValue, JobFailed

DEFAULT_STOP_AT = 3
ATTEMPTS = 8  # at a round whose job fails


@dataclass(frozen=True, slots=True)
class _Substitution:
    """Elimination of a spin: `spin` is `sign` times the product of `others`."""

    spin: int
    others: tuple[int, ...]
    sign: float


def rqaoa(
    problem: BinaryProblem,
    run_round: RunRound,
    *,
    layers: int = 1,
    shots: int = DEFAULT_SHOTS,
    stop_at: int = DEFAULT_STOP_AT,
    max_variables: int | None = None,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> QaoaResult:
    """Run recursive QAOA (S. Bravyi, A. Kliesch, R. Koenig and E. Tang, Phys. Rev. Lett. 125 (2020) 260505).

    One job a round, at the angles of the tree of couplings. A problem of more than `max_variables` spins, None for no
    limit, first loses those beyond by the tree's means in place of measured ones. Of the cost's terms, coupled pairs
    s_i s_j, fields s_i and products of more, the largest |⟨·⟩| gives the substitution that eliminates a spin; of equal
    ones the first of the smallest number of spins. The last `stop_at` spins are enumerated. The result's `value` is the
    objective of the resulting assignment, with an error of 0. Its `best_value` may be better, because each round's
    samples, with the substitutions applied, are assignments too. A failed job is repeated in a round of its own. Raises
    JobFailed after `ATTEMPTS` failures, InputError for an invalid `stop_at`.
    """
    if not 1 <= stop_at <= MAX_ENUMERATED_VARIABLES:
        raise InvalidValue("stop_at", f"must be 1 to {MAX_ENUMERATED_VARIABLES} spins, got {stop_at}")
    # Eliminate one spin per round.
    reduced, substitutions = problem.cost, list[_Substitution]()
    qubits = reduced.num_variables
    spins = list(range(qubits))
    log = RoundLog(on_progress, problem.sign)
    angles: tuple[float, ...] = ()
    sampled: Assignment | None = None
    beyond = max(0, qubits - max(stop_at, max_variables or qubits))
    while reduced.num_variables > stop_at and not reduced.is_constant:
        if len(substitutions) < beyond:
            means = _simulated_means(reduced, layers)
        else:
            counts, angles = _measure(reduced, run_round, layers, shots, log)
            bits = _all_bits(counts.bits, spins, substitutions, qubits)
            sampled = best_assignment(problem, bits, sampled)
            means = _measured_means(reduced, counts)
        strongest = max(means, key=lambda each: round(abs(means[each]), 9))  # the first of equal ones
        sign = 1.0 if means[strongest] >= 0 else -1.0
        *others, spin = strongest
        substitutions.append(_Substitution(spins[spin], tuple(spins[other] for other in others), sign))
        reduced = _eliminate(reduced, strongest, sign)
        spins.remove(substitutions[-1].spin)
        if not spins:
            break
    # Enumerate the remaining spins.
    bits = _all_bits(_ground_state_bits(reduced)[None, :], spins, substitutions, qubits)
    result = best_assignment(problem, bits, None)
    is_sample_better = sampled is not None and (result is None or is_better(problem.sign, sampled.value, result.value))
    best = sampled if is_sample_better else result
    # Evaluate the assignment, which may be infeasible.
    value = float(problem.objective.energies(bits[:, : problem.num_variables])[0])
    sample_note = "; a sample was better than the resulting assignment" if is_sample_better else ""
    broken = [each.description for each in problem.constraints if not each.is_met(bits[:, : problem.num_variables])[0]]
    violation = f"; it does not meet {', '.join(broken)}" if broken else ""
    exact_value = Estimate(value, variance=0.0, shots=0, is_exact=True)
    return QaoaResult(
        **measured_value(FinalMeasurement(exact_value, is_precise=True), None, NO_MINIMUM),
        mean_cost=Estimate(float(problem.cost.energies(bits)[0]), variance=0.0, shots=0, is_exact=True),
        is_feasible=bool(problem.is_feasible(bits)[0]),
        parameters=angles,
        converged=False,
        reason=_reason(min(beyond, len(substitutions)), len(log.history), len(spins)) + violation + sample_note,
        is_requested=True,  # the recursion ends by itself, and shows nothing about the optimum
        rounds=len(log.history),
        history=tuple(log.history),
        best_bitstring=None if best is None else best.bitstring,
        best_value=None if best is None else best.value,
        constraints=constraints_met(problem, best, ())[0],
    )


def _reason(simulated: int, measured: int, enumerated: int) -> str:
    """Return the numbers of variables that were eliminated by each kind of correlations, and of those enumerated."""
    if not simulated + measured:
        return "all assignments were enumerated without a measurement, as no variable had to be eliminated"
    by_kind = [(simulated, "simulated"), (measured, "measured")]
    parts = [f"{count} variable{'s' * (count > 1)} by {kind} correlations" for count, kind in by_kind if count]
    return f"eliminated {' and '.join(parts)}, then enumerated the assignments of {enumerated}"


def _measure(
    reduced: Ising, run_round: RunRound, layers: int, shots: int, log: RoundLog
) -> tuple[Counts, tuple[float, ...]]:
    ansatz, _ = with_tree_angles(qaoa_circuit(spin_glass(reduced), layers=layers))
    measured = observable(reduced.operator())
    (group,) = measured.groups
    pub = SamplerPub.coerce((group.measurement_circuit(ansatz.circuit), ansatz.initial_point[None, :], shots))
    failure = FailedPoint("")
    for attempt in range(1, ATTEMPTS + 1):
        (result,) = run_round([pub])
        (counts,) = result
        if isinstance(counts, Counts):
            estimate = PointEstimate.of(estimate_observable(measured, [counts]), result.points[0])
            log.add("search", estimate, 1, attempt, attempt * shots)
            return counts, tuple(result.points[0].tolist())
        failure = counts
    problem = f"a round's job failed {ATTEMPTS} times ({failure.reason})"
    raise JobFailed(problem, "Earlier rounds are kept.", "Run again.")


def _simulated_means(reduced: Ising, layers: int) -> Mapping[Spins, float]:
    ansatz, _ = with_tree_angles(qaoa_circuit(spin_glass(reduced), layers=layers))
    return tree_of(reduced, layers, None).means(ansatz.initial_point)


def _measured_means(reduced: Ising, counts: Counts) -> Mapping[Spins, float]:
    """Return the mean of the product of each term's spins; pairs first, then fields, then products of more."""
    spins = 1.0 - 2.0 * counts.bits
    weights = counts.counts / counts.shots
    ordered = [*reduced.couplings, *((int(i),) for i in np.flatnonzero(reduced.fields)), *reduced.products]
    return {term: float(weights @ spins[:, term].prod(axis=1)) for term in ordered}


def _eliminate(reduced: Ising, term: Spins, sign: float) -> Ising:
    """Substitute the last spin of a product by `sign` times the others, and renumber the spins above."""
    spin = term[-1]
    rest: list[tuple[Spins, float]] = [((), reduced.offset)]
    for spins, value in reduced.terms.items():
        # the whole product, which is `sign`, takes the spin out of a term that has it
        taken, factor = ((*spins, *term), sign) if spin in spins else (spins, 1.0)
        rest.append((taken, factor * value))
    renumbered = [(tuple(each - (each > spin) for each in spins if each != spin), value) for spins, value in rest]
    return Ising.of(reduced.num_variables - 1, renumbered)


def _ground_state_bits(reduced: Ising) -> NDArray[np.uint8]:
    """Bits (n,) of the lowest energy; of equal ones the smallest number."""
    index = 0 if reduced.is_constant else int(np.argmin(reduced.all_energies()))
    return np.array([index >> bit & 1 for bit in range(reduced.num_variables)], np.uint8)


def _all_bits(
    bits: NDArray[np.uint8], spins: list[int], substitutions: list[_Substitution], count: int
) -> NDArray[np.uint8]:
    """Complete rows of bits of the remaining spins to all bits (k, count), last substitution first."""
    whole = np.zeros((len(bits), count), np.uint8)
    whole[:, spins] = bits[:, : len(spins)]
    for substitution in reversed(substitutions):
        parity = whole[:, substitution.others].sum(axis=1, dtype=np.uint8) % 2
        whole[:, substitution.spin] = parity if substitution.sign > 0 else 1 - parity
    return whole
