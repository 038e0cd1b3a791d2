"""Shot allocation: Neyman and uniform."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.estimation.final import neyman_allocation, uniform_allocation
from tests.long_form import long_form, short_or_long

GROUPS = st.lists(st.tuples(st.floats(1e-6, 4), st.integers(1, 100_000)), min_size=1, max_size=8)


def variance(variances: list[float], shots: list[int]) -> float:
    return math.fsum(v / n for v, n in zip(variances, shots, strict=True))


@given(GROUPS, st.floats(1e-6, 1e-2))
def test_neyman_allocation_meets_the_target_without_spare_shots(groups: list[tuple[float, int]], target: float) -> None:
    variances, measured = [v for v, _ in groups], [n for _, n in groups]
    further = neyman_allocation(variances, measured, target, most=10**15)
    totals = [n + m for n, m in zip(measured, further, strict=True)]
    assert min(further) >= 0
    assert variance(variances, totals) <= target * (1 + 1e-9)
    # one shot less wherever some were added, and the target is missed: only rounding up is to spare
    fewer = [n - 1 if m else n for n, m in zip(totals, further, strict=True)]
    if any(further) and min(fewer) > 0:
        assert variance(variances, fewer) >= target * (1 - 1e-9)


@given(GROUPS, st.floats(1e-6, 1e-2), st.floats(0.5, 2.0))
def test_no_other_allocation_of_the_same_shots_has_less_variance(
    groups: list[tuple[float, int]], target: float, tilt: float
) -> None:
    variances, measured = [v for v, _ in groups], [n for _, n in groups]
    further = neyman_allocation(variances, measured, target, most=10**15)
    if len(groups) < 2 or not further[0]:
        return
    moved = min(round(further[0] * abs(tilt - 1) / 2), further[0])
    totals = [n + m for n, m in zip(measured, further, strict=True)]
    other = [totals[0] - moved, totals[1] + moved, *totals[2:]]
    slack = sum(v / (n * n) for v, n in zip(variances, totals, strict=True))  # rounding up to whole shots
    assert variance(variances, other) >= variance(variances, totals) - slack


@long_form
@settings(max_examples=short_or_long(30, 200))
@given(GROUPS, st.floats(1e-6, 1e-2))
def test_uniform_allocation_finds_the_smallest_common_number_of_shots(
    groups: list[tuple[float, int]], target: float
) -> None:
    variances, measured = [v for v, _ in groups], [n for _, n in groups]
    further = uniform_allocation(variances, measured, target, most=10**15)
    totals = [n + m for n, m in zip(measured, further, strict=True)]
    assert variance(variances, totals) <= target * (1 + 1e-9)
    level = max((total for total, m in zip(totals, further, strict=True) if m), default=0)
    assert all(total == level if m else total >= level for total, m in zip(totals, further, strict=True))
    if level > 1:
        assert variance(variances, [max(n, level - 1) for n in measured]) > target


@given(GROUPS, st.floats(1e-6, 1e-2))
def test_neyman_allocation_never_takes_more_shots_than_uniform(groups: list[tuple[float, int]], target: float) -> None:
    variances, measured = [v for v, _ in groups], [n for _, n in groups]
    neyman, uniform = (
        sum(each(variances, measured, target, most=10**15)) for each in (neyman_allocation, uniform_allocation)
    )
    assert neyman <= uniform + len(groups)  # rounding up, once each


def test_uniform_allocation_gives_no_shots_without_variance() -> None:
    assert uniform_allocation([0.0, 0.0], [0, 5], 0.01) == [0, 0]
    assert sum(uniform_allocation([1.0, 4.0], [10, 10], 1e-12, most=10_000)) == 10_000


def test_neyman_allocation_gives_nothing_to_groups_with_enough_shots() -> None:
    assert neyman_allocation([1.0, 1.0], [1000, 1000], 0.01) == [0, 0]
    assert neyman_allocation([1.0, 1.0], [10_000, 10], 0.01)[0] == 0


def test_neyman_allocation_gives_no_shots_without_variance() -> None:
    assert neyman_allocation([0.0, 1.0], [0, 0], 0.01) == [0, 100]
    assert neyman_allocation([0.0, 0.0], [0, 5], 0.01) == [0, 0]


def test_the_maximum_of_shots_is_never_exceeded() -> None:
    assert 9_998 <= sum(neyman_allocation([1.0, 4.0], [10, 10], 1e-12, most=10_000)) <= 10_000
