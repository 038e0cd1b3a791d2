"""Recursive QAOA (RQAOA): fix the most strongly correlated pair of spins each round, then enumerate the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.error_budget import NO_MINIMUM
from hybridloop.algorithms.estimation.estimates import Estimate, estimate_observable
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.optimizers.base import PointEstimate
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.problems.binary import BinaryProblem, spin_glass
from hybridloop.algorithms.problems.ising import MAX_ENUMERATED_VARIABLES, Ising
from hybridloop.algorithms.qaoa.angles import tree_of, with_tree_angles
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.qaoa.search import DEFAULT_SHOTS, Assignment, best_assignment, is_better
from hybridloop.algorithms.qaoa.trees import Spins
from hybridloop.algorithms.rounds import Counts, FailedPoint, RunRound
from hybridloop.errors import InvalidValue, JobFailed

DEFAULT_STOP_AT = 3
ATTEMPTS = 8  # at a round whose job fails


@dataclass(frozen=True, slots=True)
class _Substitution:
    """Elimination of a spin: `spin` is `sign` times the spin `other`, or `sign` itself where `other` is None."""

    spin: int
    other: int | None
    sign: float


def rqaoa(
    problem: BinaryProblem,
    run_round: RunRound,
    *,
    layers: int = 1,
    shots: int = DEFAULT_SHOTS,
    stop_at: int = DEFAULT_STOP_AT,
    max_qubits: int | None = None,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
) -> Outcome:
    """Run recursive QAOA (S. Bravyi, A. Kliesch, R. Koenig and E. Tang, Phys. Rev. Lett. 125 (2020) 260505).

    One job a round, at the angles of the tree of couplings. A problem of more than `max_qubits` spins, None for no
    limit, first loses those beyond by the tree's means in place of measured ones. The largest |⟨s_i s_j⟩| over coupled
    pairs, or |⟨s_i⟩| over fields, gives the substitution that eliminates a spin; of equal ones the first pair. The last
    `stop_at` spins are enumerated. The result's `value` is the objective of the resulting assignment, with an error
    of 0. Its `best_value` may be better, because each round's samples, with the substitutions applied, are assignments
    too. A failed job is repeated in a round of its own. Raises JobFailed after `ATTEMPTS` failures, InputError for an
    invalid `stop_at`.
    """
    if not 1 <= stop_at <= MAX_ENUMERATED_VARIABLES:
        raise InvalidValue("stop_at", f"must be 1 to {MAX_ENUMERATED_VARIABLES} spins, got {stop_at}")
    # Eliminate one spin per round.
    reduced, spins, substitutions = problem.cost, list(range(problem.num_variables)), list[_Substitution]()
    log = RoundLog(on_progress, problem.sign)
    angles: tuple[float, ...] = ()
    sampled: Assignment | None = None
    beyond = max(0, problem.num_variables - max(stop_at, max_qubits or problem.num_variables))
    while reduced.num_variables > stop_at and not reduced.is_constant:
        if len(substitutions) < beyond:
            means = _simulated_means(reduced, layers)
        else:
            counts, angles = _measure(reduced, run_round, layers, shots, log)
            bits = _all_bits(counts.bits, spins, substitutions, problem.num_variables)
            sampled = best_assignment(problem, bits, sampled)
            means = _measured_means(reduced, counts)
        i, j = strongest = max(means, key=lambda each: round(abs(means[each]), 9))  # the first of equal ones
        mean = means[strongest]
        sign = 1.0 if mean >= 0 else -1.0
        substitutions.append(_Substitution(spins[i if j is None else j], None if j is None else spins[i], sign))
        reduced = _eliminate(reduced, i, j, sign)
        spins.remove(substitutions[-1].spin)
        if not spins:
            break
    # Enumerate the remaining spins.
    bits = _all_bits(_ground_state_bits(reduced)[None, :], spins, substitutions, problem.num_variables)
    result = best_assignment(problem, bits, None)
    is_sample_better = sampled is not None and (result is None or is_better(problem.sign, sampled.value, result.value))
    best = sampled if is_sample_better else result
    # Evaluate the assignment; with its penalty where it is infeasible.
    is_feasible = bool(problem.is_feasible(bits)[0])
    value = float((problem.objective if is_feasible else problem.cost.scaled(problem.sign)).energies(bits)[0])
    sample_note = "; a sample was better than the resulting assignment" if is_sample_better else ""
    violation = (
        "" if is_feasible or problem.constraint is None else f"; it does not meet {problem.constraint.description}"
    )
    exact_value = Estimate(value, variance=0.0, shots=0, is_exact=True)
    return Outcome(
        **measured_value(FinalMeasurement(exact_value, is_precise=True), None, NO_MINIMUM),
        parameters=angles,
        converged=False,
        reason=_reason(len(substitutions)) + violation + sample_note,
        is_requested=True,  # the recursion ends by itself, and shows nothing about the optimum
        rounds=len(log.history),
        history=tuple(log.history),
        best_bitstring=None if best is None else best.bitstring,
        best_value=None if best is None else best.value,
        approximation_ratio=problem.approximation_ratio(value),
        choices=_choices(min(beyond, len(substitutions)), max_qubits),
    )


def _choices(beyond: int, max_qubits: int | None) -> tuple[str, ...]:
    if not beyond:
        return ()
    return (f"simulation: {beyond} variables beyond the target's {max_qubits} qubits were eliminated without jobs",)


def _reason(eliminated: int) -> str:
    if not eliminated:
        return "all assignments were enumerated without a measurement, as no variable had to be eliminated"
    count = "1 variable was" if eliminated == 1 else f"{eliminated} variables were"
    return f"{count} eliminated one by one, and the assignments of the others enumerated"


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
    """Return the mean of each coupled pair of spins' product, and of each spin with a field."""
    spins = 1.0 - 2.0 * counts.bits
    weights = counts.counts / counts.shots
    second = spins.T @ (weights[:, None] * spins)
    means: dict[Spins, float] = {pair: float(second[pair]) for pair in reduced.couplings}
    return means | {(int(i), None): float(weights @ spins[:, i]) for i in np.flatnonzero(reduced.fields)}


def _eliminate(reduced: Ising, i: int, j: int | None, sign: float) -> Ising:
    """Substitute spin j = sign × spin i into the energy, or spin i = sign where j is None."""
    eliminated = i if j is None else j
    fields, offset = reduced.fields.copy(), reduced.offset
    couplings: dict[tuple[int, int], float] = {}

    def add_coupling(pair: tuple[int, int], coupling: float) -> None:
        key = (min(pair), max(pair))
        couplings[key] = couplings.get(key, 0.0) + coupling

    # Substitute in each coupling: it stays, becomes a field or a constant, or moves to spin i.
    for pair, coupling in reduced.couplings.items():
        if eliminated not in pair:
            add_coupling(pair, coupling)
            continue
        other = pair[0] if pair[1] == eliminated else pair[1]
        if j is None:
            fields[other] += sign * coupling
        elif other == i:
            offset += sign * coupling
        else:
            add_coupling((other, i), sign * coupling)
    if j is None:
        offset += sign * float(fields[i])
    else:
        fields[i] += sign * fields[j]
    # Renumber the other spins; drop terms that cancelled up to rounding.
    size = float(np.abs(reduced.fields).sum()) + math.fsum(abs(v) for v in reduced.couplings.values())
    renumbered = {
        (a - (a > eliminated), b - (b > eliminated)): v for (a, b), v in couplings.items() if abs(v) > 1e-12 * size
    }
    rest = np.delete(fields, eliminated)
    return Ising(np.where(np.abs(rest) > 1e-12 * size, rest, 0.0), renumbered, offset)


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
        source = whole[:, substitution.other] if substitution.other is not None else 0
        whole[:, substitution.spin] = source if substitution.sign > 0 else 1 - source
    return whole
