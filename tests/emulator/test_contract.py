"""Contract of the service: session state machine and error table, row by row, with the SDK as client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.quantum import Workspace
from azure.quantum.job.job import Job
from azure.quantum.job.session import Session

from tests.conftest import Emulator, running_emulator, unavailable
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller, Reply, blob_call, sdk_job

TARGET = "rigetti.sim.qvm"
OVER = ("Succeeded", "Failed", "TimedOut")
QUEUE_S = 60.0
SERVER_ERRORS = (500, 502, 503, 504)
PLAN = {  # by prefixes of jobs' names that no id has: ids are hexadecimal
    "rules": [
        {"fault": "job-fails", "code": "RuntimeError", "message": "on purpose", "job": "life-bad"},
        {"fault": "job-hangs", "job": "life-hang"},
        {"fault": "throttled", "retry_after": 7, "operation": "submit", "job": "status-429"},
        {"fault": "error", "status": 403, "code": "Forbidden", "operation": "submit", "job": "status-403"},
        *(
            {"fault": "error", "status": status, "operation": "submit", "job": f"status-{status}"}
            for status in SERVER_ERRORS
        ),
    ]
}

# row of the state machine | policy | event:status after it, … | final statuses of the jobs
SESSIONS = [
    ("opened", "Abort", "open:Waiting", ""),
    ("opened, under Continue", "Continue", "open:Waiting", ""),
    ("first job accepted", "Abort", "open:Waiting hang:Executing", "Waiting"),
    ("closed without a job", "Abort", "open:Waiting close:Succeeded", ""),
    ("closed, every job ended, none failed", "Abort", "open:Waiting good:Executing close:Succeeded", "Succeeded"),
    ("closed while a job is pending: ends with it", "Abort",
     "open:Waiting queued:Executing close:Executing later:Succeeded", "Succeeded"),
    ("the same, and that job fails, under Abort", "Abort",
     "open:Waiting queued-bad:Executing close:Executing later:Failed", "Failed"),
    ("the same, and that job fails, under Continue", "Continue",
     "open:Waiting queued-bad:Executing close:Executing later:Failed", "Failed"),
    ("a job fails under Abort: Failed in the same step, the others cancelled", "Abort",
     "open:Waiting hang:Executing queued:Executing bad:Failed refused:Failed", "Cancelled Cancelled Failed"),
    ("a job fails under Continue: Failure(s), jobs continue", "Continue",
     "open:Waiting bad:Failure(s) good:Failure(s) hang:Failure(s)", "Failed Succeeded Waiting"),
    ("Failure(s), closed, every job ended", "Continue", "open:Waiting bad:Failure(s) close:Failed", "Failed"),
    ("Failure(s), closed while a job is pending", "Continue",
     "open:Waiting bad:Failure(s) queued:Failure(s) close:Failure(s) later:Failed", "Failed Succeeded"),
    ("idle without a job", "Abort", "open:Waiting idle:TimedOut refused:TimedOut", ""),
    ("idle after a job", "Abort", "open:Waiting good:Executing idle:TimedOut refused:TimedOut", "Succeeded"),
    ("idle after failures", "Continue", "open:Waiting bad:Failure(s) idle:TimedOut", "Failed"),
    ("not idle while a job is pending, then from its end on", "Abort",
     "open:Waiting hang:Executing idle:Executing cancel:Executing idle:TimedOut", "Cancelled"),
    ("Succeeded, closed: unchanged", "Abort", "open:Waiting close:Succeeded close-again:Succeeded", ""),
    ("Failed, closed: unchanged", "Abort", "open:Waiting bad:Failed close-again:Failed", "Failed"),
    ("TimedOut, closed: unchanged", "Abort", "open:Waiting idle:TimedOut close-again:TimedOut", ""),
    ("a cancelled job is no failure, under Abort", "Abort",
     "open:Waiting hang:Executing cancel:Executing good:Executing close:Succeeded", "Cancelled Succeeded"),
    ("a cancelled job is no failure, under Continue", "Continue",
     "open:Waiting hang:Executing cancel:Executing good:Executing close:Succeeded", "Cancelled Succeeded"),
    ("closed takes no job", "Abort", "open:Waiting close:Succeeded refused:Succeeded", ""),
    ("closing takes no job", "Abort", "open:Waiting hang:Executing close:Executing refused:Executing", "Waiting"),
    ("another target's job is refused", "Abort", "open:Waiting elsewhere:Waiting good:Executing", "Succeeded"),
]  # fmt: skip


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    """A service in virtual time with faults that depend on a job's name."""
    with running_emulator("--clock", "virtual") as running:
        running.admin("faults", PLAN)
        yield running


@dataclass
class SessionEvents:
    """Events of one session and its jobs, through the SDK."""

    service: Emulator
    policy: str
    workspace: Workspace = field(init=False)
    session: Session = field(init=False)
    jobs: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace = self.service.workspace()
        self.session = Session(
            workspace=self.workspace, name="life", provider_id="rigetti", target=TARGET, job_failure_policy=self.policy
        )

    def apply(self, event: str) -> None:
        """Cause an event; afterwards `session.details` is the service's last answer."""
        if event == "open":
            self.session.open()
        elif event == "close":
            self.session.close()  # with the details of its own reply
        elif event == "close-again":
            self.close_again()
        elif event in ("good", "bad"):
            self.submit(event).wait_until_completed(print_progress=False)
            self.session.refresh()
        elif event == "hang":
            self.submit(event)
            self.session.refresh()
        elif event.startswith("queued"):
            self.service.admin("targets", {TARGET: {"queue_s": QUEUE_S}})
            self.submit("bad" if event == "queued-bad" else "good")
            self.service.admin("targets", {TARGET: None})
            self.session.refresh()
        elif event in ("later", "idle"):
            self.service.advance(QUEUE_S if event == "later" else 720.0)
            if event == "later":
                self.jobs[-1].wait_until_completed(print_progress=False)
            self.session.refresh()
        elif event == "cancel":
            self.workspace.cancel_job(self.jobs[-1])
            self.session.refresh()
        else:
            self.submit_refused(event)

    def submit(self, name: str, target: str = TARGET) -> Job:
        job = sdk_job(self.workspace, ASYMMETRIC_QIR, target, name=f"life-{name}", session_id=self.session.id)
        self.jobs.append(job)
        return job

    def submit_refused(self, event: str) -> None:
        with pytest.raises(HttpResponseError) as refusal:
            self.submit("good", "ionq.simulator" if event == "elsewhere" else TARGET)
        assert (refusal.value.status_code, refusal.value.error.code) == (400, "InvalidJobDefinition")
        message = "Session is already in a terminal state."
        assert (message in str(refusal.value)) == (event == "refused")
        self.session.refresh()

    def close_again(self) -> None:
        """Close without the SDK, which does not send the close of a session that has ended."""
        before = self.session.details.end_execution_time
        caller = Caller(self.service, str(self.workspace.name))
        reply = caller.call("POST", f"/sessions/{self.session.id}:close")
        self.session.refresh()
        assert (reply.status, reply.json()["status"]) == (200, self.session.details.status)
        assert self.session.details.end_execution_time == before


@pytest.mark.claim("follows recorded traffic")
@pytest.mark.parametrize(("row", "policy", "events", "ends"), SESSIONS, ids=[row for row, *_ in SESSIONS])
def test_a_session_follows_the_state_machine(service: Emulator, row: str, policy: str, events: str, ends: str) -> None:
    session_events = SessionEvents(service, policy)
    for step in events.split():
        event, _, status = step.partition(":")
        session_events.apply(event)
        details = session_events.session.details
        assert (event, details.status) == (event, status), row
        assert (details.end_execution_time is not None) == (status in OVER)
    for job in session_events.jobs:
        job.refresh()
    assert [job.details.status for job in session_events.jobs] == ends.split(), row


def refused_job(caller: Caller, name: str = "n", **changes: Any) -> Reply:
    document = {"name": name, "target": TARGET, "providerId": "rigetti", "inputDataFormat": "qir.v1", **changes}
    return caller.call("PUT", f"/jobs/{name}", document)


def refused_by_a_target_that_is_down(caller: Caller) -> Reply:
    with unavailable(caller.emulator, "ionq.qpu.aria-1"):
        return refused_job(caller, target="ionq.qpu.aria-1", providerId="ionq")


def into_a_session_that_is_over(caller: Caller) -> Reply:
    session = caller.open_session()
    caller.call("POST", f"/sessions/{session}:close")
    return refused_job(caller, sessionId=session)


def onto_a_blob(caller: Caller) -> Reply:
    headers = {"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"}
    return blob_call(caller.upload("twice", b"first"), "PUT", "/inputData", b"second", **headers)


def an_empty_range(caller: Caller) -> Reply:
    return blob_call(caller.upload("empty", b""), "GET", "/inputData", None, **{"x-ms-range": "bytes=0-33554431"})


def a_missing_blob(caller: Caller) -> Reply:
    return blob_call(caller.upload("missing", b"x"), "GET", "/outputData")


# row of the error table | status | code | request
REFUSALS: list[tuple[str, int, str, Callable[[Caller], Reply]]] = [
    ("session is over", 400, "InvalidJobDefinition", into_a_session_that_is_over),
    ("bad job body", 400, "InvalidJobDefinition", lambda caller: refused_job(caller, inputParams=7)),
    ("unknown target", 403, "InvalidJobDefinition", lambda caller: refused_job(caller, target="rigetti.sim.none")),
    ("session on an unknown target", 403, "InvalidJobDefinition",
     lambda caller: caller.call("PUT", "/sessions/none", {"target": "nobody.nothing"})),
    ("unknown provider", 403, "InvalidJobDefinition", lambda caller: refused_job(caller, providerId="nobody")),
    ("forbidden", 403, "Forbidden", lambda caller: refused_job(caller, "status-403")),
    ("unknown job", 404, "NotFound", lambda caller: caller.call("GET", "/jobs/none")),
    ("unknown session", 404, "NotFound", lambda caller: caller.call("GET", "/sessions/none")),
    ("job into an unknown session", 404, "NotFound", lambda caller: refused_job(caller, sessionId="none")),
    ("target is down", 409, "TargetUnavailable",
     refused_by_a_target_that_is_down),
    ("throttled", 429, "TooManyRequests", lambda caller: refused_job(caller, "status-429")),
    ("blob is there", 409, "BlobAlreadyExists", onto_a_blob),
    ("range of an empty blob", 416, "InvalidRange", an_empty_range),
    ("missing blob", 404, "BlobNotFound", a_missing_blob),
]  # fmt: skip


@pytest.mark.claim("follows recorded traffic")
@pytest.mark.parametrize(("row", "status", "code", "call"), REFUSALS, ids=[row for row, *_ in REFUSALS])
def test_an_error_response_matches_the_error_table(
    service: Emulator, row: str, status: int, code: str, call: Callable[[Caller], Reply]
) -> None:
    reply = call(Caller(service))
    if reply.headers["content-type"].startswith("application/json"):
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"]) == (status, code), row
        assert error["message"]
    else:
        assert (reply.status, reply.headers["x-ms-error-code"]) == (status, code), row
        assert f"<Code>{code}</Code>".encode() in reply.body
    assert reply.headers.get("retry-after") == ("7" if row == "throttled" else None)


@pytest.mark.parametrize("status", SERVER_ERRORS)
def test_a_server_error_has_a_code_and_a_message_and_changes_nothing(service: Emulator, status: int) -> None:
    caller = Caller(service)
    reply = refused_job(caller, f"status-{status}")
    assert reply.status == status
    assert set(reply.json()["error"]) == {"code", "message"}
    assert caller.call("GET", f"/jobs/status-{status}").status == 404
