"""Phases of a job in flight: the permitted transitions, and no others."""

import itertools
from dataclasses import replace

import pytest

from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.job_in_flight import JobInFlight, JobPhase
from hybridloop.tasks.submission.jobs import JobSpec

SPEC = JobSpec(JobKey(RoundKey("3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01", "main", 0), 0, 0, 0), 0, 10, 1, b"", "value")
LIVES = [  # each ends where its attempt does; a retry begins again
    (JobPhase.INTENDED, JobPhase.ACCEPTED, JobPhase.ENDING, JobPhase.DONE),
    (JobPhase.INTENDED, JobPhase.FOUND_ENDED, JobPhase.ENDING, JobPhase.DONE),
    (JobPhase.UNCLEAR, JobPhase.ACCEPTED, JobPhase.ENDING, JobPhase.LOST),
    (JobPhase.UNCLEAR, JobPhase.FOUND_ENDED, JobPhase.ENDING, JobPhase.INTENDED),
]
PERMITTED = {pair for life in LIVES for pair in itertools.pairwise(life)}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobPhase, JobPhase)), ids=lambda phase: phase.name)
def test_a_job_goes_through_the_permitted_phases_and_no_other_transition(before: JobPhase, after: JobPhase) -> None:
    job = JobInFlight(SPEC, phase=before)
    if (before, after) in PERMITTED:
        job.move(after)
        assert job.phase is after
    else:
        with pytest.raises(RuntimeError, match=f"from phase {before.name} to {after.name}"):
            job.move(after)
        assert job.phase is before


def test_a_next_attempt_begins_as_intended_and_keeps_the_number_of_failures() -> None:
    job = JobInFlight(SPEC, 0, JobPhase.ENDING, container="container", failures=2, listed="Failed")
    job.begin_attempt(SPEC.next_attempt(), 1)
    assert job == JobInFlight(SPEC.next_attempt(), 1, JobPhase.INTENDED, failures=2)
    assert job.spec.id != SPEC.id


@pytest.mark.parametrize(
    ("state", "phase"),
    [("intended", JobPhase.UNCLEAR), ("submitted", JobPhase.UNCLEAR), ("done", JobPhase.DONE), ("lost", JobPhase.LOST)],
)
def test_a_resumed_job_has_the_phase_of_its_record(state: str, phase: JobPhase) -> None:
    job = JobInFlight.from_record(SPEC, replace(SPEC.intent(3), state=state, reason="its reason"))
    assert (job.session, job.phase) == (3, phase)
    assert job.lost == ("its reason" if phase is JobPhase.LOST else "")
