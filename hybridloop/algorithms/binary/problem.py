"""Binary optimization problems: objective, constraint, and the Ising energy (with penalty) that QAOA minimizes."""

from __future__ import annotations

import enum
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridloop.algorithms.binary.annealing import anneal
from hybridloop.algorithms.binary.constraints import (
    Constraint,
    Group,
    disjoint_groups,
)
from hybridloop.algorithms.binary.ising import (
    MAX_ENUMERATED_VARIABLES,
    MIN_MAGNITUDE,
    Ising,
)
from hybridloop.algorithms.binary.solver import solve
from hybridloop.algorithms.binary.spectral import spectral_bound
from hybridloop.errors import InputError

DRAWS, DRAWN_AT_ONCE = 1 << 18, 1 << 14  # random assignments of a problem that is too large to enumerate
LEAST_DRAWN = 1000  # feasible ones, for a mean


class Sense(enum.StrEnum):
    """Direction of the optimization: maximize or minimize the objective."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best objective as far as it is known: the best one `found`, None without any, and a `bound` of all."""

    found: float | None
    bound: float

    @property
    def is_exact(self) -> bool:
        return self.found == self.bound


@dataclass(frozen=True, slots=True)
class EncodedInteger:
    """A whole-number variable as bits: `least` and the weights of the bits that are 1, by their places.

    Each bit has twice the weight of the one before; the last has what is left to the largest value (S. Karimi and
    P. Ronagh, Quantum Inf. Process. 18 (2019) 94).
    """

    name: str
    least: int
    bits: tuple[tuple[int, int], ...]

    @staticmethod
    def weights(span: int) -> list[int]:
        """Return the weights of the bits that make 0 to a span.

        >>> EncodedInteger.weights(10)
        [1, 2, 4, 3]
        """
        doubled = [1 << power for power in range((span + 1).bit_length() - 1)]
        rest = span - sum(doubled)
        return [*doubled, rest] if rest else doubled


@dataclass(frozen=True, eq=False)
class BinaryProblem:
    """An objective over bits, in the unit of the problem's source; `labels` name the variables in the order of qubits.

    `penalty` is the weight of the constraints' violations, in the objective's unit; `penalty_reason` is why that
    weight is large enough. Both are unused without a constraint. `title` says what the problem is and how its text
    was read, `unused` what the text has and the problem does not use. `known_bound` is one of the objective that
    follows from the problem's form, None without one. `integers` are the caller's variables that several bits make.
    """

    kind: str
    source: str
    labels: tuple[str, ...]
    sense: Sense
    objective: Ising
    constraints: tuple[Constraint, ...] = ()
    penalty: float = 0.0
    penalty_reason: str = ""
    title: str = ""
    unused: tuple[str, ...] = ()
    known_bound: float | None = None
    integers: tuple[EncodedInteger, ...] = ()

    def __post_init__(self) -> None:
        self._check_names()
        if self.objective.is_constant and not self.constraints:
            problem = f"{self.source}: the objective is constant, so every assignment is as good as any other"
            raise InputError("problem", problem, "Give a problem whose objective depends on the variables.")
        if max(map(abs, self.objective.terms.values()), default=1.0) < MIN_MAGNITUDE:
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
    def num_qubits(self) -> int:
        """The number of the variables and of the slack bits, which follow them."""
        return max((each.violation.num_variables for each in self.constraints), default=self.num_variables)

    @property
    def has_spins(self) -> bool:
        """True if the caller's variables are spins s = 1 − 2x, and no bits x."""
        return self.kind == "ising"

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names of the caller's variables, in the order of their first bits; those of one value come last."""
        of_bits = {place: each.name for each in self.integers for place, _ in each.bits}
        names = [of_bits.get(place, label) for place, label in enumerate(self.labels)]
        return tuple(dict.fromkeys([*names, *(each.name for each in self.integers)]))

    def values_of(self, bits: ArrayLike) -> NDArray[np.int64]:
        """Return rows of bits (k, n) as values (k, variables) of the caller's: bits, spins −1 and 1, whole numbers."""
        rows = np.asarray(bits, np.int64)
        if self.has_spins:
            return 1 - 2 * rows
        if not self.integers:
            return rows
        known = {each.name: each for each in self.integers}
        place_of = {label: place for place, label in enumerate(self.labels)}
        columns = [
            sum((weight * rows[:, place] for place, weight in known[name].bits), np.full(len(rows), known[name].least))
            if name in known
            else rows[:, place_of[name]]
            for name in self.variables
        ]
        return np.stack(columns, axis=1)

    @property
    def has_unbalanced(self) -> bool:
        """True where a constraint has an unbalanced penalty."""
        return any(each.is_unbalanced for each in self.constraints)

    @property
    def sign(self) -> float:
        """The factor that turns the objective into a minimization: -1 to maximize, 1 to minimize."""
        return -1.0 if self.sense is Sense.MAXIMIZE else 1.0

    @cached_property
    def cost(self) -> Ising:
        """The Ising energy to minimize: `sign` times the objective, plus the penalties for broken constraints."""
        return self.cost_beside(())

    def cost_beside(self, groups: Sequence[Group]) -> Ising:
        """Return the cost without the penalties of those constraints that these groups are."""
        cost = self.objective.scaled(self.sign).widened(self.num_qubits)
        for constraint in self.constraints:
            if constraint.group is None or constraint.group not in groups:
                cost = cost.plus(constraint.violation.scaled(self.penalty))
        return cost

    def is_feasible(self, bits: ArrayLike) -> NDArray[np.bool_]:
        """Return for each row of bits (k, n), or with slack bits behind, whether it meets the constraints: (k,)."""
        rows = np.atleast_2d(np.asarray(bits))[:, : self.num_variables]
        met = np.ones(len(rows), bool)
        for constraint in self.constraints:
            met &= constraint.is_met(rows)
        return met

    def all_feasible(self) -> NDArray[np.bool_]:
        """Return whether each assignment meets the constraints: shape (2^n,), bit i of the index is x_i."""
        met = np.ones(1 << self.num_variables, bool)
        for constraint in self.constraints:
            met &= constraint.is_met_by_all(self.num_variables)
        return met

    def completed(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return rows of bits (k, n) with the best slack bits behind: shape (k, qubits)."""
        rows = np.zeros((len(bits), self.num_qubits), np.uint8)
        rows[:, : self.num_variables] = bits
        for constraint in self.constraints:
            constraint.complete(rows)
        return rows

    @cached_property
    def optimum(self) -> Optimum:
        """The best objective of all feasible assignments, by brute force, else by HiGHS in seconds, or a bound of it.

        Raises InputError if no assignment meets the constraint.
        """
        return self._best(self.sign)

    @cached_property
    def random_mean(self) -> float | None:
        """The mean objective of the feasible assignments, each as likely; None where it takes too much work.

        Of many variables it is that of up to 2^18 random assignments, if 1,000 of them are feasible.
        """
        if not self.constraints:
            return self.objective.offset
        if self.num_variables <= MAX_ENUMERATED_VARIABLES:
            values = self.objective.all_energies()[self.all_feasible()]
            return float(values.mean()) + 0.0 if len(values) else None
        groups = disjoint_groups(self.constraints)
        generator, total, found = np.random.default_rng(0), 0.0, 0
        for _ in range(DRAWS // DRAWN_AT_ONCE):
            rows = generator.integers(0, 2, (DRAWN_AT_ONCE, self.num_variables), np.uint8)
            for group in groups:
                ones = np.arange(len(group.variables)) < group.ones
                rows[:, group.variables] = generator.permuted(np.tile(ones, (DRAWN_AT_ONCE, 1)), axis=1)
            rows = rows[self.is_feasible(rows)]
            total, found = total + float(self.objective.energies(rows).sum()), found + len(rows)
        return total / found if found >= LEAST_DRAWN else None

    def _best(self, sign: float) -> Optimum:
        """Return the smallest feasible objective for a `sign` of 1, the largest one for −1, or what is known of it."""
        signed = self.objective.scaled(sign)
        if self.num_variables <= MAX_ENUMERATED_VARIABLES:
            values = signed.all_energies()[self.all_feasible()]
            if not len(values):
                raise self._infeasible()
            found = sign * float(values.min()) + 0.0  # -0.0 is 0
            return Optimum(found, found)
        known = [self.annealed] if sign == self.sign else []
        bounds = [sign * self.known_bound] if sign == self.sign and self.known_bound is not None else []
        if not bounds or known[0] is None or sign * known[0] > bounds[0]:
            linears = [each.linear for each in self.constraints if each.linear is not None]
            violations = [each.violation for each in self.constraints if each.linear is None]
            solution = solve(signed, violations, linears)
            if solution.is_infeasible:
                raise self._infeasible()
            known += [] if solution.bits is None else [self.best_of(solution.bits)]
            bounds.append(solution.bound)
            if not solution.is_exact:  # penalties that are no parabolas vanish where the constraints are met
                has_bound = sign == self.sign and not self.has_unbalanced
                bounds += [spectral_bound(each) for each in (signed, self.cost)[: 1 + has_bound]]
        best = min((sign * value for value in known if value is not None), default=math.inf)
        return Optimum(sign * best if best < math.inf else None, sign * min(best, max(bounds)))

    def check_feasible(self) -> None:
        """Raise InputError if no assignment meets the constraints; of a large problem, if that shows in seconds."""
        if len(disjoint_groups(self.constraints)) == len(self.constraints):  # any number of ones of each can be had
            return
        if self.is_feasible(np.zeros(self.num_variables)).all():  # as the empty independent set is
            return
        if self.num_variables <= MAX_ENUMERATED_VARIABLES or self.annealed is None:
            _ = self.optimum

    def _infeasible(self) -> InputError:
        what = self.constraints[0].description if len(self.constraints) == 1 else "all constraints"
        problem = f"{self.source}: no assignment meets {what}"
        return InputError("problem", problem, "Change a constraint.")

    @cached_property
    def annealed(self) -> float | None:
        """The best objective of feasible assignments that simulated annealing finds in a second; None without any."""
        return self.best_of(anneal(self.cost, seed=0))

    def best_of(self, bits: ArrayLike) -> float | None:
        """Return the best objective of the feasible rows of bits (k, n); None without any."""
        rows = np.atleast_2d(np.asarray(bits))
        rows = rows[self.is_feasible(rows), : self.num_variables]
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
