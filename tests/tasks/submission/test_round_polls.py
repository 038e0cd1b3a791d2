"""Polls of a round of several pages: which of them are listed, when, and with which jobs."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hybridloop.azure.client import PAGE_SIZE
from hybridloop.errors import RunParked
from hybridloop.runtime.waits import JOB_SILENT_S
from hybridloop.tasks.submission.batches import ParameterRows
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.job_in_flight import JobInFlight, JobPhase
from hybridloop.tasks.submission.jobs import TERMINAL, JobSpec
from hybridloop.tasks.submission.round_polls import PAUSE_A_PAGE_S, RoundPolls

PAGES = [0, PAGE_SIZE, 2 * PAGE_SIZE]
KEY = RoundKey("3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01", "main", 0)


class Place:
    """A round of three pages, a clock, and what its polls ask for."""

    def __init__(self, *, is_batched: bool = False) -> None:
        rows = ParameterRows(10, (), {}) if is_batched else None
        specs = [JobSpec(JobKey(KEY, 0, each, 0), 0, 10, 1, b"", "", rows=rows) for each in range(PAGES[-1] + 1)]
        self.jobs = [JobInFlight(spec, session=0, phase=JobPhase.ACCEPTED) for spec in specs]
        self.now = 0.0
        self.asked: list[int] = []
        self.states: set[Any] = set()
        self.later: list[Callable[[], None]] = []
        connection: Any = SimpleNamespace(
            clock=SimpleNamespace(now=lambda: self.now),
            sessions=SimpleNamespace(rows=[SimpleNamespace(id="a session")]),
            service=SimpleNamespace(
                list_session_jobs=self.answer, find_job=lambda job_id: {"id": job_id, "status": "Executing"}
            ),
        )
        self.polls = RoundPolls(
            connection, KEY.prefix, lambda: self.jobs, lambda _: None, lambda action, first: self.later.append(action)
        )

    def answer(self, _session: str, *, skip: int, states: Any, **_others: Any) -> list[Any]:
        self.asked.append(skip)
        self.states.add(frozenset(states))
        return []

    def poll_after(self, seconds: float) -> list[int]:
        """Return the pages that a poll asks for in its own thread."""
        self.now += seconds
        self.asked.clear()
        self.states.clear()
        self.polls.poll()
        return self.asked

    def read_others(self) -> None:
        later, self.later = self.later, []
        for read in later:
            read()


def test_a_poll_lists_nothing_before_the_pages_of_the_one_before_are_read() -> None:
    place = Place()
    assert place.poll_after(0.0) == PAGES[2:]
    assert place.poll_after(60.0) == []
    place.read_others()
    assert place.asked == PAGES[:2]
    assert place.poll_after(PAUSE_A_PAGE_S) == []
    assert place.poll_after(PAUSE_A_PAGE_S) == PAGES[2:]


def test_jobs_of_many_points_are_listed_at_their_end_and_all_now_and_then() -> None:
    place = Place(is_batched=True)
    for seconds, states in [(0.0, TERMINAL), (JOB_SILENT_S / 3, frozenset()), (60.0, TERMINAL)]:
        place.poll_after(seconds)
        place.read_others()
        assert place.states == {states}  # of all pages, as these follow one another in one list


def test_a_round_whose_results_are_read_is_not_listed() -> None:
    place = Place()
    for job in place.jobs:
        job.move(JobPhase.ENDING)
    assert place.poll_after(60.0) == []


def test_a_job_that_is_never_listed_parks_the_run() -> None:
    place = Place()
    place.poll_after(0.0)
    place.read_others()
    place.poll_after(JOB_SILENT_S + 1.0)
    with pytest.raises(RunParked):
        place.read_others()
