"""Stateful test of sessions and jobs: random events and time jumps, compared with a model that keeps the history."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hybridloop.emulator.clock import VirtualClock, format_time
from hybridloop.emulator.http.data_plane import job_view, session_view
from hybridloop.emulator.model.billing import Usage
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.job import JobError
from hybridloop.emulator.model.list_query import parse_query
from hybridloop.emulator.model.requests import JobRequest, SessionRequest
from hybridloop.emulator.model.session import JobFailurePolicy
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.settings import IdleRule
from hybridloop.emulator.store.blobs import MemoryBlobs
from hybridloop.emulator.store.ledger import LedgerQuery, ledger
from hybridloop.emulator.store.listing import ListKind
from hybridloop.emulator.store.records import StoredJob
from hybridloop.emulator.store.store import Store
from tests.long_form import long_form, short_or_long

START = 1_800_000_000.0
W = "w"
TARGETS = ("rigetti.sim.qvm", "ionq.simulator")
PLACES = ("", "run/0/1", "run/0/2")
JUMPS = (0.0, 1.0, 59.5, 120.0, 240.0, 300.0, 480.0, 599.0, 601.0, 7200.0)
CATALOGUE = load_catalogue()
number = st.integers(0, 99)  # picks one of the existing items


# The model -----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class ModelJob:
    id: str
    name: str
    place: str
    session: ModelSession | None
    created: float
    status: str = "Waiting"
    began: float | None = None
    ended: float | None = None
    deleted: bool = False


@dataclass(eq=False)
class ModelSession:
    id: str
    policy: str
    target: str
    opened: float
    closing: bool = False
    over: tuple[str, float] | None = None
    jobs: list[ModelJob] = field(default_factory=list)

    @property
    def live(self) -> list[ModelJob]:
        return [job for job in self.jobs if job.ended is None]

    @property
    def has_failures(self) -> bool:
        return any(job.status == "Failed" for job in self.jobs)

    @property
    def status(self) -> str:
        if self.over:
            return self.over[0]
        return "Failure(s)" if self.has_failures else "Executing" if self.jobs else "Waiting"

    def times_out_at(self, rule: IdleRule) -> float:
        """Return the time of the idle timeout; infinity if there is none."""
        if self.over or self.closing or (rule is IdleRule.RECORDED and self.live):
            return math.inf
        by_end = rule is IdleRule.RECORDED
        activity = [self.opened, *((job.ended or 0.0) if by_end else job.created for job in self.jobs)]
        return 120.0 * math.ceil((max(activity) + 600.0) / 120.0)


@dataclass
class Model:
    rule: IdleRule
    now: float = START
    sessions: dict[str, ModelSession] = field(default_factory=dict)
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    duplicates: int = 0

    def submit(self, job: ModelJob) -> None:
        rivals = [other for other in self.jobs.values() if other.place and other.place == job.place]
        self.duplicates += any(other.status not in ("Failed", "Cancelled") for other in rivals)
        self.jobs[job.id] = job
        if job.session:
            job.session.jobs.append(job)

    def end(self, job: ModelJob, status: str) -> None:
        if job.ended is not None:
            return
        job.status, job.ended = status, self.now
        session = job.session
        if session is None or session.over:
            return
        if status == "Failed" and session.policy == "Abort":
            session.over = ("Failed", self.now)
            for other in session.live:
                other.status, other.ended = "Cancelled", self.now
        elif session.closing:
            self.close(session)

    def close(self, session: ModelSession) -> None:
        session.closing = True
        if not session.over and not session.live:
            session.over = ("Failed" if session.has_failures else "Succeeded", self.now)

    def go_to(self, moment: float) -> None:
        self.now = moment
        for session in self.sessions.values():
            due = session.times_out_at(self.rule)
            if due <= moment:
                session.over = ("TimedOut", due)

    @property
    def live(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.ended is None]

    def next_time_out(self) -> float | None:
        moments = [session.times_out_at(self.rule) for session in self.sessions.values()]
        return min((moment for moment in moments if moment < math.inf), default=None)


# The comparison ------------------------------------------------------------------------------------------------------


class Queue:
    def __init__(self) -> None:
        self.added: list[int] = []

    def add(self, job: StoredJob) -> None:
        self.added.append(job.key)

    def drop(self, key: int) -> None:
        pass

    def expected_s(self, key: int) -> float | None:
        return None


class SessionsAndJobs(RuleBasedStateMachine):
    @initialize(idle_rule=st.sampled_from(IdleRule), first=st.permutations(list(JobFailurePolicy) * 2), pick=number)
    def start(self, idle_rule: IdleRule, first: list[JobFailurePolicy], pick: int) -> None:
        """Start with a few sessions and jobs, so that every rule has something to act on."""
        self.model = Model(idle_rule)
        self.clock, self.store, self.blobs, self.queue = VirtualClock(START), Store(None), MemoryBlobs(), Queue()
        self.requests: dict[str, JobRequest] = {}
        self.service = self.new_service()
        for policy in first[: 1 + pick % 4]:
            self.open(policy, TARGETS[0])
            self.submit(self.a_session(0), pick, PLACES[pick % 3], TARGETS[0])

    def new_service(self) -> EmulatorService:
        service = EmulatorService(self.store, self.blobs, self.clock, CATALOGUE, self.model.rule, seed=0)
        service.queue = self.queue
        return service

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    def a_session(self, pick: int) -> ModelSession:
        """Pick a session, mostly a recent one."""
        return list(self.model.sessions.values())[-1 - pick % 20 % len(self.model.sessions)]

    def a_live_job(self, pick: int) -> ModelJob:
        live = self.model.live
        return live[pick % len(live)]

    def a_job(self, pick: int) -> ModelJob:
        return list(self.model.jobs.values())[pick % len(self.model.jobs)]

    def key(self, job: ModelJob) -> int:
        record, _ = self.store.job_and_deletion(W, job.id)
        assert record is not None
        return record.key

    @precondition(lambda self: sum(session.over is None for session in self.model.sessions.values()) < 3)
    @rule(policy=st.sampled_from(JobFailurePolicy), where=st.sampled_from(TARGETS))
    def open(self, policy: JobFailurePolicy, where: str) -> None:
        session = ModelSession(f"s{len(self.model.sessions)}", policy, where, self.model.now)
        self.model.sessions[session.id] = session
        self.service.open_session(W, session.id, session_request(session))

    @precondition(lambda self: self.model.sessions)
    @rule(pick=number)
    def close(self, pick: int) -> None:
        session = self.a_session(pick)
        self.model.close(session)
        assert self.service.close_session(W, session.id).state.status == session.status

    @precondition(lambda self: self.model.sessions)
    @rule(pick=number, places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=4))
    def submit_into_a_session(self, pick: int, places: list[str]) -> None:
        for place in places:
            self.submit(self.a_session(pick), pick, place, self.a_session(pick).target)

    @rule(pick=number, place=st.sampled_from(PLACES), where=st.sampled_from(TARGETS))
    def submit_elsewhere(self, pick: int, place: str, where: str) -> None:
        session = self.a_session(pick) if self.model.sessions and pick % 2 else None
        self.submit(session, pick, place, where)

    def submit(self, session: ModelSession | None, pick: int, place: str, where: str) -> None:
        count = len(self.model.jobs)
        job = ModelJob(str(uuid.UUID(int=count)), f"{'ab'[pick % 2]}{count}", place, session, self.model.now)
        request = job_request(job, where)
        self.service.containers.put(request.container, "inputData", b"qir", "", "")
        if session and (session.over or session.closing or where != session.target):
            refused(400, lambda: self.service.submit(W, job.id, request))
            return
        record, is_new = self.service.submit(W, job.id, request)
        assert (is_new, record.state.status) == (True, "Waiting")
        self.requests[job.id] = request
        self.model.submit(job)

    @precondition(lambda self: self.model.jobs and self.model.sessions)
    @rule(pick=number)
    def repeat_requests(self, pick: int) -> None:
        """A repeated request returns the existing item; another one with the same id is a conflict."""
        session, job = self.a_session(pick), self.a_job(pick)
        opening, submission = session_request(session), self.requests[job.id]
        assert self.service.open_session(W, session.id, opening).id == session.id
        other = next(policy for policy in JobFailurePolicy if policy != session.policy)
        refused(409, lambda: self.service.open_session(W, session.id, replace(opening, policy=other)))
        if job.deleted:
            refused(409, lambda: self.service.submit(W, job.id, submission))
        else:
            assert self.service.submit(W, job.id, submission)[1] is False
        refused(409, lambda: self.service.submit(W, job.id, replace(submission, params={"shots": 6})))

    @precondition(lambda self: self.model.live)
    @rule(pick=number)
    def begin(self, pick: int) -> None:
        job = self.a_live_job(pick)
        assert self.service.begin(self.key(job)) is not None
        job.status = "Executing"
        job.began = self.model.now if job.began is None else job.began

    @precondition(lambda self: self.model.live)
    @rule(pick=number, outcome=st.sampled_from(["Succeeded", "Failed", "Failed", "Cancelled", "deleted"]))
    def end(self, pick: int, outcome: str) -> None:
        job = self.a_live_job(pick)
        self.end_on_service(job, outcome)
        self.model.end(job, "Cancelled" if outcome == "deleted" else outcome)
        job.deleted = outcome == "deleted"

    @precondition(lambda self: len(self.model.live) < len(self.model.jobs))
    @rule(pick=number, outcome=st.sampled_from(["Succeeded", "Failed", "Cancelled", "deleted"]))
    def end_an_ended_job(self, pick: int, outcome: str) -> None:
        """A job that has ended does not begin, end or change again."""
        ended = [job for job in self.model.jobs.values() if job.ended is not None]
        job = ended[pick % len(ended)]
        assert self.service.begin(self.key(job)) is None
        if job.deleted and outcome in ("Cancelled", "deleted"):
            refused(404, lambda: self.end_on_service(job, outcome))
        else:
            self.end_on_service(job, outcome)
            job.deleted |= outcome == "deleted"

    def end_on_service(self, job: ModelJob, outcome: str) -> None:
        """End a job, as a worker or a client does."""
        if outcome == "Cancelled":
            self.service.cancel_job(W, job.id)
        elif outcome == "deleted":
            self.service.delete_job(W, job.id)
        elif outcome == "Succeeded":
            self.service.succeed(self.key(job), b"{}", Usage(1, 2, 4, 4, 0, 5))
        else:
            self.service.fail(self.key(job), JobError("InvalidInputData", "no circuit"))

    @rule(seconds=st.sampled_from(JUMPS))
    def let_time_pass(self, seconds: float) -> None:
        self.jump(self.model.now + seconds)

    @precondition(lambda self: self.model.next_time_out())
    @rule(early=st.sampled_from([0.0, 0.25]))
    def go_to_the_next_time_out(self, early: float) -> None:
        self.jump(max(self.model.now, (self.model.next_time_out() or 0.0) - early))

    def jump(self, moment: float) -> None:
        self.service.advance(self.clock, moment)
        self.model.go_to(moment)

    @rule()
    def restart(self) -> None:
        self.service = self.new_service()
        live = [job.id for job in self.model.jobs.values() if job.ended is None]
        assert [job.id for job in self.service.store.pending_jobs()] == live

    @rule(
        prefix=st.sampled_from(["", "a", "b1"]),
        status=st.sampled_from(["", "Waiting", "Failed", "Cancelled"]),
        descending=st.integers(0, 1),
        top=st.integers(1, 7),
    )
    def list_jobs(self, prefix: str, status: str, descending: int, top: int) -> None:
        expected = [
            job.id
            for job in self.model.jobs.values()
            if not job.deleted and job.name.startswith(prefix) and status in ("", job.status)
        ]
        terms = [f"startswith(Name, '{prefix}')"] * bool(prefix) + [f"State eq '{status}'"] * bool(status)
        order = "CreationTime desc" if descending else None
        ids: list[str] = []
        while True:
            query = parse_query(" and ".join(terms), order, str(len(ids)), str(top))
            page = self.service.page(ListKind.JOBS, query, W)
            ids += [item.id for item in page.items]
            if not page.more:
                break
        assert ids == (expected[::-1] if descending else expected)
        for session in self.model.sessions.values():
            page = self.service.page(ListKind.SESSION_JOBS, parse_query(None, None, None, None), W, session.id)
            assert [item.id for item in page.items] == [job.id for job in session.jobs if not job.deleted][:100]

    @invariant()
    def sessions_agree_with_the_model(self) -> None:
        for session in self.model.sessions.values():
            view = session_view(self.service.session(W, session.id))
            end = None if session.over is None else format_time(session.over[1])
            assert (view["status"], view["endExecutionTime"]) == (session.status, end)

    @invariant()
    def jobs_agree_with_the_model(self) -> None:
        for job in self.model.jobs.values():
            if job.deleted:
                refused(404, lambda job=job: self.service.job(W, job.id))  # type: ignore[misc]  # bound in the loop
                continue
            view = job_view(self.service.job(W, job.id), "http://h")
            end = None if job.ended is None else format_time(job.ended)
            assert (view["status"], view["endExecutionTime"]) == (job.status, end)
            assert view["beginExecutionTime"] == (None if job.began is None else format_time(job.began))
            assert (view["cancellationTime"] is not None) == (job.status == "Cancelled")
            assert (view["errorData"] is not None) == (job.status == "Failed")
            assert (view["costEstimate"] is not None) == (job.status == "Succeeded")

    @invariant()
    def the_next_idle_timeout_agrees_with_the_model(self) -> None:
        assert self.service.next_idle_timeout() == self.model.next_time_out()

    @invariant()
    def the_ledger_counts_every_job_once(self) -> None:
        account = ledger(self.store, LedgerQuery())
        assert account["ended"] == Counter(job.status for job in self.model.jobs.values())
        assert account["duplicates"]["count"] == self.model.duplicates
        assert [entry["job"] for entry in account["entries"]] == list(self.model.jobs)
        assert len(self.queue.added) == len(set(self.queue.added)) == len(self.model.jobs)


def session_request(session: ModelSession) -> SessionRequest:
    provider = session.target.partition(".")[0]
    return SessionRequest("name", provider, session.target, JobFailurePolicy(session.policy), None, None)


def job_request(job: ModelJob, target: str) -> JobRequest:
    return JobRequest(
        name=job.name,
        provider_id=target.partition(".")[0],
        target=target,
        container=f"job-{job.id}",
        input_blob="inputData",
        input_format="qir.v1",
        output_format="microsoft.quantum-results.v2",
        params={"shots": 5},
        metadata={"place": job.place} if job.place else None,
        session_id=job.session.id if job.session else None,
        priority=None,
        tags=None,
    )


def refused(status: int, call: Callable[[], object]) -> None:
    with pytest.raises(ApiError) as refusal:
        call()
    assert refusal.value.status == status


@long_form
def test_the_service_agrees_with_the_model_for_random_sequences_of_events() -> None:
    size = settings(max_examples=short_or_long(80, 1000), stateful_step_count=50, database=None)
    run_state_machine_as_test(SessionsAndJobs, settings=size)
