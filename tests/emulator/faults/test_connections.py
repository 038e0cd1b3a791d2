"""Connections that break or wait: what was done of a call whose answer never came, or came late."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.calls import Caller, connection
from tests.emulator.faults.faulty import ended, injected, key_of, make, open_sdk_session, run_job


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
