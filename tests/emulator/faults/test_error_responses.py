"""Error responses as faults, through the unmodified SDK, and over plain HTTP for details that the SDK hides."""

from __future__ import annotations

import email.utils
import json
import uuid
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.faults.fault_helpers import TARGET, injected_faults, open_sdk_session, run_job, set_fault
from tests.emulator.http_helpers import Caller, raw_call


@pytest.mark.parametrize(
    "rule",
    [{"fault": "throttled"}, *({"fault": "error", "status": status} for status in (500, 502, 503, 504))],
    ids=lambda rule: str(rule.get("status", 429)),
)
def test_the_sdk_retries_after_a_transient_error(service: Emulator, workspace: Workspace, rule: Any) -> None:
    set_fault(service, **rule, operation="list", nth=1)
    assert list(workspace.list_sessions()) == []
    assert injected_faults(service) == [(rule["fault"], "list")]


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
def test_a_throttled_call_has_the_retry_after_of_its_rule(
    service: Emulator, caller: Caller, pause: Any, header: str | None
) -> None:
    set_fault(service, "throttled", **pause)
    reply = caller.call("GET", "/sessions")
    assert (reply.status, reply.json()["error"]["code"]) == (429, "TooManyRequests")
    assert reply.headers.get("retry-after") == header


def test_a_retry_after_date_is_in_the_machines_time(service: Emulator, caller: Caller) -> None:
    set_fault(service, "throttled", retry_after_date=3600)
    header = caller.call("GET", "/sessions").headers["retry-after"]
    retry_after = email.utils.parsedate_to_datetime(header)
    assert 3500 < retry_after.timestamp() - email.utils.parsedate_to_datetime(caller_date(caller)).timestamp() < 3700


def caller_date(caller: Caller) -> str:
    return str(caller.call("GET", "/sessions").headers["date"])


def test_the_sdk_raises_on_an_invalid_retry_after(service: Emulator, workspace: Workspace) -> None:
    set_fault(service, "throttled", retry_after="soon", nth=1)
    with pytest.raises(ValueError, match="Invalid HTTP date"):
        list(workspace.list_sessions())


def test_an_error_can_have_any_status_code_and_message(service: Emulator, workspace: Workspace) -> None:
    set_fault(service, "error", status=400, code="InvalidJobDefinition", message="no such thing", operation="open")
    with pytest.raises(HttpResponseError, match="no such thing") as refusal:
        open_sdk_session(workspace)
    assert (refusal.value.status_code, refusal.value.error.code) == (400, "InvalidJobDefinition")


def test_a_key_can_be_refused_for_a_single_call(service: Emulator, workspace: Workspace) -> None:
    set_fault(service, "unauthorized", nth=2)
    list(workspace.list_sessions())
    with pytest.raises(ClientAuthenticationError):
        list(workspace.list_sessions())
    list(workspace.list_sessions())


def test_a_quota_can_be_exceeded(service: Emulator, workspace: Workspace) -> None:
    set_fault(service, "quota-exceeded")
    with pytest.raises(HttpResponseError) as refusal:
        run_job(workspace)
    assert (refusal.value.status_code, refusal.value.error.code) == (409, "QuotaExceeded")
    assert list(workspace.list_jobs()) == []


def test_a_call_with_a_wrong_key_is_refused_without_a_fault(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace)
    service.admin("faults", {"rules": [{"fault": "session-fails", "operation": "submit", "session": session.id}]})
    path = f"/subscriptions/{workspace.subscription_id}/resourceGroups/{workspace.resource_group}"
    path += f"/providers/Microsoft.Quantum/workspaces/{workspace.name}/jobs/{uuid.uuid4()}?api-version=x"
    body = json.dumps({"sessionId": session.id, "target": TARGET, "providerId": "rigetti"}).encode()
    reply = raw_call(service.endpoint, "PUT", path, body, {"x-ms-quantum-api-key": "wrong"})
    assert reply.status == 401
    assert session.refresh().details.status == "Waiting"
    assert service.admin("faults/log")["injected"] == 0
