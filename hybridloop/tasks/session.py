"""A session whose opening, rounds and closing are tasks of the flow run around it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Measured
from hybridloop.errors import RunParked
from hybridloop.sessions.policy import FailurePolicy
from hybridloop.sessions.run import ClaimedRun
from hybridloop.sessions.session import OpenSession, open_session

T = TypeVar("T")


@task(name="open session", task_run_name="open a session on {target}", cache_policy=NO_CACHE, persist_result=False)
def open_session_task(target: str, enter: Callable[[], T]) -> T:
    """Open the session."""
    return enter()


@task(name="run round", task_run_name="round {number}: {jobs}", cache_policy=NO_CACHE, persist_result=False)
def run_round_task(number: int, jobs: str, measure: Callable[[], T]) -> T:
    """Submit a round's jobs, wait for them, and collect their counts."""
    return measure()


@task(name="close session", task_run_name="close session {session_id}", cache_policy=NO_CACHE, persist_result=False)
def close_session_task(session_id: str, leave: Callable[[], T]) -> T:
    """Close the session."""
    return leave()


@contextmanager
def session_of_flow(
    workspace: Any, target: str, *, run: ClaimedRun, name: str, policy: FailurePolicy
) -> Iterator[OpenSession]:
    """Hold the session of a run for the flow run around; it is closed however the block ends.

    On the way out of an error or a signal the close is owed whatever Prefect can still do, so it is no task then.
    """
    manager = open_session(workspace, target, run=run, name=name, policy=policy)
    try:  # around the tasks too: a signal may come after the session was opened and before its task has ended
        session = open_session_task(target, manager.__enter__)
        yield session
        close_session_task(session.id, lambda: manager.__exit__(None, None, None))
    except BaseException:  # a Ctrl-C and Prefect's own TerminationSignal are none of Exception
        manager.__exit__(*sys.exc_info())
        raise


class RoundsOfFlow:
    """The session's rounds, each one a task of the flow run around; one that the journal has whole is none.

    A round that takes longer than `detach_after` seconds is left to the service: RunParked.
    """

    def __init__(self, session: OpenSession, *, detach_after: float | None = None) -> None:
        self._session = session
        self._detach_after = detach_after
        self._replays = True
        self.number = 0
        self.live = 0  # rounds that were measured now

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        """Measure a round."""
        self.number += 1
        self._replays = self._replays and self._session.is_recorded()
        if self._replays:
            return self._session.run_round(pubs)
        self.live += 1
        points = sum(pub.size for pub in pubs)
        jobs = f"{len(pubs)} circuit(s), {points} point(s)"
        return run_round_task(self.number, jobs, lambda: self._measured(pubs))

    def _measured(self, pubs: Sequence[SamplerPub]) -> list[Measured]:
        round_ = self._session.start_round(pubs)
        if self._detach_after is not None and not round_.ended.wait(self._detach_after):
            self._session.stop(RunParked(round_.in_flight))
        return self._session.collect(round_)
