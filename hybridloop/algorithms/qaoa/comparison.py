"""QAOA's answer beside its simulation, random assignments, and classical searches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import comb

import numpy as np

from hybridloop.algorithms.binary.annealing import descend, effort_of
from hybridloop.algorithms.binary.constraints import Group
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.qaoa.angles import expected_mean
from hybridloop.algorithms.qaoa.circuit import QaoaCircuit
from hybridloop.algorithms.qaoa.search import QaoaResult

SIGMAS = 2.0  # standard errors above which a mean counts as different from another
NO_LEAD = 0.1  # of the standard deviation of random assignments: what is better by less is no better


def beside_simulation(outcome: QaoaResult, ansatz: QaoaCircuit) -> QaoaResult:
    """Return the outcome with a choice that says whether the measured mean meets the simulated one.

    It says nothing of a minimum, and a target's errors shift the mean. A mean of the tree of couplings is approximate.
    Both are of what is minimized, with the penalties.
    """
    expected = expected_mean(ansatz, outcome.parameters)
    if expected is None:
        return outcome
    mean, measured = ansatz.problem.sign * expected[0], outcome.mean_cost
    of = " with penalties" if _has_penalty(ansatz) else ""
    if not expected[1]:
        cycles = 2 * ansatz.layers + 1
        choice = f"simulation: expects a mean{of} near {mean:.4g}, without cycles of up to {cycles} couplings"
        return replace(outcome, choices=(*outcome.choices, choice))
    difference = abs(measured.value - expected[0])
    if difference > SIGMAS * measured.standard_error + measured.rounding_bound:
        found = f"and the measured one is off by {difference:.2g}, more than two standard errors"
    else:
        found = "which the measured one meets within two standard errors"
    choice = f"simulation: expects a mean{of} of {mean:.4g}, {found}"
    return replace(outcome, choices=(*outcome.choices, choice))


def beside_chance(outcome: QaoaResult, ansatz: QaoaCircuit, *, shots: int) -> QaoaResult:
    """Return the outcome with a warning if its mean is shown to be no better than a random one, or not to be better.

    Both are of what is minimized, with the penalties. No better is a lead of less than `NO_LEAD`, within two
    standard errors and rounding.
    """
    mean, sign, measured = random_mean(ansatz), ansatz.problem.sign, outcome.mean_cost
    lead, error = mean - measured.value, SIGMAS * measured.standard_error + measured.rounding_bound
    of = ", with penalties," if _has_penalty(ansatz) else ""
    if ansatz.cost.is_constant:  # the mixer meets all constraints, and there is no objective
        return outcome
    spread = math.sqrt(math.fsum(value**2 for value in ansatz.cost.terms.values()))
    doubt: Doubt | None = None
    if lead + error <= NO_LEAD * spread:
        doubt = Doubt(
            "no better than chance",
            f"the mean over random assignments{of} is {sign * mean:.4g}. Optimize the angles "
            "(search=measured), or take more layers.",
        )
    elif lead <= error:
        what = f"rounding to {shots:,} counts" if measured.is_exact else f"the noise of {shots:,} shots"
        doubt = Doubt(
            "not shown to be better than chance",
            f"the mean over random assignments{of} is {sign * mean:.4g}, and {what} may shift the mean by up to "
            f"{error:.2g}. Take more shots.",
        )
    return outcome.doubted(doubt)


def beside_classical(outcome: QaoaResult, problem: BinaryProblem) -> QaoaResult:
    """Return the outcome with the optimum, or what is known of it, and with what classical searches reach.

    They are a descent from the best sample by flips of one variable, and simulated annealing of random assignments.
    """
    optimum, choices = problem.optimum, list[str]()
    if not optimum.is_exact:
        choices.append(f"bound: no assignment is better than {optimum.bound:.12g}")
    if outcome.best_bitstring is not None:
        bits = np.array([[int(bit) for bit in reversed(outcome.best_bitstring)]], np.uint8)
        reached = problem.best_of(descend(problem.cost, problem.completed(bits)))
        annealed = "none that is feasible" if problem.annealed is None else f"{problem.annealed:.12g}"
        by_descent = (
            "" if reached is None else f"a descent by single flips from the best assignment reaches {reached:.12g}, "
        )
        runs, sweeps = effort_of(problem.cost)
        choices.append(f"classical: {by_descent}simulated annealing ({runs} runs of {sweeps} sweeps) {annealed}")
    ratio = problem.approximation_ratio(outcome.value) if outcome.is_feasible else None
    return replace(
        outcome,
        approximation_ratio=ratio,
        optimum=None if optimum.found is None else (optimum.found, optimum.bound),
        choices=(*outcome.choices, *choices),
    )


def _has_penalty(ansatz: QaoaCircuit) -> bool:
    return not all(each.group in ansatz.groups for each in ansatz.problem.constraints)


def random_mean(ansatz: QaoaCircuit) -> float:
    """Return the mean of the minimized cost over all assignments that the mixer reaches, each as likely.

    Of those with m ones in a group of n, a product of k spins of the group has the mean
    Σ_j (−1)^j C(k, j) C(n − k, m − j) / C(n, m); that of a spin outside of groups is 0.
    """
    cost = ansatz.cost
    group_of = {variable: group for group in ansatz.groups for variable in group.variables}

    def mean(spins: Sequence[int]) -> float:
        if not group_of.keys() >= set(spins):
            return 0.0
        sizes = Counter(group_of[spin] for spin in spins)
        return math.prod(_mean_in(group, size) for group, size in sizes.items())

    return cost.offset + math.fsum(value * mean(spins) for spins, value in cost.terms.items())


def _mean_in(group: Group, size: int) -> float:
    count, ones = len(group.variables), group.ones
    signed = [(-1) ** j * comb(size, j) * comb(count - size, ones - j) for j in range(min(size, ones) + 1)]
    return float(sum(signed)) / comb(count, ones)
