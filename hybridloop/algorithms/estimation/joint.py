"""Joint measurement: several observables of one state from the same circuits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.estimation.estimates import Estimate, estimate_observable
from hybridloop.algorithms.estimation.final import MAX_SHOTS, neyman_allocation
from hybridloop.algorithms.estimation.observable import MeasurementGroup, Observable, observable
from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class JointMeasurement:
    """Groups of terms that several observables share.

    `groups` are the circuits to measure. `observables[i]` is observable i, with its own coefficients for those of the
    groups that contain its terms; `group_indices[i]` are their indices in `groups`.
    """

    groups: tuple[MeasurementGroup, ...]
    observables: tuple[Observable, ...]
    group_indices: tuple[tuple[int, ...], ...]

    def estimates(self, counts: Sequence[Counts]) -> list[Estimate]:
        """Return the estimate of each observable from the counts of each group."""
        pairs = zip(self.observables, self.group_indices, strict=True)
        return [estimate_observable(part, [counts[index] for index in indices]) for part, indices in pairs]

    def expected_variances(self) -> list[list[float]]:
        """Return for each observable the expected variance of one shot of its groups: Σ c², without correlations."""
        return [[float(group.coefficients @ group.coefficients) for group in part.groups] for part in self.observables]

    def largest_variances(self) -> list[list[float]]:
        """Return for each observable the largest variance that one shot of its groups can have: (Σ |c|)²."""
        return [[float(np.abs(group.coefficients).sum()) ** 2 for group in part.groups] for part in self.observables]

    def shots(self, shot_variances: Sequence[Sequence[float]], precision: float, *, most: int = MAX_SHOTS) -> list[int]:
        """Return the shots of each group, at least 1, so that each observable's standard error is `precision`.

        Shots follow Neyman allocation for each observable; a group of several observables gets their maximum. Raises
        InputError for a precision that takes more than `most`.
        """
        shots = [1] * len(self.groups)
        for variances, indices in zip(shot_variances, self.group_indices, strict=True):
            if math.fsum(math.sqrt(variance) for variance in variances) ** 2 > most * precision**2:
                raise too_precise(precision, most)
            allocated = neyman_allocation(variances, [0] * len(indices), precision**2)
            for index, group_shots in zip(indices, allocated, strict=True):
                shots[index] = max(shots[index], group_shots)
        return shots


def too_precise(precision: float, most: int) -> InputError:
    """Return the error of a precision that takes more shots than these."""
    problem = f"{precision:g} takes more than {most:,} shots"
    return InputError("precision", problem, "Give a larger standard error, in the observable's unit.")


def group_jointly(operators: Sequence[SparsePauliOp]) -> JointMeasurement:
    """Group the terms of all operators together, each weighted by the root of the sum of its squared coefficients."""
    parts = [observable(operator) for operator in operators]
    # group all terms as one operator
    squares = [SparsePauliOp(part.operator.paulis, np.abs(part.operator.coeffs) ** 2) for part in parts]
    union = SparsePauliOp.sum(squares).simplify(atol=0.0)
    union.coeffs = np.sqrt(union.coeffs)
    groups = observable(union).groups
    group_of_term = {term: index for index, group in enumerate(groups) for term in _terms(group)}
    # give each observable the groups that have its terms
    shared = [_shared_groups(part, groups, group_of_term) for part in parts]
    observables = tuple(
        Observable(part.operator, part.constant, own) for part, (_, own) in zip(parts, shared, strict=True)
    )
    return JointMeasurement(groups, observables, tuple(indices for indices, _ in shared))


def _shared_groups(
    part: Observable, groups: Sequence[MeasurementGroup], group_of_term: dict[str, int]
) -> tuple[tuple[int, ...], tuple[MeasurementGroup, ...]]:
    """Return the indices of the groups with terms of this observable, and those groups with its coefficients."""
    terms: dict[int, list[tuple[int, float]]] = {}
    for group in part.groups:
        for term, mask, coefficient in zip(_terms(group), group.masks, group.coefficients.tolist(), strict=True):
            if coefficient:
                terms.setdefault(group_of_term[term], []).append((mask, coefficient))
    indices = tuple(sorted(terms))
    columns = [tuple(zip(*terms[index], strict=True)) for index in indices]  # masks, coefficients
    measured = zip(indices, columns, strict=True)
    return indices, tuple(MeasurementGroup(groups[index].basis, m, np.array(c)) for index, (m, c) in measured)


def _terms(group: MeasurementGroup) -> list[str]:
    """Return the Pauli labels of the group's terms."""
    letters = list(enumerate(reversed(group.basis)))
    return ["".join(pauli if mask >> qubit & 1 else "I" for qubit, pauli in reversed(letters)) for mask in group.masks]
