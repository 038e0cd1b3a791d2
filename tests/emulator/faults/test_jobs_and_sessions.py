"""Faults of jobs (failure, hang, cancellation) and of sessions (time-out, failure)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError
from azure.quantum import Workspace
from azure.quantum.job.session import SessionJobFailurePolicy

from tests.conftest import Emulator
from tests.emulator.faults.fault_helpers import TARGET, open_sdk_session, run_job, set_fault, wait_until_ended
from tests.emulator.http_helpers import Caller

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


@pytest.mark.parametrize("code", [*RECORDED_CODES, None])
def test_a_job_can_fail_with_any_recorded_code_or_with_none(
    service: Emulator, workspace: Workspace, code: str | None
) -> None:
    set_fault(service, "job-fails", **({} if code is None else {"code": code, "message": f"{code} it is"}))
    error = wait_until_ended(run_job(workspace)).details.error_data
    assert (error.code, error.message) == (code, code and f"{code} it is")


def test_a_failed_job_fails_its_session_under_the_policy_abort(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace, SessionJobFailurePolicy.ABORT)
    set_fault(service, "job-fails", session=session.id)
    wait_until_ended(run_job(workspace, session_id=session.id))
    assert session.refresh().details.status == "Failed"


def test_a_job_can_hang_until_it_is_cancelled(service: Emulator, workspace: Workspace) -> None:
    set_fault(service, "job-hangs", nth=1)
    hanging, other = run_job(workspace), run_job(workspace)
    wait_until_ended(other)
    service.advance(86_400)
    hanging.refresh()
    assert hanging.details.status == "Waiting"
    assert workspace.cancel_job(hanging).details.status == "Cancelled"


def test_a_hanging_job_hangs_after_a_restart_too(tmp_path: Path, start_emulator: Callable[..., Emulator]) -> None:
    first = Caller(start_emulator(state=tmp_path), "hang")
    set_fault(first.emulator, "job-hangs", nth=1)
    hanging = first.submit()
    first.emulator.stop()
    second = Caller(start_emulator(state=tmp_path), "hang")
    second.ended(second.submit())
    assert second.call("GET", f"/jobs/{hanging}").json()["status"] == "Waiting"


def test_a_job_can_be_cancelled_by_another_user(service: Emulator, workspace: Workspace, caller: Caller) -> None:
    set_fault(service, "job-cancelled", nth=1)
    assert wait_until_ended(run_job(workspace)).details.status == "Cancelled"
    service.admin("targets", {TARGET: {"queue_s": 100}})
    set_fault(service, "job-cancelled", seconds=50)
    job = caller.submit()
    service.advance(49)
    assert caller.call("GET", f"/jobs/{job}").json()["status"] == "Waiting"
    service.advance(2)
    assert caller.call("GET", f"/jobs/{job}").json()["status"] == "Cancelled"


@pytest.mark.parametrize(
    ("fault", "status", "pending"),
    [("session-times-out", "TimedOut", "Waiting"), ("session-fails", "Failed", "Cancelled")],
)
def test_a_session_can_end_while_its_owner_uses_it(
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
