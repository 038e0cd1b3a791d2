"""Constraints on assignments, and the energies that penalize what breaks them, with slack bits or without."""

from __future__ import annotations

import enum
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridloop.algorithms.binary.ising import Ising, Spins, check_in_range, ising_from_bits
from hybridloop.errors import InputError

FEASIBLE_BELOW = 0.5  # of a violation: a broken constraint has a violation of 1 or more
ROUNDING = 1e-9  # of the sum of a constraint's coefficients in size, where they are no whole numbers
MAX_DENOMINATOR = 10**6  # of coefficients that are scaled to whole numbers
MAX_WHOLE = 2**40  # of whole coefficients: their squares are exact
MAX_SLACK_BITS = 20  # of a constraint


class Inequalities(enum.StrEnum):
    """The penalty of an inequality that is neither an equation nor one of pairs."""

    SLACK = "slack"  # the square of what is missing, which slack bits make up: 0 where the inequality holds
    UNBALANCED = "unbalanced"  # a parabola in what is left, without further bits


@dataclass(frozen=True, slots=True)
class Linear:
    """The linear constraint least ≤ Σ a_i x_i ≤ most of bits; `coefficients` are the pairs (i, a_i), i ascending.

    Rational coefficients are scaled to whole numbers without a common divisor (`is_whole`), most of them positive.
    """

    name: str
    coefficients: tuple[tuple[int, float], ...]
    least: float
    most: float
    is_whole: bool

    @classmethod
    def of(cls, name: str, terms: Iterable[tuple[int, float]], least: float, most: float) -> Linear:
        """Return the constraint of a sum in which a variable may come several times. Raises InputError."""
        sums = defaultdict[int, float](float)
        for variable, value in terms:
            sums[variable] += value
        given = sorted((variable, float(value)) for variable, value in sums.items() if value)
        least, most = float(least), float(most)
        limits = [limit for limit in (least, most) if math.isfinite(limit)]
        check_in_range([*(value for _, value in given), *limits], f"the constraint {name}")
        if sum(value < 0.0 for _, value in given) * 2 > len(given):
            given, least, most = [(variable, -value) for variable, value in given], -most, -least
        # a decimal is the rational number of its digits, as 0.1 is 1/10
        exact = [Fraction(repr(value)) for _, value in given]
        denominator = math.lcm(*(value.denominator for value in exact))
        largest = max((abs(value) * denominator for value in exact), default=0)
        if denominator > MAX_DENOMINATOR or largest > MAX_WHOLE:
            return cls(name, tuple(given), least, most, is_whole=False)
        divisor = math.gcd(*(int(value * denominator) for value in exact)) or 1
        factor = Fraction(denominator, divisor)
        whole = tuple((variable, float(value * factor)) for (variable, _), value in zip(given, exact, strict=True))
        low = math.ceil(Fraction(repr(least)) * factor) if math.isfinite(least) else least
        high = math.floor(Fraction(repr(most)) * factor) if math.isfinite(most) else most
        return cls(name, whole, float(low), float(high), is_whole=True)

    @property
    def span(self) -> tuple[float, float]:
        """The least and the largest sum of any assignment."""
        values = [value for _, value in self.coefficients]
        return math.fsum(value for value in values if value < 0.0), math.fsum(value for value in values if value > 0.0)

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest sum of those that hold."""
        low, high = self.span
        return max(self.least, low), min(self.most, high)

    @property
    def unit(self) -> float:
        """The smallest coefficient in size."""
        return min((abs(value) for _, value in self.coefficients), default=1.0)

    @property
    def group(self) -> Group | None:
        """The variables of which a fixed number must be 1, where the constraint says nothing else; else None."""
        is_counted = self.least == self.most and all(value == 1.0 for _, value in self.coefficients)
        if not is_counted or not 0 <= self.least <= len(self.coefficients):
            return None
        return Group(tuple(variable for variable, _ in self.coefficients), int(self.least))

    def is_met(self, bits: ArrayLike) -> NDArray[np.bool_]:
        """Return for each row of bits (k, n) whether it meets the constraint: shape (k,)."""
        rows = np.atleast_2d(np.asarray(bits, float))
        values = np.zeros(len(rows))
        for variable, value in self.coefficients:
            values += value * rows[:, variable]
        return self._holds(values)

    def is_met_by_all(self, count: int) -> NDArray[np.bool_]:
        """Return whether each assignment of `count` variables meets the constraint: shape (2^n,), bit i is x_i."""
        return self._holds(self._all_values(count))

    def missed_by_all(self, count: int) -> NDArray[np.float64]:
        """Return by how much each assignment of `count` variables is outside of the limits: shape (2^n,)."""
        values = self._all_values(count)
        return np.maximum(0.0, np.maximum(self.least - values, values - self.most))

    def _all_values(self, count: int) -> NDArray[np.float64]:
        values = np.zeros(1)
        coefficients = dict(self.coefficients)
        for variable in range(count):
            values = np.concatenate([values, values + coefficients.get(variable, 0.0)])
        return values

    def _holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        within = 0.0 if self.is_whole else ROUNDING * math.fsum(abs(value) for _, value in self.coefficients)
        return (values >= self.least - within) & (values <= self.most + within)

    def pairs(self, count: int) -> Ising | None:
        """Return the violation of a constraint of two variables, or of at most one of many, without further bits.

        That of two counts the assignment as 1 that is excluded; that of many counts the pairs that are both 1
        (F. Glover, G. Kochenberger and Y. Du, 4OR 17 (2019) 335, section 4). None for other constraints.
        """
        (low, high), (least, most) = self.span, self.limits
        if least <= low and high <= most:
            return Ising.of(count, [])
        names = [variable for variable, _ in self.coefficients]
        if all(value == 1.0 for _, value in self.coefficients) and least <= 0.0 and most == 1.0:
            pairs = itertools.combinations(names, 2)
            return ising_from_bits(count, [(dict.fromkeys(pair, True), 1.0) for pair in pairs])
        if len(names) > 2:
            return None
        excluded = list[tuple[dict[int, bool], float]]()
        for bits in itertools.product((False, True), repeat=len(names)):
            row = np.zeros(count)
            row[names] = bits
            if not self.is_met(row)[0]:
                excluded.append((dict(zip(names, bits, strict=True)), 1.0))
        return ising_from_bits(count, excluded)

    def slack(self) -> tuple[float, ...] | None:
        """Return the weights of the slack bits, which make up each whole number up to most − least, and no more.

        None where there are too many, or the coefficients are no whole numbers.
        """
        least, most = self.limits
        if not self.is_whole:
            return None
        left, weights = most - least, list[float]()
        if left >= 2.0**MAX_SLACK_BITS:
            return None
        while left > 0.0:
            weights.append(min(2.0 ** len(weights), left))
            left -= weights[-1]
        return tuple(weights)

    def squared(self, count: int, further: Sequence[tuple[int, float]], constant: float) -> Ising:
        """Return (Σ a_i x_i + Σ of `further` bits − most + constant)² as an energy of `count` spins."""
        terms = dict([*self.coefficients, *further])
        middle = math.fsum([*terms.values()]) / 2.0 - self.limits[1] + constant
        halves = {variable: -value / 2.0 for variable, value in terms.items()}
        squares: list[tuple[Spins, float]] = [((), middle**2 + math.fsum(half**2 for half in halves.values()))]
        squares += [((variable,), 2.0 * middle * half) for variable, half in halves.items()]
        pairs = itertools.combinations(sorted(halves), 2)
        squares += [((i, j), 2.0 * halves[i] * halves[j]) for i, j in pairs]
        return Ising.of(count, squares)


@dataclass(frozen=True, slots=True)
class Group:
    """Variables, ascending, of which exactly `ones` must be 1."""

    variables: tuple[int, ...]
    ones: int

    @property
    def size(self) -> int:
        """The number of assignments of the variables that hold."""
        return math.comb(len(self.variables), self.ones)


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """A constraint on assignments, and its `violation`, an energy of the variables' qubits and of the slack bits.

    With the best slack bits the violation is 0 where the constraint holds, and 1 or more where it is broken; that of an
    unbalanced penalty is no such number. A `linear` one is met by its sum, another where its violation is below
    `FEASIBLE_BELOW`. `description` is a noun phrase for messages ("the budget of 4").
    """

    description: str
    violation: Ising
    linear: Linear | None = None
    slack: tuple[tuple[int, float], ...] = ()  # places and weights of the slack bits
    is_unbalanced: bool = False

    @property
    def group(self) -> Group | None:
        return None if self.linear is None else self.linear.group

    def is_met(self, bits: ArrayLike) -> NDArray[np.bool_]:
        """Return for each row of bits (k, n) whether it meets the constraint: shape (k,)."""
        if self.linear is not None:
            return self.linear.is_met(bits)
        return self.violation.energies(bits) < FEASIBLE_BELOW

    def is_met_by_all(self, count: int) -> NDArray[np.bool_]:
        """Return whether each assignment of the `count` variables meets the constraint: shape (2^n,)."""
        if self.linear is not None:
            return self.linear.is_met_by_all(count)
        return self.violation.all_energies() < FEASIBLE_BELOW

    def complete(self, bits: NDArray[np.uint8]) -> None:
        """Set the slack bits of rows of bits (k, qubits), so that the violation is the least."""
        if self.linear is None or not self.slack:
            return
        left = np.full(len(bits), self.linear.limits[1])
        for variable, value in self.linear.coefficients:
            left -= value * bits[:, variable]
        for place, weight in sorted(self.slack, key=lambda each: -each[1]):
            bits[:, place] = left >= weight
            left -= weight * bits[:, place]


def penalized(
    linears: Sequence[Linear], count: int, inequalities: Inequalities = Inequalities.SLACK, left_over: float = 1.0
) -> tuple[Constraint, ...]:
    """Return constraints of `count` variables with their violations; slack bits follow the variables.

    An unbalanced penalty is (h − `left_over`)², with h = most − Σ a_i x_i what is left (A. Montañez-Barrera et al.,
    Quantum Sci. Technol. 9 (2024) 025022, whose −λ1 h + λ2 h² is this with λ1 / 2 λ2 left over); it is also that of
    an inequality for which there are no slack bits.
    """
    places, given = count, list[tuple[Linear, tuple[tuple[int, float], ...]]]()
    for linear in linears:
        weights: Sequence[float] = ()
        if inequalities is Inequalities.SLACK and linear.pairs(count) is None:
            weights = linear.slack() or ()
        given.append((linear, tuple(enumerate(weights, places))))
        places += len(weights)
    return tuple(_penalized(linear, count, places, slack, left_over) for linear, slack in given)


def _penalized(
    linear: Linear, count: int, qubits: int, slack: tuple[tuple[int, float], ...], left_over: float
) -> Constraint:
    if (violation := linear.pairs(count)) is not None:
        return Constraint(linear.name, violation.widened(qubits), linear)
    least, most = linear.limits
    if slack or (linear.is_whole and least == most):
        return Constraint(linear.name, linear.squared(qubits, slack, 0.0), linear, slack)
    unit = linear.unit
    violation = linear.squared(qubits, (), min(left_over * unit, (most - least) / 2.0)).scaled(1.0 / unit**2)
    return Constraint(linear.name, violation, linear, is_unbalanced=True)


def disjoint_groups(constraints: Sequence[Constraint]) -> tuple[Group, ...]:
    """Return groups of two variables or more without a common one, the largest taken first."""
    taken, found = set[int](), list[Group]()
    groups = [each.group for each in constraints]
    for group in sorted((each for each in groups if each is not None), key=lambda each: -len(each.variables)):
        if len(group.variables) > 1 and taken.isdisjoint(group.variables):
            taken |= set(group.variables)
            found.append(group)
    return tuple(sorted(found, key=lambda each: each.variables))


def check_possible(linears: Sequence[Linear], source: str) -> None:
    """Raise InputError for a constraint that no assignment meets by itself."""
    for linear in linears:
        least, most = linear.limits
        if least > most:
            low, high = linear.span
            problem = f"{source}: no assignment meets {linear.name}, whose sum is {low:g} to {high:g}"
            raise InputError("problem", problem, "Change the constraint.")
