"""Several observables of one state, measured by the same circuits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.allocation import MOST_SHOTS, neyman_top_up
from hybridloop.algorithms.estimation import Estimate, combine, tally
from hybridloop.algorithms.measurement import MeasurementGroup, Observable, observable
from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class JointMeasurement:
    """Groups that answer for several observables at once.

    `groups` are the circuits to measure. `parts[i]` is observable i with its own terms of the groups it has any in,
    which are `places[i]`.
    """

    groups: tuple[MeasurementGroup, ...]
    parts: tuple[Observable, ...]
    places: tuple[tuple[int, ...], ...]

    def estimates(self, counts: Sequence[Counts]) -> list[Estimate]:
        """Each observable's estimate, from the counts of each group."""
        return [
            combine(part, [tally(group, counts[place]) for group, place in zip(part.groups, at, strict=True)])
            for part, at in zip(self.parts, self.places, strict=True)
        ]

    def expected_variances(self) -> list[list[float]]:
        """For each observable, its groups' variances of one shot in a state unknown: Σ c², as if nothing correlated."""
        return [[float(group.coefficients @ group.coefficients) for group in part.groups] for part in self.parts]

    def shots(self, shot_variances: Sequence[Sequence[float]], precision: float) -> list[int]:
        """Shots for each group, so that each observable's standard error is `precision`; at least 1.

        Neyman's shares for each observable; a group that several need gets the most that one of them asks.
        """
        wanted = [1] * len(self.groups)
        for variances, at in zip(shot_variances, self.places, strict=True):
            if math.fsum(math.sqrt(each) for each in variances) ** 2 > MOST_SHOTS * precision**2:
                problem = f"{precision:g} takes more than {MOST_SHOTS:g} shots"
                raise InputError("precision", problem, "Give a larger standard error, in the observable's unit.")
            for place, share in zip(at, neyman_top_up(variances, [0] * len(at), precision**2), strict=True):
                wanted[place] = max(wanted[place], share)
        return wanted


def jointly(operators: Sequence[SparsePauliOp]) -> JointMeasurement:
    """Group the terms of all the operators together, each weighed by the root of its coefficients' squares' sum."""
    parts = [observable(operator) for operator in operators]
    together = SparsePauliOp.sum([_absolute(part.operator) for part in parts]).simplify(atol=0.0)
    together.coeffs = np.sqrt(together.coeffs)
    groups = observable(together).groups
    home = {term: place for place, group in enumerate(groups) for term in _terms(group)}
    shared = [_shared(part, groups, home) for part in parts]
    observables = tuple(
        Observable(part.operator, part.constant, found) for part, (_, found) in zip(parts, shared, strict=True)
    )
    return JointMeasurement(groups, observables, tuple(at for at, _ in shared))


def _absolute(operator: SparsePauliOp) -> SparsePauliOp:
    return SparsePauliOp(operator.paulis, np.abs(operator.coeffs) ** 2)


def _shared(
    part: Observable, groups: Sequence[MeasurementGroup], home: dict[str, int]
) -> tuple[tuple[int, ...], tuple[MeasurementGroup, ...]]:
    """The groups that have terms of this observable, by number, and those terms in them."""
    found: dict[int, list[tuple[int, float]]] = {}
    for own in part.groups:
        for term, mask, coefficient in zip(_terms(own), own.masks, own.coefficients.tolist(), strict=True):
            if coefficient:
                found.setdefault(home[term], []).append((mask, coefficient))
    at = tuple(sorted(found))
    return at, tuple(_part_of(groups[place], found[place]) for place in at)


def _part_of(group: MeasurementGroup, terms: Sequence[tuple[int, float]]) -> MeasurementGroup:
    coefficients: NDArray[np.float64] = np.array([coefficient for _, coefficient in terms])
    return MeasurementGroup(group.basis, tuple(mask for mask, _ in terms), coefficients)


def _terms(group: MeasurementGroup) -> list[str]:
    """The Pauli labels of the group's terms."""
    letters = list(enumerate(reversed(group.basis)))
    return ["".join(pauli if mask >> qubit & 1 else "I" for qubit, pauli in reversed(letters)) for mask in group.masks]
