"""QAOA's answer beside its simulation, random assignments, and a classical descent from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.problems.binary import BinaryProblem
from hybridloop.algorithms.problems.ising import Ising
from hybridloop.algorithms.qaoa.angles import expected_mean
from hybridloop.algorithms.qaoa.circuit import QaoaCircuit

SIGMAS = 2.0  # standard errors above which a mean counts as different from another
MAX_ASSIGNMENTS = 10_000  # random ones: more than that many shots are of targets that do not sample


def beside_simulation(outcome: Outcome, ansatz: QaoaCircuit) -> Outcome:
    """Return the outcome with a choice that says whether the measured mean meets the simulated one.

    It says nothing of a minimum, and a target's errors shift the mean. A mean of the tree of couplings is approximate.
    """
    expected = expected_mean(ansatz, outcome.parameters)
    if expected is None:
        return outcome
    mean = ansatz.problem.sign * expected[0]
    if not expected[1]:
        cycles = 2 * ansatz.layers + 1
        choice = f"simulation: expects a mean near {mean:.4g}, without cycles of up to {cycles} couplings"
        return replace(outcome, choices=(*outcome.choices, choice))
    difference = abs(outcome.value - mean)
    if difference > SIGMAS * outcome.standard_error + outcome.rounding_bound:
        found = f"and the measured one is off by {difference:.2g}, more than two standard errors"
    else:
        found = "which the measured one meets within two standard errors"
    choice = f"simulation: expects a mean of {mean:.4g}, {found}"
    return replace(outcome, choices=(*outcome.choices, choice))


def beside_classical(outcome: Outcome, ansatz: QaoaCircuit, *, shots: int, seed: int) -> Outcome:
    """Return the outcome with a warning if its mean is not shown to be better than a random one, and the descents.

    The descents flip one variable at a time, the best first: from the best sample, and from as many random assignments
    as there were shots. They are classical, and said to be.
    """
    problem = ansatz.problem
    doubt: Doubt | None = None
    mean, sign = random_mean(ansatz), problem.sign
    lead = mean - SIGMAS * outcome.standard_error - sign * outcome.value
    if lead <= 0.0:
        doubt = Doubt(
            "no better than chance",
            f"the mean over random assignments is {sign * mean:.4g}. Optimize the angles "
            "(search=measured), or take more layers.",
        )
    elif lead <= outcome.rounding_bound:
        doubt = Doubt(
            "not shown to be better than chance",
            f"the mean over random assignments is {sign * mean:.4g}, and rounding "
            f"to {shots:,} counts may shift the mean by up to {outcome.rounding_bound:.4g}. Take more shots.",
        )
    descents = bound_and_descents(outcome, problem, shots=shots, seed=seed)
    return replace(outcome, choices=(*outcome.choices, *descents)).doubted(doubt)


def bound_and_descents(outcome: Outcome, problem: BinaryProblem, *, shots: int, seed: int) -> list[str]:
    """Return a bound of a problem whose optimum is unknown, and what descents reach: see `beside_classical`."""
    choices = []
    if problem.extremes is None:
        choices.append(f"bound: no assignment is better than {problem.bound:.6g}, each term at its best")
    if outcome.best_bitstring is None:
        return choices
    bits = np.array([[int(bit) for bit in reversed(outcome.best_bitstring)]])
    sampled = _best_value(problem, descend(problem.cost, bits))
    number = min(shots, MAX_ASSIGNMENTS)
    random = np.random.default_rng(seed).integers(0, 2, (number, problem.num_variables))
    drawn = _best_value(problem, descend(problem.cost, random))
    if sampled is not None:
        other = "none that is feasible" if drawn is None else f"{drawn:.6g}"
        choices.append(
            f"classical: a descent by single flips from the best assignment reaches {sampled:.6g}, from {number:,} "
            f"random assignments {other}"
        )
    return choices


def random_mean(ansatz: QaoaCircuit) -> float:
    """Return the mean of the minimized cost over all assignments that the mixer reaches, each as likely."""
    cost, count = ansatz.cost, ansatz.cost.num_variables
    if ansatz.ones is None:
        return cost.offset
    total = count - 2 * ansatz.ones  # the sum of all spins
    pair = (total**2 - count) / (count * (count - 1)) if count > 1 else 0.0
    return cost.offset + float(cost.fields.sum()) * total / count + pair * sum(cost.couplings.values())


def descend(cost: Ising, bits: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return assignments (k, n) that no single flip improves, by steepest descent from those given."""
    spins = 1.0 - 2.0 * bits
    count = cost.num_variables
    matrix = np.zeros((count, count))
    for (i, j), coupling in cost.couplings.items():
        matrix[i, j] = matrix[j, i] = coupling
    least = 1e-12 * (1.0 + np.abs(matrix).sum() + np.abs(cost.fields).sum())
    local = spins @ matrix + cost.fields  # changes with each flip by one column
    rows = np.arange(len(spins))
    while len(rows):
        gains = 2.0 * spins[rows] * local[rows]
        best = gains.argmax(axis=1)
        falls = gains[np.arange(len(rows)), best] > least
        rows, best = rows[falls], best[falls]
        spins[rows, best] *= -1.0
        local[rows] += 2.0 * spins[rows, best][:, None] * matrix[best]
    return (spins < 0).astype(np.uint8)


def _best_value(problem: BinaryProblem, bits: NDArray[np.uint8]) -> float | None:
    bits = bits[problem.is_feasible(bits)]
    return None if not len(bits) else problem.sign * float((problem.sign * problem.objective.energies(bits)).min())
