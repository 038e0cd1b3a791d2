"""The Prefect tasks of a flow: open the session, run a round, close the session.

Tasks submit the jobs, retry what may be retried, keep the session from idling out (the service ends it after ten idle
minutes), and hand counts to the optimizer under a failure policy that the user chose. This module only wraps that work
for Prefect: `run round` submits a round's jobs and retries them (`submission.round_in_flight`) under the policy
(`failure_policy`), while a thread keeps the session alive (`keepalive`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.states import Completed
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.errors import CapReached, RunStopped
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.job_ids import MAIN_STREAM
from hybridloop.tasks.submission.jobs import describe_jobs

TAG = "hybridloop"  # of every flow run and of its task runs, so that automations and filters find them
RUN_ROUND = "run round"  # name of the tasks that run rounds
T = TypeVar("T")


@task(name="open session", task_run_name="open a session on {target}", cache_policy=NO_CACHE, persist_result=False)
def open_session_task(target: str, enter: Callable[[], T]) -> T:
    """Open the session."""
    return enter()


@task(name=RUN_ROUND, task_run_name="round {number}: {jobs}", cache_policy=NO_CACHE, persist_result=False)
def run_round_task(number: int, jobs: str, measure: Callable[[], T]) -> T:
    """Submit a round's jobs, wait for them, and collect their counts."""
    return measure()


@task(name="close session", task_run_name="close session {session_id}", cache_policy=NO_CACHE, persist_result=False)
def close_session_task(session_id: str, leave: Callable[[], T]) -> T:
    """Close the session."""
    return leave()


def task_tags(target: str, session_id: str | None) -> list[str]:
    """Return the tags of a task run. They are set after it began: Prefect asks its server for a slot for each tag."""
    return [TAG, f"target:{target}"] + ([f"session:{session_id}"] if session_id else [])


def describe_task(session: OpenSession, name: str | None = None) -> None:
    """Set the tags of the task run around, and its name; its next state takes them to the server."""
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags = task_tags(session.target.name, session.id)
        context.task_run.name = name or context.task_run.name


def measure_round(session: OpenSession, pubs: Sequence[SamplerPub], stream: str = MAIN_STREAM) -> list[MeasuredPub]:
    """Measure a round of the session, and name the task run around by its jobs. Raises as `OpenSession.run_round`."""
    round_ = session.start_round(pubs, stream=stream)
    try:
        return session.collect(round_)
    finally:
        describe_task(session, f"{round_.key.label}: {describe_jobs(round_.size, round_.retried, round_.lost)}")


def _run_task(run_task: Callable[..., T], *arguments: Any) -> T:
    """Run a Prefect task; raise a signal's exception as itself.

    Before the task run exists, Prefect 3.8 raises ValueError in its place, and the run would count as failed.
    """
    try:
        return run_task(*arguments)
    except ValueError as error:
        if error.__context__ is not None and not isinstance(error.__context__, Exception):
            raise error.__context__ from None
        raise


@contextmanager
def session_of_flow(target: str, manager: AbstractContextManager[OpenSession]) -> Iterator[OpenSession]:
    """Hold a session (`hybridloop.tasks.session.open_session`) for a flow run; it is closed on every way out.

    After an error or a signal the session is closed without a task, because Prefect may start none then.
    """

    def enter() -> OpenSession:
        opened = manager.__enter__()
        describe_task(opened)
        return opened

    def leave() -> None:
        manager.__exit__(None, None, None)
        describe_task(session)

    try:  # around the tasks too: a signal may come after the session was opened and before its task has ended
        session = _run_task(open_session_task, target, enter)
        yield session
        _run_task(close_session_task, session.id, leave)
    except BaseException:  # a Ctrl-C and Prefect's own TerminationSignal are no Exception
        manager.__exit__(*sys.exc_info())
        raise


class RoundTasks:
    """The session's rounds, each one a task of the flow run; a round that the journal has whole is no task."""

    def __init__(self, session: OpenSession) -> None:
        self._session = session
        self._replays = True
        self._number = 0
        self.live = 0  # number of rounds and classical steps of this process

    def count_step(self) -> None:
        """Count a classical step of this process, which is reported as a round is."""
        self.live += 1

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Measure a round. Raises CapReached or RunStopped if it ends without a failure of the task."""
        self._number += 1
        self._replays = self._replays and self._session.is_recorded()
        if self._replays:
            return self._session.run_round(pubs)
        self.live += 1
        points = sum(pub.size for pub in pubs)
        jobs = f"{len(pubs)} circuit(s), {points} point(s)"  # until the number of jobs is known
        stop: CapReached | RunStopped | None = None

        def measure() -> list[MeasuredPub] | State[None]:
            nonlocal stop
            try:
                return measure_round(self._session, pubs)
            except (CapReached, RunStopped) as error:  # the task completes, so that Prefect shows no failure
                stop = error
                return Completed(name="Stopped", message=str(error))

        measured = _run_task(run_round_task, self._number, jobs, measure)
        if stop is not None:
            raise stop
        assert isinstance(measured, list)
        return measured
