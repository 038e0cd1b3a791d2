"""Estimates from counts: energies, variances and rounding bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import hardware_efficient
from hybridloop.algorithms.estimation.estimates import (
    Estimate,
    GroupStatistics,
    combine,
    estimate_observable,
    evaluation,
    group_statistics,
    pooled,
    shot_energies,
)
from hybridloop.algorithms.estimation.observable import MeasurementGroup, observable
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub
from hybridloop.algorithms.search import ShotShares
from tests.algorithms.batched_state_helpers import largest_remainder, noiseless_rounds

MOST_LISTED = 9  # qubits whose outcomes this listing is quick for


@st.composite
def groups_and_counts(draw: st.DrawFn, exact: bool = False) -> tuple[MeasurementGroup, dict[str, int]]:  # noqa: FBT001, FBT002 (Hypothesis passes it)
    width = draw(st.sampled_from([1, 3, 8, 9, 64, 70]))
    masks = draw(st.lists(st.integers(1, 2**width - 1), min_size=1, max_size=6, unique=True))
    coefficients = np.array(draw(st.lists(st.floats(-2, 2), min_size=len(masks), max_size=len(masks))))
    group = MeasurementGroup("Z" * width, tuple(masks), coefficients)
    keys = draw(st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=10, unique=True))
    return group, {format(key, f"0{width}b"): draw(st.integers(1, 1000)) for key in keys}


def energy_of(bits: str, group: MeasurementGroup) -> float:
    """Return one outcome's energy by counting characters."""
    total = 0.0
    for mask, coefficient in zip(group.masks, group.coefficients, strict=True):
        ones = sum(bit == "1" for place, bit in enumerate(reversed(bits)) if mask >> place & 1)
        total += coefficient * (-1) ** ones
    return total


@given(groups_and_counts())
def test_energies_mean_and_variance_equal_those_of_the_single_shots(
    drawn: tuple[MeasurementGroup, dict[str, int]],
) -> None:
    group, seen = drawn
    counts = Counts.from_bitstrings(seen)
    expected = [energy_of(bits, group) for bits in sorted(seen)]
    assert shot_energies(group, counts) == pytest.approx(expected, abs=1e-12)
    shots = np.repeat(expected, [seen[bits] for bits in sorted(seen)])
    made = group_statistics(group, counts)
    assert made.shots == len(shots)
    assert made.mean == pytest.approx(shots.mean(), abs=1e-12)
    # one fictitious shot of the outcome that is the farthest off adds its square / shots
    reach = made.reach
    if counts.num_bits <= MOST_LISTED:
        every = [energy_of(f"{outcome:0{counts.num_bits}b}", group) for outcome in range(1 << counts.num_bits)]
        assert reach == pytest.approx(max(abs(np.array(every) - made.mean)), abs=1e-9)
    assert made.shot_variance == pytest.approx(shots.var() + reach**2 / len(shots), abs=1e-9)


@given(groups_and_counts(), st.integers(0, 2**32))
def test_statistics_of_parts_merge_into_the_statistics_of_the_whole(
    drawn: tuple[MeasurementGroup, dict[str, int]], seed: int
) -> None:
    group, seen = drawn
    rng = np.random.default_rng(seed)
    first = {bits: int(rng.integers(0, count + 1)) for bits, count in seen.items()}
    second = {bits: seen[bits] - first[bits] for bits in seen}
    whole = group_statistics(group, Counts.from_bitstrings(seen))
    parts = [group_statistics(group, Counts.from_bitstrings(part)) for part in (first, second) if sum(part.values())]
    merged = parts[0].merge(parts[1]) if len(parts) == 2 else parts[0]
    assert merged.shots == whole.shots
    assert merged.mean == pytest.approx(whole.mean, abs=1e-12)
    assert merged.squared_deviations == pytest.approx(whole.squared_deviations, abs=1e-7)


@given(st.integers(1, 4), st.integers(1, 3000), st.integers(0, 2**32))
def test_an_exact_distribution_is_within_the_worst_case_of_its_rounding(width: int, shots: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(2**width, 0.3))
    rounded = largest_remainder(shots, probabilities)
    keys = [format(i, f"0{width}b") for i in range(2**width)]
    masks = tuple(range(1, 2**width))
    group = MeasurementGroup("Z" * width, masks, rng.normal(size=len(masks)))
    seen = {key: int(count) for key, count in zip(keys, rounded, strict=True) if count}
    made = group_statistics(group, Counts.from_bitstrings(seen, exact=True))
    truth = sum(p * energy_of(key, group) for key, p in zip(keys, probabilities, strict=True))
    assert made.is_exact
    assert made.variance == 0.0
    assert abs(made.mean - truth) <= made.rounding.worst + 1e-12


def test_merging_two_exact_results_keeps_the_one_with_the_smaller_bound() -> None:
    (group,) = observable(SparsePauliOp(["Z"], [1.0])).groups
    coarse = group_statistics(group, Counts.from_bitstrings({"0": 6, "1": 4}, exact=True))
    fine = group_statistics(group, Counts.from_bitstrings({"0": 623, "1": 377}, exact=True))
    assert coarse.merge(fine) == fine
    assert fine.merge(coarse) == fine


def test_the_standard_error_is_the_spread_of_repeated_measurements() -> None:
    # ZI, IZ and ZZ share shots: leaving their covariances out would give 0.87 or 1.15 of the spread
    made = observable(SparsePauliOp(["ZI", "IZ", "ZZ", "XX"], [0.5, 0.4, 0.3, 0.2]))
    rng = np.random.default_rng(5)
    probabilities = {"Z": [0.6, 0.1, 0.05, 0.25], "X": [0.4, 0.3, 0.2, 0.1]}
    estimates = []
    for _ in range(2000):
        drawn = [rng.multinomial(500, probabilities["X" if "X" in group.basis else "Z"]) for group in made.groups]
        counts = [Counts.from_bitstrings({format(i, "02b"): int(n) for i, n in enumerate(row)}) for row in drawn]
        estimates.append(estimate_observable(made, counts))
    spread = np.std([estimate.value for estimate in estimates])
    claimed = np.sqrt(np.mean([estimate.variance for estimate in estimates]))
    # 2000 repetitions know the spread to 1 / sqrt(4000) = 1.6 %; five times that
    assert claimed == pytest.approx(spread, rel=0.08)
    mean = np.mean([estimate.value for estimate in estimates])
    inside = np.mean([abs(estimate.value - mean) <= 1.96 * estimate.standard_error for estimate in estimates])
    assert 0.93 < inside < 0.97  # 0.95 ± 4 binomial deviations of 0.005


def test_few_shots_that_agree_still_have_a_variance() -> None:
    (group,) = observable(SparsePauliOp(["ZZ"], [2.0])).groups
    made = group_statistics(group, Counts.from_bitstrings({"00": 1}))
    assert (made.variance, made.sampled_variance, made.unseen) == pytest.approx((16.0, 0.0, 4.0))


def test_a_constant_is_exact_without_measuring() -> None:
    made = combine(1.5, [])
    assert (made.value, made.variance, made.is_exact, made.shots) == (1.5, 0.0, True, 0)


def test_pooled_variances_of_few_shots_are_drawn_to_the_mean_of_the_round_and_those_of_many_stay() -> None:
    agreeing, few, many = (
        GroupStatistics(shots, 0.1, shots * v, 1.0) for shots, v in ((2, 0.0), (2, 0.5), (10**7, 0.9))
    )
    exact, failed = GroupStatistics(10, 0.2, 0.0, 1.0, is_exact=True), FailedPoint("gone")
    column = pooled([failed, agreeing, exact, few, many])
    assert (column[0], column[2]) == (failed, exact)
    first, second, third = (each for each in column if isinstance(each, GroupStatistics) and not each.is_exact)
    assert 0.85 < first.shot_variance < second.shot_variance < 0.9  # of 102 shots, 100 are the round's
    assert third.shot_variance == pytest.approx(0.9, rel=1e-5)
    assert [each.mean for each in (first, second, third)] == [0.1] * 3


def test_points_with_shots_of_their_own_keep_their_order_in_one_round() -> None:
    energy = observable(SparsePauliOp(["ZI", "IZ", "XX"], [1.0, 0.5, 0.7]))
    rounds: list[int] = []

    def counted(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        rounds.append(len(pubs))
        return noiseless_rounds()(pubs)

    points = np.random.default_rng(1).uniform(-2, 2, (5, 4))
    evaluated = evaluation(energy, hardware_efficient(2, np.zeros(4)), counted)
    shots = np.array([[10**6, 10**7], [10**7, 10**6], [10**6, 10**6], [10**7, 10**7], [10**6, 10**7]])
    recorded, estimates = evaluated.energies(points, shots)
    _, expected = evaluated.energies(points, 10**7)
    assert rounds == [4, 2]  # two numbers of shots of each of two groups
    assert np.array_equal(recorded, points)
    for row, (found, of_all) in enumerate(zip(estimates, expected, strict=True)):
        assert isinstance(found, Estimate)
        assert isinstance(of_all, Estimate)
        assert found.shots == shots[row].sum()
        assert found.value == pytest.approx(of_all.value, abs=1e-4)


def test_shots_are_shared_by_the_deviations_of_the_groups() -> None:
    shares = ShotShares(np.array([3.0, 1.0, 0.0]))
    assert shares.allocate(np.array([400, 40])).tolist() == [[299, 100, 1], [29, 10, 1]]
    shares.update([Estimate(0.0, 0.1, 10, shot_variances=(1.0, 1.0, 4.0))])
    assert shares.deviations.tolist() == [2.0, 1.0, 1.0]
    assert ShotShares(np.zeros(2)).allocate(np.array([10])).tolist() == [[5, 5]]


@given(
    st.lists(st.just(0.0) | st.floats(0.01, 10.0), min_size=1, max_size=6), st.integers(1, 300), st.integers(1, 5000)
)
def test_no_group_has_fewer_than_the_least_shots_and_the_others_share_the_rest(
    deviations: list[float], least: int, shots: int
) -> None:
    sizes = np.array(deviations)
    (taken,) = ShotShares(sizes, least).allocate(np.array([shots]))
    assert taken.min() >= least
    assert abs(taken.sum() - max(shots, least * len(sizes))) <= len(sizes)  # rounding
    above = taken > least
    if sizes[above].any():
        share = (taken[above].sum() * sizes[above] / sizes[above].sum()).round()
        assert np.abs(taken[above] - share).max() <= len(sizes)
