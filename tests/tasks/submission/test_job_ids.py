"""Ids, names and sampling values of jobs depend only on their place."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.errors import InputError
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey, check_stream, session_id

RUN = "6c1d1a52-6f0e-4a57-9d0c-7b1f7a8c0c11"
OTHER_RUN = "0a4d5a6e-93c1-4f1c-8f5e-d5ab3a2ad0d2"
small = st.integers(0, 30)
places = st.builds(
    JobKey, st.builds(RoundKey, st.just(RUN), st.sampled_from(["main", "a", "a/0"]), small), small, small, small
)
unnamed = st.builds(JobKey, st.builds(RoundKey, st.just(RUN), st.just("main"), small), small, small, small)


@given(places, places)
def test_different_places_have_different_ids(one: JobKey, other: JobKey) -> None:
    same = one == other
    assert (one.job_id(0) == other.job_id(0)) is same
    assert (one.sampling_value(7) == other.sampling_value(7)) is same


@given(unnamed, unnamed)
def test_jobs_without_a_name_of_a_user_have_one_of_their_round_alone(one: JobKey, other: JobKey) -> None:
    assert (one.name(0) == other.name(0)) is (one == other)
    assert other.name(0).startswith(one.round.prefix) is (one.round == other.round)


@pytest.mark.parametrize("name", ["Job 1", "H₂ at 0.74 Å", "it's", "a/b", "x" * 100])
def test_jobs_have_the_name_that_a_user_gave_which_is_numbered_from_the_second_round(name: str) -> None:
    jobs = [JobKey(RoundKey(RUN, check_stream(name), sequence), 0, 0, 0) for sequence in range(2)]
    assert [job.name(0) for job in jobs] == [name, f"{name} (2)"]
    assert [job.name(1).startswith(job.round.prefix) for job in jobs] == [True, True]


@given(places)
def test_another_attempt_is_another_job_with_the_same_sampling_value(place: JobKey) -> None:
    assert uuid.UUID(place.job_id(0)) != uuid.UUID(place.job_id(1))
    elsewhere = JobKey(
        RoundKey(OTHER_RUN, place.round.stream, place.round.sequence), place.pub, place.point, place.part
    )
    assert elsewhere.job_id(0) != place.job_id(0)
    assert elsewhere.sampling_value(7) == place.sampling_value(7) != place.sampling_value(8)


def test_the_sessions_of_a_run_have_different_ids() -> None:
    assert len({session_id(RUN, 0), session_id(RUN, 1), session_id(OTHER_RUN, 0)}) == 3


@pytest.mark.parametrize("stream", ["", "x" * 101, " a", "a\n", "a\x1b[2J"])
def test_a_stream_that_job_names_can_not_hold_is_refused(stream: str) -> None:
    with pytest.raises(InputError, match="stream"):
        check_stream(stream)
