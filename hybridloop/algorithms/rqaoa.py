"""Recursive QAOA: each round fixes the pair of spins that it is surest of, until few enough are left to go through."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.estimation import Estimate, combine, tally
from hybridloop.algorithms.final import FinalMeasurement
from hybridloop.algorithms.ising import MOST_ENUMERATED, Ising
from hybridloop.algorithms.measurement import observable
from hybridloop.algorithms.mitigation.readout import bits_of
from hybridloop.algorithms.optimizer import Reading
from hybridloop.algorithms.outcome import Outcome, Progress, RoundLog
from hybridloop.algorithms.qaoa import DEFAULT_SHOTS
from hybridloop.algorithms.qaoa_circuit import qaoa_circuit
from hybridloop.algorithms.qaoa_rounds import Assignment, beats, better
from hybridloop.algorithms.qubo import BinaryProblem, spin_glass
from hybridloop.algorithms.rounds import Counts, Lost, RunRound
from hybridloop.errors import InputError, JobFailed

DEFAULT_STOP_AT = 3
ATTEMPTS = 8  # at a round whose job is lost


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Spin `spin` is `sign` times spin `other`, or `sign` itself where there is no other."""

    spin: int
    other: int | None
    sign: float


def rqaoa(
    problem: BinaryProblem,
    table: Mapping[str, Any],
    run_round: RunRound,
    *,
    layers: int = 1,
    shots: int = DEFAULT_SHOTS,
    stop_at: int = DEFAULT_STOP_AT,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """S. Bravyi, A. Kliesch, R. Koenig and E. Tang, Phys. Rev. Lett. 125 (2020) 260505, at fixed angles.

    One job a round: the largest |⟨s_i s_j⟩| over coupled pairs, or |⟨s_i⟩| over fields, becomes an equation that takes
    one spin out; the least pair where several are equal. Of the last `stop_at` spins all assignments are gone through.
    The result's `value` is the objective of the assignment found, which is no estimate: its error is 0. Its
    `best_value` may be better: each round's samples are assignments as well, once the equations are put in. A lost job
    is asked for again in a round of its own.
    """
    if not 1 <= stop_at <= MOST_ENUMERATED:
        raise InputError("stop_at", f"{stop_at} spins", f"Give 1 to {MOST_ENUMERATED}.")
    left, names, fixed = problem.cost, list(range(problem.num_variables)), list[_Fixed]()
    log = RoundLog(on_progress, problem.sign)
    angles: tuple[float, ...] = ()
    best: Assignment | None = None
    while left.num_variables > stop_at and not left.is_constant:
        counts, angles = _measured(left, table, run_round, layers, shots, log)
        best = better(problem, _assigned(bits_of(counts), names, fixed, problem.num_variables), best)
        (i, j), mean = _surest(left, counts)
        sign = 1.0 if mean >= 0 else -1.0
        fixed.append(_Fixed(names[i if j is None else j], None if j is None else names[i], sign))
        left = _without(left, i, j, sign)
        names.remove(fixed[-1].spin)
        if not names:
            break
    bits = _assigned(_least(left)[None, :], names, fixed, problem.num_variables)
    own = better(problem, bits, None)
    is_surpassed = best is not None and (own is None or beats(problem.sign, best.value, own.value))
    best = best if is_surpassed else own
    is_feasible = bool(problem.is_feasible(bits)[0])
    value = float((problem.objective if is_feasible else problem.cost.scaled(problem.sign)).energies(bits)[0])
    surpassed = "; a sample was better than what that came to" if is_surpassed else ""
    broken = "" if is_feasible or problem.constraint is None else f"; it does not meet {problem.constraint.what}"
    known = Estimate(value, variance=0.0, shots=0, is_exact=True)
    return Outcome(
        final=FinalMeasurement(known, is_precise=True),
        parameters=angles,
        converged=True,
        reason=_in_words(len(fixed)) + broken + surpassed,
        rounds=len(log.history),
        history=tuple(log.history),
        best_bitstring=None if best is None else best.bitstring,
        best_value=None if best is None else best.value,
        approximation_ratio=problem.approximation_ratio(value),
    )


def _in_words(fixed: int) -> str:
    if not fixed:
        return "all assignments were gone through, because there are no more variables than are left to that"
    count = "1 variable was" if fixed == 1 else f"{fixed} variables were"
    return f"{count} fixed one by one, and the assignments of the others gone through"


def _measured(
    left: Ising, table: Mapping[str, Any], run_round: RunRound, layers: int, shots: int, log: RoundLog
) -> tuple[Counts, tuple[float, ...]]:
    """The counts of the spins that are left, at their fixed angles."""
    ansatz = qaoa_circuit(spin_glass(left), table, layers=layers)
    seen = observable(left.operator())
    (group,) = seen.groups
    pub = SamplerPub.coerce((group.measured(ansatz.circuit), ansatz.initial_point[None, :], shots))
    lost = Lost("")
    for attempt in range(1, ATTEMPTS + 1):
        (answer,) = run_round([pub])
        (counts,) = answer
        if isinstance(counts, Counts):
            found = Reading.of(combine(seen, [tally(group, counts)]), answer.points[0])
            log.add("search", found, 1, attempt, attempt * shots)
            return counts, tuple(answer.points[0].tolist())
        lost = counts
    raise JobFailed(
        f"a round's job was lost {ATTEMPTS} times ({lost.reason})",
        "The rounds before are unharmed.",
        "Run again.",
    )


def _surest(left: Ising, counts: Counts) -> tuple[tuple[int, int | None], float]:
    """What is to be fixed, a pair of coupled spins or one with a field, and its mean."""
    spins = 1.0 - 2.0 * bits_of(counts)
    weights = counts.counts / counts.shots
    second = spins.T @ (weights[:, None] * spins)
    means: dict[tuple[int, int | None], float] = {pair: float(second[pair]) for pair in left.couplings}
    means |= {(int(i), None): float(weights @ spins[:, i]) for i in np.flatnonzero(left.fields)}
    best = max(means, key=lambda pair: round(abs(means[pair]), 9))  # the first of equal ones
    return best, means[best]


def _without(left: Ising, i: int, j: int | None, sign: float) -> Ising:
    """The energy with spin j = sign × spin i put in, or spin i = sign."""
    gone = i if j is None else j
    fields, offset = left.fields.copy(), left.offset
    pulls: dict[tuple[int, int], float] = {}

    def pull(pair: tuple[int, int], coupling: float) -> None:
        key = (min(pair), max(pair))
        pulls[key] = pulls.get(key, 0.0) + coupling

    for pair, coupling in left.couplings.items():
        if gone not in pair:
            pull(pair, coupling)
            continue
        other = pair[0] if pair[1] == gone else pair[1]
        if j is None:
            fields[other] += sign * coupling
        elif other == i:
            offset += sign * coupling
        else:
            pull((other, i), sign * coupling)
    if j is None:
        offset += sign * float(fields[i])
    else:
        fields[i] += sign * fields[j]
    size = float(np.abs(left.fields).sum()) + math.fsum(abs(v) for v in left.couplings.values())
    kept = {
        (a - (a > gone), b - (b > gone)): v for (a, b), v in pulls.items() if abs(v) > 1e-12 * size
    }  # what cancels leaves no rounding behind
    rest = np.delete(fields, gone)
    return Ising(np.where(np.abs(rest) > 1e-12 * size, rest, 0.0), kept, offset)


def _least(left: Ising) -> NDArray[np.uint8]:
    """The bits (n,) of least energy; of equal ones the least number."""
    index = 0 if left.is_constant else int(np.argmin(left.all_energies()))
    return np.array([index >> place & 1 for place in range(left.num_variables)], np.uint8)


def _assigned(bits: NDArray[np.uint8], names: list[int], fixed: list[_Fixed], count: int) -> NDArray[np.uint8]:
    """All bits (k, count) of rows of those that are left, the equations put in from the last to the first."""
    whole = np.zeros((len(bits), count), np.uint8)
    whole[:, names] = bits[:, : len(names)]
    for each in reversed(fixed):
        of = whole[:, each.other] if each.other is not None else 0
        whole[:, each.spin] = of if each.sign > 0 else 1 - of
    return whole
