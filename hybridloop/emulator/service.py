"""What the service does, apart from HTTP: each method is one step, and its changes are one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from hybridloop.emulator.billing import Usage, bill_of
from hybridloop.emulator.blobs import Bytes
from hybridloop.emulator.clock import Clock, VirtualClock
from hybridloop.emulator.containers import Containers
from hybridloop.emulator.faults import INVALID_JOB, SESSION_IS_OVER, ServiceFault, bad_request, conflict, not_found
from hybridloop.emulator.filters import ListQuery
from hybridloop.emulator.job import (
    JobError,
    JobState,
    with_begin,
    with_cancellation,
    with_failure,
    with_finish,
    with_success,
)
from hybridloop.emulator.listing import Listed, Page, page_of
from hybridloop.emulator.records import JobRecord, SessionRecord
from hybridloop.emulator.requests import JobRequest, SessionRequest
from hybridloop.emulator.session import (
    SessionState,
    SessionStatus,
    times_out_at,
    with_close_asked,
    with_job_accepted,
    with_job_ended,
    with_time_out,
)
from hybridloop.emulator.settings import IdleRule
from hybridloop.emulator.store import Store
from hybridloop.emulator.targets import Catalogue, Target
from hybridloop.emulator.task import OWN_FORMATS, Task


class Queue(Protocol):
    """Where accepted jobs wait for a worker."""

    def add(self, job: JobRecord) -> None: ...

    def drop(self, key: int) -> None: ...


class Service:
    """Sessions, jobs and blobs of all workspaces. `queue` is set once, before the first request."""

    queue: Queue

    def __init__(
        self, store: Store, contents: Bytes, clock: Clock, catalogue: Catalogue, idle_rule: IdleRule, seed: int
    ) -> None:
        self.store = store
        self.clock = clock
        self.catalogue = catalogue
        self.containers = Containers(store, contents, clock)
        self._idle_rule = idle_rule
        self._seed = seed

    def open_session(self, workspace: str, session_id: str, request: SessionRequest) -> SessionRecord:
        """Open a session; asked again with the same content, the one that is there."""
        target = self._target(request.target, request.provider_id)
        request = replace(request, provider_id=request.provider_id.lower(), target=target.id)
        with self.store.transaction():
            known = self.store.session(workspace, session_id)
            if known is None:
                state = SessionState(policy=request.policy, opened=self.clock.now())
                self.store.add_session(workspace, session_id, request, state)
                return self.session(workspace, session_id)
        asked = (request.name, request.provider_id, request.target, request.policy)
        if asked != (known.name, known.provider_id, known.target, known.state.policy):
            raise conflict(f"Session {session_id}")
        return known

    def session(self, workspace: str, session_id: str) -> SessionRecord:
        """The session, or 404."""
        session = self.store.session(workspace, session_id)
        if session is None:
            raise not_found(f"Session {session_id}")
        return session

    def close_session(self, workspace: str, session_id: str) -> SessionRecord:
        """Close a session; its pending jobs run on."""
        with self.store.transaction():
            session = self.session(workspace, session_id)
            state = with_close_asked(session.state, self.clock.now())
            self.store.put_session_state(session.key, state)
        return replace(session, state=state)

    def submit(self, workspace: str, job_id: str, request: JobRequest) -> tuple[JobRecord, bool]:
        """Accept a job; asked again with the same content, the one that is there. Also whether it is new."""
        target = self._target(request.target, request.provider_id)
        request = replace(request, target=target.id)
        with self.store.transaction():
            known, deleted = self.store.job_even_deleted(workspace, job_id)
            if known is not None:
                if deleted or known.request != request:
                    raise conflict(f"Job {job_id}")
                return known, False
            if target.availability == "Unavailable":
                raise ServiceFault(409, "TargetUnavailable", f"Target {target.id} is not available at the moment.")
            now = self.clock.now()
            session_key = None
            if request.session_id is not None:
                session_key = self._accept_into_session(workspace, request.session_id, target, now)
            state = JobState(created=now, modified=now)
            job = self.store.add_job(workspace, job_id, session_key, request, state)
        self.queue.add(job)
        return job, True

    def _accept_into_session(self, workspace: str, session_id: str, target: Target, now: float) -> int:
        session = self.session(workspace, session_id)
        if not session.state.takes_jobs:
            raise bad_request(SESSION_IS_OVER)
        if session.target.lower() != target.id.lower():
            raise bad_request(f"The session's target is {session.target}, the job's is {target.id}.")
        self.store.put_session_state(session.key, with_job_accepted(session.state, now))
        return session.key

    def job(self, workspace: str, job_id: str) -> JobRecord:
        """The job, or 404."""
        job = self.store.job(workspace, job_id)
        if job is None:
            raise not_found(f"Job {job_id}")
        return job

    def change_job(self, workspace: str, job_id: str, changes: Mapping[str, Any]) -> JobRecord:
        """Give a job another name, priority or tags."""
        with self.store.transaction():
            job = self.job(workspace, job_id)
            job = replace(job, **changes, state=replace(job.state, modified=self.clock.now()))
            self.store.put_job_names(job)
        return job

    def cancel_job(self, workspace: str, job_id: str) -> None:
        """Cancel a job that has not ended."""
        self.cancel(self.job(workspace, job_id).key)

    def cancel(self, key: int) -> None:
        """Cancel the job of that number, if it has not ended."""
        job = self.store.job_by_key(key)
        with self.store.transaction():
            if not job.state.is_terminal:
                self._end(job, with_cancellation(job.state, self.clock.now()))
        self.queue.drop(key)

    def delete_job(self, workspace: str, job_id: str) -> None:
        """Hide a job from all reads; one that has not ended is cancelled first, as a step of its own."""
        self.cancel_job(workspace, job_id)
        with self.store.transaction():
            self.store.delete_job(self.job(workspace, job_id).key)

    def begin(self, key: int) -> tuple[bytes, bytes] | None:
        """Start a job: the task and the input for a worker. None if nobody wants it any more, or it failed at once."""
        job = self.store.job_by_key(key)
        if job.state.is_terminal:
            return None
        request = job.request
        target = self.catalogue.find(request.target, request.provider_id)
        if target is None:
            self.fail(key, JobError("TargetUnavailable", f"Target {request.target} is not offered any more."))
            return None
        data = self._input(request)
        if data is None:
            self.fail(key, JobError("InvalidInputData", f"The input blob {request.input_blob!r} is not there."))
            return None
        with self.store.transaction():
            self.store.put_job_state(key, with_begin(job.state, self.clock.now()))
        task = Task(
            target=target,
            input_format=request.input_format,
            output_format=request.output_format or "",
            params=request.params,
            service_seed=self._seed,
            sampling_value=(request.metadata or {}).get("sampling_value") or job.id,
        )
        return task.to_json(), data

    def _input(self, request: JobRequest) -> bytes | None:
        record = self.containers.find(request.container, request.input_blob)
        try:
            return None if record is None else self.containers.read(record)
        except FileNotFoundError:  # somebody took it out of the state folder
            return None

    def wants(self, key: int) -> bool:
        """Whether a job that was started has not ended in the books meanwhile."""
        return not self.store.job_by_key(key).state.is_terminal

    def finish(self, key: int) -> float:
        """Note that a job's execution is over; since when."""
        state = with_finish(self.store.job_by_key(key).state, self.clock.now())
        with self.store.transaction():
            self.store.put_job_state(key, state)
        return self.clock.now() if state.finished is None else state.finished

    def succeed(self, key: int, result: bytes, usage: Usage) -> None:
        """Keep a job's result, then bill and end it: whoever sees it Succeeded finds its blob."""
        job = self.store.job_by_key(key)
        if job.state.is_terminal:
            return
        blob = "rawOutputData" if job.request.input_format in OWN_FORMATS else "outputData"
        record = self.containers.write(job.request.container, blob, result)
        with self.store.transaction():
            self.store.put_blob(record)
            price = self.catalogue.prices[job.request.target.lower()]
            self.store.put_bill(key, bill_of(price, usage, job.request.params), usage.shots)
            self._end(replace(job, output_blob=blob), with_success(job.state, self.clock.now()))

    def fail(self, key: int, error: JobError) -> None:
        """End a job that can't be run, and what its session's policy ends with it."""
        job = self.store.job_by_key(key)
        if job.state.is_terminal:
            return
        with self.store.transaction():
            cancelled = self._end(job, with_failure(job.state, self.clock.now(), error))
        for other in cancelled:
            self.queue.drop(other)

    def _end(self, job: JobRecord, state: JobState) -> list[int]:
        """Write a job's end and its session's next state; the numbers of the jobs that it cancels with it."""
        self.store.put_job_state(job.key, state, job.output_blob)
        if job.session_key is None:
            return []
        now = self.clock.now()
        before = self.store.session_by_key(job.session_key).state
        after = with_job_ended(before, now, failed=state.error is not None)
        if before.is_terminal or not after.is_terminal:
            self.store.put_session_state(job.session_key, after)
            return []
        return self._end_session(job.session_key, after)

    def _end_session(self, key: int, state: SessionState) -> list[int]:
        """Write a session's end, which cancels its pending jobs; their numbers."""
        now, cancelled = self.clock.now(), []
        for job in self.store.pending_jobs(key) if state.pending else []:
            self.store.put_job_state(job.key, with_cancellation(job.state, now), job.output_blob)
            state = with_job_ended(state, now, failed=False)
            cancelled.append(job.key)
        self.store.put_session_state(key, state)
        return cancelled

    def break_session(self, workspace: str, session_id: str, status: SessionStatus) -> None:
        """End a live session as Failed, with its pending jobs, or as TimedOut, without; what no client can ask for."""
        session = self.store.session(workspace, session_id)
        if session is None or session.state.is_terminal:
            return
        state = replace(session.state, status=status, ended=self.clock.now())
        with self.store.transaction():
            if status is SessionStatus.TIMED_OUT:
                self.store.put_session_state(session.key, state)
                return
            cancelled = self._end_session(session.key, state)
        for key in cancelled:
            self.queue.drop(key)

    def pending(self) -> list[JobRecord]:
        """All jobs that have not ended, in the order of submission."""
        return self.store.pending_jobs()

    def sweep(self) -> None:
        """End the sessions whose idle time is over, each at its moment on the sweeper's grid."""
        now = self.clock.now()
        due = [
            (moment, session)
            for session in self.store.live_sessions()
            if (moment := times_out_at(session.state, self._idle_rule)) is not None and moment <= now
        ]
        if not due:
            return
        with self.store.transaction():
            for moment, session in sorted(due, key=lambda pair: (pair[0], pair[1].key)):
                self.store.put_session_state(session.key, with_time_out(session.state, moment))

    def next_time_out(self) -> float | None:
        """When the sweeper will next end a session, as things stand."""
        moments = (times_out_at(session.state, self._idle_rule) for session in self.store.live_sessions())
        return min((moment for moment in moments if moment is not None), default=None)

    def idle_time_left(self, session: SessionRecord) -> float | None:
        """Seconds until the sweeper ends the session, as things stand; None where it will not."""
        moment = times_out_at(session.state, self._idle_rule)
        return None if moment is None else max(0.0, moment - self.clock.now())

    def advance(self, clock: VirtualClock, moment: float) -> None:
        """Go forward in virtual time and do what fell due on the way."""
        clock.advance_to(moment)
        with self.store.transaction():
            self.store.put_note("virtual_now", repr(clock.now()))
        self.sweep()

    def page(self, which: Listed, query: ListQuery, workspace: str, session_id: str | None = None) -> Page:
        """One page of a list; `session_id` names the session of a session's jobs."""
        key = None if session_id is None else self.session(workspace, session_id).key
        return page_of(self.store, which, query, workspace, key)

    def _target(self, target: str, provider: str) -> Target:
        found = self.catalogue.find(target, provider)
        if found is None:
            raise ServiceFault(
                403, INVALID_JOB, f"Target {target} of provider {provider} is not offered in this workspace."
            )
        return found
