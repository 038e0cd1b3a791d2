"""Operations of the service, without HTTP: each method is one step, and its changes are one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from hybridloop.emulator.clock import Clock, VirtualClock
from hybridloop.emulator.model.billing import Usage, compute_bill
from hybridloop.emulator.model.errors import (
    INVALID_JOB,
    SESSION_ENDED_MESSAGE,
    ApiError,
    bad_request,
    conflict,
    not_found,
)
from hybridloop.emulator.model.job import (
    JobError,
    JobState,
    with_begin,
    with_cancellation,
    with_failure,
    with_finish,
    with_success,
)
from hybridloop.emulator.model.list_query import ListQuery
from hybridloop.emulator.model.requests import JobRequest, SessionRequest
from hybridloop.emulator.model.session import (
    SessionState,
    SessionStatus,
    idle_timeout_at,
    with_close_requested,
    with_job_accepted,
    with_job_ended,
    with_time_out,
)
from hybridloop.emulator.model.targets import Catalogue, Target
from hybridloop.emulator.settings import GateCompiler, IdleRule
from hybridloop.emulator.simulation.protocol import PROVIDER_RESULTS, SimulationTask, optimization_level
from hybridloop.emulator.store.blobs import BlobBackend, Containers
from hybridloop.emulator.store.listing import ListKind, Page, query_page
from hybridloop.emulator.store.records import StoredJob, StoredSession
from hybridloop.emulator.store.store import Store


class JobQueue(Protocol):
    """Queue of accepted jobs; `drop` stops a job that has ended, `expected_s` are the seconds of one that runs."""

    def add(self, job: StoredJob) -> None: ...

    def drop(self, key: int) -> None: ...

    def expected_s(self, key: int) -> float | None: ...


class EmulatorService:
    """Sessions, jobs and blobs of all workspaces. Set `queue` once, before the first request."""

    queue: JobQueue

    def __init__(
        self,
        store: Store,
        contents: BlobBackend,
        clock: Clock,
        catalogue: Catalogue,
        idle_rule: IdleRule,
        seed: int,
        gate_compiler: GateCompiler = GateCompiler.NONE,
    ) -> None:
        self.store = store
        self.clock = clock
        self.catalogue = catalogue
        self.containers = Containers(store, contents, clock)
        self._idle_rule = idle_rule
        self._seed = seed
        self._gate_compiler = gate_compiler

    def open_session(self, workspace: str, session_id: str, request: SessionRequest) -> StoredSession:
        """Open a session; a repeated request with the same content returns the existing session.

        Raises ApiError: 403 for an unknown target, 409 for an id that has other content.
        """
        target = self._target(request.target, request.provider_id)
        request = replace(request, provider_id=request.provider_id.lower(), target=target.id)
        with self.store.transaction():
            existing = self.store.session(workspace, session_id)
            if existing is None:
                state = SessionState(policy=request.policy, opened=self.clock.now())
                self.store.add_session(workspace, session_id, request, state)
                return self.session(workspace, session_id)
        requested = (request.name, request.provider_id, request.target, request.policy)
        if requested != (existing.name, existing.provider_id, existing.target, existing.state.policy):
            raise conflict(f"Session {session_id}")
        return existing

    def session(self, workspace: str, session_id: str) -> StoredSession:
        """Return the session. Raises ApiError (404)."""
        session = self.store.session(workspace, session_id)
        if session is None:
            raise not_found(f"Session {session_id}")
        return session

    def close_session(self, workspace: str, session_id: str) -> StoredSession:
        """Close a session; its pending jobs continue. Raises ApiError (404)."""
        with self.store.transaction():
            session = self.session(workspace, session_id)
            state = with_close_requested(session.state, self.clock.now())
            self.store.put_session_state(session.key, state)
        return replace(session, state=state)

    def submit(self, workspace: str, job_id: str, request: JobRequest) -> tuple[StoredJob, bool]:
        """Accept a job; return it, and True if it is new.

        The id is an idempotency key: a repeated request with the same content returns the existing job. Raises
        ApiError: 400 for a session that takes no jobs or has another target, 403 for an unknown target, 404 for an
        unknown session, 409 for an id that has other content or was deleted, or for a target that is unavailable.
        """
        target = self._target(request.target, request.provider_id)
        request = replace(request, target=target.id)
        with self.store.transaction():
            # a repeated request
            existing, deleted = self.store.job_and_deletion(workspace, job_id)
            if existing is not None:
                if deleted or existing.request != request:
                    raise conflict(f"Job {job_id}")
                return existing, False
            # a new job
            if target.availability == "Unavailable":
                raise ApiError(409, "TargetUnavailable", f"Target {target.id} is not available at the moment.")
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
            raise bad_request(SESSION_ENDED_MESSAGE)
        if session.target.lower() != target.id.lower():
            raise bad_request(f"The session's target is {session.target}, the job's is {target.id}.")
        self.store.put_session_state(session.key, with_job_accepted(session.state, now))
        return session.key

    def job(self, workspace: str, job_id: str) -> StoredJob:
        """Return the job. Raises ApiError (404)."""
        job = self.store.job(workspace, job_id)
        if job is None:
            raise not_found(f"Job {job_id}")
        return job

    def change_job(self, workspace: str, job_id: str, changes: Mapping[str, Any]) -> StoredJob:
        """Change a job's name, priority or tags. Raises ApiError (404)."""
        with self.store.transaction():
            job = self.job(workspace, job_id)
            job = replace(job, **changes, state=replace(job.state, modified=self.clock.now()))
            self.store.put_job_details(job)
        return job

    def cancel_job(self, workspace: str, job_id: str) -> None:
        """Cancel a job; one that has ended is unchanged. Raises ApiError (404)."""
        self.cancel(self.job(workspace, job_id).key)

    def cancel(self, key: int) -> None:
        """Cancel the job with this key; one that has ended is unchanged."""
        job = self.store.job_by_key(key)
        with self.store.transaction():
            if not job.state.is_terminal:
                self._end(job, with_cancellation(job.state, self.clock.now()))
        self.queue.drop(key)

    def delete_job(self, workspace: str, job_id: str) -> None:
        """Hide a job from all reads, after cancelling it in a step of its own. Raises ApiError (404)."""
        self.cancel_job(workspace, job_id)
        with self.store.transaction():
            self.store.delete_job(self.job(workspace, job_id).key)

    def begin(self, key: int) -> tuple[bytes, bytes] | None:
        """Start a job: return task and input for a worker, None if it has ended or failed at once."""
        job = self.store.job_by_key(key)
        if job.state.is_terminal:
            return None
        request = job.request
        target = self.catalogue.find(request.target, request.provider_id)
        if target is None:
            self.fail(key, JobError("TargetUnavailable", f"Target {request.target} is no longer offered."))
            return None
        data = self._input(request)
        if data is None:
            self.fail(key, JobError("InvalidInputData", f"The input blob {request.input_blob!r} does not exist."))
            return None
        with self.store.transaction():
            self.store.put_job_state(key, with_begin(job.state, self.clock.now()))
        task = SimulationTask(
            target=target,
            input_format=request.input_format,
            output_format=request.output_format or "",
            params=request.params,
            service_seed=self._seed,
            sampling_value=(request.metadata or {}).get("sampling_value") or job.id,
            optimization_level=optimization_level(self._gate_compiler, target, request.params),
        )
        return task.to_json(), data

    def _input(self, request: JobRequest) -> bytes | None:
        record = self.store.blob(request.container, request.input_blob)
        try:
            return None if record is None else self.containers.read(record)
        except FileNotFoundError:  # removed by hand from the state folder
            return None

    def finish(self, key: int) -> float:
        """Record the end of a job's execution; return its time."""
        state = with_finish(self.store.job_by_key(key).state, self.clock.now())
        with self.store.transaction():
            self.store.put_job_state(key, state)
        return self.clock.now() if state.finished is None else state.finished

    def succeed(self, key: int, result: bytes, usage: Usage) -> None:
        """Store a job's result, bill it and end it; its blob exists before its status is Succeeded."""
        job = self.store.job_by_key(key)
        if job.state.is_terminal:
            return
        blob = "rawOutputData" if job.request.output_format in PROVIDER_RESULTS else "outputData"
        record = self.containers.write(job.request.container, blob, result, "application/json")
        with self.store.transaction():
            self.store.put_blob(record)
            price = self.catalogue.prices[job.request.target.lower()]
            self.store.put_bill(key, compute_bill(price, usage, job.request.params), usage.shots)
            self._end(replace(job, output_blob=blob), with_success(job.state, self.clock.now()))

    def fail(self, key: int, error: JobError) -> None:
        """End a job as failed; under Abort its session and the session's pending jobs end in the same step."""
        job = self.store.job_by_key(key)
        if job.state.is_terminal:
            return
        with self.store.transaction():
            cancelled = self._end(job, with_failure(job.state, self.clock.now(), error))
        for cancelled_key in cancelled:
            self.queue.drop(cancelled_key)

    def _end(self, job: StoredJob, state: JobState) -> list[int]:
        """Write a job's end and its session's next state; return the keys of the jobs that are cancelled with it."""
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
        """Write a session's end and cancel its pending jobs; return their keys."""
        now, cancelled = self.clock.now(), []
        for job in self.store.pending_jobs(key) if state.pending else []:
            self.store.put_job_state(job.key, with_cancellation(job.state, now), job.output_blob)
            state = with_job_ended(state, now, failed=False)
            cancelled.append(job.key)
        self.store.put_session_state(key, state)
        return cancelled

    def force_session_end(self, workspace: str, session_id: str, status: SessionStatus) -> None:
        """End a live session for an injected fault: as Failed with its pending jobs, or as TimedOut without them."""
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

    def end_idle_sessions(self) -> None:
        """End the sessions whose idle time is over, each at its own time on the two-minute grid."""
        now = self.clock.now()
        due = [
            (moment, session)
            for session in self.store.live_sessions()
            if (moment := idle_timeout_at(session.state, self._idle_rule)) is not None and moment <= now
        ]
        if not due:
            return
        with self.store.transaction():
            for moment, session in sorted(due, key=lambda pair: (pair[0], pair[1].key)):
                self.store.put_session_state(session.key, with_time_out(session.state, moment))

    def next_idle_timeout(self) -> float | None:
        """Time at which the next session ends for idling if nothing happens before; None if none will."""
        moments = (idle_timeout_at(session.state, self._idle_rule) for session in self.store.live_sessions())
        return min((moment for moment in moments if moment is not None), default=None)

    def idle_time_left(self, session: StoredSession) -> float | None:
        """Seconds until the session ends for idling if nothing happens before; None if it will not."""
        moment = idle_timeout_at(session.state, self._idle_rule)
        return None if moment is None else max(0.0, moment - self.clock.now())

    def advance(self, clock: VirtualClock, moment: float) -> None:
        """Advance virtual time, and end the sessions that time out on the way."""
        clock.advance_to(moment)
        with self.store.transaction():
            self.store.put_note("virtual_now", repr(clock.now()))
        self.end_idle_sessions()

    def page(self, which: ListKind, query: ListQuery, workspace: str, session_id: str | None = None) -> Page:
        """Return one page of a list; `session_id` names the session for a list of a session's jobs."""
        key = None if session_id is None else self.session(workspace, session_id).key
        return query_page(self.store, which, query, workspace, key)

    def _target(self, target: str, provider: str) -> Target:
        known_target = self.catalogue.find(target, provider)
        if known_target is None:
            message = f"Target {target} of provider {provider} is not offered in this workspace."
            raise ApiError(403, INVALID_JOB, message)
        return known_target
