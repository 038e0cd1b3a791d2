"""Statistics of outcomes with the state's number of ones; others are errors and are left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.estimation.estimates import (
    MIN_KEPT_FRACTION,
    GroupStatistics,
    combine,
    group_statistics,
    valid_statistics,
)
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.rounds import Counts, UnusablePoint
from hybridloop.tasks.submission.results import largest_remainder
from tests.algorithms.estimation.test_estimates import energy_of

GROUP = MeasurementGroup("ZZ", (0b01, 0b10), np.array([0.5, -0.25]), ones=1, fault_deviation=0.3)
MOST_LISTED = 9  # qubits whose outcomes this listing is quick for
Drawn = tuple[MeasurementGroup, dict[str, int]]


@st.composite
def groups_and_counts(draw: st.DrawFn) -> Drawn:
    """Draw a group of a state with a number of ones, and counts of which at least half the outcomes have it."""
    width = draw(st.sampled_from([2, 3, 8, 9, 17]))
    ones = draw(st.integers(0, width))
    masks = draw(st.lists(st.integers(1, 2**width - 1), min_size=1, max_size=5, unique=True))
    coefficients = np.array(draw(st.lists(st.floats(-2, 2), min_size=len(masks), max_size=len(masks))))
    group = MeasurementGroup(
        "Z" * width, tuple(masks), coefficients, ones=ones, fault_deviation=draw(st.floats(0.01, 1.0))
    )
    right = st.permutations([*"1" * ones, *"0" * (width - ones)]).map("".join)
    other = st.text("01", min_size=width, max_size=width)
    outcomes = {*draw(st.lists(right, min_size=1, max_size=6)), *draw(st.lists(other, max_size=6))}
    return group, {bits: draw(st.integers(1, 1000)) for bits in sorted(outcomes)}


def is_right(bits: str, group: MeasurementGroup) -> bool:
    return bits.count("1") == group.ones


def right_outcomes(width: int, group: MeasurementGroup) -> Iterator[str]:
    """Yield all outcomes with the group's number of ones."""
    assert group.ones is not None
    for places in itertools.combinations(range(width), group.ones):
        yield "".join("1" if place in places else "0" for place in range(width))


def statistics(group: MeasurementGroup, seen: dict[str, int]) -> GroupStatistics:
    found = valid_statistics(group, Counts.from_bitstrings(seen))
    assert isinstance(found, GroupStatistics)
    return found


def is_usable(group: MeasurementGroup, seen: dict[str, int]) -> bool:
    kept = sum(count for bits, count in seen.items() if is_right(bits, group))
    return kept >= max(1.0, MIN_KEPT_FRACTION * sum(seen.values()))


@settings(max_examples=50)
@given(groups_and_counts())
def test_outcomes_with_another_number_of_ones_are_left_out(drawn: Drawn) -> None:
    group, seen = drawn
    assume(is_usable(group, seen))
    right = {bits: count for bits, count in seen.items() if is_right(bits, group)}
    shots = np.repeat([energy_of(bits, group) for bits in right], list(right.values()))
    found = statistics(group, seen)
    assert (found.shots, found.kept, found.discarded) == (
        sum(seen.values()),
        len(shots),
        sum(seen.values()) - len(shots),
    )
    assert found.mean == pytest.approx(shots.mean(), abs=1e-12)
    assert found.squared_deviations == pytest.approx(shots.var() * len(shots), abs=1e-8)


@settings(max_examples=50)
@given(groups_and_counts())
def test_the_variance_of_the_mean_is_that_of_the_kept_shots_with_one_rare_shot(drawn: Drawn) -> None:
    group, seen = drawn
    assume(is_usable(group, seen))
    found = statistics(group, seen)
    right = {bits: count for bits, count in seen.items() if is_right(bits, group)}
    shots = np.repeat([energy_of(bits, group) for bits in right], list(right.values()))
    width = len(next(iter(seen)))
    reach = found.reach
    if width <= MOST_LISTED:
        every = [energy_of(bits, group) for bits in right_outcomes(width, group)]
        assert reach == pytest.approx(max(abs(np.array(every) - shots.mean())), abs=1e-9)
    squares = ((shots - shots.mean()) ** 2).sum() + max(reach, group.fault_deviation) ** 2
    assert found.variance == pytest.approx(squares / len(shots) ** 2, rel=1e-9)
    assert found.shot_variance == pytest.approx(found.variance * sum(seen.values()), rel=1e-12)


@settings(max_examples=50)
@given(groups_and_counts(), st.integers(0, 2**32))
def test_statistics_of_two_parts_merge_into_those_of_the_whole(drawn: Drawn, seed: int) -> None:
    group, seen = drawn
    generator = np.random.default_rng(seed)
    first = {bits: int(generator.integers(0, count + 1)) for bits, count in seen.items()}
    second = {bits: seen[bits] - first[bits] for bits in seen}
    assume(all(is_usable(group, part) for part in (first, second, seen)))
    whole, (one, other) = statistics(group, seen), (statistics(group, part) for part in (first, second))
    for merged in (one.merge(other), other.merge(one)):
        assert (merged.shots, merged.discarded, merged.kept) == (whole.shots, whole.discarded, whole.kept)
        assert merged.mean == pytest.approx(whole.mean, abs=1e-12)
        assert merged.squared_deviations == pytest.approx(whole.squared_deviations, abs=1e-7)
        assert whole.reach - 1e-9 <= merged.reach <= max(one.reach, other.reach) + 1e-9
        assert merged.sampled_variance == pytest.approx(whole.sampled_variance, rel=1e-6, abs=1e-12)


@settings(max_examples=50)
@given(groups_and_counts())
def test_a_group_of_any_state_keeps_all_outcomes(drawn: Drawn) -> None:
    group, seen = drawn
    of_any = MeasurementGroup(group.basis, group.masks, group.coefficients)
    counts = Counts.from_bitstrings(seen)
    found = valid_statistics(of_any, counts)
    assert found == group_statistics(of_any, counts)
    assert isinstance(found, GroupStatistics)
    assert found.discarded == 0


@pytest.mark.parametrize(
    ("seen", "kept"),
    [({"01": 1, "11": 99}, 1), ({"10": 2, "00": 198}, 2), ({"01": 1}, 1), ({"01": 10, "10": 10, "00": 1980}, 20)],
    ids=str,
)
def test_a_hundredth_of_the_shots_is_enough(seen: dict[str, int], kept: int) -> None:
    assert statistics(GROUP, seen).kept == kept


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"11": 1}, "only 0 of 1 shots"),
        ({"00": 5, "11": 5}, "only 0 of 10 shots"),
        ({"01": 1, "11": 100}, "only 1 of 101 shots"),
        ({"01": 9, "10": 10, "00": 1981}, "only 19 of 2000 shots"),
    ],
    ids=str,
)
def test_fewer_kept_shots_make_the_point_unusable(seen: dict[str, int], words: str) -> None:
    found = valid_statistics(GROUP, Counts.from_bitstrings(seen))
    assert isinstance(found, UnusablePoint)
    assert words in found.reason


def test_shots_that_agree_have_the_variance_of_one_rare_shot() -> None:
    found = statistics(GROUP, {"01": 80, "11": 20})
    assert found.mean == -0.75
    assert (found.sampled_variance, found.unseen) == pytest.approx((0.0, 1.5 / 80), rel=1e-12)
    assert found.variance == pytest.approx((1.5 / 80) ** 2, rel=1e-12)


def test_an_estimate_counts_all_shots_and_those_that_were_discarded() -> None:
    parts = [statistics(GROUP, {"01": 80, "11": 20}), statistics(GROUP, {"10": 45, "01": 5, "00": 5})]
    estimate = combine(1.0, parts)
    assert (estimate.shots, estimate.discarded) == (155, 25)
    assert estimate.value == pytest.approx(1.0 - 0.75 + 0.75 * (45 - 5) / 50, abs=1e-12)
    sampled, unseen = sum(each.sampled_variance for each in parts), max(each.unseen for each in parts)
    assert estimate.variance == pytest.approx(sampled + unseen**2, rel=1e-12)
    assert (estimate.sampled_error, estimate.unseen) == pytest.approx((sampled**0.5, unseen), rel=1e-12)
    assert estimate.standard_error == pytest.approx((sampled + unseen**2) ** 0.5, rel=1e-12)
    # shots spent on a group, times the variance that each has, give the variance of the mean
    for part, variance in zip(parts, estimate.shot_variances, strict=True):
        assert variance / part.shots == pytest.approx(part.variance, rel=1e-12)


def test_the_rounding_of_an_exact_distribution_is_bounded_by_all_outcomes_that_are_possible() -> None:
    generator = np.random.default_rng(7)
    group = MeasurementGroup("ZZZZ", (1, 2, 4, 8), np.array([0.3, -0.2, 0.5, 0.1]), energy_range=1.4, ones=1)
    states = ["0001", "0010", "0100", "1000"]
    values = np.array([0.7 - 2.0 * value for value in (0.3, -0.2, 0.5, 0.1)])
    for _ in range(200):
        rare = generator.uniform(0.0, 4e-4, 3)  # below half a shot or above it
        chances = np.append(1.0 - rare.sum(), rare)
        exact = float(chances @ values)
        counts = largest_remainder(dict(zip(states, chances.tolist(), strict=True)), 2000)
        found = valid_statistics(group, Counts.from_bitstrings(counts, exact=True))
        assert isinstance(found, GroupStatistics)
        assert abs(found.mean - exact) <= found.rounding_bound
