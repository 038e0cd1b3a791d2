"""Connection faults: resets, lost responses and slow ones, and the state that such a call leaves."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.faults.fault_helpers import (
    api_key_header,
    injected_faults,
    open_sdk_session,
    run_job,
    set_fault,
    wait_until_ended,
)
from tests.emulator.http_helpers import Caller, connection


def test_a_reset_before_the_commit_changes_nothing(service: Emulator, caller: Caller) -> None:
    set_fault(service, "reset-before-commit", operation="open")
    with pytest.raises(ConnectionResetError):
        caller.open_session()
    assert caller.call("GET", "/sessions").json()["value"] == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [("reset-after-commit", ConnectionResetError), ("answer-dropped", http.client.RemoteDisconnected)],
)
def test_the_call_is_executed_although_the_response_is_lost(
    service: Emulator, caller: Caller, fault: str, error: type[Exception]
) -> None:
    set_fault(service, fault, operation="open")
    with pytest.raises(error):
        caller.open_session()
    assert len(caller.call("GET", "/sessions").json()["value"]) == 1


@pytest.mark.parametrize("fault", ["reset-before-commit", "reset-after-commit", "answer-dropped"])
def test_the_sdk_repeats_a_submission_with_the_same_id_and_there_is_one_job(
    service: Emulator, workspace: Workspace, fault: str
) -> None:
    set_fault(service, fault, operation="submit", nth=1)
    job = wait_until_ended(run_job(workspace))
    assert job.details.status == "Succeeded"
    assert [listed.id for listed in workspace.list_jobs()] == [job.id]
    assert injected_faults(service) == [(fault, "submit")]


def test_the_sdk_does_not_repeat_a_close_after_a_reset_but_the_session_is_closed(
    service: Emulator, workspace: Workspace
) -> None:
    session = open_sdk_session(workspace)
    set_fault(service, "reset-after-commit", operation="close", nth=1)
    with pytest.raises(ServiceResponseError):
        session.close()
    assert session.refresh().details.status == "Succeeded"


def test_a_call_without_a_response_is_executed(service: Emulator, caller: Caller) -> None:
    session = caller.open_session()
    set_fault(service, "no-answer", operation="close")
    with connection(service.endpoint) as opened:
        opened.timeout = 0.2
        opened.request("POST", f"{caller.base}/sessions/{session}:close", headers=api_key_header(service))
        with pytest.raises(TimeoutError):
            opened.getresponse()
    assert caller.session_status(session) == "Succeeded"


def test_the_service_stops_at_once_while_a_call_waits_for_its_response(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator()
    set_fault(emulator, "no-answer")
    with connection(emulator.endpoint) as opened:
        opened.request("GET", f"{Caller(emulator).base}/sessions", headers=api_key_header(emulator))
        deadline = time.monotonic() + 30
        while not injected_faults(emulator):
            assert time.monotonic() < deadline
        assert emulator.stop() == 0
        with pytest.raises(http.client.RemoteDisconnected):
            opened.getresponse()


def test_a_slow_response_takes_its_seconds_in_virtual_time(service: Emulator, caller: Caller) -> None:
    session, before = caller.open_session(), service.admin("clock")["seconds"]
    set_fault(service, "slow-answer", seconds=720, operation="get-session", nth=1)
    assert caller.session_status(session) == "Waiting"  # as it was when the call came
    assert service.admin("clock")["seconds"] == before + 720
    assert caller.session_status(session) == "TimedOut"


def test_a_slow_response_takes_its_seconds_in_real_time(emulator: Emulator) -> None:
    set_fault(emulator, "slow-answer", seconds=60)
    with connection(emulator.endpoint) as opened:
        opened.timeout = 0.2
        opened.request("GET", f"{Caller(emulator).base}/sessions", headers=api_key_header(emulator))
        with pytest.raises(TimeoutError):
            opened.getresponse()
    set_fault(emulator, "slow-answer", seconds=0.01)
    assert Caller(emulator).call("GET", "/sessions").status == 200
