"""A session whose opening, rounds and closing are tasks of the flow run around it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.errors import CapReached, RunStopped
from hybridloop.tasks.session import OpenSession

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
def session_of_flow(target: str, manager: AbstractContextManager[OpenSession]) -> Iterator[OpenSession]:
    """Hold a session (`hybridloop.tasks.session.open_session`) for the flow run around, however the block ends.

    On the way out of an error or a signal the close is owed whatever Prefect can still do, so it is no task then.
    """
    try:  # around the tasks too: a signal may come after the session was opened and before its task has ended
        session = open_session_task(target, manager.__enter__)
        yield session
        close_session_task(session.id, lambda: manager.__exit__(None, None, None))
    except BaseException:  # a Ctrl-C and Prefect's own TerminationSignal are none of Exception
        manager.__exit__(*sys.exc_info())
        raise


class RoundTasks:
    """The session's rounds, each one a task of the flow run around; one that the journal has whole is none."""

    def __init__(self, session: OpenSession) -> None:
        self._session = session
        self._replays = True
        self._number = 0
        self.live = 0  # rounds that were measured now

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Measure a round. Raises CapReached or RunStopped where it is ended in order."""
        self._number += 1
        self._replays = self._replays and self._session.is_recorded()
        if self._replays:
            return self._session.run_round(pubs)
        self.live += 1
        points = sum(pub.size for pub in pubs)
        jobs = f"{len(pubs)} circuit(s), {points} point(s)"
        stop: CapReached | RunStopped | None = None

        def measure() -> list[MeasuredPub] | State[None]:
            nonlocal stop
            try:
                return self._session.run_round(pubs)
            except (CapReached, RunStopped) as error:  # in order: no failure of the task
                stop = error
                return Completed(name="Stopped", message=str(error))

        found = run_round_task(self._number, jobs, measure)
        if stop is not None:
            raise stop
        assert isinstance(found, list)
        return found
