"""Each fault as a client meets it: the unmodified SDK, and plain HTTP for what the SDK hides."""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceResponseError,
)
from azure.quantum import Workspace
from azure.quantum.job.job import Job
from azure.quantum.job.session import Session, SessionJobFailurePolicy

from tests.conftest import Emulator, running_emulator
from tests.emulator.calls import ASYMMETRIC_QIR, Caller, Reply, blob_call, connection, raw_call, sdk_job

TARGET = "rigetti.sim.qvm"
RECORDED_CODES = [
    "ProviderTimeout",
    "PropertyNotSpecified",
    "InvalidInputData",
    "InvalidProperty",
    "RuntimeError",
    "CannotTranslateOutputData",
    "InvalidInputError",
    "quantinuum - 1001",
    "CompilationError",
]


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def no_faults_left(service: Emulator) -> Iterator[None]:
    yield
    raw_call(service.endpoint, "DELETE", "/_admin/faults", None, {"x-admin-key": service.admin_key})


@pytest.fixture
def caller(service: Emulator) -> Caller:
    return Caller(service)


@pytest.fixture
def workspace(service: Emulator) -> Workspace:
    return service.workspace()


def make(service: Emulator, fault: str, **rule: Any) -> None:
    """Put one rule in force."""
    service.admin("faults", {"rules": [{"fault": fault, **rule}]})


def injected(service: Emulator) -> list[tuple[str, str]]:
    return [(entry["fault"], entry["operation"]) for entry in service.admin("faults/log")["log"]]


def run_job(workspace: Workspace, **more: Any) -> Job:
    return sdk_job(workspace, ASYMMETRIC_QIR, TARGET, **more)


def ended(job: Job) -> Job:
    """The job once it is terminal; the SDK's own wait sleeps at least 0.2 s."""
    deadline = time.monotonic() + 30
    while not job.has_completed():
        job.refresh()
        assert time.monotonic() < deadline
    return job


def open_sdk_session(
    workspace: Workspace, policy: SessionJobFailurePolicy = SessionJobFailurePolicy.CONTINUE
) -> Session:
    session = Session(
        workspace=workspace,
        id=str(uuid.uuid4()),
        name="faulty",
        provider_id="rigetti",
        target=TARGET,
        job_failure_policy=policy,
    )
    return session.open()


# refusals


@pytest.mark.parametrize(
    "rule",
    [{"fault": "throttled"}, *({"fault": "error", "status": status} for status in (500, 502, 503, 504))],
    ids=lambda rule: str(rule.get("status", 429)),
)
def test_the_sdk_asks_again_after_passing_trouble(service: Emulator, workspace: Workspace, rule: Any) -> None:
    make(service, **rule, operation="list", nth=1)
    assert list(workspace.list_sessions()) == []
    assert injected(service) == [(rule["fault"], "list")]


@pytest.mark.parametrize(
    ("pause", "header"),
    [
        ({}, None),
        ({"retry_after": 7}, "7"),
        ({"retry_after": 0.5}, "0.5"),
        ({"retry_after": 86400}, "86400"),
        ({"retry_after": "soon"}, "soon"),
    ],
)
def test_a_throttled_call_says_when_to_come_back_as_it_was_told_to(
    service: Emulator, caller: Caller, pause: Any, header: str | None
) -> None:
    make(service, "throttled", **pause)
    reply = caller.call("GET", "/sessions")
    assert (reply.status, reply.json()["error"]["code"]) == (429, "TooManyRequests")
    assert reply.headers.get("retry-after") == header


def test_a_date_to_come_back_lies_ahead_in_the_machines_time(service: Emulator, caller: Caller) -> None:
    make(service, "throttled", retry_after_date=3600)
    header = caller.call("GET", "/sessions").headers["retry-after"]
    at = email.utils.parsedate_to_datetime(header)
    assert 3500 < at.timestamp() - email.utils.parsedate_to_datetime(caller_date(caller)).timestamp() < 3700


def caller_date(caller: Caller) -> str:
    return str(caller.call("GET", "/sessions").headers["date"])


def test_garbage_in_place_of_seconds_breaks_the_sdk(service: Emulator, workspace: Workspace) -> None:
    make(service, "throttled", retry_after="soon", nth=1)
    with pytest.raises(ValueError, match="Invalid HTTP date"):
        list(workspace.list_sessions())


def test_any_refusal_can_be_made_with_its_own_words(service: Emulator, workspace: Workspace) -> None:
    make(service, "error", status=400, code="InvalidJobDefinition", message="no such thing", operation="open")
    with pytest.raises(HttpResponseError, match="no such thing") as refusal:
        open_sdk_session(workspace)
    assert (refusal.value.status_code, refusal.value.error.code) == (400, "InvalidJobDefinition")


def test_a_key_can_stop_being_accepted_in_the_middle(service: Emulator, workspace: Workspace) -> None:
    make(service, "unauthorized", nth=2)
    list(workspace.list_sessions())
    with pytest.raises(ClientAuthenticationError):
        list(workspace.list_sessions())
    list(workspace.list_sessions())


def test_a_quota_can_be_used_up(service: Emulator, workspace: Workspace) -> None:
    make(service, "quota-exceeded")
    with pytest.raises(HttpResponseError) as refusal:
        run_job(workspace)
    assert (refusal.value.status_code, refusal.value.error.code) == (409, "QuotaExceeded")
    assert list(workspace.list_jobs()) == []


# connections


def test_a_reset_before_the_commit_leaves_nothing_done(service: Emulator, caller: Caller) -> None:
    make(service, "reset-before-commit", operation="open")
    with pytest.raises(ConnectionResetError):
        caller.open_session()
    assert caller.call("GET", "/sessions").json()["value"] == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [("reset-after-commit", ConnectionResetError), ("answer-dropped", http.client.RemoteDisconnected)],
)
def test_what_was_asked_for_is_done_though_no_answer_comes(
    service: Emulator, caller: Caller, fault: str, error: type[Exception]
) -> None:
    make(service, fault, operation="open")
    with pytest.raises(error):
        caller.open_session()
    assert len(caller.call("GET", "/sessions").json()["value"]) == 1


@pytest.mark.parametrize("fault", ["reset-before-commit", "reset-after-commit", "answer-dropped"])
def test_the_sdk_submits_again_under_the_same_id_and_there_is_one_job(
    service: Emulator, workspace: Workspace, fault: str
) -> None:
    make(service, fault, operation="submit", nth=1)
    job = ended(run_job(workspace))
    assert job.details.status == "Succeeded"
    assert [listed.id for listed in workspace.list_jobs()] == [job.id]
    assert injected(service) == [(fault, "submit")]


def test_the_sdk_does_not_close_again_after_a_reset_though_the_session_is_closed(
    service: Emulator, workspace: Workspace
) -> None:
    session = open_sdk_session(workspace)
    make(service, "reset-after-commit", operation="close", nth=1)
    with pytest.raises(ServiceResponseError):
        session.close()
    assert session.refresh().details.status == "Succeeded"


def test_an_answer_that_never_comes_is_of_something_that_was_done(service: Emulator, caller: Caller) -> None:
    session = caller.open_session()
    make(service, "no-answer", operation="close")
    with connection(service.endpoint) as opened:
        opened.timeout = 0.2
        opened.request("POST", f"{caller.base}/sessions/{session}:close", headers=key_of(service))
        with pytest.raises(TimeoutError):
            opened.getresponse()
    assert caller.session_status(session) == "Succeeded"


def test_the_service_stops_at_once_though_a_call_waits_for_ever(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator()
    make(emulator, "no-answer")
    with connection(emulator.endpoint) as opened:
        opened.request("GET", f"{Caller(emulator).base}/sessions", headers=key_of(emulator))
        deadline = time.monotonic() + 30
        while not injected(emulator):
            assert time.monotonic() < deadline
        assert emulator.stop() == 0
        with pytest.raises(http.client.RemoteDisconnected):
            opened.getresponse()


def key_of(emulator: Emulator) -> dict[str, str]:
    return {"x-ms-quantum-api-key": emulator.api_key}


def test_a_slow_answer_takes_its_seconds_of_virtual_time(service: Emulator, caller: Caller) -> None:
    session, before = caller.open_session(), service.admin("clock")["seconds"]
    make(service, "slow-answer", seconds=720, operation="get-session", nth=1)
    assert caller.session_status(session) == "Waiting"  # as it was when the call came
    assert service.admin("clock")["seconds"] == before + 720
    assert caller.session_status(session) == "TimedOut"


def test_a_slow_answer_takes_its_seconds_of_real_time(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator()
    make(emulator, "slow-answer", seconds=60)
    with connection(emulator.endpoint) as opened:
        opened.timeout = 0.2
        opened.request("GET", f"{Caller(emulator).base}/sessions", headers=key_of(emulator))
        with pytest.raises(TimeoutError):
            opened.getresponse()
    make(emulator, "slow-answer", seconds=0.01)
    assert Caller(emulator).call("GET", "/sessions").status == 200


# spoilt answers


def test_the_sdk_reads_again_after_half_an_answer(service: Emulator, workspace: Workspace) -> None:
    open_sdk_session(workspace)
    make(service, "truncated", operation="list", nth=1)
    assert len(list(workspace.list_sessions())) == 1
    assert injected(service) == [("truncated", "list")]


def test_the_sdk_does_not_close_again_after_half_an_answer(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace)
    make(service, "truncated", operation="close")
    with pytest.raises(IncompleteReadError):
        session.close()


@pytest.mark.parametrize(
    ("fault", "error"), [("not-json", ValueError), ("empty", ValueError), ("wrong-shape", AttributeError)]
)
def test_the_sdk_does_not_cope_with_an_answer_that_is_none(
    service: Emulator, workspace: Workspace, fault: str, error: type[Exception]
) -> None:
    make(service, fault, operation="open")
    with pytest.raises(error):
        str(open_sdk_session(workspace).details.status.upper())
    make(service, fault, operation="close")
    assert len(list(workspace.list_sessions())) == 1  # it was done


def pages(caller: Caller) -> list[str]:
    """The ids of all sessions, in pages of two."""
    ids, reply = [], caller.call("GET", "/sessions?top=2&orderby=CreationTime%20asc")
    while True:
        page = reply.json()
        ids += [session["id"] for session in page["value"]]
        if page["nextLink"] is None:
            return ids
        path = page["nextLink"].partition(caller.emulator.endpoint)[2]
        reply = raw_call(caller.emulator.endpoint, "GET", f"/{path}", None, key_of(caller.emulator))


def test_a_list_can_shift_between_its_pages(service: Emulator, caller: Caller) -> None:
    ids = [caller.open_session() for _ in range(6)]
    assert pages(caller) == ids
    make(service, "page-repeats-item", nth=1)
    assert pages(caller) == [*ids[:2], *ids[1:]]
    make(service, "page-skips-item", nth=1)
    assert pages(caller) == [*ids[:2], *ids[3:]]
    make(service, "page-repeats-item", nth=3)
    assert pages(caller) == [*ids, ids[-1]]
    make(service, "page-skips-item", nth=3)
    assert pages(caller) == ids[:-1]


# storage


def test_a_result_can_be_late(service: Emulator, workspace: Workspace) -> None:
    job = ended(run_job(workspace))
    make(service, "blob-missing", seconds=30, job=job.id)
    other = ended(run_job(workspace))
    with pytest.raises(ResourceNotFoundError):
        job.download_data(job.details.output_data_uri)
    assert other.download_data(other.details.output_data_uri)
    service.advance(29)
    with pytest.raises(ResourceNotFoundError):
        job.download_data(job.details.output_data_uri)
    service.advance(1)
    assert job.download_data(job.details.output_data_uri)


def test_a_result_can_be_missing_for_ever(service: Emulator, workspace: Workspace) -> None:
    job = ended(run_job(workspace))
    make(service, "blob-missing")
    for _ in range(2):
        with pytest.raises(ResourceNotFoundError):
            job.download_data(job.details.output_data_uri)
        service.advance(86_400 / 2)


def test_an_upload_can_meet_a_blob_that_is_there(service: Emulator, workspace: Workspace, caller: Caller) -> None:
    make(service, "blob-exists", nth=1)
    with pytest.raises(ResourceExistsError):
        run_job(workspace)
    assert uploaded(service, caller, "blob-exists") == b"ours"
    assert uploaded(service, caller, "blob-exists", content="theirs") == b"theirs"


def uploaded(service: Emulator, caller: Caller, fault: str, **rule: str) -> bytes:
    """What is in a blob after an upload of "ours" met the fault."""
    url = str(caller.call("POST", "/storage/sasUri", {"containerName": f"job-{uuid.uuid4()}"}).json()["sasUri"])
    make(service, fault, **rule)
    reply = blob_call(url, "PUT", "/inputData", b"ours", **{"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"})
    assert (reply.status, reply.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")
    return blob_call(url, "GET", "/inputData").body


def test_a_signature_can_have_expired_when_it_is_used(service: Emulator, workspace: Workspace) -> None:
    job = ended(run_job(workspace))
    make(service, "signature-expired", operation="download", nth=1)
    with pytest.raises(ClientAuthenticationError):
        job.download_data(job.details.output_data_uri)
    assert job.download_data(job.details.output_data_uri)


def test_a_signature_can_have_expired_when_it_is_handed_out(service: Emulator, caller: Caller) -> None:
    job = caller.submit()
    caller.ended(job)
    make(service, "signature-expired", operation=["sas", "get-job"])
    expired = [
        str(caller.call("GET", f"/jobs/{job}").json()["outputDataUri"]),
        f"{caller.call('POST', '/storage/sasUri', {'containerName': f'job-{job}'}).json()['sasUri']}",
    ]
    replies: list[Reply] = [blob_call(expired[0], "GET"), blob_call(expired[1], "GET", "/inputData")]
    assert [(reply.status, reply.headers["x-ms-error-code"]) for reply in replies] == [
        (403, "AuthenticationFailed")
    ] * 2


@pytest.mark.parametrize("operation", ["upload", "download"])
def test_storage_speaks_of_its_trouble_in_its_own_way(service: Emulator, caller: Caller, operation: str) -> None:
    url = caller.upload(str(uuid.uuid4()), b"x")
    make(service, "error", status=503, code="ServerBusy", operation=operation, retry_after=1)
    headers = {"x-ms-blob-type": "BlockBlob"}
    reply = blob_call(url, "PUT" if operation == "upload" else "GET", "/inputData", b"y", **headers)
    assert (reply.status, reply.headers["x-ms-error-code"], reply.headers["retry-after"]) == (503, "ServerBusy", "1")
    assert reply.body.startswith(b"<?xml")


# jobs and sessions


@pytest.mark.parametrize("code", [*RECORDED_CODES, None])
def test_a_job_can_fail_with_any_recorded_code_or_with_none(
    service: Emulator, workspace: Workspace, code: str | None
) -> None:
    make(service, "job-fails", **({} if code is None else {"code": code, "message": f"{code} it is"}))
    error = ended(run_job(workspace)).details.error_data
    assert (error.code, error.message) == (code, code and f"{code} it is")


def test_a_job_that_fails_takes_an_aborting_session_along(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace, SessionJobFailurePolicy.ABORT)
    make(service, "job-fails", session=session.id)
    ended(run_job(workspace, session_id=session.id))
    assert session.refresh().details.status == "Failed"


def test_a_job_can_hang_until_somebody_cancels_it(service: Emulator, workspace: Workspace) -> None:
    make(service, "job-hangs", nth=1)
    hanging, other = run_job(workspace), run_job(workspace)
    ended(other)
    service.advance(86_400)
    hanging.refresh()
    assert hanging.details.status == "Waiting"
    assert workspace.cancel_job(hanging).details.status == "Cancelled"


def test_a_job_that_hangs_does_so_after_a_restart_too(tmp_path: Path, start_emulator: Callable[..., Emulator]) -> None:
    first = Caller(start_emulator(state=tmp_path), "hang")
    make(first.emulator, "job-hangs", nth=1)
    hanging = first.submit()
    first.emulator.stop()
    second = Caller(start_emulator(state=tmp_path), "hang")
    second.ended(second.submit())
    assert second.call("GET", f"/jobs/{hanging}").json()["status"] == "Waiting"


def test_somebody_else_can_cancel_a_job(service: Emulator, workspace: Workspace, caller: Caller) -> None:
    make(service, "job-cancelled", nth=1)
    assert ended(run_job(workspace)).details.status == "Cancelled"
    service.admin("targets", {TARGET: {"queue_s": 100}})
    try:
        make(service, "job-cancelled", seconds=50)
        job = caller.submit()
        service.advance(49)
        assert caller.call("GET", f"/jobs/{job}").json()["status"] == "Waiting"
        service.advance(2)
        assert caller.call("GET", f"/jobs/{job}").json()["status"] == "Cancelled"
    finally:
        service.admin("targets", {TARGET: None})


@pytest.mark.parametrize(
    ("fault", "status", "pending"),
    [("session-times-out", "TimedOut", "Waiting"), ("session-fails", "Failed", "Cancelled")],
)
def test_a_session_can_end_underneath_its_owner(
    service: Emulator, workspace: Workspace, fault: str, status: str, pending: str
) -> None:
    session = open_sdk_session(workspace)
    rules = [{"fault": "job-hangs", "nth": 1}, {"fault": fault, "operation": "submit", "session": session.id, "nth": 2}]
    service.admin("faults", {"rules": rules})
    hanging = run_job(workspace, session_id=session.id)
    with pytest.raises(HttpResponseError, match="Session is already in a terminal state"):
        run_job(workspace, session_id=session.id)
    assert session.refresh().details.status == status
    hanging.refresh()
    assert hanging.details.status == pending


# plans


def test_what_was_injected_can_be_read_in_order_and_in_its_time(service: Emulator, caller: Caller) -> None:
    service.admin(
        "faults", {"rules": [{"fault": "job-fails", "job": "doomed"}, {"fault": "empty", "operation": "close"}]}
    )
    session = caller.open_session()
    job = caller.submit(name="doomed 1", sessionId=session)
    service.advance(5)
    caller.call("POST", f"/sessions/{session}:close")
    log = service.admin("faults/log")
    assert log["injected"] == 2
    first, second = log["log"]
    assert (first["number"], first["rule"], first["fault"], first["operation"]) == (1, 1, "job-fails", "submit")
    assert (first["job"], first["session"], first["path"]) == (job, session, f"{caller.base}/jobs/{job}")
    assert (second["rule"], second["job"], second["session"]) == (2, None, session)
    assert first["time"] < second["time"] == service.admin("clock")["now"]


def test_the_same_seed_and_calls_meet_the_same_faults(service: Emulator) -> None:
    def statuses(seed: int) -> list[int]:
        plan = {"seed": seed, "rules": [{"fault": "error", "status": 503, "probability": 0.5}]}
        service.admin("faults", plan)
        caller = Caller(service, "same")
        return [caller.call("GET", f"/sessions/{number}").status for number in range(30)]

    assert statuses(1) == statuses(1) != statuses(2)


def test_a_plan_can_be_read_and_ended_and_a_bad_one_leaves_it_in_force(service: Emulator, caller: Caller) -> None:
    rule = {"fault": "error", "operation": ["list", "open"], "status": 503, "times": 3}
    shown = service.admin("faults", {"seed": 4, "rules": [rule]})
    assert shown == service.admin("faults") == {"seed": 4, "rules": [rule], "injected": 0}
    headers = {"x-admin-key": service.admin_key}
    bad = raw_call(service.endpoint, "POST", "/_admin/faults", b'{"rules": [{"fault": "error"}]}', headers)
    assert (bad.status, bad.json()["error"]["code"]) == (400, "InvalidFaultPlan")
    assert "rule 1: error needs status" in bad.json()["error"]["message"]
    assert caller.call("GET", "/sessions").status == 503
    assert raw_call(service.endpoint, "DELETE", "/_admin/faults", None, headers).json()["rules"] == []
    assert caller.call("GET", "/sessions").status == 200


def test_a_service_does_not_start_with_a_plan_that_makes_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("rules:\n  - fault: error\n    status: 200\n")
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", "--in-memory", "--faults", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"hybridloop emulator: .*{re.escape(str(path))}: rule 1, status: .*\n", done.stderr)


def test_a_service_starts_with_the_plan_of_a_file(tmp_path: Path, start_emulator: Callable[..., Emulator]) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("rules:\n  - fault: error\n    status: 502\n    operation: providers\n")
    caller = Caller(start_emulator("--faults", str(path)))
    assert [caller.call("GET", path).status for path in ("/providerStatus", "/quotas")] == [502, 200]


def test_a_call_without_the_key_is_refused_before_any_fault_strikes(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace)
    service.admin("faults", {"rules": [{"fault": "session-fails", "operation": "submit", "session": session.id}]})
    path = f"/subscriptions/{workspace.subscription_id}/resourceGroups/{workspace.resource_group}"
    path += f"/providers/Microsoft.Quantum/workspaces/{workspace.name}/jobs/{uuid.uuid4()}?api-version=x"
    body = json.dumps({"sessionId": session.id, "target": TARGET, "providerId": "rigetti"}).encode()
    reply = raw_call(service.endpoint, "PUT", path, body, {"x-ms-quantum-api-key": "wrong"})
    assert reply.status == 401
    assert session.refresh().details.status == "Waiting"
    assert service.admin("faults/log")["injected"] == 0
