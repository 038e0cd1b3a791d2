"""Kinds of binary problems: max-cut, independent set, QUBO, spin glass, polynomials, MaxSAT, sequences, portfolios.

Number partitioning and problems with linear constraints are among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hybridloop.algorithms.binary.constraints import (
    Constraint,
    Linear,
    check_possible,
    penalized,
)
from hybridloop.algorithms.binary.graphs import Graph
from hybridloop.algorithms.binary.ising import (
    MAX_ENUMERATED_VARIABLES,
    Ising,
    Spins,
    check_in_range,
    ising_from_bits,
    ising_from_qubo,
)
from hybridloop.algorithms.binary.problem import BinaryProblem, Sense
from hybridloop.errors import InputError

MAX_NUMBERS = 500  # each pair of numbers becomes a coupling
MIN_SEQUENCE, MAX_SEQUENCE = 3, 60  # spins: the terms grow with the third power
MARGIN = 1.5  # of a penalty over the least one with which a best assignment is feasible


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
    penalty = MARGIN * largest if largest > 0.0 else max(map(abs, weights), default=1.0) or 1.0
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
        (Constraint("the rule that no two chosen nodes share an edge", ising_from_qubo(both)),),
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
    order = "" if ising.is_quadratic else f" of order {max(map(len, ising.products))}"
    size = (f"{len(names)} spins", f"{len(ising.terms)} terms")
    title = _title(f"Ising energy{order}", *size, "minimized", reading)
    return BinaryProblem("ising", source, names, Sense.MINIMIZE, ising, title=title)


def bit_polynomial(
    num_variables: int,
    terms: Iterable[tuple[Spins, float]],
    source: str = "polynomial",
    labels: Sequence[str] | None = None,
    *,
    reading: str = "",
) -> BinaryProblem:
    """Minimize a polynomial of bits of any order; `terms` are the variables of each product, and its coefficient."""
    given = [(tuple(dict.fromkeys(bits)), value) for bits, value in terms]  # x² = x
    objective = ising_from_bits(num_variables, [(dict.fromkeys(bits, True), value) for bits, value in given])
    names = _index_labels(num_variables) if labels is None else tuple(labels)
    order = max((len(bits) for bits, _ in given), default=0)
    title = _title(f"polynomial of order {order}", f"{num_variables} variables", f"{len(given)} terms", reading)
    return BinaryProblem("polynomial", source, names, Sense.MINIMIZE, objective, title=title)


@dataclass(frozen=True, slots=True)
class Clause:
    """A disjunction of literals: `signs` have True for a variable that satisfies it as 1, False as 0.

    `weight` is that of a satisfied clause; None for a hard one, which must be satisfied.
    """

    signs: Mapping[int, bool]
    weight: float | None = 1.0


def max_sat(
    num_variables: int, clauses: Sequence[Clause], source: str = "clauses", *, reading: str = ""
) -> BinaryProblem:
    """MaxSAT: maximize the weight of the satisfied clauses; all hard ones must be satisfied.

    A clause of k literals is broken where a product of k factors (1 ± s) / 2 is 1. The penalty of a hard one is above
    the weight of all soft ones.
    """
    soft = [(clause, clause.weight) for clause in clauses if clause.weight is not None]
    hard = [clause for clause in clauses if clause.weight is None]
    weights = [weight for _, weight in soft]
    if not soft:  # any assignment that satisfies all is as good
        soft, weights, hard = [(clause, 1.0) for clause in hard], [1.0] * len(hard), []
    broken = [(_broken(clause), -weight) for clause, weight in soft]
    objective = ising_from_bits(num_variables, broken, math.fsum(weights))
    constraints: tuple[Constraint, ...] = ()
    penalty = MARGIN * math.fsum(map(abs, weights))
    if hard:
        violation = ising_from_bits(num_variables, [(_broken(clause), 1.0) for clause in hard])
        constraints = (Constraint(f"all {len(hard)} hard clauses", violation),)
    total = f", {len(hard)} of them hard" if hard else ""
    weighted = f"weights {min(weights):g} to {max(weights):g}" if set(weights) != {1.0} else ""
    size = f"{num_variables} variables, {len(clauses)} clauses{total}"
    return BinaryProblem(
        "max-sat",
        source,
        tuple(str(number) for number in range(1, num_variables + 1)),
        Sense.MAXIMIZE,
        objective,
        constraints,
        penalty=penalty if hard else 0.0,
        penalty_reason=f"all soft clauses weigh less than {penalty:g}" if hard else "",
        title=_title("MaxSAT", size, weighted, reading),
    )


def _broken(clause: Clause) -> dict[int, bool]:
    return {variable: not sign for variable, sign in clause.signs.items()}


def low_autocorrelation(length: int, source: str = "labs") -> BinaryProblem:
    """Low-autocorrelation binary sequence: minimize Σ_k (Σ_i s_i s_{i+k})², the energy of its sidelobes.

    M. J. E. Golay, IEEE Trans. Inf. Theory 23 (1977) 43; by QAOA: R. Shaydulin et al., Sci. Adv. 10 (2024) eadm6761.
    """
    if not MIN_SEQUENCE <= length <= MAX_SEQUENCE:
        remedy = f"Give {MIN_SEQUENCE} to {MAX_SEQUENCE}."
        raise InputError("problem", f"{source}: a sequence of {length} spins is not taken", remedy)
    pairs = [[(i, i + lag) for i in range(length - lag)] for lag in range(1, length)]
    terms = [((*first, *second), 1.0) for of_lag in pairs for first in of_lag for second in of_lag]
    objective = Ising.of(length, terms)
    title = _title("low-autocorrelation sequence", f"{length} spins", f"{len(objective.terms)} terms")
    labels, least = _index_labels(length), float(length // 2)  # sums of an odd number of spins are at least 1 in size
    return BinaryProblem("labs", source, labels, Sense.MINIMIZE, objective, title=title, known_bound=least)


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
    return BinaryProblem("number-partitioning", source, labels, Sense.MINIMIZE, objective, known_bound=0.0)


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
    linear = Linear.of(f"the budget of {budget}", [(asset, 1.0) for asset in range(len(mu))], budget, budget)
    return BinaryProblem(
        "portfolio",
        source,
        _index_labels(len(mu)) if assets is None else tuple(assets),
        Sense.MINIMIZE,
        ising_from_qubo(matrix),
        penalized([linear], len(mu)),
        penalty=penalty,
        penalty_reason=f"one asset changes the objective by at most {penalty:.6g}",
    )


def constrained(
    objective: Ising,
    linears: Sequence[Linear],
    *,
    sense: Sense = Sense.MINIMIZE,
    source: str = "constrained problem",
    labels: Sequence[str] | None = None,
    reading: str = "",
) -> BinaryProblem:
    """Return an objective of bits with linear constraints, whose inequalities have slack bits.

    Raises InputError where no assignment meets a constraint, or, of few variables, where none meets all.
    """
    check_possible(linears, source)
    count = objective.num_variables
    constraints = penalized(linears, count)
    names = _index_labels(count) if labels is None else tuple(labels)
    number = f"{len(linears)} constraint{'s' * (len(linears) != 1)}"
    title = _title(f"constrained {sense.removesuffix('e')}ation", f"{count} variables", number, reading)
    problem = BinaryProblem("constrained", source, names, sense, objective, constraints, title=title)
    penalty, reason = _safe_penalty(problem)
    if problem.has_unbalanced:
        reason = "none is shown to be large enough"
    return replace(problem, penalty=penalty, penalty_reason=reason)


def _safe_penalty(problem: BinaryProblem) -> tuple[float, str]:
    """Return a weight of the violations with which a best assignment is feasible, and why it is.

    An assignment that misses the constraints by v in all has the objective f, and the best feasible one f*: it is worse
    with a penalty above (f* − f) / v. The largest of these is known of few variables. Of more, f* − f is at most the
    largest difference of two objectives, and v at least 1. The margin also makes infeasible assignments rare.
    """
    spread = 2.0 * math.fsum(map(abs, problem.objective.terms.values()))
    if not spread:
        return 1.0, "the objective is constant"
    if problem.num_variables > MAX_ENUMERATED_VARIABLES:
        return MARGIN * spread, f"no two assignments differ by more than {spread:.6g}"
    values = problem.sign * problem.objective.all_energies()
    is_feasible = problem.all_feasible()
    if not is_feasible.any():
        return MARGIN * spread, ""  # the run is refused
    missed = np.zeros(len(values))
    for constraint in problem.constraints:
        linear = constraint.linear
        assert linear is not None
        by = linear.missed_by_all(problem.num_variables) / (1.0 if linear.is_whole else linear.unit)
        missed += by > 0.0 if linear.pairs(problem.num_variables) is not None else by**2
    broken = ~is_feasible
    least = max(0.0, float(((values[is_feasible].min() - values[broken]) / missed[broken]).max(initial=0.0)))
    of_one = (values.max() - values.min()) / problem.num_variables
    reason = f"above {least:.6g} every infeasible assignment is worse than the best feasible one, by going through all"
    return MARGIN * max(least, of_one), reason


def _index_labels(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
