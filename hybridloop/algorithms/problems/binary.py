"""Binary optimization problems: objective, constraint, and the Ising energy (with penalty) that QAOA minimizes.

Builders for max-cut, independent set, QUBO, Ising spin glass, number partitioning and portfolio selection.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridloop.algorithms.problems.graphs import Graph
from hybridloop.algorithms.problems.ising import (
    MAX_ENUMERATED_VARIABLES,
    MIN_MAGNITUDE,
    Ising,
    check_in_range,
    ising_from_qubo,
)
from hybridloop.errors import InputError

MAX_NUMBERS = 500  # each pair of numbers becomes a coupling
FEASIBLE_BELOW = 0.5  # of the violation: a broken constraint has a violation of 1 or more


class Sense(enum.StrEnum):
    """Direction of the optimization: maximize or minimize the objective."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """A constraint on assignments: `violation` is 0 where it holds, and 1 or more where it is broken.

    `description` is a noun phrase for messages ("the budget of 4"). `ones` is the number of variables that must be 1,
    for constraints that fix it: an XY mixer conserves that number. Else it is None.
    """

    description: str
    violation: Ising
    ones: int | None = None


@dataclass(frozen=True, eq=False)
class BinaryProblem:
    """An objective over bits, in the unit of the problem's source; `labels` name the variables in the order of qubits.

    `penalty` is the weight of the constraint's violation, in the objective's unit; `penalty_reason` is the argument why
    that weight is large enough. Both are unused without a constraint. `title` says what the problem is and how its text
    was read, `unused` what the text has and the problem does not use.
    """

    kind: str
    source: str
    labels: tuple[str, ...]
    sense: Sense
    objective: Ising
    constraint: Constraint | None = None
    penalty: float = 0.0
    penalty_reason: str = ""
    title: str = ""
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.objective.is_constant:
            problem = f"{self.source}: the objective is constant, so every assignment is as good as any other"
            raise InputError("problem", problem, "Give a problem whose objective depends on the variables.")
        if max(np.abs(self.objective.fields).max(), *map(abs, self.objective.couplings.values()), 0.0) < MIN_MAGNITUDE:
            problem = f"{self.source}: all coefficients are below {MIN_MAGNITUDE:g}"
            raise InputError("problem", problem, "Choose a unit in which they are larger.")

    @property
    def num_variables(self) -> int:
        return self.objective.num_variables

    @property
    def sign(self) -> float:
        """The factor that turns the objective into a minimization: -1 to maximize, 1 to minimize."""
        return -1.0 if self.sense is Sense.MAXIMIZE else 1.0

    @cached_property
    def cost(self) -> Ising:
        """The Ising energy to minimize: `sign` times the objective, plus the penalty for a broken constraint."""
        signed = self.objective.scaled(self.sign)
        return signed if self.constraint is None else signed.plus(self.constraint.violation.scaled(self.penalty))

    def is_feasible(self, bits: ArrayLike) -> NDArray[np.bool_]:
        """Return for each row of bits (k, n) whether it meets the constraint: shape (k,)."""
        if self.constraint is None:
            return np.ones(len(np.atleast_2d(np.asarray(bits))), bool)
        return self.constraint.violation.energies(bits) < FEASIBLE_BELOW

    @cached_property
    def extremes(self) -> tuple[float, float] | None:
        """The best and the worst objective of all feasible assignments, by brute force.

        None above `MAX_ENUMERATED_VARIABLES` variables. Raises InputError if no assignment meets the constraint.
        """
        if self.num_variables > MAX_ENUMERATED_VARIABLES:
            return None
        values = self.objective.all_energies()
        if self.constraint is not None:
            values = values[self.constraint.violation.all_energies() < FEASIBLE_BELOW]
            if not len(values):
                problem = f"{self.source}: no assignment meets {self.constraint.description}"
                raise InputError("problem", problem, "Change the constraint.")
        low, high = float(values.min()), float(values.max())
        return (high, low) if self.sense is Sense.MAXIMIZE else (low, high)

    @property
    def bound(self) -> float:
        """A bound of the objective's optimum: each term at its best, as the sum of a cut's positive weights."""
        terms = float(np.abs(self.objective.fields).sum()) + sum(map(abs, self.objective.couplings.values()))
        return self.objective.offset - self.sign * terms

    def approximation_ratio(self, value: float) -> float | None:
        """Return (value − worst) / (best − worst); None if the extremes are unknown or equal.

        For max-cut with weights ≥ 0 this is the cut over the maximum cut.
        """
        if self.extremes is None or self.extremes[0] == self.extremes[1]:
            return None
        best, worst = self.extremes
        return (value - worst) / (best - worst)


def max_cut(graph: Graph) -> BinaryProblem:
    """Max-cut: part the nodes in two to maximize the weight of the edges between, Σ w (1 − s_i s_j) / 2."""
    couplings = {(i, j): -weight / 2 for i, j, weight in graph.edges}
    offset = math.fsum(weight for *_, weight in graph.edges) / 2
    objective = Ising(np.zeros(len(graph.nodes)), couplings, offset)
    unused = graph.unused if graph.node_weights is None else (*graph.unused, "weights of the nodes")
    title = _title("max-cut", graph.size, graph.reading)
    return BinaryProblem("max-cut", graph.source, graph.nodes, Sense.MAXIMIZE, objective, title=title, unused=unused)


def independent_set(graph: Graph) -> BinaryProblem:
    """Maximum independent set: choose nodes of the largest total weight, no two of which share an edge.

    Without weights of nodes each counts as 1. Edge weights are ignored. The energy is −Σ w_i x_i + P (edges with both
    ends chosen). With P above the smaller weight of each edge's ends every best assignment is independent: dropping
    that end costs its weight and gains at least P (A. Lucas, Front. Phys. 2 (2014) 5).
    """
    count = len(graph.nodes)
    weights = graph.node_weights or (1.0,) * count
    both = np.zeros((count, count))
    for i, j, _ in graph.edges:
        both[i, j] = 1.0
    largest = max(min(weights[i], weights[j]) for i, j, _ in graph.edges)
    penalty = 1.5 * largest if largest > 0.0 else max(map(abs, weights), default=1.0) or 1.0
    unused = (*graph.unused, *(("weights of the edges",) if any(weight != 1.0 for *_, weight in graph.edges) else ()))
    nodes = graph.counts
    if graph.node_weights is not None:
        nodes += f", weights of nodes {min(weights):g} to {max(weights):g}"
    kind = "maximum independent set" if graph.node_weights is None else "maximum weight independent set"
    return BinaryProblem(
        "independent-set",
        graph.source,
        graph.nodes,
        Sense.MAXIMIZE,
        ising_from_qubo(np.diag(weights)),
        Constraint("the rule that no two chosen nodes share an edge", ising_from_qubo(both)),
        penalty=penalty,
        penalty_reason=f"an edge within the set costs {penalty:g}, and removing one of its nodes costs at most "
        f"{largest:g}",
        title=_title(kind, nodes, graph.reading),
        unused=unused,
    )


def _title(*parts: str) -> str:
    kind, size, *reading = filter(None, parts)
    return ", ".join([f"{kind} of {size}", *reading])


def qubo(
    matrix: ArrayLike,
    source: str = "QUBO",
    *,
    offset: float = 0.0,
    labels: Sequence[str] | None = None,
    reading: str = "",
) -> BinaryProblem:
    """QUBO: minimize xᵀ Q x + offset."""
    objective = ising_from_qubo(matrix, offset)
    names = _index_labels(objective.num_variables) if labels is None else tuple(labels)
    values = np.asarray(matrix, float)
    terms = np.count_nonzero(np.diag(values)) + np.count_nonzero(np.triu(values + values.T, 1))
    title = _title("QUBO", f"{len(names)} variables", f"{terms} terms", "minimized", reading)
    return BinaryProblem("qubo", source, names, Sense.MINIMIZE, objective, title=title)


def spin_glass(
    ising: Ising, source: str = "Ising", labels: Sequence[str] | None = None, *, reading: str = ""
) -> BinaryProblem:
    """Ising spin glass: minimize the energy of the spins."""
    names = _index_labels(ising.num_variables) if labels is None else tuple(labels)
    terms = np.count_nonzero(ising.fields) + sum(map(bool, ising.couplings.values()))
    title = _title("Ising energy", f"{len(names)} spins", f"{terms} terms", "minimized", reading)
    return BinaryProblem("ising", source, names, Sense.MINIMIZE, ising, title=title)


def number_partitioning(numbers: Sequence[float], source: str = "numbers") -> BinaryProblem:
    """Number partitioning: minimize the squared difference of the two sums, (Σ a_i s_i)²."""
    values = np.asarray(numbers, float)
    if values.ndim != 1 or len(values) < 2:
        raise InputError("problem", f"{source}: there are fewer than two numbers to partition", "Give two or more.")
    check_in_range(values, source)
    if len(values) > MAX_NUMBERS:
        raise InputError("problem", f"{source}: {len(values):,} numbers are too many", f"Give at most {MAX_NUMBERS}.")
    pairs = {(i, j): float(2 * values[i] * values[j]) for j in range(len(values)) for i in range(j)}
    objective = Ising(np.zeros(len(values)), pairs, float(values @ values))
    labels = tuple(f"{value:g}" for value in values)
    return BinaryProblem("number-partitioning", source, labels, Sense.MINIMIZE, objective)


def portfolio(
    returns: ArrayLike,
    covariance: ArrayLike,
    *,
    risk_aversion: float,
    budget: int,
    source: str = "portfolio",
    assets: Sequence[str] | None = None,
) -> BinaryProblem:
    """Portfolio selection: choose `budget` of the assets that minimize q xᵀ Σ x − μᵀ x, with q the risk aversion.

    S. Brandhofer et al., Quantum Inf. Process. 22 (2023) 25. The penalty is P (Σx − budget)², where P is the largest
    change of the objective by one variable. An assignment that misses the budget by k is then never better than one
    that misses it by k − 1: the penalty falls by P (2k − 1) ≥ P.
    """
    mu, sigma = np.asarray(returns, float), np.asarray(covariance, float)
    if mu.ndim != 1 or not len(mu) or sigma.shape != (len(mu),) * 2:
        problem = f"{source}: the returns have shape {mu.shape}, the covariance matrix {sigma.shape}"
        raise InputError("problem", problem, "Give n returns and an n by n covariance matrix.")
    for values in (mu, sigma, risk_aversion):
        check_in_range(values, source)
    if not 0 <= budget <= len(mu):
        problem = f"{source}: no assignment of {len(mu)} assets meets a budget of {budget}"
        raise InputError("problem", problem, f"Give a budget of 0 to {len(mu)}.")
    matrix = risk_aversion * sigma - np.diag(mu)
    # the penalty: row i sums to the largest change of the objective by x_i
    changes = np.abs(matrix + matrix.T)
    np.fill_diagonal(changes, np.abs(np.diag(matrix)))
    penalty = float(changes.sum(axis=1).max())
    # the violation (Σx − budget)² = (Σx)² − 2 budget Σx + budget², with x² = x
    squared_sum = np.ones((len(mu), len(mu))) - 2 * budget * np.eye(len(mu))
    violation = ising_from_qubo(squared_sum, float(budget**2))
    return BinaryProblem(
        "portfolio",
        source,
        _index_labels(len(mu)) if assets is None else tuple(assets),
        Sense.MINIMIZE,
        ising_from_qubo(matrix),
        Constraint(f"the budget of {budget}", violation, ones=budget),
        penalty=penalty,
        penalty_reason=f"one asset changes the objective by at most {penalty:.6g}",
    )


def _index_labels(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
