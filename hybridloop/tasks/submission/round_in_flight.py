"""A round in flight: its jobs are submitted in parallel, listed by its polls, and collected.

While jobs are still submitted, each hundred that was accepted is listed once, so that the first results are collected
meanwhile: a service that limits the calls a second gets calls without a gap.

Each step is recorded in the journal before the next: the intent of every job, then that all were accepted, then their
ends and counts; only then are the counts used. A job with a transient failure is retried under a new id, that of its
next attempt, which is recorded before it is sent; never while an earlier attempt may still give a result.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub
from hybridloop.azure.client import PAGE_SIZE, JobGone, upload_input
from hybridloop.azure.job_document import billed_amounts
from hybridloop.azure.request_errors import result_unavailable
from hybridloop.errors import AccessDenied, AnswerRefused, JobFailed, RunStopped, SessionEnded, TargetDown
from hybridloop.journal import Job, PubRecord
from hybridloop.journal.held_run import how_to_resume
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.run_events import EventValue, report
from hybridloop.runtime.waits import JOB_SILENT_S
from hybridloop.settings.failure_policy import OnLostJob, is_above
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.submission.job_errors import (
    CANCELLED,
    CANCELLED_WITH_SESSION,
    DELETED,
    judge_failure,
    meaning_of,
    remedy_of,
)
from hybridloop.tasks.submission.job_ids import RoundKey
from hybridloop.tasks.submission.job_in_flight import JobInFlight, JobPhase
from hybridloop.tasks.submission.jobs import ACTIVE, PARTLY, SUCCEEDED, describe_jobs, submission_body
from hybridloop.tasks.submission.results import lost_shots, merge_points, read_counts
from hybridloop.tasks.submission.round_polls import GONE, OVER, RoundPolls, gone
from hybridloop.tasks.submission.target_outage import TargetOutage

LONG_S = 10.0  # of a job, which is said
Amounts = Mapping[str, float] | None
_log = logging.getLogger(__name__)


class RoundInFlight:
    """The jobs of one round, from submission to counts; only `result()` waits."""

    def __init__(
        self, connection: Connection, key: RoundKey, pubs: Sequence[PubRecord], jobs: Sequence[JobInFlight]
    ) -> None:
        """The journal has all these jobs, at least as intended."""
        self.key = key
        self.started_at: float | None = None
        self.ended = threading.Event()
        self._accepted = threading.Event()  # no job is left to submit, or the round has ended
        self._connection = connection
        self._pubs = pubs
        self._jobs = {job.spec.id: job for job in jobs}
        self._lock = threading.Lock()
        self._unwritten: list[Job] = []
        self._failure: BaseException | None = None
        self.waits_for_all = False  # its other jobs are awaited after one has failed, which ends it then
        self._late_failure: JobFailed | None = None
        self._to_accept: set[str] = set()  # ids of jobs that this process has not submitted yet
        self._to_send = 0  # number of those at the start
        self._to_end = sum(job.phase < JobPhase.DONE for job in jobs)
        self._outage = TargetOutage(connection.options.failure, connection.clock)
        self.retried = 0  # number of further attempts
        self.expected_s: float | None = None  # from its start until the end of its longest job, on the local service
        self._polls = RoundPolls(connection, key.prefix, lambda: self.jobs, self.observe, self._work)

    def __str__(self) -> str:
        return f"{self.key.label}: {describe_jobs(self.size, self.retried, self.lost)}"

    @property
    def jobs(self) -> list[JobInFlight]:
        """The jobs with their latest attempts; a copy, as other threads may be changing the dict."""
        return list(self._jobs.values())

    @property
    def size(self) -> int:
        """Number of jobs, without further attempts."""
        return len(self._jobs)

    @property
    def shots(self) -> int:
        """Number of shots of all its jobs."""
        return sum(job.spec.shots for job in self._jobs.values())

    @property
    def in_flight(self) -> int:
        """Number of jobs without counts yet."""
        return sum(job.phase < JobPhase.DONE for job in self.jobs)

    @property
    def lost(self) -> int:
        """Number of jobs that were given up."""
        return sum(job.phase is JobPhase.LOST for job in self.jobs)

    def start(self) -> None:
        """Submit all jobs in parallel and return at once; polling starts when the last one is accepted."""
        self.started_at = now = self._connection.clock.now()
        report("round.started", str(self), self._place(), level=logging.DEBUG, ended_at=now)
        waiting = [job for job in self._jobs.values() if job.phase < JobPhase.DONE]
        self._to_accept = {job.spec.id for job in waiting}
        self._to_send = len(waiting)
        for job in waiting:
            self._work(partial(self._submit, job))
        if not waiting:
            self._complete()

    def observe(self, listed: Mapping[str, Any]) -> None:
        """Process a job as the service lists it; one that has ended is collected, or retried."""
        job, status = self._jobs.get(listed["id"]), listed.get("status")
        if job is None:
            self._check_id(listed["id"], listed.get("name"))
            return
        if status in OVER | ACTIVE:
            job.known_at = self._connection.clock.now()
        elif str(status) != job.listed:
            _log.warning(
                "job %s has the status %r, which is unknown; its run waits %.0f minutes for a known one, then it is "
                "parked",
                *(job.spec.id, status, JOB_SILENT_S / 60.0),
            )
        job.listed = str(status)
        if status not in OVER:
            self._note_time(listed.get("expectedSeconds"))
            return
        with self._lock:
            # an attempt's own thread marks it as accepted, before it may be retried under another id
            if not JobPhase.ACCEPTED <= job.phase < JobPhase.ENDING or self.ended.is_set():
                return
            found_ended = job.phase is JobPhase.FOUND_ENDED
            job.move(JobPhase.ENDING)
        self._connection.keep_alive.ended(self._connection.clock.now())
        billed = self._connection.ledger.settle(job.spec.id, billed_amounts(listed.get("costEstimate")))
        handle_failure = partial(self._handle_failure, found_ended=found_ended)
        self._work(partial(self._collect if status in SUCCEEDED else handle_failure, job, listed, billed), first=True)

    def _note_time(self, seconds: object) -> None:
        """Note, and log once, the time that the local service states for a running job if that is long."""
        if not isinstance(seconds, float) or seconds < LONG_S or self.expected_s is not None:
            return
        waited_s = self._connection.clock.now() - (self.started_at or self._connection.clock.now())
        self.expected_s = waited_s + seconds
        _log.info("a job is expected to take %.0f s on the local service", seconds)

    def _check_id(self, job_id: str, name: str | None) -> None:
        """Raise AnswerRefused for a listed job that has the name of one of this round, and not its id."""
        if name and name.startswith(self.key.prefix) and not self.key.has_named(name, job_id):  # an earlier attempt has
            raise AnswerRefused(
                f"the service lists job {name} as {job_id}, which is not its id",
                "Its counts are not read. All results are kept, and accepted jobs run on and are billed.",
                "Resume the run; if it happens again, tell the service's support.",
            )

    def fail(self, error: BaseException) -> None:
        """End the round with an error; the first one counts."""
        with self._lock:
            if self._failure is None and not self.ended.is_set():
                self._failure = error
        self.ended.set()
        self._accepted.set()

    def stop(self, error: Exception | None = None) -> None:
        """End the wait for the round; its jobs are left to the service."""
        self.fail(error or RunStopped(self.in_flight))

    def cancel(self) -> None:
        """Cancel the round's accepted jobs at the service. Raises ServiceError."""
        for job in self.jobs:
            if JobPhase.ACCEPTED <= job.phase < JobPhase.DONE:
                self._connection.service.cancel_job(job.spec.id)

    def record_ends(self) -> None:
        """Record the known ends of jobs that are not recorded yet. Raises JournalError, LeaseLost."""
        with self._lock:
            ended, self._unwritten = self._unwritten, []
        if ended:
            run, key = self._connection.run, self.key
            run.journal.record_outcomes(run.lease, key.stream, key.sequence, ended, complete=False)

    def wait_until_accepted(self) -> None:
        """Wait until the service has all jobs, or the round has ended."""
        while not self._connection.clock.wait(self._accepted, 3600.0):
            pass

    def result(self) -> list[MeasuredPub]:
        """Wait for all jobs and return the counts by PUB and point. Raises the error that ended the round."""
        while not self._connection.clock.wait(self.ended, 3600.0):
            pass
        if self._failure is not None:
            raise self._failure
        return self._measured()

    def result_of(self, pub: int) -> MeasuredPub:
        """Return the counts of a PUB of a round that has ended. Raises the error that ended its own jobs."""
        for job in self.jobs:
            if job.counts is None and not job.lost and any(part.pub == pub for part in job.spec.parts):
                raise job.error or self._failure or RunStopped(self.in_flight)
        return self._measured()[pub]

    def _measured(self) -> list[MeasuredPub]:
        parts = {
            part[:3]: FailedPoint(job.lost) if job.counts is None else job.counts[i]
            for job in self._jobs.values()
            for i, part in enumerate(job.spec.parts)
        }
        return merge_points(self._pubs, parts)

    def _work(self, action: Callable[[], None], *, first: bool = False) -> None:
        self._connection.workers.submit(self._guarded(action), first=first)

    def _guarded(self, action: Callable[[], None]) -> Callable[[], None]:
        """Return the action with an error that ends the round and is raised where the result is awaited.

        A SystemExit, too: a log line raises it if the worker that reads the process's output is gone (Rich's console).
        """

        def guarded() -> None:
            try:
                action()
            except BaseException as error:  # as above
                self.fail(error)

        return guarded

    def _submit(self, job: JobInFlight) -> None:
        if self.ended.is_set():
            return
        connection, spec = self._connection, job.spec
        # a resumed job may exist at the service: its id is looked up before anything is sent
        listed = connection.service.find_job(spec.id) if job.phase is JobPhase.UNCLEAR else None
        if listed is not None:
            job.session = connection.sessions.ordinal_of(listed.get("sessionId"), job.session)
        else:
            if job.phase is JobPhase.UNCLEAR:  # the run may be resumed under smaller caps
                connection.ledger.check_unsent(spec)
            job.container = connection.service.create_container(spec.id)
            crash_point("upload.before")
            job.container = upload_input(connection.service, spec.id, job.container, spec.payload, spec.data_format)
            crash_point("upload.after")
            if (found := self._put(job)) is None:
                return
            if listed := found or None:
                job.session = connection.sessions.ordinal_of(listed.get("sessionId"), job.session)
        connection.keep_alive.submitted(connection.clock.now())
        # acceptance is recorded for all jobs at once; later attempts are recorded one by one
        self._outage.end()
        with self._lock:
            found_ended = listed is not None and listed.get("status") in OVER
            job.move(JobPhase.FOUND_ENDED if found_ended else JobPhase.ACCEPTED)
            is_early = spec.id in self._to_accept
            self._to_accept.discard(spec.id)
            left = len(self._to_accept)
            is_last = is_early and not left
            ids = [] if is_early else [spec.id]
            if is_last:
                self._accepted.set()
                ids = [id_ for id_, other in self._jobs.items() if other.phase >= JobPhase.ACCEPTED]
        if ids:
            crash_point("answer.before")
            connection.run.journal.mark_submitted(connection.run.lease, ids)
            crash_point("answer.after")
        if is_last:
            connection.poller.watch(self._guarded(self._polls.poll), self.ended)
        elif is_early and (sent := self._to_send - left) % PAGE_SIZE == 0:
            self._polls.list_accepted(job.session, sent - PAGE_SIZE)
        if listed is not None:
            self.observe(listed)

    def _put(self, job: JobInFlight) -> dict[str, Any] | None:
        """Submit to the open session, or to the next one if it has ended. Return None if the round ended first.

        Return the service's document of a job that it has in another session or that was deleted, else an empty one.
        """
        connection, spec = self._connection, job.spec
        while not self.ended.is_set():
            session = connection.sessions.current()
            job.session = session.ordinal
            crash_point("put.before")
            body = submission_body(spec, session.id, connection.target, connection.options)
            try:
                may_be_gone = job.phase is JobPhase.UNCLEAR
                found = connection.service.submit(spec.id, job.container, body, may_be_gone=may_be_gone)
            except JobGone:
                return gone(spec.id)
            except SessionEnded:
                idle_s = connection.keep_alive.idle_s(connection.clock.now())
                connection.sessions.mark_ended(session.ordinal, idle_s)
            except TargetDown as error:
                in_flight = sum(JobPhase.ACCEPTED <= job.phase < JobPhase.DONE for job in self.jobs)
                self._outage.wait(error, self.ended, in_flight)
            else:
                crash_point("put.after")
                return found or {}
        return None

    def _collect(self, job: JobInFlight, listed: Mapping[str, Any], billed: Amounts) -> None:
        spec = job.spec
        crash_point("result.before")
        if not (url := listed.get("outputDataUri")):
            raise result_unavailable(spec.id, "the service does not say where its result is")
        try:
            counts = self._download(job, url, is_partial=listed.get("status") == PARTLY)
        except JobFailed as error:
            self._fail_job(job, error)
            return
        crash_point("result.after")
        lost = lost_shots(spec.parts, counts, self._connection.target)
        if lost and (lost == spec.shots or is_above(lost, spec.shots, self._connection.options.failure.max_lost_shots)):
            self._lose_for_qubits(job, lost, billed)
        else:
            self._finish(job, job.ended("done", billed, counts=counts))

    def _lose_for_qubits(self, job: JobInFlight, lost: int, billed: Amounts) -> None:
        """Give up a job that lost most shots; one of so few that chance may have lost all is sent again."""
        policy, shots = self._connection.options.failure, job.spec.shots
        why, bound = f"{lost} of {shots} shots lost a qubit", policy.max_lost_shots
        job.failures += 1
        if is_above(lost, shots, bound):
            self._lose(job, f"{why}, above failure.max_lost_shots ({bound:g})", billed, policy.on_lost_job)
        elif job.failures > policy.retries:
            self._lose(job, why, billed, policy.on_lost_job)
        else:
            self._retry(job, job.ended("failed", billed, why), 0.0)

    def _download(self, job: JobInFlight, url: str, *, is_partial: bool) -> tuple[Counts, ...]:
        """Return a job's counts. An unreadable result is paid: it ends the round and is no lost job of the policy."""
        service, spec = self._connection.service, job.spec
        read = partial(read_counts, spec=spec, target=self._connection.target, is_partial=is_partial)
        job.container = job.container or service.create_container(spec.id)
        try:
            return service.download(spec.id, url, job.container, read)
        except AccessDenied:  # its signature has expired: jobs may wait in a queue for longer than it lasts
            job.container = service.create_container(spec.id)
            return service.download(spec.id, url.partition("?")[0], job.container, read)

    def _left_behind(self, job: JobInFlight) -> tuple[Counts, ...] | None:
        """Return the counts of a job that was deleted after its end: it is paid, and its result is in the storage."""
        service = self._connection.service
        job.container = job.container or service.create_container(job.spec.id)
        return service.find_result(
            job.container, partial(read_counts, spec=job.spec, target=self._connection.target, is_partial=False)
        )

    def _handle_failure(
        self, job: JobInFlight, listed: Mapping[str, Any], billed: Amounts, *, found_ended: bool
    ) -> None:
        """Retry a job whose attempt ended without counts, or give it up."""
        connection, now = self._connection, self._connection.clock.now()
        if listed.get("status") == GONE and (counts := self._left_behind(job)) is not None:
            self._finish(job, job.ended("done", billed, counts=counts))
            return
        error = listed.get("errorData") or {}
        code = error.get("code")
        if listed.get("status") == GONE:
            code = DELETED
        elif listed.get("status") == "Cancelled" and not code:
            code = CANCELLED_WITH_SESSION if connection.sessions.has_ended(job.session) else CANCELLED
        message = " ".join(str(error[key]) for key in ("code", "message") if error.get(key)) or meaning_of(code)
        reason = f"it ended {listed.get('status')}: {message}"
        if code == CANCELLED_WITH_SESSION:
            connection.sessions.mark_ended(job.session)
        else:
            job.failures += 1
            job.first_failure_at = job.first_failure_at or now
        policy, since, draw = connection.options.failure, now - job.first_failure_at, random.random()
        decision = judge_failure(
            policy, code, failures=job.failures, since_first_s=since, draw=draw, found_ended=found_ended
        )
        if isinstance(decision, OnLostJob):
            self._lose(job, reason, billed, decision, code)
        else:
            self._retry(job, job.ended("failed", billed, reason), decision)

    def _lose(self, job: JobInFlight, why: str, billed: Amounts, policy: OnLostJob, code: str | None = None) -> None:
        """Apply the policy to a job that failed for good."""
        reason = f"job {job.spec.id}: {why}"
        if policy is not OnLostJob.FAIL:
            self._report_lost(job, why, f"{reason}; the policy is to {policy.value} its point")
            self._finish(job, job.ended("lost", billed, why), lost=reason)
        else:
            with self._lock:
                self._unwritten.append(job.ended("failed", billed, why))
            self.record_ends()
            self._report_lost(job, why, f"{reason}; the policy is to end the run")
            kept = "all other results are kept, and accepted jobs run on and are billed."
            if self.waits_for_all:
                kept = "each other job of this call keeps its own: job.counts, job.result()."
            happened = f"{reason} (after {job.failures} attempts)" if job.failures > 1 else reason
            remedy = remedy_of(code, how_to_resume(self._connection.run.record))
            self._fail_job(job, JobFailed(happened, f"Its counts are lost; {kept}", remedy))

    def _fail_job(self, job: JobInFlight, error: JobFailed) -> None:
        """End the round with the error of a job, at once or after its other jobs."""
        if not self.waits_for_all:
            self.fail(error)
            return
        with self._lock:
            job.error, self._late_failure = error, self._late_failure or error
            self._to_end -= 1
            is_last = not self._to_end
        if is_last:
            self._complete()

    def _retry(self, job: JobInFlight, failed: Job, wait_s: float) -> None:
        """Record the failed attempt and the intent of the next one, and submit that after the wait."""
        with self._lock:
            self._unwritten.append(failed)
        self.record_ends()
        connection, run, key = self._connection, self._connection.run, self.key
        spec = connection.ledger.reserve_retry(job.spec.next_attempt())
        ordinal = connection.sessions.current().ordinal
        run.journal.add_attempts(run.lease, key.stream, key.sequence, [spec.intent(ordinal)])
        run.journal.add_event(run.lease, "retry", {"job": failed.id, "next": spec.id, "reason": failed.reason})
        message = f"job {failed.id}: {failed.reason}; retried in {wait_s:.1f} s as {spec.id}"
        facts: dict[str, EventValue] = {
            "job": failed.id,
            "next_job": spec.id,
            "reason": failed.reason,
            "wait_s": round(wait_s, 3),
        }
        report("job.retried", message, self._place() | facts, level=logging.WARNING)
        with self._lock:
            self.retried += 1
            del self._jobs[job.spec.id]
            job.begin_attempt(spec, ordinal)
            self._jobs[spec.id] = job
        connection.poller.call_later(wait_s, partial(self._work, partial(self._submit, job)))

    def _finish(self, job: JobInFlight, ended: Job, lost: str = "") -> None:
        with self._lock:  # else another thread could complete the round without this job's end
            job.counts, job.lost = ended.counts, lost
            job.move(JobPhase.LOST if lost else JobPhase.DONE)
            self._unwritten.append(ended)
            self._to_end -= 1
            is_last = not self._to_end
        if is_last:
            self._complete()

    def _complete(self) -> None:
        """Record that all jobs have ended, and release the counts; raise what failed one in place of the others."""
        if self._late_failure is not None:
            self.record_ends()
            self.fail(self._late_failure)
            return
        with self._lock:
            ended, self._unwritten = self._unwritten, []
        run, key = self._connection.run, self.key
        crash_point("commit.before")
        now = self._connection.clock.now()
        run.journal.record_outcomes(run.lease, key.stream, key.sequence, ended, complete=True, at=now)
        crash_point("commit.after")
        self._report_completed(now)
        self.ended.set()
        self._accepted.set()

    def _report_completed(self, now: float) -> None:
        facts = self._place() | {"jobs": self.size, "retried": self.retried, "lost": self.lost, "shots": self.shots}
        row = self._connection.sessions.open_row
        facts["session"] = None if row is None else row.id
        report("round.completed", str(self), facts, began_at=self.started_at, ended_at=now)

    def _place(self) -> dict[str, EventValue]:
        return {"stream": self.key.stream, "round": self.key.sequence + 1}

    def _report_lost(self, job: JobInFlight, why: str, message: str) -> None:
        facts: dict[str, EventValue] = {"job": job.spec.id, "attempts": job.failures, "reason": why}
        report("job.lost", message, self._place() | facts, level=logging.WARNING)
