"""Binary optimization problems: objective, constraint, and the Ising energy (with penalty) that QAOA minimizes.

Builders for max-cut, independent set, QUBO, Ising spin glass, polynomials of bits, MaxSAT, low-autocorrelation
sequences, number partitioning and portfolio selection.
"""

from __future__ import annotations

import enum
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridloop.algorithms.binary.annealing import anneal
from hybridloop.algorithms.binary.graphs import Graph
from hybridloop.algorithms.binary.ising import (
    MAX_ENUMERATED_VARIABLES,
    MIN_MAGNITUDE,
    Ising,
    Spins,
    check_in_range,
    ising_from_bits,
    ising_from_qubo,
)
from hybridloop.algorithms.binary.solver import solve
from hybridloop.algorithms.binary.spectral import spectral_bound
from hybridloop.errors import InputError

MAX_NUMBERS = 500  # each pair of numbers becomes a coupling
MIN_SEQUENCE, MAX_SEQUENCE = 3, 60  # spins: the terms grow with the third power
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


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best objective as far as it is known: the best one `found`, None without any, and a `bound` of all."""

    found: float | None
    bound: float

    @property
    def is_exact(self) -> bool:
        return self.found == self.bound


@dataclass(frozen=True, eq=False)
class BinaryProblem:
    """An objective over bits, in the unit of the problem's source; `labels` name the variables in the order of qubits.

    `penalty` is the weight of the constraint's violation, in the objective's unit; `penalty_reason` is the argument why
    that weight is large enough. Both are unused without a constraint. `title` says what the problem is and how its text
    was read, `unused` what the text has and the problem does not use. `known_bound` is one of the objective that
    follows from the problem's form, None without one.
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
    known_bound: float | None = None

    def __post_init__(self) -> None:
        self._check_names()
        if self.objective.is_constant:
            problem = f"{self.source}: the objective is constant, so every assignment is as good as any other"
            raise InputError("problem", problem, "Give a problem whose objective depends on the variables.")
        if max(map(abs, self.objective.terms.values())) < MIN_MAGNITUDE:
            problem = f"{self.source}: all coefficients are below {MIN_MAGNITUDE:g}"
            raise InputError("problem", problem, "Choose a unit in which they are larger.")

    def _check_names(self) -> None:
        seen: dict[str, str] = {}
        for name in self.labels:
            if seen.setdefault(unicodedata.normalize("NFC", name), name) != name:
                problem = f"{self.source}: two names look alike, as {name[:40]!r}, and are composed differently"
                raise InputError("problem", problem, "Write the name in one way.")

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
    def optimum(self) -> Optimum:
        """The best objective of all feasible assignments, by brute force, else by HiGHS in seconds, or a bound of it.

        Raises InputError if no assignment meets the constraint.
        """
        return self._best(self.sign)

    def _best(self, sign: float) -> Optimum:
        """Return the smallest feasible objective for a `sign` of 1, the largest one for −1, or what is known of it."""
        signed, constraint = self.objective.scaled(sign), self.constraint
        violation = None if constraint is None else constraint.violation
        if self.num_variables <= MAX_ENUMERATED_VARIABLES:
            values = signed.all_energies()
            if violation is not None:
                values = values[violation.all_energies() < FEASIBLE_BELOW]
            if not len(values):
                raise self._infeasible()
            found = sign * float(values.min()) + 0.0  # -0.0 is 0
            return Optimum(found, found)
        known = [self.annealed] if sign == self.sign else []
        bounds = [sign * self.known_bound] if sign == self.sign and self.known_bound is not None else []
        if not bounds or known[0] is None or sign * known[0] > bounds[0]:
            solution = solve(signed, violation, None if constraint is None else constraint.ones)
            if solution.is_infeasible:
                raise self._infeasible()
            known += [] if solution.bits is None else [self.best_of(solution.bits)]
            bounds.append(solution.bound)
            if not solution.is_exact:  # the penalties of the minimized cost vanish where the constraint is met
                bounds += [spectral_bound(each) for each in (signed, self.cost)[: 1 + (sign == self.sign)]]
        best = min((sign * value for value in known if value is not None), default=math.inf)
        return Optimum(sign * best if best < math.inf else None, sign * min(best, max(bounds)))

    def check_feasible(self) -> None:
        """Raise InputError if no assignment meets the constraint; of a large problem, if that shows in seconds."""
        if self.constraint is None or self.constraint.ones is not None:  # a builder checks the latter
            return
        if self.is_feasible(np.zeros(self.num_variables)).all():  # as the empty independent set is
            return
        if self.num_variables <= MAX_ENUMERATED_VARIABLES or self.annealed is None:
            _ = self.optimum

    def _infeasible(self) -> InputError:
        assert self.constraint is not None
        problem = f"{self.source}: no assignment meets {self.constraint.description}"
        return InputError("problem", problem, "Change the constraint.")

    @cached_property
    def annealed(self) -> float | None:
        """The best objective of feasible assignments that simulated annealing finds in a second; None without any."""
        return self.best_of(anneal(self.cost, seed=0))

    def best_of(self, bits: ArrayLike) -> float | None:
        """Return the best objective of the feasible rows of bits (k, n); None without any."""
        rows = np.atleast_2d(np.asarray(bits))
        rows = rows[self.is_feasible(rows)]
        return None if not len(rows) else self.sign * float((self.sign * self.objective.energies(rows)).min())

    @cached_property
    def extremes(self) -> tuple[float, float] | None:
        """The best and the worst objective of all feasible assignments; None if one of them is unknown."""
        if not self.optimum.is_exact or not (worst := self._best(-self.sign)).is_exact:
            return None
        return self.optimum.bound, worst.bound

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
    constraint, penalty = None, 1.5 * math.fsum(map(abs, weights))
    if hard:
        violation = ising_from_bits(num_variables, [(_broken(clause), 1.0) for clause in hard])
        constraint = Constraint(f"all {len(hard)} hard clauses", violation)
    total = f", {len(hard)} of them hard" if hard else ""
    weighted = f"weights {min(weights):g} to {max(weights):g}" if set(weights) != {1.0} else ""
    size = f"{num_variables} variables, {len(clauses)} clauses{total}"
    return BinaryProblem(
        "max-sat",
        source,
        tuple(str(number) for number in range(1, num_variables + 1)),
        Sense.MAXIMIZE,
        objective,
        constraint,
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
