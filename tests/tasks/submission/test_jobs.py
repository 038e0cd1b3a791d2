"""Shots of a point are split into jobs within the target's limit."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hybridloop.targets import find_target
from hybridloop.tasks.submission.jobs import split_shots


@given(st.integers(1, 10**5), st.integers(100, 10**4))
def test_shots_are_split_into_as_few_and_as_even_parts_as_the_limit_allows(shots: int, limit: int) -> None:
    parts = split_shots(shots, replace(find_target("rigetti.sim.qvm"), max_shots=limit))
    assert sum(parts) == shots
    assert max(parts) <= limit
    assert max(parts) - min(parts) <= 1
    assert (len(parts) - 1) * limit < shots


def test_a_target_that_does_not_sample_gets_one_job_within_its_limit() -> None:
    exact = replace(find_target("ionq.simulator"), max_shots=1000)
    assert not exact.samples
    assert [split_shots(shots, exact) for shots in (10, 5000)] == [[10], [1000]]
