"""Outcomes that were not seen: intervals hold for each probability of a rare outcome, by exact binomial sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from hybridloop.algorithms.error_budget import error_budget, interval95
from hybridloop.algorithms.estimation.estimates import HIDDEN, Estimate, combine, group_statistics
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.rounds import Counts

GROUP = MeasurementGroup("Z", (1,), np.array([0.5]))  # 0.5 for an outcome 0, −0.5 for the rare 1
MOST = 400  # rare outcomes among the shots, which all expected ones stay below


def estimate(shots: int, rare: int, groups: int = 1) -> Estimate:
    """Return the estimate of so many groups, of which the first has so many rare outcomes."""
    seen = [{"0": shots - rare, "1": rare}, *[{"0": shots}] * (groups - 1)]
    counts = [Counts.from_bitstrings({bits: count for bits, count in each.items() if count}) for each in seen]
    return combine(0.0, [group_statistics(GROUP, each) for each in counts])


@pytest.mark.parametrize("shots", [200, 1000, 4000])
def test_intervals_hold_for_a_rare_outcome_of_any_probability(shots: int) -> None:
    numbers = np.arange(min(shots, MOST))
    ends = []
    for rare in numbers.tolist():
        found = estimate(shots, rare)
        ends.append(interval95(found, error_budget(found, None)))
    low, high = np.array(ends).T
    for expected in (*np.arange(0.05, 20.0, 0.05), *np.arange(20.0, 100.0)):
        probability = expected / shots
        holds = (low - 1e-12 <= 0.5 - probability) & (0.5 - probability <= high + 1e-12)
        covered = float(binom.pmf(numbers[holds], shots, probability).sum())
        assert covered >= (0.945 if expected < 20.0 else 0.93), expected


@pytest.mark.parametrize("qubits", [2, 14, 15, 62, 63, 80])
@pytest.mark.parametrize("ones", [None, 1])
def test_the_bound_knows_the_values_of_any_number_of_qubits(qubits: int, ones: int | None) -> None:
    masks = tuple(1 << qubit for qubit in range(qubits))
    group = MeasurementGroup("Z" * qubits, masks, np.ones(qubits), ones=ones)  # qubits less twice the ones
    found = group_statistics(group, Counts.from_bitstrings({"0" * (qubits - 1) + "1": 10}))
    most = 0.0 if ones == 1 and qubits <= 62 else 2.0 * qubits - 2.0
    assert found.mean == qubits - 2.0
    assert found.reach == pytest.approx(most)


@given(st.integers(100, 100_000), st.integers(1, 5))
def test_a_state_that_every_shot_agrees_on_has_no_error_but_a_bound(shots: int, groups: int) -> None:
    found = estimate(shots, 0, groups)
    assert found.sampled_error == 0.0
    assert found.unseen_bound == pytest.approx(3.0 / shots)  # outcomes of any group are as unlikely
    assert found.standard_error == pytest.approx(1.0 / shots)


@settings(max_examples=30)
@given(st.integers(100, 100_000), st.floats(0.0, 1.0))
def test_one_number_holds_both_errors_and_the_shots_scatter_hides_a_small_bound(shots: int, share: float) -> None:
    found = estimate(shots, round(share * shots))
    reach = 1.0 - min(share, 1.0 - share) if round(share * shots) not in (0, shots) else 1.0
    is_named = 3.0 * found.unseen > 0.0
    assert found.standard_error == pytest.approx(np.hypot(found.sampled_error, found.unseen))
    if is_named:
        assert found.unseen == pytest.approx(reach / shots, rel=0.02)
        assert found.unseen_bound > HIDDEN * found.sampled_error
    else:
        assert 3.0 * reach / shots <= HIDDEN * found.sampled_error * 1.02
    assert found.expected_error >= found.standard_error * (1.0 - 1e-12)
