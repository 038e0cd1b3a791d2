"""Between the books and the workers: a job comes to them when its queue is over, and ends when its time is up.

Without latency both happen at once. A course is drawn when a job is accepted and kept with it; what was computed but
has not ended is computed again after a restart, to the same result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from hybridloop.emulator.billing import Usage
from hybridloop.emulator.clock import Clock
from hybridloop.emulator.job import JobError
from hybridloop.emulator.latency import Course, Fate, FateKind, Latency
from hybridloop.emulator.records import JobRecord
from hybridloop.emulator.service import Queue, Service


class Alarm(Protocol):
    """Something that will be done, unless it is cancelled."""

    def cancel(self) -> None: ...


class Alarms(Protocol):
    """Has things done at their moments; whoever goes from moment to moment is told by `settle` that some may be new."""

    def at(self, moment: float, act: Callable[[], None]) -> Alarm: ...

    def settle(self) -> None: ...


class RealAlarms:
    """Alarms of the machine's own time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def at(self, moment: float, act: Callable[[], None]) -> Alarm:
        """Have something done at a moment; one that has passed is now."""
        return asyncio.get_running_loop().call_later(max(0.0, moment - self._clock.now()), act)

    def settle(self) -> None:
        """The machine's own time waits for nobody."""


class Pacing:
    """The service's queue, and the workers' books. `workers` is set once, before the first job."""

    workers: Queue

    def __init__(self, service: Service, alarms: Alarms, latency: Latency) -> None:
        self._service = service
        self._alarms = alarms
        self._latency = latency
        self.fates: dict[str, Fate] = {}  # of jobs about to be accepted, by id
        self._next: dict[int, Alarm] = {}  # what a job waits for
        self._timed: dict[int, Course] = {}  # jobs at the workers whose begin or end has its moment

    @property
    def awaits_results(self) -> bool:
        """Whether the workers have a job of which something has its moment: time must not go on before it is done."""
        return bool(self._timed)

    def add(self, job: JobRecord) -> None:
        """Take an accepted job: it goes to the workers when its queue is over."""
        course = self._course(job)
        if course.fate is not None and self._never_begins(job, course.fate):
            return
        if course.begins > self._service.clock.now():
            self._next[job.key] = self._alarms.at(course.begins, lambda: self._hand_out(job, course))
        elif course.takes_time:
            self._hand_out(job, course)
        else:
            self.workers.add(job)

    def drop(self, key: int) -> None:
        """Forget a job that has ended in the books."""
        self._computed(key)
        alarm = self._next.pop(key, None)
        if alarm is not None:
            alarm.cancel()
        self.workers.drop(key)

    def begin(self, key: int) -> tuple[bytes, bytes] | None:
        """Start a job, for a worker."""
        started = self._service.begin(key)
        if started is None:
            self._computed(key)  # it has ended without a run
            return None
        course = self._service.store.course(key)
        if course is not None and course.fate is not None and course.fate.kind is FateKind.FAILS:
            self.fail(key, JobError(course.fate.code, course.fate.message))
            return None
        return started

    def wants(self, key: int) -> bool:
        """Whether a job that was started has not ended in the books meanwhile."""
        return self._service.wants(key)

    def succeed(self, key: int, result: bytes, usage: Usage) -> None:
        """Take a job's result from a worker; the job ends when its time is up."""
        self._after_the_run(key, lambda: self._service.succeed(key, result, usage))

    def fail(self, key: int, error: JobError) -> None:
        """Take a job's failure from a worker; the job ends when its time is up."""
        self._after_the_run(key, lambda: self._service.fail(key, error))

    def _never_begins(self, job: JobRecord, fate: Fate) -> bool:
        """Whether a job's fate keeps it from the workers; one to be cancelled later goes its way until then."""
        if fate.kind is FateKind.IS_CANCELLED:
            self._alarms.at(job.state.created + fate.after_s, lambda: self._service.cancel(job.key))
            return fate.after_s == 0
        return fate.kind is FateKind.HANGS

    def _course(self, job: JobRecord) -> Course:
        store = self._service.store
        course = store.course(job.key)
        if course is None:
            course = self._latency.course_of(job.request.target, job.id, job.state.created)
            course = replace(course, fate=self.fates.get(job.id))
            if course != Course(job.state.created):
                with store.transaction():
                    store.put_course(job.key, course)
        return course

    def _hand_out(self, job: JobRecord, course: Course) -> None:
        self._next.pop(job.key, None)
        self._timed[job.key] = course
        self.workers.add(job)

    def _computed(self, key: int) -> Course | None:
        """Note that the workers are done with a job, for which time may have been waiting; its course if it has one."""
        course = self._timed.pop(key, None)
        if course is not None:
            self._alarms.settle()
        return course

    def _after_the_run(self, key: int, end: Callable[[], None]) -> None:
        course = self._computed(key)
        if course is None or not course.takes_time:
            end()
            return
        state = self._service.store.job_by_key(key).state
        began = self._service.clock.now() if state.began is None else state.began
        self._next[key] = self._alarms.at(began + course.run_s, lambda: self._after_the_lag(key, course, end))

    def _after_the_lag(self, key: int, course: Course, end: Callable[[], None]) -> None:
        finished = self._service.finish(key)
        self._next[key] = self._alarms.at(finished + course.lag_s, lambda: self._end(key, end))

    def _end(self, key: int, end: Callable[[], None]) -> None:
        self._next.pop(key, None)
        end()
