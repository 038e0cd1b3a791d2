"""Shots of a joint measurement: the refusal above the limit of shots, and the maximum over the observables."""

from __future__ import annotations

import pytest
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.estimation.final import MAX_SHOTS
from hybridloop.algorithms.estimation.joint import group_jointly
from hybridloop.errors import InputError


@pytest.mark.parametrize("precision", [1.0, 0.5, 2.0])
def test_a_precision_is_refused_only_if_it_takes_more_than_the_limit_of_shots(precision: float) -> None:
    joint = group_jointly([SparsePauliOp(["Z"])])
    largest = MAX_SHOTS * precision**2  # the variance of one shot for which the limit just suffices
    assert joint.shots([[largest]], precision) == [MAX_SHOTS]
    assert joint.shots([[0.99 * largest]], precision) == pytest.approx([0.99 * MAX_SHOTS])
    with pytest.raises(InputError, match="takes more than 100,000,000 shots") as caught:
        joint.shots([[1.01 * largest]], precision)
    assert caught.value.field == "precision"


def test_the_limit_is_one_of_each_observable_over_all_its_groups() -> None:
    joint = group_jointly([SparsePauliOp(["Z", "X"]), SparsePauliOp(["Z"])])
    # (√v + √v)² = 4 v
    assert sum(joint.shots([[MAX_SHOTS / 4, MAX_SHOTS / 4], [MAX_SHOTS]], 1.0)) > MAX_SHOTS
    with pytest.raises(InputError, match="precision"):
        joint.shots([[MAX_SHOTS / 3.9, MAX_SHOTS / 3.9], [1.0]], 1.0)


def test_a_shared_group_gets_the_most_shots_that_an_observable_needs() -> None:
    joint = group_jointly([SparsePauliOp(["Z", "X"]), SparsePauliOp(["Z"])])
    (shared,) = joint.group_indices[1]
    alone = 1 - shared
    variances = [[1.0, 1.0], [9.0]]
    # Neyman: σ_g Σ σ / ε² is 2 / ε² for each of two equal groups, 9 / ε² for the second observable's group
    shots = joint.shots(variances, 0.5)
    assert shots[shared] == 36
    assert shots[alone] == 8
