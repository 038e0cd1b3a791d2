"""A round in flight: its jobs are submitted side by side, watched by one list a tick, and collected as they end.

What it does is written down in this order: the intent of every job, then that all were accepted, then their ends and
counts, then they are used. A job that failed in passing is asked again under a new id, its attempt, which is written
down as well before it is sent; never while an earlier attempt may still give an answer.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub
from hybridloop.azure.client import ResultMissing
from hybridloop.budget.billing import billed_amounts
from hybridloop.errors import AccessDenied, HybridloopError, JobFailed, RunParked, RunStopped, SessionEnded, TargetDown
from hybridloop.journal import JobOutcome, JobRecord, PubRecord
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.crash_points import crash_point
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.failure_policy import OnLostJob, OnTargetDown, wait_before_retry, while_away
from hybridloop.tasks.submission.job_errors import CANCELLED, CANCELLED_WITH_SESSION, meaning_of, transient
from hybridloop.tasks.submission.job_ids import RoundKey
from hybridloop.tasks.submission.jobs import SUCCEEDED, TERMINAL, JobSpec
from hybridloop.tasks.submission.results import UnreadableResult, measured, read_results_v2

_FOREVER_S = 3600.0
_LOOK_AT_TARGET_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """A place in the round with its attempt that counts: the latest."""

    spec: JobSpec
    session: int
    may_be_there: bool = False
    container: str = ""
    accepted: bool = False
    collecting: bool = False
    counts: Counts | None = None
    lost: str | None = None
    failures: int = 0
    first_failure_at: float = 0.0

    @property
    def settled(self) -> bool:
        return self.counts is not None or self.lost is not None


class RoundInFlight:
    """The jobs of one round, from their submission to their counts. `result()` waits; nothing else does."""

    def __init__(
        self,
        place: RoundKey,
        pubs: Sequence[PubRecord],
        specs: Sequence[JobSpec],
        recorded: Mapping[str, JobRecord] | None = None,
    ) -> None:
        """A round whose intent is written down; `recorded` has what is known of these attempts already, by id."""
        self.place = place
        self._pubs = pubs
        self._jobs = {spec.id: _known(spec, (recorded or {}).get(spec.id)) for spec in specs}
        self._lock = threading.Lock()
        self._unwritten: list[JobOutcome] = []
        self._failure: Exception | None = None
        self._all_accepted = False
        self._on_submitted: Callable[[], None] = lambda: None
        self._down_since: float | None = None
        self.started_at: float | None = None
        self.ended = threading.Event()

    @property
    def size(self) -> int:
        """Number of jobs, each place once."""
        return len(self._jobs)

    @property
    def shots(self) -> int:
        """Number of shots of all its jobs."""
        return sum(job.spec.shots for job in self._jobs.values())

    @property
    def in_flight(self) -> int:
        """Number of jobs without counts yet."""
        return sum(not job.settled for job in list(self._jobs.values()))  # which others may be changing

    @property
    def lost(self) -> int:
        """Number of jobs that were given up."""
        return sum(job.lost is not None for job in list(self._jobs.values()))

    @property
    def sessions(self) -> set[int]:
        """The ordinals of the sessions that have jobs of it whose end is not known yet."""
        with self._lock:
            return {job.session for job in self._jobs.values() if not (job.settled or job.collecting)}

    def start(self, connection: Connection, on_submitted: Callable[[], None]) -> None:
        """Submit all jobs side by side; the call returns at once. on_submitted runs when the last one is accepted."""
        self.started_at = connection.clock.now()
        self._on_submitted = on_submitted
        waiting = [job for job in self._jobs.values() if not job.settled]
        if not waiting:
            self._settled(connection)
            return
        for job in waiting:
            connection.workers.submit(partial(self._submit, connection, job))

    def observe(self, connection: Connection, listed: Mapping[str, Any]) -> None:
        """Take a job as the service lists it; one that has ended is collected, or asked again."""
        job = self._jobs.get(listed["id"])
        status = listed.get("status")
        if job is None or status not in TERMINAL:
            return
        with self._lock:
            if job.collecting or self.ended.is_set():
                return
            job.collecting = True
        connection.activity.ended(connection.clock.now())
        billed = connection.account.settle(job.spec, billed_amounts(listed.get("costEstimate")))
        act = self._collect if status in SUCCEEDED else self._failed
        connection.workers.submit(partial(self._guarded, partial(act, connection, job, listed, billed)))

    def fail(self, error: Exception) -> None:
        """End the round with an error; the first one counts."""
        with self._lock:
            if self._failure is None and not self.ended.is_set():
                self._failure = error
        self.ended.set()

    def stop(self, error: Exception | None = None) -> None:
        """End the wait for the round; its jobs are left to the service."""
        self.fail(error or RunStopped(self.in_flight))

    def cancel(self, connection: Connection) -> None:
        """Ask the service to cancel what it has of the round. Raises ServiceError."""
        for job in list(self._jobs.values()):
            if job.accepted and not job.settled:
                connection.service.cancel_job(job.spec.id)

    def write(self, connection: Connection) -> None:
        """Write down the ends that are known and not written yet. Raises JournalError, LeaseLost."""
        with self._lock:
            outcomes, self._unwritten = self._unwritten, []
        if outcomes:
            run = connection.run
            run.journal.record_outcomes(run.lease, self.place.stream, self.place.sequence, outcomes, complete=False)

    def result(self, clock: Clock) -> list[MeasuredPub]:
        """The counts by PUB and point, once all jobs have ended. Raises what ended the round."""
        while not clock.wait(self.ended, _FOREVER_S):
            pass
        if self._failure is not None:
            raise self._failure
        return measured(
            self._pubs, {_at(job.spec): job.counts or FailedPoint(job.lost or "") for job in self._jobs.values()}
        )

    def _submit(self, connection: Connection, job: _Job) -> None:
        if not self.ended.is_set():
            self._guarded(partial(self._send, connection, job))

    def _send(self, connection: Connection, job: _Job) -> None:
        spec, service = job.spec, connection.service
        there = service.find_job(spec.id) if job.may_be_there else None
        if there is not None:
            job.session = connection.sessions.ordinal_of(there.get("sessionId"), job.session)
        else:
            if job.may_be_there:  # its run may go on under smaller caps
                connection.account.check_unsent(spec)
            job.container = service.create_container(spec.id)
            crash_point("upload.before")
            service.upload(job.container, spec.payload)
            crash_point("upload.after")
            if not self._put(connection, job):
                return
        connection.activity.submitted(connection.clock.now())
        with self._lock:
            self._down_since = None
            job.accepted = True
            last = not self._all_accepted and all(each.accepted or each.settled for each in self._jobs.values())
            self._all_accepted |= last
            alone = self._all_accepted and not last
            ids = [spec.id] if alone else [each.spec.id for each in self._jobs.values()] if last else []
        if ids:
            crash_point("answer.before")
            connection.run.journal.mark_submitted(connection.run.lease, ids)
            crash_point("answer.after")
        if last:  # it may be a further attempt that is: an adopted job has failed before the others were accepted
            self._on_submitted()
        if there is not None:
            self.observe(connection, there)

    def _put(self, connection: Connection, job: _Job) -> bool:
        """Submit to the session of the moment, or its successor where that has ended. False: the round ended first."""
        spec = job.spec
        while not self.ended.is_set():
            held = connection.sessions.current()
            job.session = held.ordinal
            crash_point("put.before")
            body = spec.body(held.id, connection.target, debias=connection.debias)
            try:
                connection.service.submit(spec.id, job.container, body)
            except SessionEnded:
                connection.sessions.over(held.ordinal)
            except TargetDown as error:
                self._wait_for_target(connection, error)
            else:
                crash_point("put.after")
                return True
        return False

    def _wait_for_target(self, connection: Connection, error: TargetDown) -> None:
        """Wait a little for a target that is down; raises the error where the policy has had enough of it."""
        policy, now = connection.policy, connection.clock.now()
        with self._lock:
            is_first = self._down_since is None
            self._down_since = since = now if self._down_since is None else self._down_since
        left = since + policy.target_down_wait_s - now
        if left <= 0 and policy.on_target_down is OnTargetDown.PARK:
            raise RunParked(sum(job.accepted and not job.settled for job in list(self._jobs.values()))) from error
        if policy.on_target_down is OnTargetDown.FAIL or left <= 0:
            raise error
        if is_first:
            _log.warning("%s. %s", error.happened, while_away(policy, left))
        connection.clock.wait(self.ended, min(_LOOK_AT_TARGET_S, left))

    def _collect(
        self, connection: Connection, job: _Job, listed: Mapping[str, Any], billed: Mapping[str, float] | None
    ) -> None:
        spec = job.spec
        crash_point("result.before")
        try:
            if not (url := listed.get("outputDataUri")):
                raise UnreadableResult("the service does not say where it is")
            data = self._download(connection, job, url)
            counts = read_results_v2(data, spec.num_bits, exact=not connection.target.samples, shots=spec.shots)
        except UnreadableResult as error:
            self._lost(connection, job, f"its result can't be read: {error}", billed, succeeded=True)
            return
        except ResultMissing as error:
            self._lost(connection, job, str(error), billed, succeeded=True)
            return
        crash_point("result.after")
        self._take(connection, job, JobOutcome(spec.id, "done", counts, "", billed), counts=counts)

    def _download(self, connection: Connection, job: _Job, url: str) -> bytes:
        service = connection.service
        job.container = job.container or service.create_container(job.spec.id)
        try:
            return service.download(url, job.container)
        except AccessDenied:  # its signature has ended: jobs may wait in a queue for longer than that lasts
            job.container = service.create_container(job.spec.id)
            return service.download(url.partition("?")[0], job.container)

    def _failed(
        self, connection: Connection, job: _Job, listed: Mapping[str, Any], billed: Mapping[str, float] | None
    ) -> None:
        error = listed.get("errorData") or {}
        code = error.get("code")
        if listed.get("status") == "Cancelled" and not code:
            code = CANCELLED_WITH_SESSION if connection.sessions.is_over(job.session) else CANCELLED
        words = [str(error[key]) for key in ("code", "message") if error.get(key)]
        said = " ".join(words) or meaning_of(code)
        self._gave_nothing(connection, job, code, f"it ended {listed.get('status')}: {said}", billed)

    def _gave_nothing(
        self, connection: Connection, job: _Job, code: str | None, why: str, billed: Mapping[str, float] | None
    ) -> None:
        """Ask a job again whose attempt ended without counts, or give it up."""
        if code == CANCELLED_WITH_SESSION:  # not the job's fault: the renewals are what is counted
            connection.sessions.over(job.session)
            wait: float | None = 0.0
        else:
            now = connection.clock.now()
            job.failures += 1
            job.first_failure_at = job.first_failure_at or now
            since, draw = now - job.first_failure_at, random.random()
            wait = None
            if transient(code):
                wait = wait_before_retry(connection.policy, failed=job.failures, since_first_s=since, draw=draw)
        if wait is None:
            self._lost(connection, job, why, billed, succeeded=False)
        else:
            self._again(connection, job, JobOutcome(job.spec.id, "failed", None, why, billed), wait)

    def _lost(
        self, connection: Connection, job: _Job, why: str, billed: Mapping[str, float] | None, *, succeeded: bool
    ) -> None:
        """Do with a job that gives no counts, all its attempts used, as the policy says."""
        policy, reason = connection.policy.on_lost_job, f"job {job.spec.id}: {why}"
        if policy is not OnLostJob.FAIL:
            _log.warning("%s; the policy is to %s its point", reason, policy.value)
            self._take(connection, job, JobOutcome(job.spec.id, "lost", None, why, billed), lost=reason)
        elif succeeded:  # it is paid, so that it is never asked again: a resume reads its result
            self.fail(_no_result(reason))
        else:
            with self._lock:
                self._unwritten.append(JobOutcome(job.spec.id, "failed", None, why, billed))
            self.write(connection)
            self.fail(_lost_for_good(reason, job.failures))

    def _again(self, connection: Connection, job: _Job, failed: JobOutcome, wait_s: float) -> None:
        with self._lock:
            self._unwritten.append(failed)
        self.write(connection)
        run, spec = connection.run, connection.account.again(job.spec.next_attempt())
        ordinal = connection.sessions.current().ordinal
        run.journal.add_attempts(run.lease, self.place.stream, self.place.sequence, [spec.intent(ordinal)])
        run.journal.add_event(run.lease, "retry", {"job": failed.id, "next": spec.id, "reason": failed.reason})
        _log.warning("job %s: %s; asked again in %.1f s as %s", failed.id, failed.reason, wait_s, spec.id)
        with self._lock:
            del self._jobs[job.spec.id]
            job.spec, job.container, job.session = spec, "", ordinal
            job.accepted = job.collecting = job.may_be_there = False
            self._jobs[spec.id] = job
        send = partial(self._submit, connection, job)
        connection.later(wait_s, lambda: connection.workers.submit(send))

    def _take(
        self,
        connection: Connection,
        job: _Job,
        outcome: JobOutcome,
        *,
        counts: Counts | None = None,
        lost: str | None = None,
    ) -> None:
        with self._lock:
            job.counts, job.lost = counts, lost
            self._unwritten.append(outcome)
            last = all(each.settled for each in self._jobs.values())
        if last:
            self._settled(connection)

    def _settled(self, connection: Connection) -> None:
        """Write down that all is there, and let it be used."""
        with self._lock:
            outcomes, self._unwritten = self._unwritten, []
        run, at = connection.run, self.place
        crash_point("commit.before")
        run.journal.record_outcomes(
            run.lease, at.stream, at.sequence, outcomes, complete=True, at=connection.clock.now()
        )
        crash_point("commit.after")
        self.ended.set()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # handed to whoever waits for the round, and raised there
            self.fail(error)


def _known(spec: JobSpec, record: JobRecord | None) -> _Job:
    if record is None:
        return _Job(spec, session=-1)
    return _Job(
        spec,
        session=record.session,
        may_be_there=record.state in {"intended", "submitted"},
        counts=record.counts,
        lost=record.reason if record.state == "lost" else None,
    )


def _at(spec: JobSpec) -> tuple[int, int, int]:
    return spec.place.pub, spec.place.point, spec.place.part


def _lost_for_good(reason: str, attempts: int) -> HybridloopError:
    return JobFailed(
        f"{reason} (after {attempts} attempts)" if attempts > 1 else reason,
        "Its counts are lost; all other results are kept, and jobs that were accepted run on and are billed.",
        "If the words name an input or a limit, change the circuit or shots; else resume the run, which asks again.",
    )


def _no_result(reason: str) -> HybridloopError:
    return JobFailed(
        reason,
        "The job is done and billed, and is not asked again; all other results are kept.",
        "Resume the run, which reads the result again; if that does not help, report the job with its id.",
    )
