"""Simulated latency of jobs: delays before a job starts, while it runs, and before its status says that it ended.

`JobPacer` stands between the service and the workers. Without latency it passes jobs on at once. A job's timeline is
drawn when the job is accepted, and stored with it. A job that was computed but had not ended before a restart is
computed again, with the same result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from hybridloop.emulator.clock import Clock
from hybridloop.emulator.model.billing import Usage
from hybridloop.emulator.model.job import JobError
from hybridloop.emulator.model.latency import InjectedOutcome, JobTimeline, LatencyModel, OutcomeKind
from hybridloop.emulator.service import EmulatorService, JobQueue
from hybridloop.emulator.store.records import StoredJob
from hybridloop.emulator.virtual_time import VirtualTime, VirtualTimer


class RealTimers:
    """Timers on the system clock, with the methods of `VirtualTime` that a `JobPacer` calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def call_at(self, moment: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Schedule a callback; a moment in the past means as soon as possible."""
        return asyncio.get_running_loop().call_later(max(0.0, moment - self._clock.now()), callback)

    def notify_change(self) -> None:
        """Do nothing: real time does not wait for the service."""


class JobPacer:
    """The service's queue, and the workers' access to jobs. Set `workers` once, before the first job."""

    workers: JobQueue

    def __init__(self, service: EmulatorService, timers: RealTimers | VirtualTime, latency: LatencyModel) -> None:
        self._service = service
        self._timers = timers
        self._latency = latency
        self.injected_outcomes: dict[str, InjectedOutcome] = {}  # of jobs about to be accepted, by job id
        self._pending_timers: dict[int, asyncio.TimerHandle | VirtualTimer] = {}  # a job's next event
        self._timed: dict[int, JobTimeline] = {}  # jobs at the workers with a simulated start or end

    @property
    def awaits_results(self) -> bool:
        """True while the workers have a job whose later events depend on its result: virtual time must stand."""
        return bool(self._timed)

    def add(self, job: StoredJob) -> None:
        """Take an accepted job, and pass it to the workers when its queue time is over."""
        timeline = self._timeline(job)
        if timeline.injected is not None and self._apply_before_start(job, timeline.injected):
            return
        if timeline.begins > self._service.clock.now():
            self._pending_timers[job.key] = self._timers.call_at(timeline.begins, lambda: self._start(job, timeline))
        elif timeline.takes_time:
            self._start(job, timeline)
        else:
            self.workers.add(job)

    def drop(self, key: int) -> None:
        """Cancel what is scheduled or running for a job that has ended."""
        self._mark_computed(key)
        timer = self._pending_timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self.workers.drop(key)

    def expected_s(self, key: int) -> float | None:
        return self.workers.expected_s(key)

    def begin(self, key: int) -> tuple[bytes, bytes] | None:
        """Start a job for a worker; return its task and input, None if there is nothing to run."""
        started = self._service.begin(key)
        if started is None:
            self._mark_computed(key)  # it has ended without a run
            return None
        timeline = self._service.store.timeline(key)
        if timeline is not None and timeline.injected is not None and timeline.injected.kind is OutcomeKind.FAILS:
            self.fail(key, JobError(timeline.injected.code, timeline.injected.message))
            return None
        return started

    def is_pending(self, key: int) -> bool:
        return not self._service.store.job_by_key(key).state.is_terminal

    def succeed(self, key: int, result: bytes, usage: Usage) -> None:
        """Take a job's result from a worker; the job ends when its simulated time is over."""
        self._end_in_time(key, lambda: self._service.succeed(key, result, usage))

    def fail(self, key: int, error: JobError) -> None:
        """Take a job's failure from a worker; the job ends when its simulated time is over."""
        self._end_in_time(key, lambda: self._service.fail(key, error))

    def _apply_before_start(self, job: StoredJob, outcome: InjectedOutcome) -> bool:
        """Schedule an injected cancellation; return True if the job must never start."""
        if outcome.kind is OutcomeKind.IS_CANCELLED:
            self._timers.call_at(job.state.created + outcome.after_s, lambda: self._service.cancel(job.key))
            return outcome.after_s == 0
        return outcome.kind is OutcomeKind.HANGS

    def _timeline(self, job: StoredJob) -> JobTimeline:
        """Return the job's stored timeline, else draw it and store it if it is not trivial."""
        store = self._service.store
        timeline = store.timeline(job.key)
        if timeline is None:
            timeline = self._latency.draw_timeline(job.request.target, job.id, job.state.created)
            timeline = replace(timeline, injected=self.injected_outcomes.get(job.id))
            if timeline != JobTimeline(job.state.created):
                with store.transaction():
                    store.put_timeline(job.key, timeline)
        return timeline

    def _start(self, job: StoredJob, timeline: JobTimeline) -> None:
        self._pending_timers.pop(job.key, None)
        self._timed[job.key] = timeline
        self.workers.add(job)

    def _mark_computed(self, key: int) -> JobTimeline | None:
        """Note that the workers are done with a job, and let virtual time continue; return its timeline, if any."""
        timeline = self._timed.pop(key, None)
        if timeline is not None:
            self._timers.notify_change()
        return timeline

    def _end_in_time(self, key: int, end: Callable[[], None]) -> None:
        timeline = self._mark_computed(key)
        if timeline is None or not timeline.takes_time:
            end()
            return
        state = self._service.store.job_by_key(key).state
        began = self._service.clock.now() if state.began is None else state.began
        finishes = began + timeline.run_s
        self._pending_timers[key] = self._timers.call_at(finishes, lambda: self._finish(key, timeline, end))

    def _finish(self, key: int, timeline: JobTimeline, end: Callable[[], None]) -> None:
        finished = self._service.finish(key)
        self._pending_timers[key] = self._timers.call_at(finished + timeline.lag_s, lambda: self._end(key, end))

    def _end(self, key: int, end: Callable[[], None]) -> None:
        self._pending_timers.pop(key, None)
        end()
