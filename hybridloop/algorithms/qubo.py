"""Binary problems: what is asked for, what an assignment must meet, and the energy that a circuit is given for both."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridloop.algorithms.graphs import Graph
from hybridloop.algorithms.ising import MOST_ENUMERATED, SMALLEST, Ising, check_usable, from_qubo
from hybridloop.errors import InputError

MOST_NUMBERS = 500  # each pair of them is a coupling
HALF = 0.5  # a constraint that is broken at all is broken by 1 at least


class Sense(enum.StrEnum):
    """Which end of the objective is wanted."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """What an assignment must meet: `violation` is 0 where it does, and 1 or more where it does not.

    `ones` is set where it says just how many variables are 1, which an XY mixer conserves.
    """

    what: str
    violation: Ising
    ones: int | None = None


@dataclass(frozen=True, eq=False)
class BinaryProblem:
    """An objective over bits, in the unit of whoever stated it; `labels` name the variables in qubits' order.

    `penalty` weighs the constraint's violation, in the objective's unit, and `penalty_reason` says why it is enough;
    both say nothing where there is no constraint.
    """

    kind: str
    source: str
    labels: tuple[str, ...]
    sense: Sense
    objective: Ising
    constraint: Constraint | None = None
    penalty: float = 0.0
    penalty_reason: str = ""

    def __post_init__(self) -> None:
        if self.objective.is_constant:
            problem = f"{self.source}: every assignment is as good as any other"
            raise InputError("problem", problem, "Give a problem with something to choose.")
        if max(np.abs(self.objective.fields).max(), *map(abs, self.objective.couplings.values()), 0.0) < SMALLEST:
            problem = f"{self.source}: no number is above {SMALLEST:g}"
            raise InputError("problem", problem, "State it in a unit that suits it.")

    @property
    def num_variables(self) -> int:
        """Number of bits, one qubit each."""
        return self.objective.num_variables

    @property
    def sign(self) -> float:
        """What an objective is multiplied by to be minimized."""
        return -1.0 if self.sense is Sense.MAXIMIZE else 1.0

    @cached_property
    def cost(self) -> Ising:
        """What is minimized: ± the objective, and the penalty."""
        signed = self.objective.scaled(self.sign)
        return signed if self.constraint is None else signed.plus(self.constraint.violation.scaled(self.penalty))

    def is_feasible(self, bits: ArrayLike) -> NDArray[np.bool_]:
        """Whether each row of bits (k, n) meets the constraint."""
        if self.constraint is None:
            return np.ones(len(np.atleast_2d(np.asarray(bits))), bool)
        return self.constraint.violation.energies(bits) < HALF

    @cached_property
    def extremes(self) -> tuple[float, float] | None:
        """The best and the worst objective that an assignment can have, by going through all; None where too many.

        Raises InputError where no assignment meets the constraint.
        """
        if self.num_variables > MOST_ENUMERATED:
            return None
        values = self.objective.all_energies()
        if self.constraint is not None:
            values = values[self.constraint.violation.all_energies() < HALF]
            if not len(values):
                raise InputError("problem", f"{self.source}: no assignment meets {self.constraint.what}", "Change it.")
        low, high = float(values.min()), float(values.max())
        return (high, low) if self.sense is Sense.MAXIMIZE else (low, high)

    def approximation_ratio(self, value: float) -> float | None:
        """(value − worst) / (best − worst): for cuts of weights ≥ 0, value over max-cut. None where not known."""
        if self.extremes is None or self.extremes[0] == self.extremes[1]:
            return None
        best, worst = self.extremes
        return (value - worst) / (best - worst)


def max_cut(graph: Graph) -> BinaryProblem:
    """Part the nodes in two so that the edges between weigh most: the cut is Σ w (1 − s_i s_j) / 2."""
    couplings = {(i, j): -weight / 2 for i, j, weight in graph.edges}
    offset = math.fsum(weight for *_, weight in graph.edges) / 2
    objective = Ising(np.zeros(len(graph.nodes)), couplings, offset)
    return BinaryProblem("max-cut", graph.source, graph.nodes, Sense.MAXIMIZE, objective)


def independent_set(graph: Graph) -> BinaryProblem:
    """Choose as many nodes as possible, no two of which share an edge; the edges' weights do not matter.

    The energy is −(nodes) + P (edges with both ends chosen). Above 1, P makes every best assignment independent:
    dropping an end of an edge costs one node and wins P at least (A. Lucas, Front. Phys. 2 (2014) 5).
    """
    count = len(graph.nodes)
    both = np.zeros((count, count))
    for i, j, _ in graph.edges:
        both[i, j] = 1.0
    return BinaryProblem(
        "independent-set",
        graph.source,
        graph.nodes,
        Sense.MAXIMIZE,
        from_qubo(np.eye(count)),
        Constraint("that no two chosen nodes share an edge", from_qubo(both)),
        penalty=1.5,
        penalty_reason="an edge within the set costs 1.5, and leaving one of its nodes out costs 1",
    )


def qubo(matrix: ArrayLike, source: str = "QUBO", *, offset: float = 0.0) -> BinaryProblem:
    """The least xᵀ Q x + offset."""
    objective = from_qubo(matrix, offset)
    return BinaryProblem("qubo", source, _numbered(objective.num_variables), Sense.MINIMIZE, objective)


def spin_glass(ising: Ising, source: str = "Ising", labels: Sequence[str] | None = None) -> BinaryProblem:
    """The least energy of spins."""
    names = _numbered(ising.num_variables) if labels is None else tuple(labels)
    return BinaryProblem("ising", source, names, Sense.MINIMIZE, ising)


def number_partitioning(numbers: Sequence[float], source: str = "numbers") -> BinaryProblem:
    """Part numbers in two so that the sums differ least: the objective is the difference squared, (Σ a_i s_i)²."""
    values = np.asarray(numbers, float)
    if values.ndim != 1 or len(values) < 2:
        raise InputError("problem", f"{source}: there are not two or more numbers to part", "Give them.")
    check_usable(values, source)
    if len(values) > MOST_NUMBERS:
        raise InputError("problem", f"{source}: {len(values):,} numbers are too many", f"Give {MOST_NUMBERS} or fewer.")
    pairs = {(i, j): float(2 * values[i] * values[j]) for j in range(len(values)) for i in range(j)}
    objective = Ising(np.zeros(len(values)), pairs, float(values @ values))
    labels = tuple(f"{value:g}" for value in values)
    return BinaryProblem("number-partitioning", source, labels, Sense.MINIMIZE, objective)


def portfolio(
    returns: ArrayLike, covariance: ArrayLike, *, risk_aversion: float, budget: int, source: str = "portfolio"
) -> BinaryProblem:
    """Choose `budget` assets with the least q xᵀ Σ x − μᵀ x (S. Brandhofer et al., Quantum Inf. Process. 22 (2023) 25).

    The penalty P (Σx − budget)² uses P = the most that one variable can change the objective by. An assignment that
    is off by k is then never better than one that is nearer by one: that one gains P (2k − 1) ≥ P.
    """
    mu, sigma = np.asarray(returns, float), np.asarray(covariance, float)
    if mu.ndim != 1 or not len(mu) or sigma.shape != (len(mu),) * 2:
        problem = f"{source}: the returns have shape {mu.shape}, the covariances {sigma.shape}"
        raise InputError("problem", problem, "Give n returns and n by n covariances.")
    for values in (mu, sigma, risk_aversion):
        check_usable(values, source)
    if not 0 <= budget <= len(mu):
        problem = f"{source}: no assignment of {len(mu)} assets meets a budget of {budget}"
        raise InputError("problem", problem, f"Give a budget of 0 to {len(mu)}.")
    matrix = risk_aversion * sigma - np.diag(mu)
    pulls = np.abs(matrix + matrix.T)
    np.fill_diagonal(pulls, np.abs(np.diag(matrix)))
    penalty = float(pulls.sum(axis=1).max())
    ones = np.ones((len(mu), len(mu))) - 2 * budget * np.eye(len(mu))  # (Σx)² − 2 budget Σx, as x² = x
    violation = from_qubo(ones, float(budget**2))
    return BinaryProblem(
        "portfolio",
        source,
        _numbered(len(mu)),
        Sense.MINIMIZE,
        from_qubo(matrix),
        Constraint(f"the budget of {budget}", violation, ones=budget),
        penalty=penalty,
        penalty_reason=f"no single asset changes the objective by more than {penalty:.6g}",
    )


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
